"""One fit as a function of plain numbers, so that one compilation serves many of them.

What shapes a compiled program (:class:`Shape`) is apart from what it computes with
(:class:`Problem`). Fits of several S share a shape: their steps are padded to
:func:`shared_steps` by idle ones in front.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core.arrays import Array
from specjax.fitting.levels import levels_of, stretch, theta_of
from specjax.fitting.spectral import spectral_levels
from specjax.gaussian.losses import LOSSES
from specjax.gaussian.objective import Objective
from specjax.spectra.spectrum import Spectrum

SIMPLE_STARTS = 3
"""Starts that are not random: the closed form, equal gaps in logsnr, a cosine."""


class Shape(NamedTuple):
    """What is static in a compiled fit; ``steps`` is the padded number."""

    objective: Objective
    steps: int
    ends_clean: bool


class Problem(NamedTuple):
    """What a fit computes with: nodes of a spectrum, logsnr at both ends [2], idle steps []."""

    nodes: Spectrum
    ends: Array
    idle: Array


def shared_steps(steps: int) -> int:
    """The next number of the form 2^k, 5/4 2^k or 3/2 2^k (all up to 6): at most a quarter idle."""
    for power in 2 ** np.arange(steps.bit_length() + 1):
        for part in (4, 5, 6):
            if part * power % 4 == 0 and part * power // 4 >= steps:
                return int(part * power // 4)
    raise AssertionError(steps)


def log_loss(shape: Shape, problem: Problem) -> Callable[[jax.Array], jax.Array]:
    """Parameters [n] to log(loss) []."""

    def evaluate(theta: jax.Array) -> jax.Array:
        levels = levels_of(theta, problem.ends, ends_clean=shape.ends_clean, idle=problem.idle)
        value = shape.objective.of_levels(problem.nodes, levels, problem.idle)
        return jnp.log(jnp.maximum(value, jnp.finfo(value.dtype).tiny))

    return evaluate


def _time(shape: Shape, problem: Problem) -> jax.Array:
    """[S + 1] from 0 (noisy) to 1 (clean); 0 where a step is idle."""
    steps = shape.steps - problem.idle
    order = jnp.maximum(jnp.arange(shape.steps + 1) - problem.idle, 0)
    return (order / steps).astype(problem.ends.dtype)


def closed_form(shape: Shape, problem: Problem) -> jax.Array:
    """The levels [S + 1] of :func:`spectral`."""
    loss = LOSSES[shape.objective.loss]
    return spectral_levels(problem.nodes, loss, _time(shape, problem), *problem.ends)


def starts(shape: Shape, problem: Problem, closed: jax.Array, count: int, seed: Array) -> jax.Array:
    """Parameters [count, n] to start from; ``closed`` [S + 1] is the closed form.

    The simple ones, the best first; then random ones, far enough from it to end in other minima.
    """
    ends, time = problem.ends, _time(shape, problem)
    last = -2 if shape.ends_clean else -1
    uniform = ends[0] + time * (closed[last] - ends[0]) / time[last]
    far, near = jnp.arctan(jnp.exp(-ends[0] / 2)), jnp.arctan(jnp.exp(-ends[1] / 2))
    cosine = -2 * jnp.log(jnp.tan(far + time * (near - far)))
    simple = jnp.stack(
        [
            theta_of(levels, ends_clean=shape.ends_clean, idle=problem.idle)
            for levels in (closed, uniform, cosine)
        ]
    )
    value = jax.vmap(log_loss(shape, problem))(simple)
    simple = simple[jnp.argsort(jnp.where(jnp.isfinite(value), value, jnp.inf))]
    drawn = (max(count - SIMPLE_STARTS, 0), simple.shape[1])
    random = simple[0] + jax.random.normal(jax.random.key(seed), drawn, simple.dtype)
    return jnp.concatenate([simple, random])[:count]


def curvature(problem: Problem, theta: jax.Array) -> jax.Array:
    """The expected inverse curvature of log(loss) in each parameter [n].

    At the closed-form optimum of DDIM the Hessian of log(loss) in the logarithms of the S gaps is
    ``8 / S`` times the identity plus a matrix of low rank, because each step has the same part of
    the error there. (The second term makes somewhat more than S / 8 the best start.)
    """
    steps = jnp.asarray(theta.size + 1 - problem.idle, theta.dtype)
    return steps / 5 * stretch(theta) ** 2
