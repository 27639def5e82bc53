"""Energy distance and the MMD of a polynomial kernel, from all pairs of samples.

Both are unbiased estimates (U-statistics: no sample is paired with itself): the mean of two sets
from one distribution is exactly 0, whatever n, and a single value may be negative.
:mod:`specjax.learning.energy_distance` has the energy distance's formula and its biased estimate.

scikit-learn and SciPy have neither: ``scipy.stats.energy_distance`` is the root of the biased
estimate in one dimension.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from specjax._core import checks
from specjax.evaluate.pairwise import as_vector_pair, inner_products, squared_distances
from specjax.learning.energy_distance import energy_distance_of_means


def energy_distance(a: Any, b: Any) -> float:
    """``2 E|x - y| - E|x - x'| - E|y - y'|``, unbiased (Székely and Rizzo 2013).

    Zero in the mean if and only if the distributions are the same.

    Args:
      a: generated [n, ...], at least two samples.
      b: data [m, ...], at least two samples.

    Returns:
      A distance in units of the samples. Costs 2 n m d + n^2 d + m^2 d, in blocks of 32 MiB.

    Raises:
      UserError: for NaN, fewer than two samples, different shapes.

    Example:
      >>> energy_distance([[0.0], [0.0]], [[1.0], [1.0]])
      2.0
    """
    return energy_distance_of_means(*_unbiased_means(np.sqrt, squared_distances, a, b))


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
      a: generated [n, ...], at least two samples.
      b: data [m, ...], at least two samples.
      degree: of the polynomial.
      subsets: None for all pairs, the estimate of the least variance; else the mean over so many
        random subsets of both, as the KID is usually computed.
      subset_size: samples of a subset, at most.
      seed: of the subsets.

    Returns:
      A number without units. Costs 2 n m d + n^2 d + m^2 d, in blocks of 32 MiB.

    Raises:
      UserError: for NaN, fewer than two samples, different shapes.

    Example:
      >>> polynomial_mmd([[0.0], [0.0]], [[1.0], [1.0]])
      7.0
    """
    checks.whole_number("degree", degree)
    a, b = as_vector_pair(a, b)

    def kernel(products: np.ndarray) -> np.ndarray:
        return (products / a.shape[1] + 1) ** degree

    def squared_mmd(a: np.ndarray, b: np.ndarray) -> float:
        across, within_a, within_b = _unbiased_means(kernel, inner_products, a, b)
        return within_a + within_b - 2 * across

    if subsets is None:
        return squared_mmd(a, b)
    checks.whole_number("subsets", subsets)
    checks.whole_number("subset_size", subset_size, 2)
    rng = np.random.default_rng(seed)

    def subset(x: np.ndarray) -> np.ndarray:
        return x[rng.choice(len(x), min(subset_size, len(x)), False)]

    return float(np.mean([squared_mmd(subset(a), subset(b)) for _ in range(subsets)]))


def _unbiased_means(
    function: Callable[[np.ndarray], np.ndarray], blocks: Callable[..., Any], a: Any, b: Any
) -> tuple[float, float, float]:
    """Return means of a function over pairs of a and b, of different samples of a, and of b."""
    a, b = as_vector_pair(a, b)
    across = sum(float(function(block).sum()) for _, _, block in blocks(a, b))
    within = []
    for x in (a, b):
        total = 0.0
        for i, j, block in blocks(x):
            # Only the upper blocks are made: those off the diagonal stand for the lower ones, too.
            values = function(block)
            total += float(2 * values.sum() if i != j else values.sum() - np.trace(values))
        within.append(total / (len(x) * (len(x) - 1)))
    return across / (len(a) * len(b)), within[0], within[1]
