"""The noises of a sweep: families on samples of any shape, or noises of one shape.

::

    noises = ["isotropic", "kept.json", { family = "power-law", exponent = [-0.1, -0.06] },
              { family = "two-band", gains = [[0.2, 0.8], [0.5, 0.5]], omit = [0.9, 1.0] }]
"""

from __future__ import annotations

import inspect
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.files import plain
from specjax.noise.families import NOISES, noise_spectrum
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.noise.whitening import check_spectrum
from specjax.spectra.basis import FourierBasis
from specjax.spectra.spectrum import Spectrum

_COMMON_OPTIONS = ("omit", "offset", "normalise", "basis", "spatial")
_PAIRS = ("low", "high", "gains", "omit")
"""Options that are two numbers: only a list of such pairs is an axis."""


@dataclass(frozen=True)
class SweptNoise:
    """An entry of the axis ``noises``, which is a noise on each spectrum of a sweep.

    Attributes:
      family: a name in NOISES. options: of :func:`noise_spectrum`. fixed: noise on samples of one
        shape, in place of a family.
    """

    family: str = "isotropic"
    options: tuple[tuple[str, Any], ...] = ()
    fixed: NoiseSpectrum | None = None

    @property
    def isotropic(self) -> bool:
        """Tell whether it is isotropic on any samples."""
        return self == SweptNoise()

    def on(self, name: str, spectrum: Spectrum) -> NoiseSpectrum | None:
        """Return the noise on the samples of a spectrum of that name; None where it is isotropic.

        Raises:
          UserError: for noise that these samples cannot take.
        """
        if self.isotropic:
            return None
        try:
            noise = self.fixed if self.fixed is not None else self._of_family(spectrum)
            check_spectrum(spectrum, noise)
        except UserError as error:
            raise UserError(f"noises: {self.family} on {name}: {error}") from error
        return noise

    def _of_family(self, spectrum: Spectrum) -> NoiseSpectrum:
        basis, options = spectrum.basis, dict(self.options)
        shape = (spectrum.dimension,) if basis is None else tuple(basis.shape)
        if options.get("basis") == "data":
            options["own"] = basis
        elif isinstance(basis, FourierBasis):
            options.setdefault("spatial", basis.spatial)
        return noise_spectrum(self.family, shape, **options)

    def document(self) -> dict[str, Any]:
        """Describe the noise as plain JSON."""
        if self.fixed is not None:
            return self.fixed.document()
        return {"family": self.family, **dict(self.options)}


def noises_of(entry: Any) -> list[SweptNoise]:
    """Return the noises of an entry of the axis, one for each value of a listed option.

    Raises:
      UserError: for what is no noise, and for unknown families and options.
    """
    if isinstance(entry, SweptNoise):
        return [entry]
    if entry is None or (isinstance(entry, NoiseSpectrum) and entry.isotropic):
        return [SweptNoise()]
    if isinstance(entry, NoiseSpectrum):
        return [SweptNoise((entry.source or {}).get("family", "weights"), fixed=entry)]
    table = {"family": entry} if isinstance(entry, str) else entry
    if not isinstance(table, Mapping) or not isinstance(table.get("family"), str):
        raise UserError(
            f"noises has {entry!r}: give a family, a table with family and options, or a noise"
        )
    family = checks.one_of("noises: family", table["family"].replace("-", "_"), NOISES)
    known = [p for p in inspect.signature(NOISES[family].weights).parameters if p != "r"]
    options = {k: plain(v) for k, v in table.items() if k != "family"}
    for key in options:
        checks.one_of(f"noises: option of {family}", key, [*known, *_COMMON_OPTIONS])
    return [SweptNoise(family, tuple(sorted(one.items()))) for one in option_product(options)]


def option_product(options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the product of options of which some are lists of values."""

    def values(name: str) -> list[Any]:
        given = options[name]
        if not isinstance(given, list) or (
            name in _PAIRS and not any(isinstance(x, list) for x in given)
        ):
            return [given]
        return given

    for combined in itertools.product(*map(values, options)):
        yield dict(zip(options, combined, strict=True))


def noise_columns(noise: NoiseSpectrum | None) -> tuple[str, str]:
    """Return the columns ``noise`` and ``noise_parameters`` (JSON) of a table."""
    if noise is None:
        return "isotropic", "{}"
    known = noise.document()
    if "family" not in known:
        return "weights", json.dumps({"fingerprint": known["fingerprint"][:16]})
    defaults = {"omit": None, "offset": 0.0, "normalise": True, "basis": "fourier"}
    other = {name: known[name] for name, usual in defaults.items() if known[name] != usual}
    return known["family"].replace("_", "-"), json.dumps({**known["parameters"], **other})
