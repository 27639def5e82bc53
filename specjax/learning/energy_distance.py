"""The energy distance of two sets of samples: one formula, two estimators.

    D(a, b) = 2 E|x - y| - E|x - x'| - E|y - y'|          (Székely and Rizzo 2013)

with independent x, x' from a and y, y' from b. The estimators differ in the pairs over which the
last two expectations are taken, of n samples of a and m samples of b:

- **biased** (V-statistic): all n^2 pairs, those of a sample with itself among them. It is never
  negative, and too large by ``E|x - x'| / n + E|y - y'| / m`` on average. Plans are learned by it,
  since its logarithm exists: :func:`biased_energy_distance`, differentiable.
- **unbiased** (U-statistic): the n (n - 1) pairs of different samples. It is zero on average
  between samples of one distribution, and single values may be negative. Samples are evaluated by
  it: :func:`specjax.evaluate.energy_distance`, in float64.
"""

from __future__ import annotations

from typing import TypeVar

import jax
import jax.numpy as jnp

from specjax._core.arrays import Array

_PIECE = 1024  # rows of the matrix of distances within the data that are in memory at once

Mean = TypeVar("Mean", float, jax.Array)


def energy_distance_of_means(across: Mean, within_a: Mean, within_b: Mean) -> Mean:
    """``2 E|x - y| - E|x - x'| - E|y - y'|`` of the three mean distances."""
    return 2 * across - within_a - within_b


@jax.jit
def biased_energy_distance(a: jax.Array, b: Array, within_b: jax.Array) -> jax.Array:
    """The biased estimate [] for samples a [n, ...] and b [m, ...].

    Args:
      within_b: ``E|y - y'|`` by :func:`mean_pairwise_distance`, since b often stays the same.
    """
    a, b = (x.reshape(len(x), -1) for x in (a, jnp.asarray(b)))
    return energy_distance_of_means(_mean_distance(a, b), _mean_distance(a, a), within_b)


def mean_pairwise_distance(data: Array) -> jax.Array:
    """``E|y - y'|`` [] over all pairs of data [m, *shape], computed in pieces of bounded memory."""
    flat = jnp.reshape(data, (len(data), -1))
    pieces = [flat[start : start + _PIECE] for start in range(0, len(flat), _PIECE)]
    sums = [_mean_distance(piece, flat) * len(piece) for piece in pieces]
    return jnp.stack(sums).sum() / len(flat)


@jax.jit
def _mean_distance(a: jax.Array, b: jax.Array) -> jax.Array:
    inner = jnp.matmul(a, b.T, precision="highest")
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * inner
    # The root has no derivative at zero, where rounding may even give a negative number: distances
    # that are zero to rounding are cut out of the gradient. NaN compares as False and stays NaN.
    is_zero = squared <= 1e-6 * ((a**2).sum(1).mean() + (b**2).sum(1).mean())
    return jnp.where(is_zero, 0, jnp.sqrt(jnp.where(is_zero, 1, squared))).mean()
