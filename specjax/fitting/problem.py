"""One fit as a function of plain numbers, so that one compilation serves many of them.

A program is compiled for a :class:`FitShape` and computes with :class:`FitInputs`. Fits of several
S share a shape: idle steps in front pad S to :func:`specjax._core.arrays.shared_size`. They change
neither loss nor gradient (:func:`specjax.sampling.scaled.plan_of_levels`), so that the many S of a
sweep or of a search take few compilations, each of which costs more than the fits themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from specjax._core.arrays import Array
from specjax.fitting.levels import levels_of, stretch, theta_of
from specjax.fitting.spectral import spectral_levels
from specjax.gaussian.modes import Modes
from specjax.gaussian.task import Objective

SIMPLE_STARTS = 3
"""The number of starts that are not random: the closed form, equal gaps in logsnr, a cosine."""


class FitShape(NamedTuple):
    """The static part of a compiled fit.

    Attributes:
      objective: sampler, loss and process.
      steps: S, with idle steps.
      ends_clean: whether the last step ends without noise.
      noise: the parameters of a noise that is learned, too
        (:class:`specjax.fitting.noise_problem.NoiseParameters`).
    """

    objective: Objective
    steps: int
    ends_clean: bool
    noise: Any = None


class FitInputs(NamedTuple):
    """The numbers of a fit: modes, logsnr at both ends [2] (or with a bound, see
    :mod:`specjax.fitting.levels`, [3]), the number of idle steps []."""

    nodes: Modes
    ends: Array
    idle: Array


def log_loss(shape: FitShape, inputs: FitInputs) -> Callable[[jax.Array], jax.Array]:
    """Make the function of parameters [n] that is minimised, log(loss) []."""

    def evaluate(theta: jax.Array) -> jax.Array:
        levels = levels_of(theta, inputs.ends, ends_clean=shape.ends_clean, idle=inputs.idle)
        value = shape.objective.of_levels(inputs.nodes, levels, inputs.idle)
        return jnp.log(jnp.maximum(value, jnp.finfo(value.dtype).tiny))

    return evaluate


def _time(shape: FitShape, inputs: FitInputs) -> jax.Array:
    """Return times [S + 1] from 0 (noisy) to 1 (clean); 0 where a step is idle."""
    steps = shape.steps - inputs.idle
    order = jnp.maximum(jnp.arange(shape.steps + 1) - inputs.idle, 0)
    return (order / steps).astype(inputs.ends.dtype)


def closed_form(shape: FitShape, inputs: FitInputs) -> jax.Array:
    """Compute the levels [S + 1] of :func:`specjax.spectral`."""
    noisy, clean = inputs.ends[:2]
    return spectral_levels(inputs.nodes, shape.objective.loss, _time(shape, inputs), noisy, clean)


def starts(
    shape: FitShape, inputs: FitInputs, closed: jax.Array, count: int, seed: Array
) -> jax.Array:
    """Compute parameters [count, n] to start from; ``closed`` [S + 1] is the closed form.

    First the simple ones (:data:`SIMPLE_STARTS`), the best of them first; then random ones around
    it, far enough away to end in other minima.
    """
    ends, time = inputs.ends, _time(shape, inputs)
    last = -2 if shape.ends_clean else -1
    uniform = ends[0] + time * (closed[last] - ends[0]) / time[last]
    far, near = jnp.arctan(jnp.exp(-ends[0] / 2)), jnp.arctan(jnp.exp(-ends[1] / 2))
    cosine = -2 * jnp.log(jnp.tan(far + time * (near - far)))
    simple = jnp.stack(
        [
            theta_of(levels, ends, ends_clean=shape.ends_clean, idle=inputs.idle)
            for levels in (closed, uniform, cosine)
        ]
    )
    value = jax.vmap(log_loss(shape, inputs))(simple)
    simple = simple[jnp.argsort(jnp.where(jnp.isfinite(value), value, jnp.inf))]
    drawn = (max(count - SIMPLE_STARTS, 0), simple.shape[1])
    random = simple[0] + jax.random.normal(jax.random.key(seed), drawn, simple.dtype)
    return jnp.concatenate([simple, random])[:count]


def curvature(inputs: FitInputs, theta: jax.Array) -> jax.Array:
    """Estimate the inverse curvature of log(loss) in each parameter [n].

    At the closed-form optimum of DDIM the Hessian of log(loss) in the logarithms of the S gaps is
    ``8 / S`` times the identity plus a matrix of low rank, because each step has the same part of
    the error there. Because of the second term S / 5 is a better start than S / 8.
    """
    steps = jnp.asarray(theta.size + 1 - inputs.idle, theta.dtype)
    return steps / 5 * stretch(theta, inputs.ends) ** 2
