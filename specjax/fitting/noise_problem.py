"""The parameters of a noise and the levels of a schedule as one problem of minimisation.

Where noise and data share a basis the eigenvalues under the noise are ``lambda / nu(r)``, with r
the radial frequency of each direction. So the loss is a function in closed form of the levels and
of the few parameters of a family of noises (:mod:`specjax.noise.families`). Each of these is a
smooth map of an unconstrained number into bounds within which no weight is 1e6 times another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, namespace
from specjax._core.checks import UserError
from specjax.fitting.levels import theta_of
from specjax.fitting.problem import (
    FitInputs,
    FitShape,
    curvature,
    log_loss,
    padded_parameters,
    starts,
)
from specjax.gaussian.modes import Modes
from specjax.gaussian.task import Objective
from specjax.noise.bases import radius
from specjax.noise.families import NOISES
from specjax.schedules.schedule import sigmoid
from specjax.spectra.basis import FourierBasis
from specjax.spectra.quadrature import nodes_of
from specjax.spectra.spectrum import Spectrum

_SPAN = 0.98 * math.log(1e6)  # of log weights, with which a noise is still accepted
_INVERSE_CURVATURE = 0.3  # of log(loss) in an unconstrained number, for the first step
_MOST_UNGROUPED = 256  # eigenvalues up to which no quadrature replaces them
_NODES_PER_FREQUENCY = 4
_WHITE = {"exponent": 0.0, "decay": 0.0, "gains": (1.0, 1.0)}  # parameters of white noise


class BoundedParameter(NamedTuple):
    """A parameter that is learned within (low, high).

    ``log`` says that equal factors are equal distances of the unconstrained number.
    """

    name: str
    low: float
    high: float
    log: bool = False

    def value(self, phi: Array) -> Array:
        """Compute the parameter [] of an unconstrained number []."""
        low, high = (math.log(x) if self.log else x for x in (self.low, self.high))
        bounded = low + (high - low) * sigmoid(phi)
        return namespace(phi).exp(bounded) if self.log else bounded

    def unconstrained(self, value: float) -> float:
        """Invert :meth:`value`."""
        ends = (value, self.low, self.high)
        x, low, high = (math.log(end) if self.log else end for end in ends)
        return math.log((x - low) / (high - x))


class NoiseParameters(NamedTuple):
    """The parameters of a family, learned within bounds or fixed; hashable, static under jit."""

    family: str
    bounded: tuple[BoundedParameter, ...]
    fixed: tuple[tuple[str, Any], ...]

    def parameters(self, phi: Array) -> dict[str, Any]:
        """Compute the family's parameters of unconstrained numbers [p]."""
        learned = {one.name: one.value(x) for one, x in zip(self.bounded, phi, strict=True)}
        if "gains" in learned:  # only their ratio is free: the mean variance is 1
            xp, ratio = namespace(phi), learned["gains"]
            learned["gains"] = xp.exp(xp.stack([ratio, -ratio]) / 2)
        return {**dict(self.fixed), **learned}

    def pack(self, parameters: Mapping[str, Any]) -> np.ndarray:
        """Compute the unconstrained numbers [p] of parameters."""
        return np.array([one.unconstrained(_number(one, parameters)) for one in self.bounded])

    def starts(self, parameters: Mapping[str, Any], count: int, seed: int) -> np.ndarray:
        """Draw unconstrained numbers [count, p]: of white noise, of the given one, and nearby."""
        given = self.pack(parameters)
        white = self.pack({name: _WHITE.get(name, x) for name, x in parameters.items()})
        drawn = np.random.default_rng(seed).normal(size=(max(count - 2, 0), len(given)))
        return np.concatenate([white[None], given[None], given + drawn])[:count]


def _number(one: BoundedParameter, parameters: Mapping[str, Any]) -> float:
    value = parameters[one.name]
    if one.name != "gains":
        return float(value)
    low, high = value
    return math.log(low / high) if low > 0 and high > 0 else math.inf  # out of all bounds


def noise_parameters(
    family: str, learned: tuple[str, ...], parameters: Mapping[str, Any]
) -> NoiseParameters:
    """Set the bounds of the parameters that are learned.

    Raises:
      UserError: for a start outside of the bounds.
    """
    least_r0 = 1e-3
    r0 = least_r0 if "r0" in learned else checks.positive("r0", parameters.get("r0", 1.0))
    span = _SPAN / math.log1p(1 / r0)
    bounds = {
        "exponent": BoundedParameter("exponent", -span, span),
        "r0": BoundedParameter("r0", least_r0, 10.0, log=True),
        "decay": BoundedParameter("decay", -_SPAN, _SPAN),
        "gains": BoundedParameter("gains", -_SPAN, _SPAN),
    }
    bounded = tuple(bounds[name] for name in learned)
    for one in bounded:
        if not one.low < _number(one, parameters) < one.high:
            what = "the logarithm of their ratio" if one.name == "gains" else one.name
            raise UserError(
                f"start: {one.name} = {parameters[one.name]!r}: give a start with {what} between "
                f"{one.low:.4g} and {one.high:.4g}"
            )
    fixed = {
        name: tuple(float(v) for v in x) if np.ndim(x) else float(x)
        for name, x in sorted(parameters.items())
        if name not in learned
    }
    return NoiseParameters(family, bounded, tuple(fixed.items()))


