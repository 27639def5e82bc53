"""Distances from all pairs of samples: energy distance, and the MMD of a polynomial kernel.

Both are unbiased (no sample is paired with itself): the mean of two sets from one distribution is
exactly 0, whatever n, and a single value may be negative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from specjax._core import checks
from specjax.evaluate.pairwise import inner_products, pair, squared_distances


def energy_distance(a: Any, b: Any) -> float:
    """``2 E|x - y| - E|x - x'| - E|y - y'|``, unbiased (Székely and Rizzo 2013).

    Zero in the mean if and only if the distributions are the same. ``scipy.stats.energy_distance``
    is the root of the biased form, in one dimension.

    Args:
      a, b: [n, ...] and [m, ...], at least two samples each.

    Returns:
      A distance in units of the samples. Costs 2 n m d + n^2 d + m^2 d, in blocks of 32 MiB.

    Raises:
      ValueError: for NaN, fewer than two samples, different shapes.

    Example:
      >>> energy_distance([[0.0], [0.0]], [[1.0], [1.0]])
      2.0
    """
    a, b = pair(a, b)
    across = sum(np.sqrt(block).sum() for _, _, block in squared_distances(a, b))
    within = [_off_diagonal(np.sqrt, x, squared_distances) for x in (a, b)]
    return float(2 * across / (len(a) * len(b)) - sum(within))


def polynomial_mmd(
    a: Any,
    b: Any,
    *,
    degree: int = 3,
    subsets: int | None = None,
    subset_size: int = 1000,
    seed: int = 0,
) -> float:
    """Squared maximum mean discrepancy of the kernel ``(x . y / d + 1)^degree``, unbiased.

    The kernel and the estimate are those of the KID (Bińkowski et al. 2018, 1801.01401, section 4),
    which is this on Inception's features.

    Args:
      a, b: [n, ...] and [m, ...], at least two samples each. degree: of the polynomial.
      subsets: None for all pairs, the estimate of the least variance; else the mean over so many
        random subsets of both, as the KID is usually computed.
      subset_size: samples of a subset, at most. seed: of the subsets.

    Returns:
      A number without units. Costs 2 n m d + n^2 d + m^2 d, in blocks of 32 MiB.

    Raises:
      ValueError: for NaN, fewer than two samples, different shapes.

    Example:
      >>> polynomial_mmd([[0.0], [0.0]], [[1.0], [1.0]])
      7.0
    """
    checks.whole_number("degree", degree)
    a, b = pair(a, b)
    if subsets is None:
        return _mmd(a, b, degree)
    checks.whole_number("subsets", subsets)
    checks.whole_number("subset_size", subset_size, 2)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(subsets):
        some = [x[rng.choice(len(x), min(subset_size, len(x)), False)] for x in (a, b)]
        found.append(_mmd(some[0], some[1], degree))
    return float(np.mean(found))


def _mmd(a: np.ndarray, b: np.ndarray, degree: int) -> float:
    def kernel(products: np.ndarray) -> np.ndarray:
        return (products / a.shape[1] + 1) ** degree

    across = sum(kernel(block).sum() for _, _, block in inner_products(a, b))
    within = [_off_diagonal(kernel, x, inner_products) for x in (a, b)]
    return float(sum(within) - 2 * across / (len(a) * len(b)))


def _off_diagonal(
    function: Callable[[np.ndarray], np.ndarray], x: np.ndarray, blocks: Callable[..., Any]
) -> float:
    """The mean of a function over pairs of different samples, from the upper blocks."""
    total = 0.0
    for i, j, block in blocks(x):
        values = function(block)
        total += float(2 * values.sum() if i != j else values.sum() - np.trace(values))
    return total / (len(x) * (len(x) - 1))
