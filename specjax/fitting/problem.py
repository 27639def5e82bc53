"""One fit as a function of plain numbers, so that one compilation serves many of them.

A program is compiled for a :class:`FitShape` and computes with :class:`FitInputs`. Fits of several
S, spectra and losses share a shape: idle steps in front pad S to one of few (:func:`bucket`), nodes
of no weight a small spectrum, and which loss is meant is a number. Idle steps change neither loss
nor gradient (:func:`specjax.sampling.scaled.plan_of_levels`).

What runs once, the starts and their losses, is computed by NumPy: compiling it takes longer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core.arrays import Array, namespace, shared_size
from specjax.fitting.levels import IDLE_WIDTH, levels_of, stretch, theta_of
from specjax.fitting.spectral import levels_in_closed_form
from specjax.gaussian.losses import LOSSES, Loss, evaluate_one_of
from specjax.gaussian.modes import Modes
from specjax.gaussian.task import Objective
from specjax.gaussian.transfer import transfer_modes
from specjax.sampling.scaled import SamplerLike, scaled_plan

SIMPLE_STARTS = 3
"""The number of starts that are not random: the closed form, equal gaps in logsnr, a cosine."""

_LEAST_STEPS, _LEAST_NODES = 16, 64


class FitShape(NamedTuple):
    """The static part of a compiled fit.

    Attributes:
      sampler, process: as in :class:`specjax.gaussian.task.Objective`.
      losses: what ``FitInputs.loss`` chooses from: those of the package, or one of somebody's own.
      steps: S, with idle steps.
      ends_clean: whether the last step ends without noise.
      noise: the parameters of a noise that is learned, too
        (:class:`specjax.fitting.noise_problem.NoiseParameters`).
    """

    sampler: SamplerLike
    process: str
    losses: tuple[Loss, ...]
    steps: int
    ends_clean: bool
    noise: Any = None

    @classmethod
    def of(cls, objective: Objective, steps: int, *, ends_clean: bool) -> FitShape:
        """Return the shape that serves S steps of an objective."""
        known = tuple(LOSSES.values())
        losses = known if objective.loss in known else (objective.loss,)
        return cls(objective.sampler, objective.process, losses, bucket(steps), ends_clean)


class FitInputs(NamedTuple):
    """The numbers of a fit: modes, logsnr at both ends [2], and two numbers [].

    Attributes:
      nodes: the modes.
      ends: logsnr at both ends [2], or [3] with a bound (:mod:`specjax.fitting.levels`).
      idle: how many steps in front are idle.
      loss: the index of the loss in ``FitShape.losses``.
    """

    nodes: Modes
    ends: Array
    idle: Array
    loss: Array


def bucket(steps: int) -> int:
    """Round up to 16, 64, 256, ...: the numbers of steps that programs are compiled for."""
    size = _LEAST_STEPS
    while size < steps:
        size *= 4
    return size


def inputs_of(shape: FitShape, loss: Loss, modes: Modes, ends: Array, steps: int) -> FitInputs:
    """Pad a fit of S steps to its shape."""
    idle, which = shape.steps - steps, shape.losses.index(loss)
    return FitInputs(padded_modes(modes), ends, np.asarray(idle), np.asarray(which))


def padded_modes(modes: Modes) -> Modes:
    """Append modes of no weight, which repeat the largest, up to one of few numbers.

    A measured denoiser has a response to each mode, and they stay as they are.
    """
    count = max(_LEAST_NODES, shared_size(modes.dimension))
    extra = count - modes.dimension
    if extra == 0 or modes.response is not None:
        return modes
    xp: Any = namespace(modes.eigenvalues)
    mean, weights, mean_weights = (
        xp.pad(x, (0, extra)) for x in (modes.mean, modes.weights, modes.mean_weights)
    )
    lam = xp.pad(modes.eigenvalues, (0, extra), mode="maximum")
    return Modes(lam, mean, weights, mean_weights, denoiser_error=modes.denoiser_error)


def log_loss(shape: FitShape, inputs: FitInputs) -> Callable[[jax.Array], jax.Array]:
    """Make the function of parameters [n] that is minimised, log(loss) []."""

    def evaluate(theta: jax.Array) -> jax.Array:
        levels = levels_of(theta, inputs.ends, ends_clean=shape.ends_clean, idle=inputs.idle)
        value = loss_of_levels(shape, inputs, levels)
        return jnp.log(jnp.maximum(value, jnp.finfo(value.dtype).tiny))

    return evaluate


def loss_of_levels(shape: FitShape, inputs: FitInputs, levels: Array) -> jax.Array:
    """Compute the loss [] of levels [S + 1], idle ones among them; traceable."""
    plan = scaled_plan(shape.sampler, levels, shape.process, inputs.idle)
    moments = transfer_modes(plan, inputs.nodes)
    return evaluate_one_of(shape.losses, inputs.loss, moments, inputs.nodes)


def starts(
    objective: Objective, modes: Modes, ends: np.ndarray, steps: int, count: int, seed: int
) -> np.ndarray:
    """Compute parameters [count, n] of S steps to start from, on the host."""
    closed = levels_in_closed_form(modes, objective.loss, steps, *ends[:2])
    levels = simple_levels(np.asarray(closed, ends.dtype), ends)
    values = [float(objective.of_levels(modes, one, 0)) for one in to_the_end(levels, ends)]
    return more_starts(ordered_starts(levels, ends, np.array(values)), count, seed)


def simple_levels(closed: np.ndarray, ends: np.ndarray, idle: Any = 0) -> np.ndarray:
    """Return levels [..., SIMPLE_STARTS, S + 1] that are not random, up to a bound if there is one.

    Args:
      closed: [..., S + 1], the closed form, which is the first of them.
      ends: [..., 2] or [..., 3].
      idle: [..., 1], the steps in front that are idle.
    """
    steps = closed.shape[-1] - 1
    after = np.arange(steps + 1) - idle
    time = np.maximum(after, 0) / (steps - idle)
    first, bound = ends[..., :1], ends[..., 1:2]
    far, near = np.arctan(np.exp(-first / 2)), np.arctan(np.exp(-bound / 2))
    with np.errstate(divide="ignore", invalid="ignore"):  # at ends that are known
        last = np.where(np.isinf(bound) & (time[..., -2:-1] > 0), -2, -1) + steps + 1
        start = np.where(np.isneginf(first), idle + 1, idle)  # the first level that is finite
        times = np.broadcast_to(time, closed.shape)
        at, level = (np.take_along_axis(x, last, -1) for x in (times, closed))
        begin, noisiest = (np.take_along_axis(x, start, -1) for x in (times, closed))
        rise = np.where(at > begin, (level - noisiest) / (at - begin), 0.0)
        uniform = noisiest + (time - begin) * rise
        cosine = -2 * np.log(np.tan(far + time * (near - far)))
    levels = np.stack([closed, uniform, cosine], -2)
    levels[..., -1] = bound
    levels = np.where((after > 0)[..., None, :], levels, first[..., None])
    return levels - IDLE_WIDTH * np.maximum(-after, 0)[..., None, :]


def to_the_end(levels: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Put the last of the ends [..., 2] in place of the last of levels [..., k, S + 1]."""
    last = np.broadcast_to(ends[..., None, -1:], (*levels.shape[:-1], 1))
    return np.concatenate([levels[..., :-1], last], -1)


