"""Which noise is asked for, as command lines, training runs and sweeps say it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from specjax._core import checks
from specjax.files import codec as files
from specjax.noise.bases import BASES
from specjax.noise.families import NOISES, check_family, noise_spectrum
from specjax.noise.noise_spectrum import NoiseSpectrum, check_weights
from specjax.spectra.basis import Basis, FourierBasis
from specjax.spectra.spectrum import Spectrum

ISOTROPIC = "isotropic"

_OF_FAMILY = {
    "noise_exponent": ("exponent", "power_law"),
    "noise_r0": ("r0", "power_law"),
    "noise_decay": ("decay", "exponential"),
    "noise_gains": ("gains", "two_band"),
    "noise_bands": ("low and high", "two_band"),
}
"""Options, the parameters that they are, and of which family."""


@dataclass(frozen=True, kw_only=True)
class ForwardNoise:
    """The spectrum of the forward noise."""

    noise: str = ISOTROPIC
    """isotropic (white), power-law, exponential, two-band, a .npy file of weights (standard
    deviations) on the grid of frequencies, or a .json file by specjax: a noise, or the schedule or
    plan whose noise it is"""
    noise_exponent: float | None = None
    """power-law: a of w = (r + r0)^a, r the radial frequency from 0 to 1 (by default -0.06)"""
    noise_r0: float | None = None
    """power-law: r0 (by default 0.01)"""
    noise_decay: float | None = None
    """exponential: b of w = exp(-b r^2) (by default 1)"""
    noise_bands: tuple[float, float, float, float] | None = None
    """two-band: where the low and the high band begin and end (by default 0 0.5 0.5 1)"""
    noise_gains: tuple[float, float] | None = None
    """two-band: the weights of the low and the high band (by default 0.5 0.5)"""
    noise_omit: tuple[float, float] | None = None
    """a band of r without noise: the data are left as they are there"""
    noise_offset: float = 0.0
    """standard deviation of a constant added to every channel (offset noise)"""
    noise_basis: str = "fourier"
    """fourier, cosine (DCT) or data (the data's own eigenbasis)"""
    noise_as_is: bool = False
    """leave the weights as they are, in place of a mean variance of 1"""

    @property
    def white(self) -> bool:
        """Whether nothing is asked for."""
        return self == ForwardNoise()

    def check(self) -> None:
        """Refuse what can be refused without the data.

        Raises:
          ValueError: for a family or basis that does not exist, options of another family, and
            parameters that :func:`noise_spectrum` refuses.
        """
        checks.one_of("noise_basis", self.noise_basis, BASES)
        self._check_family()
        if self._is_saved:
            self._saved()
        elif not self._is_file:
            check_family(self._family, **self._options())

    def spectrum(
        self, shape: tuple[int, ...], *, spatial: int | None = None, own: Basis | None = None
    ) -> NoiseSpectrum | None:
        """The noise on samples of a shape; None where it is isotropic.

        Args:
          spatial: how many axes are sides. own: the data's eigenbasis, for the basis "data".

        Raises:
          ValueError: as :class:`NoiseSpectrum` does, and for a file that cannot be read, or of
            noise on other samples.
        """
        if self.white:
            return None
        if self._is_saved:
            return self._of_file(shape, own)
        place: dict[str, Any] = {"basis": self.noise_basis}
        if self.noise_basis == "data":
            place["own"] = own
        else:
            place["spatial"] = spatial
        if self._is_file:
            found = NoiseSpectrum(self._weights(), shape, **place)
        else:
            place["normalise"] = not self.noise_as_is
            found = noise_spectrum(self._family, shape, **{**self._options(), **place})
        return None if found.isotropic else found

    def on(self, spectrum: Spectrum) -> NoiseSpectrum | None:
        """The noise on the samples of a spectrum; None where it is isotropic.

        Raises:
          ValueError: as :meth:`spectrum` does.
        """
        basis = spectrum.basis
        shape = (spectrum.dimension,) if basis is None else tuple(basis.shape)
        spatial = basis.spatial if isinstance(basis, FourierBasis) else None
        return self.spectrum(shape, spatial=spatial, own=basis)

    @property
    def _is_saved(self) -> bool:
        return self.noise.endswith(".json")

    @property
    def _is_file(self) -> bool:
        return self.noise.endswith((".npy", ".json"))

    def _saved(self) -> NoiseSpectrum:
        """The noise of a file by specjax, which says all of it."""
        loaded = files.load(self.noise)
        found: NoiseSpectrum | None = (
            loaded if isinstance(loaded, NoiseSpectrum) else getattr(loaded, "noise", None)
        )
        if found is None:
            raise ValueError(f"noise = {self.noise}: that file is of isotropic noise; leave it out")
        if self.noise_as_is or self.noise_basis not in ("fourier", found.basis):
            raise ValueError(
                f"noise = {self.noise} is {found.name} noise: leave out noise_basis and noise_as_is"
            )
        return found

    def _of_file(self, shape: tuple[int, ...], own: Basis | None) -> NoiseSpectrum:
        found = self._saved()
        if found.shape != tuple(shape):
            raise ValueError(
                f"noise = {self.noise} is on samples of shape {found.shape}, these are of "
                f"{tuple(shape)}: give noise of the same shape"
            )
        return replace(found, own=own) if found.basis == "data" else found

    @property
    def _family(self) -> str:
        return self.noise.replace("-", "_")

    def _check_family(self) -> None:
        known = [name.replace("_", "-") for name in NOISES]
        if not self._is_file and self._family not in NOISES:
            checks.one_of("noise", self.noise, known)
        for name, (parameter, family) in _OF_FAMILY.items():
            if getattr(self, name) is not None and self._family != family:
                raise ValueError(
                    f"{name} is {parameter} of {family.replace('_', '-')} noise, the noise is "
                    f"{self.noise}: leave it out, or give --noise {family.replace('_', '-')}"
                )
        if self._is_file and (self.noise_omit is not None or self.noise_offset):
            raise ValueError(
                f"noise = {self.noise} has weights of its own: put the band or offset into them"
            )

    def _options(self) -> dict[str, Any]:
        """Of :func:`check_family`."""
        given: dict[str, Any] = {
            parameter: getattr(self, name)
            for name, (parameter, _) in _OF_FAMILY.items()
            if name != "noise_bands" and getattr(self, name) is not None
        }
        if self.noise_bands is not None:
            given |= {"low": self.noise_bands[:2], "high": self.noise_bands[2:]}
        given |= {
            "basis": self.noise_basis, "omit": self.noise_omit, "offset": self.noise_offset,
        }  # fmt: skip
        return given

    def _weights(self) -> np.ndarray:
        try:
            found = np.load(self.noise, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(f"cannot read noise = {self.noise}: {error}") from error
        if not np.issubdtype(found.dtype, np.floating):
            raise ValueError(f"{self.noise} holds {found.dtype}: give weights as floats")
        if not self.noise_as_is:
            check_weights(found)
            found = found / np.sqrt(np.mean(found**2))
        return np.asarray(found, np.float64)
