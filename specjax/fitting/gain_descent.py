"""Descents over the poles, zeros and scale of gains, for :mod:`specjax.fitting.limits`."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core.arrays import Array
from specjax.fitting.bfgs import BFGS, Function, descend
from specjax.fitting.rational import Gain, gain_through, zolotarev
from specjax.gaussian.losses import LOSSES, evaluate
from specjax.gaussian.transfer import Transfer
from specjax.spectra.quadrature import gauss_rule
from specjax.spectra.spectrum import Spectrum

_BATCH = 9  # descents at once
_EVALUATIONS = 3000
_TOLERANCE = 1e-9  # of the slope of log(loss)
_PERTURBED = 4  # starts that are random
_ROOM = 160  # eigenvalues that a compilation has room for, at least


class Problem(NamedTuple):
    """What a descent computes with; pairs of a pole and a zero that are not ``busy`` are idle.

    Parameters [2 P + 2] are logarithms: the poles and the zeros of P pairs, one pole more, the
    scale. Where ``bound``, the last two are those of the ``start`` and no pole is above it.
    """

    spectrum: Spectrum
    busy: Array  # [P]
    bound: Array | bool  # []
    start: Array | tuple[float, float]  # [2]


def in_float64(spectrum: Spectrum) -> Spectrum:
    """Its numbers alone, as NumPy arrays."""
    names = ("eigenvalues", "mean", "weights", "mean_weights")
    lam, mean, weights, mean_weights = (
        np.asarray(getattr(spectrum, name), np.float64) for name in names
    )
    return Spectrum(lam, mean, weights, mean_weights)


def _padded(problem: Problem) -> Problem:
    """With eigenvalues of no weight, so that most spectra share a compilation."""
    spectrum, size = problem.spectrum, len(problem.busy)
    extra = max(_ROOM, 20 * size) - spectrum.dimension
    lam = np.pad(np.asarray(spectrum.eigenvalues), (0, extra), mode="maximum")
    mean, weights, mean_weights = (
        np.pad(np.asarray(x), (0, extra))
        for x in (spectrum.mean, spectrum.weights, spectrum.mean_weights)
    )
    return problem._replace(spectrum=Spectrum(lam, mean, weights, mean_weights))


def unpacked(problem: Problem, theta: Array) -> tuple[Array, Array, Array, Array]:
    """Poles [P], zeros [P], the last pole [], the scale []."""
    paired, zeros = jnp.split(theta[:-2], 2)
    most = jnp.where(problem.bound, problem.start[0], 0.0)
    below = jnp.where(problem.bound, most - jax.nn.softplus(most - paired), paired)
    pole, scale = jnp.where(problem.bound, jnp.asarray(problem.start), theta[-2:])
    return jnp.exp(below), jnp.exp(zeros), jnp.exp(pole), jnp.exp(scale)


def packed(gain: Gain, size: int, start: tuple[float, float] | None) -> np.ndarray:
    """Parameters of a gain of S <= ``size`` calls; with a start its first pole is the start's."""
    theta = np.zeros((2, size - 1))
    log = np.log(gain.poles[1:] if start else gain.poles[:-1])
    if start:
        gap = np.maximum(start[0] - log, 0.1)
        log = start[0] - np.log(np.expm1(gap))
    theta[:, : len(log)] = log, np.log(gain.zeros)
    return np.append(theta, [np.log(gain.poles[-1]), np.log(gain.scale)])


@partial(jax.jit, static_argnames="loss")
def loss_at(problem: Problem, theta: Array, loss: str) -> Array:
    """The loss [] of parameters [n]; what is left of the mean counts where they are bound."""
    paired, zeros, pole, scale = unpacked(problem, theta)
    lam = jnp.asarray(problem.spectrum.eigenvalues)
    pairs = (lam[:, None] + zeros) / (lam[:, None] + paired)
    shape = jnp.where(problem.busy, pairs, 1.0).prod(1) * lam / (lam + pole)
    std = scale * shape
    kept = jnp.where(problem.bound, shape, 0.0)
    return evaluate(LOSSES[loss], Transfer(std, 1 - kept, std, std**2), problem.spectrum)


def descended(problem: Problem, thetas: np.ndarray, loss: str) -> np.ndarray:
    """Where descents from parameters [B, n] end, a batch after another."""
    problem = _padded(problem)
    batches = np.split(thetas, range(_BATCH, len(thetas), _BATCH))
    filled = [np.resize(batch, (_BATCH, thetas.shape[1])) for batch in batches]
    ends = np.concatenate([_descend_batch(problem, batch, loss) for batch in filled])
    return ends[: len(thetas)]


@partial(jax.jit, static_argnames="loss")
def _descend_batch(problem: Problem, thetas: jax.Array, loss: str) -> jax.Array:
    def function_of(problem: Problem) -> Function:
        least = jnp.finfo(thetas.dtype).tiny
        return lambda theta: jnp.log(jnp.maximum(loss_at(problem, theta, loss), least))

    def begin(theta: jax.Array) -> Any:
        return BFGS.begin(function_of(problem), theta, jnp.full_like(theta, 0.1), 0)

    each = jax.tree.map(lambda x: jnp.broadcast_to(x, (len(thetas), *jnp.shape(x))), problem)
    ends = descend(BFGS, function_of, each, jax.vmap(begin)(thetas), _TOLERANCE, _EVALUATIONS)
    return ends.theta


def begun(
    spectrum: Spectrum, steps: int, loss: str, start: tuple[float, float] | None
) -> list[Gain]:
    """Gains to descend from."""
    free = _free(spectrum, steps, loss)
    if start is None:
        return free
    fewer = _free(spectrum, steps - 1, loss) if steps > 1 else []
    return [_at(one, start) for one in free] + [_behind(one, start) for one in fewer]


def _free(spectrum: Spectrum, steps: int, loss: str) -> list[Gain]:
    """Without a start: exact at the Gauss nodes of what counts, or Zolotarev's for the top of it.

    Where errors are small the best points are nodes of an orthogonal polynomial.
    """
    lam = spectrum.eigenvalues
    weights = np.where(lam > 0, spectrum.weights * np.asarray(LOSSES[loss].importance(lam)), 0.0)
    positive = weights > 0
    log = np.log(lam[positive])
    nodes = gauss_rule(log, weights[positive], 2 * steps)[0]
    nodes = np.append(nodes, log.max() + np.arange(1, 2 * steps - len(nodes) + 1))
    wobble = np.random.default_rng(0).normal(size=(_PERTURBED, 2 * steps)) * np.ptp(log) / steps / 9
    through = [gain_through(np.exp((nodes + by) / 2)) for by in (0.0, *wobble)]
    bottom = log.max() - np.ptp(log) * np.linspace(1, 0.25, 4)
    return through + [zolotarev(math.exp(x), math.exp(log.max()), steps) for x in bottom]


def _at(gain: Gain, start: tuple[float, float]) -> Gain:
    """The same with its first pole and scale moved to the start, and a zero to make up for that."""
    pole, scale = np.exp(start)
    change = gain.scale * pole / (gain.poles[0] * scale)
    zeros = np.append(gain.zeros[:1] * change, gain.zeros[1:])
    return Gain(np.append(pole, gain.poles[1:]), zeros, scale)


def _behind(gain: Gain, start: tuple[float, float]) -> Gain:
    """The same after a call at the start that only sets the scale."""
    pole, scale = np.exp(start)
    zeros = np.append(gain.scale * pole / scale, gain.zeros)
    return Gain(np.append(pole, gain.poles), zeros, scale)