def ordered_starts(
    levels: np.ndarray, ends: np.ndarray, values: np.ndarray, idle: Any = 0
) -> np.ndarray:
    """Compute the parameters [..., SIMPLE_STARTS, n] of :func:`simple_levels`, the best first."""
    order = np.argsort(np.where(np.isfinite(values), values, np.inf), -1, kind="stable")
    best_first = np.take_along_axis(levels, order[..., None], -2)
    ends_clean = bool(np.isinf(ends[..., 1]).all())
    return np.asarray(
        theta_of(best_first, ends[..., None, :], ends_clean=ends_clean, idle=idle), levels.dtype
    )


def more_starts(simple: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Compute parameters [count, n]: of the simple starts [SIMPLE_STARTS, n], and random ones.

    Those are around the best, far enough away to end in other minima.
    """
    if count <= SIMPLE_STARTS:
        return simple[:count]
    drawn = np.random.default_rng(seed).normal(size=(count - SIMPLE_STARTS, simple.shape[-1]))
    return np.concatenate([simple, simple[0] + drawn]).astype(simple.dtype)


def padded_parameters(theta: Any, idle: int, filling: float = 0.0) -> np.ndarray:
    """Put parameters of idle steps, which do nothing, in front of those [..., n] of others."""
    width = [(0, 0)] * (theta.ndim - 1) + [(idle, 0)]
    return np.pad(theta, width, constant_values=filling)


def curvature(steps: Any, theta: Array, ends: Array) -> Array:
    """Estimate the inverse curvature of log(loss) in each parameter [..., n] of S steps.

    At the closed-form optimum of DDIM the Hessian of log(loss) in the logarithms of the S gaps is
    ``8 / S`` times the identity plus a matrix of low rank, because each step has the same part of
    the error there. Because of the second term S / 5 is a better start than S / 8.
    """
    return steps / 5 * stretch(theta, ends) ** 2
