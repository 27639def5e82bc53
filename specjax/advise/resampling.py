"""How sure a number made of a spectrum is: replicates of its eigenvalues.

The numbers that are advised are smooth functions of the spectrum, and few of its directions matter
alone. So eigenvectors stay as they are (first order), variances along them are resampled, and
directions are grouped; at most some thousand samples are looked at, and as deviations shrink with
the root of their number, those are scaled to the number that the spectrum is made of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from specjax.data.dataset import Dataset
from specjax.data.in_memory import drawn
from specjax.gaussian.losses import by_direction
from specjax.gaussian.modes import Modes
from specjax.gaussian.task import GaussianTask
from specjax.gaussian.transfer import transfer
from specjax.schedules.schedule import NoiseSchedule
from specjax.spectra.basis import DenseBasis, FourierBasis, ReflectedBasis
from specjax.spectra.power_law import ranked
from specjax.spectra.spectrum import Spectrum

_MOST_SAMPLES, _MOST_NUMBERS = 1024, 2**24
_GROUPS = 64
_STEP = 0.02  # of a logarithm, between two losses that give a derivative


class Replicates(NamedTuple):
    """Spectra as they might have come out of other samples, in groups of neighbours.

    Attributes:
      eigenvalues: [1 + B, G], the average of each group; the first row is that of the spectrum.
      weights: [G], how many directions a group has.
      mean_power: [G], the squared mean of its directions.
    """

    eigenvalues: np.ndarray
    weights: np.ndarray
    mean_power: np.ndarray

    def spread(self, numbers: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
        """Return the standard error [n] of numbers that eigenvalues and their counts decide."""
        return np.std([numbers(one, self.weights) for one in self.eigenvalues[1:]], axis=0)

    def errors(
        self, task: GaussianTask, make: Callable[[float], NoiseSchedule], best: float
    ) -> float:
        """Return the standard error of a parameter that was found by minimising a loss.

        By Newton's step from the best parameter, for each replicate: the derivative of its loss
        over the second one of the spectrum's own.

        Args:
          task: whose loss it is.
          make: the levels of a parameter.
          best: the parameter.
        """
        before, here, after = (self.losses(task, make(best + x)) for x in (-_STEP, 0.0, _STEP))
        curvature = (after[0] - 2 * here[0] + before[0]) / _STEP**2
        if not curvature > 0:
            return float("nan")
        return float(np.std((after - before)[1:] / (2 * _STEP))) / float(curvature)

    def shares(self, task: GaussianTask, schedule: NoiseSchedule) -> np.ndarray:
        """Return the losses [1 + B] as shares of the variance, or by direction, as each is."""
        scale = self.eigenvalues if task.loss.in_data_units else np.ones_like(self.eigenvalues)
        return self.losses(task, schedule) / (scale @ self.weights)

    def losses(self, task: GaussianTask, schedule: NoiseSchedule) -> np.ndarray:
        """Return the loss [1 + B] of levels on every replicate, in one transfer.

        Args:
          task: whose loss it is. One that ignores the mean has none in its modes.
          schedule: the levels.
        """
        rows, groups = self.eigenvalues.shape
        weights = np.tile(self.weights, rows)
        mean = np.sqrt(np.tile(self.mean_power / self.weights, rows))
        mean *= bool(np.any(np.asarray(task.modes.mean)))
        modes = Modes(self.eigenvalues.ravel(), mean, weights, weights)
        moments = transfer(task.plan(schedule), modes)
        return np.asarray(by_direction(task.loss, moments, modes)).reshape(rows, groups).sum(1)


def replicates_of(spectrum: Spectrum, dataset: Dataset, count: int, seed: int) -> Replicates | None:
    """Resample a spectrum; None where it has no basis or no variance."""
    samples = int((spectrum.source or {}).get("samples", 0))
    basis = spectrum.basis
    if not isinstance(basis, DenseBasis | FourierBasis | ReflectedBasis) or samples < 3:
        return None
    order, _, weights = ranked(spectrum)
    lam = np.asarray(spectrum.eigenvalues, np.float64)[order]
    group = _groups(weights)
    power = np.asarray(spectrum.mean_power, np.float64)[order]
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
    return Replicates(every, np.add.reduceat(weights, group), np.add.reduceat(power, group))


def _groups(weights: np.ndarray) -> np.ndarray:
    """Return where groups begin: the first directions by themselves, then evenly in log rank."""
    last = np.cumsum(weights)
    edges = np.geomspace(1, last[-1] + 1, _GROUPS + 1)[:-1]
    return np.unique(np.searchsorted(last, edges, side="left").clip(0, len(weights) - 1))
