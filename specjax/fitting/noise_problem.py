"""A noise's parameters and a schedule's levels as one problem, where noise and data share a basis.

The eigenvalues are then ``lambda / nu(r)`` with r the radial frequency of each direction, so the
loss is a function in closed form of levels and of the few numbers of a family
(:mod:`specjax.noise.families`). Each of these is a smooth map of an unconstrained number into
bounds within which no weight is 1e6 times another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array
from specjax.fitting.levels import theta_of
from specjax.fitting.problem import Problem, Shape, closed_form, curvature, log_loss, starts
from specjax.noise.bases import radius
from specjax.noise.families import NOISES
from specjax.spectra.basis import FourierBasis
from specjax.spectra.spectrum import Spectrum

_SPAN = 0.98 * math.log(1e6)  # of log weights, with which a noise is still accepted
_R0 = (1e-3, 10.0)
_INVERSE_CURVATURE = 0.3  # of log(loss) in an unconstrained number, for the first step
_WHOLE = 256  # eigenvalues up to which none are put together
_NODES = 4  # for those of one radial frequency


class Knob(NamedTuple):
    """A number that is learned, in (low, high); ``log``: equal factors are equal distances."""

    name: str
    low: float
    high: float
    log: bool = False

    def value(self, phi: jax.Array) -> jax.Array:
        """The number [] of an unconstrained one []."""
        low, high = (math.log(x) if self.log else x for x in (self.low, self.high))
        found = low + (high - low) * jax.nn.sigmoid(phi)
        return jnp.exp(found) if self.log else found

    def unconstrained(self, value: float) -> float:
        """The inverse."""
        x, low, high = (
            math.log(x) if self.log else x for x in (value, self.low, self.high)
        )  # fmt: skip
        return math.log((x - low) / (high - x))


class NoiseForm(NamedTuple):
    """What is static of a noise that is learned; hashable."""

    family: str
    knobs: tuple[Knob, ...]
    fixed: tuple[tuple[str, Any], ...]

    def parameters(self, phi: jax.Array) -> dict[str, Any]:
        """Of the family, from unconstrained numbers [p]."""
        found = {knob.name: knob.value(x) for knob, x in zip(self.knobs, phi, strict=True)}
        if "gains" in found:  # only their ratio is free: the mean variance is 1
            found["gains"] = jnp.exp(jnp.stack([found["gains"], -found["gains"]]) / 2)
        return {**dict(self.fixed), **found}

    def pack(self, parameters: Mapping[str, Any]) -> np.ndarray:
        """Unconstrained numbers [p] of parameters."""
        return np.array([knob.unconstrained(_number(knob, parameters)) for knob in self.knobs])

    @property
    def white(self) -> dict[str, Any]:
        """The member without a spectrum."""
        return {"exponent": 0.0, "decay": 0.0, "gains": (1.0, 1.0)}


def _number(knob: Knob, parameters: Mapping[str, Any]) -> float:
    value = parameters[knob.name]
    if knob.name != "gains":
        return float(value)
    low, high = value
    return math.log(low / high) if low > 0 and high > 0 else math.inf  # out of all bounds


def form_of(family: str, learned: tuple[str, ...], parameters: Mapping[str, Any]) -> NoiseForm:
    """The form of names that exist.

    Raises:
      ValueError: for a start outside of the bounds.
    """
    r0 = _R0[0] if "r0" in learned else checks.positive("r0", parameters.get("r0", 1.0))
    span = _SPAN / math.log1p(1 / r0)
    bounds = {
        "exponent": Knob("exponent", -span, span),
        "r0": Knob("r0", *_R0, log=True),
        "decay": Knob("decay", -_SPAN, _SPAN),
        "gains": Knob("gains", -_SPAN, _SPAN),
    }
    knobs = tuple(bounds[name] for name in learned)
    for knob in knobs:
        if not knob.low < _number(knob, parameters) < knob.high:
            what = "the logarithm of their ratio" if knob.name == "gains" else knob.name
            raise ValueError(
                f"start: {knob.name} = {parameters[knob.name]!r}: give a start with {what} between "
                f"{knob.low:.4g} and {knob.high:.4g}"
            )
    fixed = {name: x for name, x in parameters.items() if name not in learned}
    return NoiseForm(family, knobs, tuple(sorted((k, _hashable(x)) for k, x in fixed.items())))


def _hashable(x: Any) -> Any:
    return tuple(float(v) for v in x) if np.ndim(x) else float(x)


class Joint(NamedTuple):
    """What a joint fit computes with.

    Attributes:
      nodes: of the data's own spectrum, [k] of them. place: [k], which radial frequency each has.
      radii: [u], the frequencies that there are. share: [u], of all directions.
      ends: logsnr at both ends [2]. idle: steps [].
    """

    nodes: Spectrum
    place: Array
    radii: Array
    share: Array
    ends: Array
    idle: Array

    def under(self, form: NoiseForm, phi: jax.Array) -> Problem:
        """The problem of the levels under the noise of unconstrained numbers [p]."""
        weights = NOISES[form.family].weights(self.radii, **form.parameters(phi))
        nu = (weights**2 / (self.share @ weights**2))[self.place]
        nodes, std = self.nodes, jnp.sqrt(nu)
        colored = replace(
            nodes, eigenvalues=nodes.eigenvalues / nu, mean=nodes.mean / std, noise_variance=nu
        )
        return Problem(colored, self.ends, self.idle)


def joint_of(spectrum: Spectrum, basis: str, ends: np.ndarray, idle: int) -> Joint:
    """The problem of a spectrum that shares the basis with the noise."""
    r = _radii(spectrum, basis)
    radii, place, counts = np.unique(r.round(12), return_inverse=True, return_counts=True)
    nodes, place = _nodes(spectrum, place.ravel(), len(radii))
    return Joint(nodes, place, radii, counts / r.size, ends, np.asarray(idle))


def _radii(spectrum: Spectrum, basis: str) -> np.ndarray:
    """[d], the radial frequency of each eigenvalue."""
    own = spectrum.basis
    if basis == "data":
        return radius("data", (spectrum.dimension,))
    assert isinstance(own, FourierBasis)
    return np.repeat(radius("fourier", own.shape, own.spatial).ravel(), own.vectors.shape[-1])


def _nodes(spectrum: Spectrum, place: np.ndarray, groups: int) -> tuple[Spectrum, np.ndarray]:
    """Quadrature nodes of each radial frequency, under one noise variance, and where they are."""
    names = ("eigenvalues", "mean", "weights", "mean_weights")
    columns = np.stack([np.asarray(getattr(spectrum, name), np.float64) for name in names])
    order = np.argsort(place, kind="stable")
    parts = np.split(columns[:, order], np.cumsum(np.bincount(place, minlength=groups))[:-1], 1)
    if spectrum.dimension > _WHOLE:
        parts = [_rule(part) for part in parts]
    at = np.repeat(np.arange(groups), [part.shape[1] for part in parts])
    return Spectrum(*np.concatenate(parts, 1)), at


def _rule(part: np.ndarray) -> np.ndarray:
    """Columns of eigenvalues, mean and both weights [4, k'] of those [4, k] of one frequency."""
    if part.shape[1] <= _NODES or not (part[0] > 0).any():
        return part
    rule = Spectrum(*part).quadrature(_NODES)
    return np.stack([rule.eigenvalues, rule.mean, rule.weights, rule.mean_weights])


def joint_loss(shape: Shape, form: NoiseForm, joint: Joint) -> Callable[[jax.Array], jax.Array]:
    """Parameters [n + p] of levels and noise to log(loss) []."""

    def evaluate(theta: jax.Array) -> jax.Array:
        levels, phi = split(form, theta)
        return log_loss(shape, joint.under(form, phi))(levels)

    return evaluate


def split(form: NoiseForm, theta: Array) -> tuple[Any, Any]:
    """Parameters [n] of the levels and [p] of the noise."""
    cut = theta.shape[-1] - len(form.knobs)
    return theta[..., :cut], theta[..., cut:]


def started(shape: Shape, form: NoiseForm, joint: Joint, phi: jax.Array, seed: Array) -> jax.Array:
    """Parameters [n + p] from the best simple levels under a noise [p]."""
    problem = joint.under(form, phi)
    theta = starts(shape, problem, closed_form(shape, problem), 1, seed)[0]
    return jnp.concatenate([theta, phi])


def started_at(shape: Shape, joint: Joint, levels: jax.Array, phi: jax.Array) -> jax.Array:
    """Parameters [n + p] of known levels [S + 1] (idle ones among them) under a noise [p]."""
    theta = theta_of(levels, ends_clean=shape.ends_clean, idle=joint.idle)
    return jnp.concatenate([theta, phi])


def joint_curvature(form: NoiseForm, joint: Joint, theta: jax.Array) -> jax.Array:
    """The expected inverse curvature of log(loss) in each parameter [n + p]."""
    levels, phi = split(form, theta)
    of_levels = curvature(joint.under(form, phi), levels)
    return jnp.concatenate([of_levels, jnp.full_like(phi, _INVERSE_CURVATURE)])
