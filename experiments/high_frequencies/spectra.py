"""Shift-invariant spectra, whose eigenvalues belong to frequencies, and their bands."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

import specjax as sx
from experiments.data import open_dataset
from specjax.evaluate.bands import BANDS, _rings
from specjax.spectra.basis import FourierBasis


@dataclass(frozen=True)
class Bands:
    """Which band each eigenvalue is of [d], and the frequency of each band, the constant first."""

    members: np.ndarray
    frequency: np.ndarray

    def mean(self, x: np.ndarray) -> np.ndarray:
        """Average numbers [d] over each band."""
        return np.bincount(self.members, x) / self.sizes

    @property
    def sizes(self) -> np.ndarray:
        """The number of eigenvalues of each band."""
        return np.bincount(self.members)

    def decibel(self, variance: np.ndarray, eigenvalues: np.ndarray) -> np.ndarray:
        """Give the power [bands] over that of the data, as :func:`band_power` does."""
        least = np.finfo(np.float64).tiny
        return 10 * np.log10(np.maximum(self.mean(variance), least) / self.mean(eigenvalues))


def stationary(name: str, limit: int | None) -> sx.Spectrum:
    """Estimate the shift-invariant spectrum without its mean: only variances are compared.

    Raises:
      AbsentError: if the dataset is not on this machine.
    """
    found = open_dataset(name, limit=limit).spectrum(method="shift-invariant")
    return replace(found, mean=np.zeros(found.dimension), mean_weights=None)


def bands_of(spectrum: sx.Spectrum) -> Bands:
    """Give the rings of equal frequency; all channels of a frequency are in its band."""
    assert isinstance(spectrum.basis, FourierBasis)
    members, frequency = _rings(spectrum.basis.grid, BANDS)
    return Bands(np.repeat(members, spectrum.dimension // len(members)), frequency)


def weighted(spectrum: sx.Spectrum, p: float | None) -> sx.Spectrum:
    """Weigh by ``lambda^-p``; with None by ``1 / (lambda n)``, n eigenvalues being in a band."""
    lam = np.asarray(spectrum.eigenvalues)
    bands = bands_of(spectrum)
    weights = lam**-p if p is not None else 1 / (lam * bands.sizes[bands.members])
    return replace(spectrum, weights=weights, mean_weights=None)
