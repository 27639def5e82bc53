"""Descents over the poles, zeros and scale of gains, which find :mod:`specjax.fitting.limits`."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core.arrays import Array, shared_size
from specjax.fitting.bfgs import BFGS, Function, descend
from specjax.fitting.rational import Gain, gain_through, zolotarev
from specjax.gaussian.losses import Loss, evaluate
from specjax.gaussian.modes import Modes
from specjax.gaussian.transfer import Transfer
from specjax.spectra.quadrature import gauss_rule

_BATCH = 9  # descents at once
_MOST_EVALUATIONS = 3000
_TOLERANCE = 1e-9  # of the gradient of log(loss)
_RANDOM_STARTS = 4
_LEAST_SIZE = 160  # to which the number of eigenvalues is padded


class GainInputs(NamedTuple):
    """The numbers that a descent computes with.

    Its parameters [2 P + 2] are logarithms of the poles and the zeros of P pairs, of one more pole
    and of the scale.

    Attributes:
      modes: of the data.
      busy: [P], which pairs count; the others are idle, so that several S share a compilation.
      fixed_start: [], whether the last two parameters are ``start`` and no pole is above it.
      start: [2], logarithms of the first pole and the scale.
    """

    modes: Modes
    busy: Array
    fixed_start: Array | bool
    start: Array | tuple[float, float]


def _padded(inputs: GainInputs) -> GainInputs:
    """Add eigenvalues of no weight, so that most spectra share a compilation."""
    columns, size = inputs.modes.columns, len(inputs.busy)
    extra = shared_size(max(_LEAST_SIZE, 20 * size, columns.shape[1])) - columns.shape[1]
    lam = np.pad(columns[:1], ((0, 0), (0, extra)), mode="maximum")
    rest = np.pad(columns[1:], ((0, 0), (0, extra)))
    return inputs._replace(modes=Modes(*lam, *rest))


def unpacked(inputs: GainInputs, theta: Array) -> tuple[Array, Array, Array, Array]:
    """Return poles [P], zeros [P], the last pole [] and the scale [] of parameters."""
    paired, zeros = jnp.split(theta[:-2], 2)
    most = jnp.where(inputs.fixed_start, inputs.start[0], 0.0)
    below = jnp.where(inputs.fixed_start, most - jax.nn.softplus(most - paired), paired)
    pole, scale = jnp.where(inputs.fixed_start, jnp.asarray(inputs.start), theta[-2:])
    return jnp.exp(below), jnp.exp(zeros), jnp.exp(pole), jnp.exp(scale)


def packed(gain: Gain, size: int, start: tuple[float, float] | None) -> np.ndarray:
    """Return parameters of a gain of S <= ``size`` calls; with a start its first pole is fixed."""
    theta = np.zeros((2, size - 1))
    log = np.log(gain.poles[1:] if start else gain.poles[:-1])
    if start:
        gap = np.maximum(start[0] - log, 0.1)
        log = start[0] - np.log(np.expm1(gap))
    theta[:, : len(log)] = log, np.log(gain.zeros)
    return np.append(theta, [np.log(gain.poles[-1]), np.log(gain.scale)])


@partial(jax.jit, static_argnames="loss")
def loss_at(inputs: GainInputs, theta: Array, loss: Loss) -> Array:
    """Compute the loss [] of parameters [n]; what is left of the mean counts with a fixed start."""
    paired, zeros, pole, scale = unpacked(inputs, theta)
    lam = jnp.asarray(inputs.modes.eigenvalues)
    pairs = (lam[:, None] + zeros) / (lam[:, None] + paired)
    shape = jnp.where(inputs.busy, pairs, 1.0).prod(1) * lam / (lam + pole)
    std = scale * shape
    kept = jnp.where(inputs.fixed_start, shape, 0.0)
    return evaluate(loss, Transfer(std, 1 - kept, std, std**2), inputs.modes)


def descend_all(inputs: GainInputs, thetas: np.ndarray, loss: Loss) -> np.ndarray:
    """Descend from parameters [B, n], a batch after another, and return where each ends."""
    inputs = _padded(inputs)
    batches = np.split(thetas, range(_BATCH, len(thetas), _BATCH))
    filled = [np.resize(batch, (_BATCH, thetas.shape[1])) for batch in batches]
    ends = np.concatenate([_descend_batch(inputs, batch, loss) for batch in filled])
    return ends[: len(thetas)]


@partial(jax.jit, static_argnames="loss")
def _descend_batch(inputs: GainInputs, thetas: jax.Array, loss: Loss) -> jax.Array:
    def function_of(inputs: GainInputs) -> Function:
        least = jnp.finfo(thetas.dtype).tiny
        return lambda theta: jnp.log(jnp.maximum(loss_at(inputs, theta, loss), least))

    def begin(theta: jax.Array) -> Any:
        return BFGS.begin(function_of(inputs), theta, jnp.full_like(theta, 0.1), 0)

    each = jax.tree.map(lambda x: jnp.broadcast_to(x, (len(thetas), *jnp.shape(x))), inputs)
    ends = descend(BFGS, function_of, each, jax.vmap(begin)(thetas), _TOLERANCE, _MOST_EVALUATIONS)
    return ends.theta


def initial_gains(
    modes: Modes, steps: int, loss: Loss, start: tuple[float, float] | None
) -> list[Gain]:
    """Return gains to descend from, for S calls and a loss."""
    free = _free(modes, steps, loss)
    if start is None:
        return free
    fewer = _free(modes, steps - 1, loss) if steps > 1 else []
    return [_at(one, start) for one in free] + [_behind(one, start) for one in fewer]


def _free(modes: Modes, steps: int, loss: Loss) -> list[Gain]:
    """Return gains without a fixed start.

    Some are exact at the Gauss nodes of the weights and at points nearby: where errors are small,
    the best points are the nodes of an orthogonal polynomial. The others are Zolotarev's for the
    upper part of the spectrum.
    """
    lam, _, weights, _ = modes.columns
    weights = np.where(lam > 0, weights * np.asarray(loss.importance(lam)), 0.0)
    positive = weights > 0
    log = np.log(lam[positive])
    nodes = gauss_rule(log, weights[positive], 2 * steps)[0]
    nodes = np.append(nodes, log.max() + np.arange(1, 2 * steps - len(nodes) + 1))
    wobble = (
        np.random.default_rng(0).normal(size=(_RANDOM_STARTS, 2 * steps)) * np.ptp(log) / steps / 9
    )
    through = [gain_through(np.exp((nodes + by) / 2)) for by in (0.0, *wobble)]
    bottom = log.max() - np.ptp(log) * np.linspace(1, 0.25, 4)
    return through + [zolotarev(math.exp(x), math.exp(log.max()), steps) for x in bottom]


def _at(gain: Gain, start: tuple[float, float]) -> Gain:
    """Move the first pole and the scale to the start, and a zero to make up for that."""
    pole, scale = np.exp(start)
    change = gain.scale * pole / (gain.poles[0] * scale)
    zeros = np.append(gain.zeros[:1] * change, gain.zeros[1:])
    return Gain(np.append(pole, gain.poles[1:]), zeros, scale)


def _behind(gain: Gain, start: tuple[float, float]) -> Gain:
    """Put a call at the start in front that only sets the scale."""
    pole, scale = np.exp(start)
    zeros = np.append(gain.scale * pole / scale, gain.zeros)
    return Gain(np.append(pole, gain.poles), zeros, scale)
