"""Shift-invariant spectra, whose eigenvalues belong to frequencies, and their bands."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import specjax as sx
from specjax.evaluate.power_spectrum import BANDS, frequency_bands
from specjax.spectra.basis import FourierBasis

_BESIDE = Path(__file__).resolve().parents[2] / "../shared/data"


class AbsentError(ValueError):
    """Data that this machine does not have."""


@dataclass(frozen=True)
class Bands:
    """Which band each eigenvalue is of [d], and the frequency of each band, the constant first."""

    members: np.ndarray
    frequency: np.ndarray

    def mean(self, x: np.ndarray) -> np.ndarray:
        """The means [bands] of numbers [d]."""
        return np.bincount(self.members, x) / self.sizes

    @property
    def sizes(self) -> np.ndarray:
        """Eigenvalues of each band."""
        return np.bincount(self.members)

    def decibel(self, variance: np.ndarray, eigenvalues: np.ndarray) -> np.ndarray:
        """The power [bands] over that of the data, as :func:`band_power` has it."""
        least = np.finfo(np.float64).tiny
        return 10 * np.log10(np.maximum(self.mean(variance), least) / self.mean(eigenvalues))


def opened(name: str, limit: int | None) -> sx.data.Dataset:
    """A dataset; TFDS sets from SPECJAX_DATA, or shared/data beside the checkout.

    Raises:
      AbsentError: where a set is not there.
    """
    if not name.startswith("tfds:"):
        return sx.data.open(name, limit=limit)
    root = Path(os.environ.get("SPECJAX_DATA", _BESIDE)) / "tfds"
    if not (root / name.removeprefix("tfds:")).is_dir():
        raise AbsentError(f"no {name} in {root}: set SPECJAX_DATA to the folder of the datasets")
    return sx.data.open(name, data_dir=root, limit=limit)


def stationary(name: str, limit: int | None) -> sx.Spectrum:
    """The shift-invariant spectrum without its mean: only variances are compared."""
    found = opened(name, limit).spectrum(method="shift-invariant")
    return replace(found, mean=np.zeros(found.dimension), mean_weights=None)


def bands_of(spectrum: sx.Spectrum) -> Bands:
    """Rings of the radius of the frequency; all channels of a frequency are in its band."""
    assert isinstance(spectrum.basis, FourierBasis)
    members, frequency = frequency_bands(spectrum.basis.grid, BANDS)
    return Bands(np.repeat(members, spectrum.dimension // len(members)), frequency)


def weighted(spectrum: sx.Spectrum, p: float | None) -> sx.Spectrum:
    """With weights ``lambda^-p``; with None ``1 / (lambda n)``, n eigenvalues being in a band."""
    lam = np.asarray(spectrum.eigenvalues)
    bands = bands_of(spectrum)
    weights = lam**-p if p is not None else 1 / (lam * bands.sizes[bands.members])
    return replace(spectrum, weights=weights, mean_weights=None)
