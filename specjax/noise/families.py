"""Named families of noise spectra, in a few parameters that can be learned.

A family is a function from the radial frequency r (see :mod:`specjax.noise.bases`) to weights,
traceable in its parameters. To add one, add a row to NOISES.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, concrete, namespace
from specjax._core.checks import UserError
from specjax.noise.bases import BASES, grid_of, radius
from specjax.noise.noise_spectrum import NoiseSpectrum, check_weights
from specjax.spectra.basis import Basis, FourierBasis

_MOST_NUMBERS = 2**26

Band = Sequence[float]


class NoiseFamily(NamedTuple):
    """A row of the table: ``weights(r, **parameters)``, and which parameters can be learned."""

    weights: Callable[..., Array]
    summary: str
    smooth: tuple[str, ...] = ()
    """Parameters that gradients pass through."""

    @property
    def defaults(self) -> dict[str, Any]:
        """The parameters with their default values."""
        parameters = inspect.signature(self.weights).parameters
        return {name: one.default for name, one in parameters.items() if name != "r"}


def _per_channel(r: Array, *parameters: Any) -> Array:
    """Append an axis of channels to r where a parameter has one number per channel."""
    return r[..., None] if any(np.ndim(parameter) for parameter in parameters) else r


def _power_law(r: Array, *, exponent: Any = -0.06, r0: Any = 0.01) -> Array:
    known = concrete(r0)
    if known is not None and not (np.isfinite(known) & (known > 0)).all():
        raise UserError(f"r0 = {r0!r}: give a number above 0")
    return (_per_channel(r, exponent, r0) + r0) ** exponent


def _exponential(r: Array, *, decay: Any = 1.0) -> Array:
    return namespace(r, decay).exp(-decay * _per_channel(r, decay) ** 2)


def _two_band(
    r: Array, *, low: Band = (0.0, 0.5), high: Band = (0.5, 1.0), gains: Any = (0.5, 0.5)
) -> Array:
    first, second = _checked_band("low", low), _checked_band("high", high)
    if second[0] < first[1]:
        raise UserError(
            f"the bands low = {first} and high = {second} overlap: let high begin later"
        )
    known = concrete(gains)
    if known is not None and (known.shape != (2,) or not (np.isfinite(known) & (known >= 0)).all()):
        given = tuple(np.ravel(known).tolist())
        raise UserError(f"gains = {given!r}: give two numbers, not negative, such as 0.5 0.5")
    return gains[0] * _inside(r, low) + gains[1] * _inside(r, high)


NOISES: Mapping[str, NoiseFamily] = {
    "isotropic": NoiseFamily(lambda r: 0 * r + 1, "w = 1: white noise"),
    "power_law": NoiseFamily(_power_law, "w = (r + r0)^exponent", ("exponent", "r0")),
    "exponential": NoiseFamily(_exponential, "w = exp(-decay r^2)", ("decay",)),
    "two_band": NoiseFamily(
        _two_band, "w = gains[0] in the band low, gains[1] in the band high, else 0", ("gains",)
    ),
}  # fmt: skip
"""The families of noise by name."""


@np.errstate(all="ignore")  # weights that overflow are refused
def noise_spectrum(
    family: str,
    shape: Sequence[int],
    *,
    basis: str = "fourier",
    spatial: int | None = None,
    own: Basis | None = None,
    omit: Band | None = None,
    offset: Any = 0.0,
    normalise: bool = True,
    **parameters: Any,
) -> NoiseSpectrum:
    """Make the noise of a named family on samples of a shape.

    Args:
      family: a name in :data:`NOISES`.
      shape: shape of one sample.
      basis: "fourier", "cosine" or "data"; there r is the rank of the eigenvalue, in a spectrum
        that begins with the largest.
      spatial: number of axes with frequencies, see :class:`NoiseSpectrum`.
      own: eigenbasis for "data", see :class:`NoiseSpectrum`.
      omit: a band [low, high] of r without noise, in which the data are left as they are (selective
        omission, 2510.09660, section 3).
      offset: standard deviation of a constant that is added to every channel of a sample ("offset
        noise"), relative to the family's noise before it is normalised.
      normalise: whether weights are scaled so that the mean variance of a number is 1. Without it
        two halves with gains of 0.5 have the variance 1/4.
      parameters: parameters of the family; those that are smooth may be traced, and those of a
        power law and an exponential may be one for each channel.

    Raises:
      UserError: for an unknown name or parameter, bands that are reversed, overlap or have no
        frequency in them, weights that :class:`NoiseSpectrum` refuses.

    Example:
      >>> noise = noise_spectrum("power_law", (8, 8), exponent=-0.5)
      >>> noise.weights[0, 0] > noise.weights[4, 4], noise.variance.round(6)
      (np.True_, np.float64(1.0))
    """
    name = _checked_family(family, parameters)
    shape = tuple(int(n) for n in shape)
    checks.one_of("basis", basis, BASES)
    if basis == "data" and isinstance(own, FourierBasis):
        raise UserError(
            "basis = 'data' of a shift-invariant spectrum has frequencies, no ranks: give 'fourier'"
        )
    weights = _weights(name, parameters, radius(basis, shape, spatial), omit)
    if not _is_zero(offset):
        weights = _with_offset(weights, offset, basis, shape, spatial)
    if normalise:
        variance = (weights**2).mean()
        known = concrete(variance)
        if known is None or 0 < known < math.inf:  # NoiseSpectrum refuses all else
            weights = weights / variance**0.5
    source = _source(name, parameters, omit, offset, normalise)
    return NoiseSpectrum(weights, shape, basis, spatial, own, source)


@np.errstate(all="ignore")
def check_family(
    family: str, *, basis: str = "fourier", omit: Band | None = None, offset: Any = 0.0,
    **parameters: Any,
) -> None:  # fmt: skip
    """Refuse what :func:`noise_spectrum` refuses on samples of any shape.

    Raises:
      UserError: as it does, but not for a band without frequencies, which depends on the shape.
    """
    name = _checked_family(family, parameters)
    bands = [omit, parameters.get("low"), parameters.get("high")]
    starts = [min(float(band[0]), 1.0) for band in bands if band is not None]
    weights = _weights(name, parameters, np.unique([*np.linspace(0, 1, 5), *starts]), omit)
    if _is_zero(offset):
        check_weights(np.asarray(weights))
    else:
        _check_offset(basis)


def _checked_family(family: str, parameters: Mapping[str, Any]) -> str:
    name = checks.one_of("noise", str(family).replace("-", "_"), NOISES)
    known = NOISES[name].defaults
    for given in parameters:
        if given not in known:
            takes = ", ".join(known) or "no parameters"
            raise UserError(f"{given} is no parameter of {name!r} noise: it takes {takes}")
    return name


def _weights(name: str, parameters: Mapping[str, Any], r: np.ndarray, omit: Band | None) -> Array:
    """Evaluate a family at radial frequencies, with 0 in the omitted band."""
    weights = NOISES[name].weights(r, **{k: _numbers(k, v) for k, v in parameters.items()})
    if omit is None:
        return weights
    inside = _inside(r, _checked_band("omit", omit))
    if not inside.any():
        raise UserError(f"omit = {tuple(omit)!r}: there is no frequency of these samples in it")
    return weights * (1 - inside.reshape(r.shape + (1,) * (weights.ndim - r.ndim)))


def noise_of_document(document: Mapping[str, Any], own: Basis | None = None) -> NoiseSpectrum:
    """Rebuild a noise from its :meth:`NoiseSpectrum.document`.

    Args:
      document: mapping of plain values.
      own: the data's eigenbasis, where the noise is in it; files do not hold it.

    Raises:
      UserError: if its numbers are not those that were written.
    """
    numbers = math.prod(checks.whole_number("shape", side) for side in document["shape"])
    if numbers > _MOST_NUMBERS:
        raise UserError(
            f"shape = {document['shape']} has {numbers:,} numbers: noise in a file is on at most "
            f"{_MOST_NUMBERS:,}"
        )
    options = {"basis": document["basis"], "spatial": document["spatial"], "own": own}
    if "family" in document:
        options |= {k: document[k] for k in ("omit", "offset", "normalise")}
        options |= document["parameters"]
        noise = noise_spectrum(document["family"], document["shape"], **options)
    else:
        weights = np.array(document["weights"], np.float64)
        noise = NoiseSpectrum(weights, tuple(document["shape"]), **options)
    if noise.fingerprint != document["fingerprint"]:
        raise UserError(
            f"the noise in the file ({noise.name}) has other weights than this version of specjax "
            "gives it: make the file again"
        )
    return noise


def _source(
    name: str, given: Mapping[str, Any], omit: Band | None, offset: Any, normalise: bool
) -> dict[str, Any] | None:
    """Return the family and its parameters as plain numbers; None while one is traced."""
    parameters = {**NOISES[name].defaults, **given}
    if any(_is_traced(parameter) for parameter in (*parameters.values(), offset)):
        return None
    plain = {p: np.asarray(v, np.float64).tolist() for p, v in parameters.items()}
    band = None if omit is None else [float(x) for x in omit]
    return {
        "family": name, "parameters": plain, "omit": band, "offset": float(offset),
        "normalise": bool(normalise),
    }  # fmt: skip


def _is_traced(value: Any) -> bool:
    leaves = value if isinstance(value, tuple | list) else [value]
    return any(concrete(leaf) is None for leaf in leaves)


def _numbers(name: str, value: Any) -> Any:
    """Return a parameter in float64 if it is known: files make the same weights of its digits."""
    if _is_traced(value):
        return value
    try:
        numbers = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{name} = {value!r}: give a number, or several") from None
    if not checks.are_within(numbers, checks.MOST_SCALE):
        raise UserError(f"{name} = {value!r}: give numbers, none beyond {checks.MOST_SCALE:g}")
    return numbers if numbers.ndim else float(numbers)


def _checked_band(name: str, band: Band) -> tuple[float, float]:
    numbers = np.asarray(_numbers(name, band))
    if numbers.shape != (2,) or not 0 <= numbers[0] < numbers[1]:
        raise UserError(
            f"{name} = {tuple(np.ravel(band).tolist())!r}: give a band of radial frequencies, low "
            "before high, from 0 to 1"
        )
    return float(numbers[0]), float(numbers[1])


def _inside(r: Array, band: Band) -> Array:
    """Return 1 in [low, high), and at r = high where the band ends the range; else 0."""
    low, high = float(band[0]), float(band[1])
    return ((r >= low) & ((r < high) | ((r <= high) & (high >= 1)))).astype(r.dtype)


def _is_zero(offset: Any) -> bool:
    if _is_traced(offset):
        return False
    known = _numbers("offset", offset)
    if np.ndim(known) or known < 0:
        raise UserError(f"offset = {offset!r}: give a number, 0 or above")
    return bool(known == 0)


def _with_offset(
    weights: Array, offset: Any, basis: str, shape: tuple[int, ...], spatial: int | None
) -> Array:
    """Add a constant of this standard deviation, all of it at frequency 0 of an orthonormal F."""
    _check_offset(basis)
    xp, grid = namespace(weights, offset), grid_of(shape, spatial)
    at_zero = np.zeros(grid)
    at_zero[(0,) * len(grid)] = math.prod(grid)
    at_zero = at_zero.reshape(grid + (1,) * (weights.ndim - len(grid)))
    squared = weights**2 + offset**2 * at_zero
    positive = squared > 0
    # The inner where keeps the gradient of the root finite at 0.
    return xp.where(positive, xp.sqrt(xp.where(positive, squared, 1)), 0)


def _check_offset(basis: str) -> None:
    if basis == "data":
        raise UserError("offset: the data's own basis has no frequency 0; leave the offset out")
