"""Shift-invariant spectra, whose eigenvalues belong to frequencies, and their weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import specjax as sx
from experiments.bands import bands_of
from experiments.data import open_dataset


def stationary(name: str, limit: int | None) -> sx.Spectrum:
    """Estimate the shift-invariant spectrum without its mean: only variances are compared.

    Raises:
      AbsentError: if the dataset is not on this machine.
    """
    found = open_dataset(name, limit=limit).spectrum(method="shift-invariant")
    return replace(found, mean=np.zeros(found.dimension), mean_weights=None)


def weighted(spectrum: sx.Spectrum, p: float | None) -> sx.Spectrum:
    """Weigh by ``lambda^-p``; with None by ``1 / (lambda n)``, n eigenvalues being in a band."""
    lam = np.asarray(spectrum.eigenvalues)
    bands = bands_of(spectrum)
    weights = lam**-p if p is not None else 1 / (lam * bands.sizes[bands.members])
    return replace(spectrum, weights=weights, mean_weights=None)
