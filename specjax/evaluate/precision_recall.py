"""Precision and recall, density and coverage: balls to the k-th neighbour.

A set's manifold is the union of balls around its samples, each as wide as the distance to its k-th
nearest neighbour in the set. ``a`` are generated samples, ``b`` are data.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from specjax.evaluate.pairwise import check_neighbours, pair, squared_distances


class PrecisionRecall(NamedTuple):
    """Precision: the share of generated samples within the data's manifold (quality); recall: the
    share of data within the generated one (variety)."""

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Density: how many of the data's balls a generated sample lies in, over k (1 in the mean for
    a perfect sampler); coverage: the share of the data's balls with a generated sample in them."""

    density: float
    coverage: float


def precision_recall(a: Any, b: Any, *, k: int = 3) -> PrecisionRecall:
    """Improved precision and recall (Kynkäänniemi et al. 2019, 1904.06991, equations 1 and 2).

    Args:
      a, b: generated [n, ...] and data [m, ...]. k: neighbours.

    Returns:
      Two shares from 0 to 1, which depend on n and m: compare them with their floor. Costs
      2 n m d + n^2 d + m^2 d, in blocks of 32 MiB.

    Raises:
      ValueError: for NaN, no more than k samples, different shapes.

    Example:
      >>> x = np.arange(5.0)[:, None]
      >>> precision_recall(x[:4] + 0.5, x, k=1)
      PrecisionRecall(precision=1.0, recall=1.0)
    """
    a, b = pair(a, b)
    check_neighbours(k, a, b)
    radius_a, radius_b = radii(a, k), radii(b, k)
    inside_b, inside_a = np.zeros(len(a), bool), np.zeros(len(b), bool)
    for i, j, block in squared_distances(a, b):
        inside_b[i] |= (block <= radius_b[j]).any(1)
        inside_a[j] |= (block <= radius_a[i, None]).any(0)
    return PrecisionRecall(float(inside_b.mean()), float(inside_a.mean()))


def density_coverage(a: Any, b: Any, *, k: int = 5) -> DensityCoverage:
    """Density and coverage (Naeem et al. 2020, 2002.09797, equations 4 and 5).

    Only the data have balls, so that a generated outlier does not spoil them.

    Args:
      a, b: generated [n, ...] and data [m, ...]. k: neighbours.

    Returns:
      Two numbers, density 0 or more, coverage from 0 to 1. Costs 2 n m d + m^2 d.

    Raises:
      ValueError: for NaN, no more than k data, different shapes.

    Example:
      >>> x = np.arange(5.0)[:, None]
      >>> density_coverage(x[:4] + 0.5, x, k=1)
      DensityCoverage(density=2.0, coverage=1.0)
    """
    a, b = pair(a, b)
    check_neighbours(k, b)
    radius = radii(b, k)
    balls, covered = 0, np.zeros(len(b), bool)
    for _, j, block in squared_distances(a, b):
        inside = block <= radius[j]
        balls += int(inside.sum())
        covered[j] |= inside.any(0)
    return DensityCoverage(balls / (k * len(a)), float(covered.mean()))


def radii(x: np.ndarray, k: int) -> np.ndarray:
    """Squared distance [n] of each sample to its k-th nearest neighbour in the set."""
    nearest = np.full((len(x), k), np.inf)
    for i, j, block in squared_distances(x):
        if i == j:
            np.fill_diagonal(block, np.inf)
        else:
            nearest[j] = _smallest(nearest[j], block.T)
        nearest[i] = _smallest(nearest[i], block)
    return nearest.max(1)


def _smallest(held: np.ndarray, more: np.ndarray) -> np.ndarray:
    """The k smallest of each row."""
    k = held.shape[1]
    return np.partition(np.concatenate([held, more], 1), k - 1, axis=1)[:, :k]
