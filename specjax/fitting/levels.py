"""Strictly rising levels as a function of unconstrained parameters, and back.

Increments of logsnr are ``softplus(theta) + floor``, cumulated; they are rescaled to the span where
both ends are fixed, and free where the clean end is noise-free. Where a network does not know the
cleanest levels, there are three ends (noisy, bound, clean): the increments are rescaled to the span
up to the bound, and the level there is moved to the noise-free end, so that all noisy levels are
within. The last increment, the distance of the last noisy level from the bound, is then a square,
because it is often 0 at the optimum, which softplus nears at infinity alone.

Where the noisy end is pure noise (-inf) its step has no width. With a clean end the first parameter
is then the first finite level itself; before a fixed end or a bound, from which levels are counted
back, it does nothing.

The first ``idle`` steps pad a schedule to a size that others share: they have no width, their
parameters do nothing, and their levels are spaced in front of the noisy end so that nothing divides
by zero.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from specjax._core.arrays import Array, namespace, where
from specjax.schedules.schedule import sigmoid

_OFF_BOUND = 1e-4  # of logsnr
IDLE_WIDTH = 0.01  # wide enough to divide by, narrow enough for many to stay in range


def floor(dtype: Any) -> float:
    """Return the least increment, which keeps levels apart by more than rounding.

    Without it they can coincide, and gradients become NaN.
    """
    return max(1e-7, 1000 * float(jnp.finfo(dtype).eps))


def _softplus(x: Array) -> Array:
    return namespace(x).logaddexp(x, 0.0)


def levels_of(theta: Array, ends: Array, *, ends_clean: bool, idle: Array | int = 0) -> Array:
    """Compute logsnr [..., S + 1] of parameters between ends [..., 2] or [..., 3].

    Parameters are [..., S] between fixed ends, [..., S - 1] with a clean end.
    """
    xp = namespace(theta, ends)
    ends = xp.asarray(ends, theta.dtype)
    noisy, clean, last = ends[..., :1], ends[..., 1:2], ends[..., -1:]
    pure, place = xp.isneginf(noisy), xp.arange(theta.shape[-1])
    gaps = _softplus(theta) + floor(theta.dtype)
    if ends.shape[-1] == 3:
        gaps = xp.concatenate([gaps[..., :-1], theta[..., -1:] ** 2], -1)
    gaps = where(pure & (place == idle), theta if ends_clean else 0.0, gaps)
    total = xp.cumsum(where(place >= idle, gaps, 0), -1)
    first = where(pure, 0.0, noisy)
    if not ends_clean:
        whole = total[..., -1:]
        span = where(pure, whole, clean - noisy)
        total = total[..., :-1] / where(whole > 0, whole, 1) * span
        first = where(pure, clean - whole, noisy)
    shape = (*total.shape[:-1], 1)
    noisy, last = xp.broadcast_to(noisy, shape), xp.broadcast_to(last, shape)
    levels, place = xp.concatenate([noisy, first + total, last], -1), xp.arange(total.shape[-1] + 2)
    levels = where(place > idle, levels, noisy)
    return levels - IDLE_WIDTH * xp.maximum(idle - place, 0)


def padded(levels: np.ndarray, idle: int) -> np.ndarray:
    """Put idle levels in front of known ones [S + 1], as :func:`levels_of` makes them."""
    return np.concatenate([levels[0] - IDLE_WIDTH * np.arange(idle, 0, -1), levels])


def theta_of(levels: Array, ends: Any = None, *, ends_clean: bool, idle: Array | int = 0) -> Array:
    """Invert :func:`levels_of`; parameters of idle steps are 0. Ends are needed if there are three.

    A last noisy level at the bound is moved away by :data:`_OFF_BOUND`: a square has no slope at 0.
    """
    xp = namespace(levels)
    bounded = ends is not None and ends.shape[-1] == 3
    if bounded:
        bound = xp.broadcast_to(ends[..., 1:2], (*levels.shape[:-1], 1))
        levels = xp.concatenate([levels[..., :-1], bound], -1)
    pure = xp.isneginf(levels)
    finite = where(pure, 0.0, levels)
    gaps = xp.diff(finite[..., :-1] if ends_clean else finite)
    least = floor(levels.dtype)
    rest = xp.maximum(gaps - least, least)
    theta = rest + xp.log(-xp.expm1(-rest))
    if bounded:
        root = xp.sqrt(xp.maximum(gaps[..., -1:], _OFF_BOUND))
        theta = xp.concatenate([theta[..., :-1], root], -1)
    place = xp.arange(gaps.shape[-1])
    first = finite[..., 1 : 1 + theta.shape[-1]] if ends_clean else 0.0
    theta = where(pure[..., :1] & (place == idle), first, theta)
    return where(place >= idle, theta, 0)


def stretch(theta: Array, ends: Array) -> Array:
    """Compute ``d theta / d log(gap)`` [..., n], how far a parameter moves as its gap grows e-fold.

    A gap before a bound is taken to be 1: it may be none.
    """
    xp = namespace(theta)
    of_gaps = _softplus(theta) / sigmoid(theta)
    if ends.shape[-1] == 2:
        return of_gaps
    return xp.concatenate([of_gaps[..., :-1], xp.full_like(of_gaps[..., -1:], 0.5)], -1)
