"""Strictly rising levels as a function of unconstrained parameters, and back.

Increments of logsnr are ``softplus(theta) + floor``, cumulated; they are rescaled to the span where
both ends are fixed, and free where the clean end is noise-free. Where a network does not know the
cleanest levels, there are three ends (noisy, bound, clean): the increments are rescaled to the span
up to the bound, and the level there is moved to the noise-free end, so that all noisy levels are
within. The first ``idle`` steps pad a schedule to a size that others share: they have no width,
their parameters do nothing, and their levels are spaced in front of the noisy end so that nothing
divides by zero.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from specjax._core.arrays import Array, namespace
from specjax.schedules.schedule import sigmoid

_IDLE_WIDTH = 0.01  # wide enough to divide by, narrow enough for many to stay in range


def floor(dtype: Any) -> float:
    """Return the least increment, which keeps levels apart by more than rounding.

    Without it they can coincide, and gradients become NaN.
    """
    return max(1e-7, 1000 * float(jnp.finfo(dtype).eps))


def _softplus(x: Array) -> Array:
    return namespace(x).logaddexp(x, 0.0)


def levels_of(theta: Array, ends: Array, *, ends_clean: bool, idle: Array | int = 0) -> Array:
    """Compute logsnr [S + 1] of [S] parameters between fixed ends, or [S - 1] with a clean end."""
    xp = namespace(theta, ends)
    noisy, clean, *last = xp.asarray(ends, theta.dtype)
    counts = xp.arange(theta.size) >= idle
    total = xp.cumsum(xp.where(counts, _softplus(theta) + floor(theta.dtype), 0))
    if not ends_clean:
        total = total[:-1] / total[-1] * (clean - noisy)
    levels = xp.concatenate([noisy[None], noisy + total, (last or [clean])[0][None]])
    return levels - _IDLE_WIDTH * xp.maximum(idle - xp.arange(levels.size), 0)


def up_to_bound(levels: Array, ends: Array) -> Array:
    """Move the last of levels [S + 1] back to the bound of three ends; change nothing for two."""
    return levels if len(ends) == 2 else namespace(levels).append(levels[:-1], ends[1])


def padded(levels: np.ndarray, idle: int) -> np.ndarray:
    """Put idle levels in front of known ones [S + 1], as :func:`levels_of` makes them."""
    return np.concatenate([levels[0] - _IDLE_WIDTH * np.arange(idle, 0, -1), levels])


def theta_of(levels: Array, *, ends_clean: bool, idle: Array | int = 0) -> Array:
    """Invert :func:`levels_of`; parameters of idle steps are 0."""
    xp = namespace(levels)
    gaps = xp.diff(levels[:-1] if ends_clean else levels)
    least = floor(levels.dtype)
    gaps = xp.maximum(gaps - least, least)
    return xp.where(xp.arange(gaps.size) >= idle, gaps + xp.log(-xp.expm1(-gaps)), 0)


def stretch(theta: Array) -> Array:
    """Compute ``d theta / d log(gap)`` [n], how far a parameter moves as its gap grows e-fold."""
    return _softplus(theta) / sigmoid(theta)
