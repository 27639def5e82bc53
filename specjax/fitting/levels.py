"""Strictly rising levels as a function of unconstrained parameters, and back.

Increments of logsnr are ``softplus(theta) + floor``, cumulated; they are rescaled to the span where
both ends are fixed, and free where the clean end is noise-free. Where a network does not know the
cleanest levels, there are three ends (noisy, bound, clean): the increments are rescaled to the span
up to the bound, and the level there is moved to the noise-free end, so that all noisy levels are
within. The last increment, the distance of the last noisy level from the bound, is then a square,
because it is often 0 at the optimum, which softplus nears at infinity alone.

The first ``idle`` steps pad a schedule to a size that others share: they have no width, their
parameters do nothing, and their levels are spaced in front of the noisy end so that nothing divides
by zero.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from specjax._core.arrays import Array, namespace
from specjax.schedules.schedule import sigmoid

_OFF_BOUND = 1e-4  # of logsnr
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
    gaps = _softplus(theta) + floor(theta.dtype)
    if last:
        gaps = xp.append(gaps[:-1], theta[-1] ** 2)
    total = xp.cumsum(xp.where(counts, gaps, 0))
    if not ends_clean:
        total = total[:-1] / total[-1] * (clean - noisy)
    levels = xp.concatenate([noisy[None], noisy + total, (last or [clean])[0][None]])
    return levels - _IDLE_WIDTH * xp.maximum(idle - xp.arange(levels.size), 0)


def padded(levels: np.ndarray, idle: int) -> np.ndarray:
    """Put idle levels in front of known ones [S + 1], as :func:`levels_of` makes them."""
    return np.concatenate([levels[0] - _IDLE_WIDTH * np.arange(idle, 0, -1), levels])


def theta_of(
    levels: Array, ends: Array | None = None, *, ends_clean: bool, idle: Array | int = 0
) -> Array:
    """Invert :func:`levels_of`; parameters of idle steps are 0. Ends are needed if there are three.

    A last noisy level at the bound is moved away by :data:`_OFF_BOUND`: a square has no slope at 0.
    """
    xp = namespace(levels)
    bound = None if ends is None or len(ends) == 2 else ends[1]
    if bound is not None:
        levels = xp.append(levels[:-1], bound)
    gaps = xp.diff(levels[:-1] if ends_clean else levels)
    least = floor(levels.dtype)
    rest = xp.maximum(gaps - least, least)
    theta = rest + xp.log(-xp.expm1(-rest))
    if bound is not None:
        theta = xp.append(theta[:-1], xp.sqrt(xp.maximum(gaps[-1], _OFF_BOUND)))
    return xp.where(xp.arange(gaps.size) >= idle, theta, 0)


def stretch(theta: Array, ends: Array) -> Array:
    """Compute ``d theta / d log(gap)`` [..., n], how far a parameter moves as its gap grows e-fold.

    A gap before a bound is taken to be 1: it may be none.
    """
    xp = namespace(theta)
    of_gaps = _softplus(theta) / sigmoid(theta)
    if len(ends) == 2:
        return of_gaps
    return xp.concatenate([of_gaps[..., :-1], xp.full_like(of_gaps[..., -1:], 0.5)], -1)