class JointInputs(NamedTuple):
    """The numbers that a joint fit of levels and noise computes with.

    Attributes:
      nodes: K modes of the data itself.
      frequency: [K], the index of the radial frequency of each.
      radii: [u], the radial frequencies.
      share: [u], the part of all directions that each has.
      ends: [2], logsnr at both ends.
      idle: [], the number of idle steps.
      loss: [], the index of the loss.
    """

    nodes: Modes
    frequency: Array
    radii: Array
    share: Array
    ends: Array
    idle: Array
    loss: Array

    def under(self, shape: FitShape, phi: Array) -> FitInputs:
        """Make the inputs of a fit of the levels under the noise of unconstrained numbers [p]."""
        form, xp = shape.noise, namespace(phi)
        weights = NOISES[form.family].weights(self.radii, **form.parameters(phi))
        nu = (weights**2 / (self.share @ weights**2))[self.frequency]
        in_data_units = np.array([loss.in_data_units for loss in shape.losses])
        scale = xp.where(xp.asarray(in_data_units)[self.loss], nu, 1.0)
        modes = Modes(
            self.nodes.eigenvalues / nu,
            self.nodes.mean / xp.sqrt(nu),
            self.nodes.weights * scale,
            self.nodes.mean_weights * scale,
        )
        return FitInputs(modes, self.ends, self.idle, self.loss)


def joint_inputs(
    spectrum: Spectrum, basis: str, ends: np.ndarray, idle: int, loss: int
) -> JointInputs:
    """Make the inputs of a spectrum that shares the basis with the noise.

    The last two arguments are those of :class:`JointInputs`.
    """
    own = spectrum.basis
    if basis == "data":
        r = radius("data", (spectrum.dimension,))
    else:
        assert isinstance(own, FourierBasis)
        r = np.repeat(radius("fourier", own.shape, own.spatial).ravel(), own.vectors.shape[-1])
    radii, frequency, counts = np.unique(r.round(12), return_inverse=True, return_counts=True)
    by_frequency = np.argsort(frequency.ravel(), kind="stable")
    parts = np.split(spectrum.columns[:, by_frequency], np.cumsum(counts)[:-1], 1)
    if spectrum.dimension > _MOST_UNGROUPED:
        parts = [_quadrature(part) for part in parts]
    of_nodes = np.repeat(np.arange(len(radii)), [part.shape[1] for part in parts])
    nodes = Modes(*np.concatenate(parts, 1))
    return JointInputs(
        nodes, of_nodes, radii, counts / r.size, ends, np.asarray(idle), np.asarray(loss)
    )


def _quadrature(part: np.ndarray) -> np.ndarray:
    """Replace the columns [4, k] of one frequency by those of few nodes."""
    if part.shape[1] <= _NODES_PER_FREQUENCY or not (part[0] > 0).any():
        return part
    return nodes_of(part, _NODES_PER_FREQUENCY)


def split(shape: FitShape, theta: Array) -> tuple[Any, Any]:
    """Split parameters [n + p] into those of the levels [n] and of the noise [p]."""
    cut = shape.steps - shape.ends_clean
    return theta[:cut], theta[cut:]


def joint_loss(shape: FitShape, joint: JointInputs) -> Callable[[jax.Array], jax.Array]:
    """Make the function of parameters [n + p] of levels and noise that is minimised."""

    def evaluate(theta: jax.Array) -> jax.Array:
        levels, phi = split(shape, theta)
        return log_loss(shape, joint.under(shape, phi))(levels)

    return evaluate


def joint_starts(
    shape: FitShape, joint: JointInputs, objective: Objective, levels: np.ndarray, phi: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute parameters [restarts, n + p] to start from, and their inverse curvatures.

    Args:
      shape: what is static.
      joint: the inputs.
      objective: sampler, loss and process.
      levels: [S + 1], of the first start.
      phi: [restarts, p], unconstrained numbers of the noise; all but the first start with the best
        simple levels under that noise.
    """
    steps, ends, idle = len(levels) - 1, np.asarray(joint.ends), int(joint.idle)
    thetas = [theta_of(levels, ends, ends_clean=shape.ends_clean)]
    thetas += [
        starts(objective, joint.under(shape, one).nodes, ends, steps, 1, 0)[0] for one in phi[1:]
    ]
    theta = np.stack(thetas)
    whole = padded_parameters(np.concatenate([theta, phi], 1), idle)
    scale = np.concatenate(
        [curvature(steps, theta, ends), np.full(phi.shape, _INVERSE_CURVATURE)], 1
    )
    return whole, padded_parameters(scale, idle, 1.0)
