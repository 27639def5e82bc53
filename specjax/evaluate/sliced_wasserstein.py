"""Sliced Wasserstein distance: the mean squared W2 of projections to random lines.

    SW^2 = E_theta W2^2(theta . a, theta . b),   theta uniform on the sphere in d dimensions

(Rabin et al. 2011; Bonneel et al. 2015). In one dimension W2 is the distance of the quantile
functions, so a projection costs a sort. **It is squared**, like the Fréchet distance; a shift by m
gives |m|^2 / d.

Ours, because SciPy has W1 only (``scipy.stats.wasserstein_distance``), of one line a call.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specjax._core import checks
from specjax.evaluate.pairwise import as_vector_pair

PROJECTIONS = 512

_PROJECTIONS_AT_ONCE = 64


def sliced_wasserstein(a: Any, b: Any, *, projections: int = PROJECTIONS, seed: int = 0) -> float:
    """Compute the squared sliced 2-Wasserstein distance of two sets of samples.

    Args:
      a: generated [n, ...].
      b: data [m, ...]; n and m may differ, the quantile functions are exact steps.
      projections: how many random lines. The result varies with them by about
        sqrt(2 / projections) of itself at most.
      seed: of the lines, which are the same for every pair of sets of one dimension.

    Returns:
      A distance in squared units of the samples. Costs ``projections`` times (n + m) (d + log n).

    Raises:
      UserError: for NaN, no samples, different shapes.

    Example:
      >>> a = np.array([[0.0], [1.0]])
      >>> float(sliced_wasserstein(a, a + 2.0))
      4.0
    """
    checks.whole_number("projections", projections)
    a, b = as_vector_pair(a, b, least=1)
    lines = np.random.default_rng(seed).normal(size=(a.shape[1], projections))
    lines /= np.linalg.norm(lines, axis=0)
    ranks_a, ranks_b, weight = _common_quantiles(len(a), len(b))
    total = 0.0
    for first in range(0, projections, _PROJECTIONS_AT_ONCE):
        some = lines[:, first : first + _PROJECTIONS_AT_ONCE]
        sorted_a, sorted_b = (np.sort(x @ some, axis=0) for x in (a, b))
        total += float((weight @ (sorted_a[ranks_a] - sorted_b[ranks_b]) ** 2).sum())
    return total / projections


def _common_quantiles(n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split [0, 1] where both quantile functions are constant: ranks in a, ranks in b, lengths.

    Probabilities are counted in whole multiples of 1 / (n m), so that nothing is rounded.
    """
    ends = np.union1d(np.arange(1, n + 1, dtype=np.int64) * m, np.arange(1, m + 1) * n)
    starts = np.append(0, ends[:-1])
    return starts // m, starts // n, (ends - starts) / (n * m)
