"""The forward noise by the options of a command or a training run: a family, or a file.

It stands among the files because a noise may come from one: the noise itself, or a learned result.
What makes a noise is imported by the methods, so that the command line shows the options at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.files.inputs import read_array

if TYPE_CHECKING:
    from specjax.noise.noise_spectrum import NoiseSpectrum
    from specjax.spectra.basis import Basis
    from specjax.spectra.spectrum import Spectrum

ISOTROPIC = "isotropic"

_FAMILY_OPTIONS = {
    "noise_exponent": ("exponent", "power_law"),
    "noise_r0": ("r0", "power_law"),
    "noise_decay": ("decay", "exponential"),
    "noise_gains": ("gains", "two_band"),
    "noise_bands": ("low and high", "two_band"),
}
"""Options that belong to one family: the parameter and the family."""


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
        """Tell whether no option is set, so that the noise is isotropic."""
        return self == ForwardNoise()

    def check(self) -> None:
        """Refuse what can be refused without the data.

        Raises:
          UserError: for a family or basis that does not exist, options of another family, and
            parameters that :func:`noise_spectrum` refuses.
        """
        from specjax.noise.bases import BASES
        from specjax.noise.families import check_family

        checks.one_of("noise_basis", self.noise_basis, BASES)
        self._check_family()
        if self._in_specjax_file:
            self._loaded()
        elif not self._in_file:
            check_family(self._family, **self._parameters())

    def spectrum(
        self, shape: tuple[int, ...], *, spatial: int | None = None, own: Basis | None = None
    ) -> NoiseSpectrum | None:
        """Return the noise on samples of a shape; None where it is isotropic.

        Args:
          spatial: how many axes are sides. own: the data's eigenbasis, for the basis "data".

        Raises:
          UserError: as :class:`NoiseSpectrum` does, and for a file that cannot be read, or of
            noise on other samples.
        """
        from specjax.noise.families import noise_spectrum
        from specjax.noise.noise_spectrum import NoiseSpectrum

        if self.white:
            return None
        if self._in_specjax_file:
            return self._loaded_for(shape, own)
        basis: dict[str, Any] = {"basis": self.noise_basis}
        basis |= {"own": own} if self.noise_basis == "data" else {"spatial": spatial}
        if self._in_file:
            noise = NoiseSpectrum(self._weights(), shape, **basis)
        else:
            parameters = {**self._parameters(), **basis, "normalise": not self.noise_as_is}
            noise = noise_spectrum(self._family, shape, **parameters)
        return None if noise.isotropic else noise

    def on(self, spectrum: Spectrum) -> NoiseSpectrum | None:
        """Return the noise on the samples of a spectrum; None where it is isotropic.

        Raises:
          UserError: as :meth:`spectrum` does.
        """
        from specjax.spectra.basis import FourierBasis

        basis = spectrum.basis
        shape = (spectrum.dimension,) if basis is None else tuple(basis.shape)
        spatial = basis.spatial if isinstance(basis, FourierBasis) else None
        return self.spectrum(shape, spatial=spatial, own=basis)

    @property
    def _in_specjax_file(self) -> bool:
        return self.noise.endswith(".json")

    @property
    def _in_file(self) -> bool:
        return self.noise.endswith((".npy", ".json"))

    def _loaded(self) -> NoiseSpectrum:
        """Load the noise of a file by specjax, which has its basis and scale."""
        from specjax.files.kinds import load
        from specjax.noise.noise_spectrum import NoiseSpectrum

        loaded = load(self.noise)
        noise = loaded if isinstance(loaded, NoiseSpectrum) else getattr(loaded, "noise", None)
        if noise is None:
            raise UserError(f"noise = {self.noise}: that file is of isotropic noise; leave it out")
        if self.noise_as_is or self.noise_basis not in ("fourier", noise.basis):
            raise UserError(
                f"noise = {self.noise} is {noise.name} noise: leave out noise_basis and noise_as_is"
            )
        return noise

    def _loaded_for(self, shape: tuple[int, ...], own: Basis | None) -> NoiseSpectrum:
        noise = self._loaded()
        if noise.shape != tuple(shape):
            raise UserError(
                f"noise = {self.noise} is on samples of shape {noise.shape}, these are of "
                f"{tuple(shape)}: give noise of the same shape"
            )
        return replace(noise, own=own) if noise.basis == "data" else noise

    @property
    def _family(self) -> str:
        return self.noise.replace("-", "_")

    def _check_family(self) -> None:
        from specjax.noise.families import NOISES

        if not self._in_file and self._family not in NOISES:
            checks.one_of("noise", self.noise, [name.replace("_", "-") for name in NOISES])
        for name, (parameter, family) in _FAMILY_OPTIONS.items():
            if getattr(self, name) is not None and self._family != family:
                raise UserError(
                    f"{name} is {parameter} of {family.replace('_', '-')} noise, the noise is "
                    f"{self.noise}: leave it out, or give --noise {family.replace('_', '-')}"
                )
        if self._in_file and (self.noise_omit is not None or self.noise_offset):
            raise UserError(
                f"noise = {self.noise} has weights of its own: put the band or offset into them"
            )

    def _parameters(self) -> dict[str, Any]:
        """Collect the arguments of :func:`check_family`."""
        given: dict[str, Any] = {
            parameter: getattr(self, name)
            for name, (parameter, _) in _FAMILY_OPTIONS.items()
            if name != "noise_bands" and getattr(self, name) is not None
        }
        if self.noise_bands is not None:
            given |= {"low": self.noise_bands[:2], "high": self.noise_bands[2:]}
        shared = {"basis": self.noise_basis, "omit": self.noise_omit, "offset": self.noise_offset}
        return given | shared

    def _weights(self) -> np.ndarray:
        from specjax.noise.noise_spectrum import check_weights

        weights = read_array(self.noise)
        if not np.issubdtype(weights.dtype, np.floating):
            raise UserError(f"{self.noise} holds {weights.dtype}: give weights as floats")
        if not self.noise_as_is:
            check_weights(weights)
            weights = weights / np.sqrt(np.mean(weights**2))
        return np.asarray(weights, np.float64)
