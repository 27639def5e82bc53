"""Averages of rows under a softmax over all of them, in pieces that fit: as flash attention.

``m = sum_j w_j X_j``,  ``w = softmax_j p (y . X_j - b_j)``,  and the log of the normaliser.

One piece is two matrix products, differentiated as they are. More pieces are a scan with a
running maximum, sum and weighted sum (Rabe and Staats, 2112.05682; Dao et al., 2205.14135), and
the derivative is a second scan that makes each piece's weights anew from the normaliser: five
matrix products forward and backward instead of two forward, and nothing [n, N] is kept. It is
given as a JVP, whose transpose JAX takes, so that forward mode works as well.

All products have ``precision=HIGHEST``: float32 on any device. Logits are differences of numbers
of the size ``p |X|^2``; with tf32 or bfloat16 (relative errors of 1e-3 to 1e-2) those of 32x32x3
images would be off by whole units at s = 1, where weights are still shared among many rows. In
float32 they are off by ``p |X|^2 1e-7``, below 0.01 wherever rows that differ by 1e-3 of their
size still share the weights. Rows should be centred, which makes ``|X|`` small.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from specjax._values import Array

_product = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def average(y: Array, p: Array, rows: Array, b: Array, piece: int) -> tuple[jax.Array, jax.Array]:
    """``m`` [n, D] and the log of the normaliser [n, 1].

    Args:
      y: [n, D]. p: []. rows: [N, D] and b: [N], which are constants: no derivative is taken.
      piece: the most rows at once.
    """
    y, p = jnp.asarray(y), jnp.asarray(p)
    rows, b = (jax.lax.stop_gradient(jnp.asarray(a)) for a in (rows, b))
    if len(rows) <= piece:
        return _at_once(y, p, rows, b)
    return _in_pieces(y, p, rows, b, piece)


def _at_once(
    y: jax.Array, p: jax.Array, rows: jax.Array, b: jax.Array
) -> tuple[jax.Array, jax.Array]:
    logits = p * (_product(y, rows.T) - b)
    top = jax.lax.stop_gradient(logits.max(-1, keepdims=True))
    weights = jnp.exp(logits - top)
    total = weights.sum(-1, keepdims=True)
    return _product(weights, rows) / total, top + jnp.log(total)


def _piece(
    rows: jax.Array, b: jax.Array, size: int, i: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Rows and b of piece i, and which of them no piece before had: the last one is whole."""
    start = jnp.minimum(i * size, len(rows) - size)
    mine, its_b = (jax.lax.dynamic_slice_in_dim(a, start, size) for a in (rows, b))
    return mine, its_b, start + jnp.arange(size) >= i * size


def _numbers(rows: jax.Array, size: int) -> jax.Array:
    return jnp.arange(-(-len(rows) // size))


@partial(jax.custom_jvp, nondiff_argnums=(4,))
def _in_pieces(
    y: jax.Array, p: jax.Array, rows: jax.Array, b: jax.Array, size: int
) -> tuple[jax.Array, jax.Array]:
    def step(
        carry: tuple[jax.Array, jax.Array, jax.Array], i: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array, jax.Array], None]:
        top, total, summed = carry
        mine, its_b, fresh = _piece(rows, b, size, i)
        logits = jnp.where(fresh, p * (_product(y, mine.T) - its_b), -jnp.inf)
        higher = jnp.maximum(top, logits.max(-1, keepdims=True))
        weights, old = jnp.exp(logits - higher), jnp.exp(top - higher)
        total = old * total + weights.sum(-1, keepdims=True)
        return (higher, total, old * summed + _product(weights, mine)), None

    column = jnp.zeros_like(y[:, :1])
    start = (column - jnp.inf, column, jnp.zeros_like(y))
    (top, total, summed), _ = jax.lax.scan(step, start, _numbers(rows, size))
    return summed / total, top + jnp.log(total)


@_in_pieces.defjvp
def _derivative(
    size: int,
    primals: tuple[jax.Array, jax.Array, jax.Array, jax.Array],
    tangents: tuple[jax.Array, jax.Array, jax.Array, jax.Array],
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    """``dl_j = dp (y . X_j - b_j) + p dy . X_j``, ``dm = sum_j w_j (dl_j - <dl>) X_j``."""
    y, p, rows, b = primals
    dy, dp = tangents[:2]
    m, level = _in_pieces(y, p, rows, b, size)

    # The transpose makes a piece anew, the slice of the rows with it, and keeps its number.
    @jax.checkpoint
    def of_piece(
        i: jax.Array, y: jax.Array, p: jax.Array, level: jax.Array, dy: jax.Array, dp: jax.Array,
        rows: jax.Array, b: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:  # fmt: skip
        mine, its_b, fresh = _piece(rows, b, size, i)
        across = _product(y, mine.T) - its_b
        weights = jnp.where(fresh, jnp.exp(p * across - level), 0)
        change = weights * (dp * across + p * _product(dy, mine.T))
        return _product(change, mine), change.sum(-1, keepdims=True)

    def step(
        carry: tuple[jax.Array, jax.Array], i: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        found = of_piece(i, y, p, level, dy, dp, rows, b)
        return (carry[0] + found[0], carry[1] + found[1]), None

    start = (jnp.zeros_like(y), jnp.zeros_like(level))
    (summed, total), _ = jax.lax.scan(step, start, _numbers(rows, size))
    return (m, level), (summed - m * total, total)
