"""The noises of a sweep: families for samples of any shape, or noises that are made.

::

    noises = ["isotropic", "kept.json", { family = "power-law", exponent = [-0.1, -0.06] },
              { family = "two-band", gains = [[0.2, 0.8], [0.5, 0.5]], omit = [0.9, 1.0] }]
"""

from __future__ import annotations

import inspect
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from specjax._core import checks
from specjax.files import plain
from specjax.noise.families import NOISES, noise_spectrum
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.spectra.basis import FourierBasis
from specjax.spectra.spectrum import Spectrum

_PLACE = ("omit", "offset", "normalise", "basis", "spatial")
"""Options of all families."""

_PAIRS = ("low", "high", "gains", "omit")
"""Options that are two numbers: a list of lists is an axis."""


@dataclass(frozen=True)
class SweptNoise:
    """A noise for each spectrum of a sweep.

    Attributes:
      family: a name in NOISES. options: of :func:`noise_spectrum`. made: noise on samples of one
        shape, in place of a family.
    """

    family: str = "isotropic"
    options: tuple[tuple[str, Any], ...] = ()
    made: NoiseSpectrum | None = None

    @property
    def white(self) -> bool:
        """Whether it is isotropic on any samples."""
        return self == SweptNoise()

    def on(self, name: str, spectrum: Spectrum) -> NoiseSpectrum | None:
        """The noise on the samples of a spectrum of that name; None where it is isotropic.

        Raises:
          ValueError: for what :func:`noise_spectrum` refuses on these samples.
        """
        if self.white or self.made is not None:
            return self.made
        basis, options = spectrum.basis, dict(self.options)
        shape = (spectrum.dimension,) if basis is None else tuple(basis.shape)
        if options.get("basis") == "data":
            options["own"] = basis
        elif isinstance(basis, FourierBasis):
            options.setdefault("spatial", basis.spatial)
        try:
            return noise_spectrum(self.family, shape, **options)
        except ValueError as error:
            raise ValueError(f"noises: {self.family} on {name}: {error}") from error

    def document(self) -> dict[str, Any]:
        """As plain JSON."""
        if self.made is not None:
            return self.made.document()
        return {"family": self.family, **dict(self.options)}


def expanded_noise(given: Any) -> list[SweptNoise]:
    """A noise of a sweep, one for each value of a listed option.

    Raises:
      ValueError: for what is no noise, and unknown families and options.
    """
    if isinstance(given, SweptNoise):
        return [given]
    if given is None or (isinstance(given, NoiseSpectrum) and given.isotropic):
        return [SweptNoise()]
    if isinstance(given, NoiseSpectrum):
        return [SweptNoise((given.source or {}).get("family", "weights"), (), given)]
    table = {"family": given} if isinstance(given, str) else given
    if not isinstance(table, Mapping) or not isinstance(table.get("family"), str):
        raise ValueError(
            f"noises has {given!r}: give a family, a table with family and options, or a noise"
        )
    family = checks.one_of("noises: family", table["family"].replace("-", "_"), NOISES)
    options = {k: plain(v) for k, v in table.items() if k != "family"}
    known = [p for p in inspect.signature(NOISES[family].weights).parameters if p != "r"]
    for key in options:
        checks.one_of(f"noises: option of {family}", key, [*known, *_PLACE])
    combined = itertools.product(*(_values(k, v) for k, v in options.items()))
    return [
        SweptNoise(family, tuple(sorted(zip(options, values, strict=True)))) for values in combined
    ]


def _values(name: str, given: Any) -> list[Any]:
    """What an option goes through; a pair of numbers is one value."""
    several = isinstance(given, list)
    if name in _PAIRS:
        several = several and any(isinstance(one, list) for one in given)
    return given if several else [given]


def named(noise: NoiseSpectrum | None) -> tuple[str, str]:
    """The columns ``noise`` and ``noise_parameters`` (JSON) of a table; None is isotropic."""
    if noise is None:
        return "isotropic", "{}"
    known = noise.document()
    if "family" not in known:
        return "weights", json.dumps({"fingerprint": known["fingerprint"][:16]})
    more = {"omit": None, "offset": 0.0, "normalise": True, "basis": "fourier"}
    other = {name: known[name] for name, usual in more.items() if known[name] != usual}
    return known["family"].replace("_", "-"), json.dumps({**known["parameters"], **other})
