"""How sure a number made of a spectrum is: replicates of its eigenvalues.

The numbers that are advised are smooth functions of the spectrum, and few of its directions matter
alone. So eigenvectors stay as they are (first order), variances along them are resampled, and
directions are grouped; at most some thousand samples are looked at, and as deviations shrink with
the root of their number, those are scaled to the number that the spectrum is made of.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from specjax.data.dataset import Dataset
from specjax.data.in_memory import drawn
from specjax.spectra.basis import DenseBasis, FourierBasis, ReflectedBasis
from specjax.spectra.power_law import ranked
from specjax.spectra.spectrum import Spectrum

_MOST_SAMPLES, _MOST_NUMBERS = 1024, 2**24
_GROUPS = 64


class Replicates(NamedTuple):
    """Spectra as they might have come out of other samples, in groups of neighbours.

    Attributes:
      eigenvalues: [1 + B, G], the average of each group; the first row is that of the spectrum.
      weights: [G], how many directions a group has.
    """

    eigenvalues: np.ndarray
    weights: np.ndarray


def replicates_of(spectrum: Spectrum, dataset: Dataset, count: int, seed: int) -> Replicates | None:
    """Resample a spectrum; None where it has no basis or no variance."""
    samples = int((spectrum.source or {}).get("samples", 0))
    basis = spectrum.basis
    if not isinstance(basis, DenseBasis | FourierBasis | ReflectedBasis) or samples < 3:
        return None
    order, _, weights = ranked(spectrum)
    lam = np.asarray(spectrum.eigenvalues, np.float64)[order]
    group = _groups(weights)
    few = drawn(dataset, min(_MOST_SAMPLES, max(8, _MOST_NUMBERS // spectrum.dimension)), seed=seed)
    rng = np.random.default_rng(seed)
    draws = rng.poisson(1.0, (count, len(few.samples))).astype(np.float64)
    counts = draws.sum(1, keepdims=True).clip(1)
    coefficients = np.asarray(spectrum.project(few.samples.astype(np.float64)))[:, order]
    coefficients -= coefficients.mean(0)
    share = weights * lam  # a group's ratio is that of its variances
    squares = np.add.reduceat(coefficients**2 / lam * share, group, axis=1)
    squares /= np.add.reduceat(share, group)
    centre = squares.mean(0)
    relative = (draws @ squares / counts) / np.where(centre > 0, centre, 1) - 1
    ratio = np.exp(relative * np.sqrt(len(few.samples) / samples))
    base = np.add.reduceat(share, group) / np.add.reduceat(weights, group)
    every = np.concatenate([base[None], base * ratio])
    return Replicates(every, np.add.reduceat(weights, group))


def _groups(weights: np.ndarray) -> np.ndarray:
    """Return where groups begin: the first directions by themselves, then evenly in log rank."""
    last = np.cumsum(weights)
    edges = np.geomspace(1, last[-1] + 1, _GROUPS + 1)[:-1]
    return np.unique(np.searchsorted(last, edges, side="left").clip(0, len(weights) - 1))
