"""Softmax averages over all samples of a dataset, in pieces that fit: as flash attention.

``m = sum_j w_j X_j``,  ``w = softmax_j p (y . X_j - b_j)``,  and the log of the normaliser.

It is a scan over pieces with a running maximum, sum and weighted sum (Rabe and Staats, 2112.05682;
Dao et al., 2205.14135), and backward a second scan that makes each piece's weights anew: five
matrix products in all, and nothing [n, N] is kept.

The backward pass is written out: the derivative with respect to a logit, ``w_j c_j`` with
``c_j = dm . (X_j - m)``, is multiplied by p, which may be as large as one over the rounding error.
What rounding leaves of ``sum_j w_j c_j = 0`` is subtracted, so a weight of 1 has the derivative 0.

All products have ``precision=HIGHEST``: float32 on any device. Logits are differences of numbers
of the size ``p |X|^2``; with tf32 or bfloat16 (relative errors of 1e-3 to 1e-2) those of 32x32x3
images would be off by whole units at s = 1, where weights are still shared among many samples. In
float32 they are off by up to ``p |X|^2 1e-6``, so ``p |X|^2`` up to 1e4 costs 1 % of a weight.
The samples should be centred, which makes ``|X|`` small.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from specjax._core.arrays import Array

_product = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def average(y: Array, p: Array, points: Array, b: Array, piece: int) -> tuple[jax.Array, jax.Array]:
    """Return ``m`` [n, D] and the log of the normaliser [n, 1].

    Args:
      y: [n, D]. p: []. points: [N, D], ``X``, and b: [N]; both are constants without derivatives.
      piece: the most points at once.
    """
    y, p = jnp.asarray(y), jnp.asarray(p)
    points, b = (jax.lax.stop_gradient(jnp.asarray(a)) for a in (points, b))
    return _average(y, p, points, b, min(piece, len(points)))


def _piece(
    points: jax.Array, b: jax.Array, size: int, i: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return points and b of piece i, and a mask of those that no piece before had.

    All pieces have one size: the last one starts earlier where N is no multiple of it.
    """
    start = jnp.minimum(i * size, len(points) - size)
    some, some_b = (jax.lax.dynamic_slice_in_dim(a, start, size) for a in (points, b))
    return some, some_b, start + jnp.arange(size) >= i * size


def _piece_numbers(points: jax.Array, size: int) -> jax.Array:
    return jnp.arange(-(-len(points) // size))


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _average(
    y: jax.Array, p: jax.Array, points: jax.Array, b: jax.Array, size: int
) -> tuple[jax.Array, jax.Array]:
    def step(
        carry: tuple[jax.Array, jax.Array, jax.Array], i: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array, jax.Array], None]:
        top, total, summed = carry
        some, some_b, fresh = _piece(points, b, size, i)
        logits = jnp.where(fresh, p * (_product(y, some.T) - some_b), -jnp.inf)
        higher = jnp.maximum(top, logits.max(-1, keepdims=True))
        weights, old = jnp.exp(logits - higher), jnp.exp(top - higher)
        total = old * total + weights.sum(-1, keepdims=True)
        return (higher, total, old * summed + _product(weights, some)), None

    column = jnp.zeros_like(y[:, :1])
    start = (column - jnp.inf, column, jnp.zeros_like(y))
    (top, total, summed), _ = jax.lax.scan(step, start, _piece_numbers(points, size))
    return summed / total, top + jnp.log(total)


def _forward(
    y: jax.Array, p: jax.Array, points: jax.Array, b: jax.Array, size: int
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, ...]]:
    m, level = _average(y, p, points, b, size)
    return (m, level), (y, p, points, b, m, level)


def _backward(
    size: int, kept: tuple[jax.Array, ...], given: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array, None, None]:
    y, p, points, b, m, level = kept
    dm, dlevel = given
    shift = (dm * m).sum(-1, keepdims=True)

    def step(carry: list[jax.Array], i: jax.Array) -> tuple[list[jax.Array], None]:
        some, some_b, fresh = _piece(points, b, size, i)
        across = _product(y, some.T) - some_b
        weights = jnp.where(fresh, jnp.exp(p * across - level), 0)
        change = weights * (_product(dm, some.T) - shift)
        each = (weights, weights * across, change, change * across)
        terms = [_product(change, some), *(a.sum(-1, keepdims=True) for a in each)]
        return [old + new for old, new in zip(carry, terms, strict=True)], None

    start = [jnp.zeros_like(y), *[jnp.zeros_like(level)] * 4]
    sums, _ = jax.lax.scan(step, start, _piece_numbers(points, size))
    # The level is rounded by more than a weight may be, so sums are divided by that of the weights.
    moved, expected, mean, by_p = (a / sums[1] for a in (sums[0], *sums[2:]))
    rest = dlevel - mean
    return p * (moved + rest * m), (by_p + rest * expected).sum(), None, None


_average.defvjp(_forward, _backward)
