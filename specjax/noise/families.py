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

Band = Sequence[float]


class NoiseFamily(NamedTuple):
    """A row of the table: ``weights(r, **parameters)``, and which parameters are positive."""

    weights: Callable[..., Array]
    summary: str
    smooth: tuple[str, ...] = ()
    """Parameters that gradients pass through."""


def _isotropic(r: Array) -> Array:
    return 0 * r + 1


def _power_law(r: Array, *, exponent: Any = -0.06, r0: Any = 0.01) -> Array:
    _positive("r0", r0)
    return _wide(r, exponent, r0, lambda r, a, r0: (r + r0) ** a)


def _exponential(r: Array, *, decay: Any = 1.0) -> Array:
    xp = namespace(r, decay)
    return _wide(r, decay, 0.0, lambda r, b, _: xp.exp(-b * r**2))


def _two_band(
    r: Array, *, low: Band = (0.0, 0.5), high: Band = (0.5, 1.0), gains: Any = (0.5, 0.5)
) -> Array:
    _check_bands(low, high)
    known = concrete(gains) if not isinstance(gains, tuple | list) else np.asarray(gains)
    if known is not None and (known.shape != (2,) or not (np.isfinite(known) & (known >= 0)).all()):
        given = tuple(np.ravel(known).tolist())
        raise UserError(f"gains = {given!r}: give two numbers, not negative, such as 0.5 0.5")
    return gains[0] * _inside(r, low) + gains[1] * _inside(r, high)


NOISES: Mapping[str, NoiseFamily] = {
    "isotropic": NoiseFamily(_isotropic, "w = 1: white noise"),
    "power_law": NoiseFamily(_power_law, "w = (r + r0)^exponent", ("exponent", "r0")),
    "exponential": NoiseFamily(_exponential, "w = exp(-decay r^2)", ("decay",)),
    "two_band": NoiseFamily(
        _two_band, "w = gains[0] in the band low, gains[1] in the band high, else 0", ("gains",)
    ),
}  # fmt: skip


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
    """The noise of a named family on samples of a shape.

    Args:
      family: a name in :data:`NOISES`. shape: of one sample.
      basis, spatial, own: see :class:`NoiseSpectrum`. In the basis "data" r is the rank of the
        eigenvalue, in a spectrum that begins with the largest.
      omit: a band [low, high] of r without noise, in which the data are left as they are (selective
        omission, 2510.09660, section 3).
      offset: standard deviation of a constant that is added to every channel of a sample ("offset
        noise"), relative to the family's noise before it is normalised.
      normalise: scale the weights so that the mean variance of a number is 1. Without it they are
        as the family has them: two halves with gains of 0.5 then have the variance 1/4.
      parameters: of the family; those that are smooth may be traced, and those of a power law
        and an exponential may be one for each channel.

    Raises:
      UserError: for an unknown name or parameter, bands that are reversed, overlap or have no
        frequency in them, weights that :class:`NoiseSpectrum` refuses.

    Example:
      >>> noise = noise_spectrum("power_law", (8, 8), exponent=-0.5)
      >>> noise.weights[0, 0] > noise.weights[4, 4], noise.variance.round(6)
      (np.True_, np.float64(1.0))
    """
    name, make = _named(family, parameters)
    shape = tuple(int(n) for n in shape)
    checks.one_of("basis", basis, BASES)
    if basis == "data" and isinstance(own, FourierBasis):
        raise UserError(
            "basis = 'data' of a shift-invariant spectrum has frequencies, no ranks: give 'fourier'"
        )
    r = radius(basis, shape, spatial)
    weights = make(r, **{k: _given(k, v) for k, v in parameters.items()})
    if omit is not None:
        weights = _without(weights, r, omit)
    if not _is_zero(offset):
        weights = _with_offset(weights, offset, basis, shape, spatial)
    weights = _of_mean_one(weights) if normalise else weights
    source = _source(name, parameters, make, omit, offset, normalise)
    return NoiseSpectrum(weights, shape, basis, spatial, own, source)


def check_family(
    family: str, *, basis: str = "fourier", omit: Band | None = None, offset: Any = 0.0,
    **parameters: Any,
) -> None:  # fmt: skip
    """Refuse what :func:`noise_spectrum` refuses on samples of any shape.

    Raises:
      UserError: as it does; but whether a band has frequencies is seen with the samples.
    """
    _, make = _named(family, parameters)
    bands = [omit, parameters.get("low"), parameters.get("high")]
    first = [min(float(band[0]), 1.0) for band in bands if band is not None]
    r = np.unique([*np.linspace(0, 1, 5), *first])
    weights = make(r, **{k: _given(k, v) for k, v in parameters.items()})
    if omit is not None:
        weights = _without(weights, r, omit)
    if _is_zero(offset):
        check_weights(np.asarray(weights))
    else:
        _check_offset(basis)


def _named(family: str, parameters: Mapping[str, Any]) -> tuple[str, Callable[..., Array]]:
    """The name of a family that exists, and its function of these parameters."""
    name = checks.one_of("noise", str(family).replace("-", "_"), NOISES)
    make = NOISES[name].weights
    known = _parameters_of(make)
    for given in parameters:
        if given not in known:
            takes = ", ".join(known) or "no parameters"
            raise UserError(f"{given} is no parameter of {name!r} noise: it takes {takes}")
    return name, make


def _parameters_of(make: Callable[..., Array]) -> dict[str, Any]:
    """The parameters of a family with what they are by default."""
    known = inspect.signature(make).parameters
    return {name: one.default for name, one in known.items() if name != "r"}


