"""The parameters of a noise and the levels of a schedule as one problem of minimisation.

Noise and data share a basis.

There the eigenvalues are ``lambda / nu(r)`` with r the radial frequency of each direction, so the
loss is a function in closed form of levels and of the few numbers of a family
(:mod:`specjax.noise.families`). Each of these is a smooth map of an unconstrained number into
bounds within which no weight is 1e6 times another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array
from specjax._core.checks import UserError
from specjax.fitting.levels import theta_of
from specjax.fitting.problem import FitInputs, FitShape, closed_form, curvature, log_loss, starts
from specjax.gaussian.modes import Modes
from specjax.noise.bases import radius
from specjax.noise.families import NOISES
from specjax.spectra.basis import FourierBasis
from specjax.spectra.quadrature import nodes_of
from specjax.spectra.spectrum import Spectrum

_SPAN = 0.98 * math.log(1e6)  # of log weights, with which a noise is still accepted
_R0 = (1e-3, 10.0)
_INVERSE_CURVATURE = 0.3  # of log(loss) in an unconstrained number, for the first step
_WHOLE = 256  # eigenvalues up to which none are put together
_NODES = 4  # for those of one radial frequency


class BoundedParameter(NamedTuple):
    """A number that is learned within (low, high).

    ``log`` says that equal factors are equal distances of the unconstrained number.
    """

    name: str
    low: float
    high: float
    log: bool = False

    def value(self, phi: jax.Array) -> jax.Array:
        """Compute the number [] of an unconstrained one []."""
        low, high = (math.log(x) if self.log else x for x in (self.low, self.high))
        found = low + (high - low) * jax.nn.sigmoid(phi)
        return jnp.exp(found) if self.log else found

    def unconstrained(self, value: float) -> float:
        """Invert :meth:`value`."""
        x, low, high = (
            math.log(x) if self.log else x for x in (value, self.low, self.high)
        )  # fmt: skip
        return math.log((x - low) / (high - x))


class NoiseParameters(NamedTuple):
    """The parameters of a family, learned within bounds or fixed; hashable, static under jit."""

    family: str
    bounded: tuple[BoundedParameter, ...]
    fixed: tuple[tuple[str, Any], ...]

    def parameters(self, phi: jax.Array) -> dict[str, Any]:
        """Compute the family's parameters of unconstrained numbers [p]."""
        found = {one.name: one.value(x) for one, x in zip(self.bounded, phi, strict=True)}
        if "gains" in found:  # only their ratio is free: the mean variance is 1
            found["gains"] = jnp.exp(jnp.stack([found["gains"], -found["gains"]]) / 2)
        return {**dict(self.fixed), **found}

    def pack(self, parameters: Mapping[str, Any]) -> np.ndarray:
        """Compute the unconstrained numbers [p] of parameters."""
        return np.array([one.unconstrained(_number(one, parameters)) for one in self.bounded])

    @property
    def white(self) -> dict[str, Any]:
        """The parameters of the member that is white."""
        return {"exponent": 0.0, "decay": 0.0, "gains": (1.0, 1.0)}


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
    r0 = _R0[0] if "r0" in learned else checks.positive("r0", parameters.get("r0", 1.0))
    span = _SPAN / math.log1p(1 / r0)
    bounds = {
        "exponent": BoundedParameter("exponent", -span, span),
        "r0": BoundedParameter("r0", *_R0, log=True),
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
    fixed = {name: x for name, x in parameters.items() if name not in learned}
    return NoiseParameters(
        family, bounded, tuple(sorted((k, _hashable(x)) for k, x in fixed.items()))
    )


def _hashable(x: Any) -> Any:
    return tuple(float(v) for v in x) if np.ndim(x) else float(x)


class JointInputs(NamedTuple):
    """What a joint fit of levels and noise computes with.

    Attributes:
      nodes: k modes of the data itself. place: [k], the index of the radial frequency of each.
      radii: [u], the frequencies that there are. share: [u], the part of all directions.
      ends: logsnr at both ends [2]. idle: the number of idle steps [].
    """

    nodes: Modes
    place: Array
    radii: Array
    share: Array
    ends: Array
    idle: Array

    def under(self, form: NoiseParameters, phi: jax.Array, *, in_data_units: bool) -> FitInputs:
        """Make the inputs of a fit of the levels under the noise of unconstrained numbers [p]."""
        weights = NOISES[form.family].weights(self.radii, **form.parameters(phi))
        nu = (weights**2 / (self.share @ weights**2))[self.place]
        scale = nu if in_data_units else 1.0
        modes = Modes(
            self.nodes.eigenvalues / nu,
            self.nodes.mean / jnp.sqrt(nu),
            self.nodes.weights * scale,
            self.nodes.mean_weights * scale,
        )
        return FitInputs(modes, self.ends, self.idle)


def joint_of(spectrum: Spectrum, basis: str, ends: np.ndarray, idle: int) -> JointInputs:
    """Make the inputs of a spectrum that shares the basis with the noise."""
    r = _radii(spectrum, basis)
    radii, place, counts = np.unique(r.round(12), return_inverse=True, return_counts=True)
    nodes, place = _nodes(spectrum, place.ravel(), len(radii))
    return JointInputs(nodes, place, radii, counts / r.size, ends, np.asarray(idle))


def _radii(spectrum: Spectrum, basis: str) -> np.ndarray:
    """Return [d], the radial frequency of each eigenvalue."""
    own = spectrum.basis
    if basis == "data":
        return radius("data", (spectrum.dimension,))
    assert isinstance(own, FourierBasis)
    return np.repeat(radius("fourier", own.shape, own.spatial).ravel(), own.vectors.shape[-1])


def _nodes(spectrum: Spectrum, place: np.ndarray, groups: int) -> tuple[Modes, np.ndarray]:
    """Compute quadrature nodes of each radial frequency, and the index of that of each node."""
    order = np.argsort(place, kind="stable")
    parts = np.split(
        spectrum.columns[:, order], np.cumsum(np.bincount(place, minlength=groups))[:-1], 1
    )
    if spectrum.dimension > _WHOLE:
        parts = [_rule(part) for part in parts]
    at = np.repeat(np.arange(groups), [part.shape[1] for part in parts])
    return Modes(*np.concatenate(parts, 1)), at


def _rule(part: np.ndarray) -> np.ndarray:
    """Replace the columns [4, k] of one frequency by those of few nodes."""
    if part.shape[1] <= _NODES or not (part[0] > 0).any():
        return part
    return nodes_of(part, _NODES)


def joint_loss(
    shape: FitShape, form: NoiseParameters, joint: JointInputs
) -> Callable[[jax.Array], jax.Array]:
    """Make the function of parameters [n + p] of levels and noise that is minimised."""

    def evaluate(theta: jax.Array) -> jax.Array:
        levels, phi = split(form, theta)
        return log_loss(shape, _under(shape, form, joint, phi))(levels)

    return evaluate


def _under(shape: FitShape, form: NoiseParameters, joint: JointInputs, phi: jax.Array) -> FitInputs:
    return joint.under(form, phi, in_data_units=shape.objective.loss.in_data_units)


def split(form: NoiseParameters, theta: Array) -> tuple[Any, Any]:
    """Split parameters into those of the levels [n] and of the noise [p]."""
    cut = theta.shape[-1] - len(form.bounded)
    return theta[..., :cut], theta[..., cut:]


def start_from_noise(
    shape: FitShape, form: NoiseParameters, joint: JointInputs, phi: jax.Array, seed: Array
) -> jax.Array:
    """Compute parameters [n + p] of the best simple levels under a noise [p]."""
    inputs = _under(shape, form, joint, phi)
    theta = starts(shape, inputs, closed_form(shape, inputs), 1, seed)[0]
    return jnp.concatenate([theta, phi])


def start_from_levels(
    shape: FitShape, joint: JointInputs, levels: jax.Array, phi: jax.Array
) -> jax.Array:
    """Compute parameters [n + p] of known levels [S + 1], idle ones among them, and a noise [p]."""
    theta = theta_of(levels, ends_clean=shape.ends_clean, idle=joint.idle)
    return jnp.concatenate([theta, phi])


def joint_curvature(
    shape: FitShape, form: NoiseParameters, joint: JointInputs, theta: jax.Array
) -> jax.Array:
    """Estimate the inverse curvature of log(loss) in each parameter [n + p]."""
    levels, phi = split(form, theta)
    of_levels = curvature(_under(shape, form, joint, phi), levels)
    return jnp.concatenate([of_levels, jnp.full_like(phi, _INVERSE_CURVATURE)])
