"""Precision and recall, density and coverage: balls to the k-th nearest neighbour.

The manifold of a set is the union of balls around its samples, each with the distance to the k-th
nearest neighbour in the set as its radius. ``a`` are generated samples, ``b`` are data. The radii
are scikit-learn's; it has no count of samples within balls of different radii.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.evaluate.pairwise import as_vector_pair, squared_distances


class PrecisionRecall(NamedTuple):
    """Precision and recall.

    Attributes:
      precision: the share of generated samples within the data's manifold (quality).
      recall: the share of data within the generated manifold (variety).
    """

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Density and coverage.

    Attributes:
      density: how many of the data's balls a generated sample lies in, over k; 1 in the mean for a
        perfect sampler.
      coverage: the share of the data's balls with a generated sample in them.
    """

    density: float
    coverage: float


def precision_recall(a: Any, b: Any, *, k: int = 3) -> PrecisionRecall:
    """Compute improved precision and recall (Kynkäänniemi et al. 2019, 1904.06991, eqs. 1 and 2).

    Args:
      a: generated [n, ...].
      b: data [m, ...].
      k: neighbours.

    Returns:
      Two shares from 0 to 1, which depend on n and m: compare them with their floor. Costs
      2 n m d + n^2 d + m^2 d, in blocks of 32 MiB.

    Raises:
      UserError: for NaN, no more than k samples, different shapes.

    Example:
      >>> x = np.arange(5.0)[:, None]
      >>> precision_recall(x[:4] + 0.5, x, k=1)
      PrecisionRecall(precision=1.0, recall=1.0)
    """
    a, b = as_vector_pair(a, b)
    radius_a, radius_b = _squared_radii(a, k), _squared_radii(b, k)
    a_inside, b_inside = np.zeros(len(a), bool), np.zeros(len(b), bool)
    for i, j, block in squared_distances(a, b):
        a_inside[i] |= (block <= radius_b[j]).any(1)
        b_inside[j] |= (block <= radius_a[i, None]).any(0)
    return PrecisionRecall(float(a_inside.mean()), float(b_inside.mean()))


def density_coverage(a: Any, b: Any, *, k: int = 5) -> DensityCoverage:
    """Compute density and coverage (Naeem et al. 2020, 2002.09797, equations 4 and 5).

    Only the data have balls, so that a generated outlier does not spoil them.

    Args:
      a: generated [n, ...].
      b: data [m, ...].
      k: neighbours.

    Returns:
      Two numbers, density 0 or more, coverage from 0 to 1. Costs 2 n m d + m^2 d.

    Raises:
      UserError: for NaN, no more than k data, different shapes.

    Example:
      >>> x = np.arange(5.0)[:, None]
      >>> density_coverage(x[:4] + 0.5, x, k=1)
      DensityCoverage(density=2.0, coverage=1.0)
    """
    a, b = as_vector_pair(a, b)
    radius = _squared_radii(b, k)
    balls, covered = 0, np.zeros(len(b), bool)
    for _, j, block in squared_distances(a, b):
        inside = block <= radius[j]
        balls += int(inside.sum())
        covered[j] |= inside.any(0)
    return DensityCoverage(balls / (k * len(a)), float(covered.mean()))


def _squared_radii(x: np.ndarray, k: int) -> np.ndarray:
    """Return the squared distance [n] of each sample to its k-th nearest neighbour in the set.

    It is wider by 1e-6 of itself, so that a copy of the neighbour lies within the ball whatever
    the rounding of float32 samples.
    """
    if checks.whole_number("k", k) >= len(x):
        raise UserError(f"k = {k} neighbours among {len(x)} samples: give more samples")
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(x)
    distances, _ = search.kneighbors()  # of the set's own samples, without themselves
    return distances[:, -1].astype(np.float64) ** 2 * (1 + 1e-6)