def noise_of_document(document: Mapping[str, Any], own: Basis | None = None) -> NoiseSpectrum:
    """What :meth:`NoiseSpectrum.document` made.

    Args:
      own: the data's eigenbasis, where the noise is in it; files do not hold it.

    Raises:
      UserError: if its numbers are not those that were written.
    """
    place = {"basis": document["basis"], "spatial": document["spatial"], "own": own}
    if "family" in document:
        options = {k: document[k] for k in ("omit", "offset", "normalise")}
        found = noise_spectrum(
            document["family"], document["shape"], **place, **options, **document["parameters"]
        )
    else:
        weights = np.array(document["weights"], np.float64)
        found = NoiseSpectrum(weights, tuple(document["shape"]), **place)
    if found.fingerprint != document["fingerprint"]:
        raise UserError(
            f"the noise in the file ({found.name}) has other weights than this version of specjax "
            "gives it: make the file again"
        )
    return found


def _source(
    name: str, given: Mapping[str, Any], make: Callable[..., Array], omit: Band | None,
    offset: Any, normalise: bool,
) -> dict[str, Any] | None:  # fmt: skip
    """NoiseFamily and parameters as plain numbers; None while one is traced."""
    all_of = {**_parameters_of(make), **given}
    if any(concrete(x) is None for v in (*all_of.values(), offset) for x in _leaves(v)):
        return None
    plain = {p: np.asarray(v, np.float64).tolist() for p, v in all_of.items()}
    band = None if omit is None else [float(x) for x in omit]
    return {
        "family": name, "parameters": plain, "omit": band, "offset": float(offset),
        "normalise": bool(normalise),
    }  # fmt: skip


def _leaves(value: Any) -> list[Any]:
    return list(value) if isinstance(value, tuple | list) else [value]


def _given(name: str, value: Any) -> Any:
    """A parameter, in float64 if it is known: files make the same weights of its digits again."""
    if any(concrete(x) is None for x in _leaves(value)):
        return value
    try:
        found = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{name} = {value!r}: give a number, or several") from None
    if not np.isfinite(found).all():
        raise UserError(f"{name} = {value!r}: give finite numbers")
    return found if found.ndim else float(found)


def _wide(r: Array, first: Any, second: Any, of: Callable[..., Array]) -> Array:
    """``of(r, first, second)``; with an axis of channels where a parameter is one per channel."""
    first, second = (
        x if concrete(x) is None or hasattr(x, "dtype") else np.asarray(x, np.float64)
        for x in (first, second)
    )
    if max(np.ndim(first), np.ndim(second)) == 0:
        return of(r, first, second)
    return of(r[..., None], first, second)


def _positive(name: str, value: Any) -> None:
    known = concrete(value)
    if known is not None and not (np.isfinite(known) & (known > 0)).all():
        raise UserError(f"{name} = {value!r}: give a number above 0")


def _checked_band(name: str, band: Band) -> tuple[float, float]:
    numbers = np.asarray(_given(name, band))
    if numbers.shape != (2,) or not 0 <= numbers[0] < numbers[1]:
        raise UserError(
            f"{name} = {tuple(np.ravel(band).tolist())!r}: give a band of radial frequencies, low "
            "before high, from 0 to 1"
        )
    return float(numbers[0]), float(numbers[1])


def _check_bands(low: Band, high: Band) -> None:
    first, second = _checked_band("low", low), _checked_band("high", high)
    if second[0] < first[1]:
        raise UserError(
            f"the bands low = {first} and high = {second} overlap: let high begin later"
        )


def _inside(r: Array, band: Band) -> Array:
    """1 in [low, high), and at the end of the last band, 1; else 0."""
    low, high = float(band[0]), float(band[1])
    return ((r >= low) & ((r < high) | ((r <= high) & (high >= 1)))).astype(r.dtype)


def _without(weights: Array, r: Array, band: Band) -> Array:
    inside = _inside(r, _checked_band("omit", band))
    if not inside.any():
        raise UserError(f"omit = {tuple(band)!r}: there is no frequency of these samples in it")
    return weights * (1 - inside.reshape(r.shape + (1,) * (weights.ndim - r.ndim)))


def _is_zero(offset: Any) -> bool:
    if concrete(offset) is None:
        return False
    known = _given("offset", offset)
    if np.ndim(known) or known < 0:
        raise UserError(f"offset = {offset!r}: give a number, 0 or above")
    return bool(known == 0)


def _with_offset(
    weights: Array, offset: Any, basis: str, shape: tuple[int, ...], spatial: int | None
) -> Array:
    """A constant of this standard deviation: it is all at frequency 0, of the orthonormal norm."""
    _check_offset(basis)
    xp, grid = namespace(weights, offset), grid_of(shape, spatial)
    at_zero = np.zeros(grid)
    at_zero[(0,) * len(grid)] = math.prod(grid)
    at_zero = at_zero.reshape(grid + (1,) * (weights.ndim - len(grid)))
    squared = weights**2 + offset**2 * at_zero
    positive = squared > 0
    return xp.where(positive, xp.sqrt(xp.where(positive, squared, 1)), 0)


def _check_offset(basis: str) -> None:
    if basis == "data":
        raise UserError("offset: the data's own basis has no frequency 0; leave the offset out")


def _of_mean_one(weights: Array) -> Array:
    variance = (weights**2).mean()
    known = concrete(variance)
    if known is not None and not (np.isfinite(known) and known > 0):
        return weights  # NoiseSpectrum says what is wrong with them
    if known is not None and bool((weights == 1).all()):
        return weights
    return weights / variance**0.5
