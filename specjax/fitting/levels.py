"""Strictly rising levels as a function of unconstrained parameters, and back.

Increments of logsnr are ``softplus(theta) + floor``, cumulated; rescaled to the span where both
ends are fixed, free where the clean end is noise-free. The first ``idle`` steps are of no width:
their parameters do nothing, and their levels are kept apart in front of the noisy end.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core.arrays import Array

_APART = 0.01  # between idle levels: wide enough to divide by, narrow enough to stay in range


def floor(dtype: Any) -> float:
    """What keeps levels apart by more than rounding.

    Without it they can coincide and gradients become NaN.
    """
    return max(1e-7, 1000 * float(jnp.finfo(dtype).eps))


def levels_of(
    theta: jax.Array, ends: Array, *, ends_clean: bool, idle: Array | int = 0
) -> jax.Array:
    """logsnr [S + 1] of parameters: [S] between fixed ends, [S - 1] where the end is clean."""
    noisy, clean = jnp.asarray(ends, theta.dtype)
    counts = jnp.arange(theta.size) >= idle
    total = jnp.cumsum(jnp.where(counts, jax.nn.softplus(theta) + floor(theta.dtype), 0))
    if not ends_clean:
        total = total[:-1] / total[-1] * (clean - noisy)
    levels = jnp.concatenate([noisy[None], noisy + total, clean[None]])
    return levels - _APART * jnp.maximum(idle - jnp.arange(levels.size), 0)


def padded(levels: np.ndarray, idle: int) -> np.ndarray:
    """Levels [S + 1] on the host with idle ones in front, as :func:`levels_of` makes them."""
    return np.concatenate([levels[0] - _APART * np.arange(idle, 0, -1), levels])


def theta_of(levels: jax.Array, *, ends_clean: bool, idle: Array | int = 0) -> jax.Array:
    """The inverse of :func:`levels_of`; 0 where a step is idle."""
    gaps = jnp.diff(levels[:-1] if ends_clean else levels)
    least = floor(levels.dtype)
    gaps = jnp.maximum(gaps - least, least)
    return jnp.where(jnp.arange(gaps.size) >= idle, gaps + jnp.log(-jnp.expm1(-gaps)), 0)


def stretch(theta: jax.Array) -> jax.Array:
    """``d theta / d log(gap)`` [n]: how far a parameter moves while its gap grows by a factor e."""
    return jax.nn.softplus(theta) / jax.nn.sigmoid(theta)
