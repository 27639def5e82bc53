"""Schedules on a network: how near their samples come to its fine solutions from the same noise.

A loss is of Gaussian data and an ideal denoiser. Where the network is there, it can be asked.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax._core.shown import Results
from specjax.fitting.compare import Comparison
from specjax.learning.answers import Answers
from specjax.learning.prior_from import prior_from
from specjax.learning.teacher import MOST, fine_plan, solutions
from specjax.learning.terms import Distances
from specjax.learning.trajectories import Noises, end_of
from specjax.noise.noise_spectrum import check_noise, colored
from specjax.priors.prior import as_denoiser, prior_noise
from specjax.schedules.schedule import NoiseSchedule

_FINE = [2**k for k in range(2, MOST.bit_length())]


class ScheduleDistance(NamedTuple):
    """Distances to the fine solutions that a network reaches along a schedule.

    Attributes:
      name: of the schedule, "learned" for the fit.
      schedule: S + 1 levels.
      squared: [n], the squared distances of samples to the fine solutions from the same noise,
        summed over a sample.
    """

    name: str
    schedule: NoiseSchedule
    squared: np.ndarray

    @property
    def mean(self) -> float:
        """The mean of the squared distances."""
        return float(self.squared.mean())

    @property
    def geometric_mean(self) -> float:
        """The geometric mean of the squared distances: what ``learn`` minimises by default."""
        with np.errstate(divide="ignore"):
            return float(np.exp(np.log(self.squared).mean()))

    def over(self, other: ScheduleDistance) -> tuple[float, float]:
        """Return the logarithm of the ratio of geometric means, and its standard error.

        Args:
          other: from the same noises, which is what makes the error small.
        """
        ratio = np.log(self.squared) - np.log(other.squared)
        return float(ratio.mean()), float(ratio.std(ddof=1) / math.sqrt(len(ratio)))


def compare_on(
    comparison: Comparison, denoiser: Any, *, n: int = 64, fine: int = 128, seed: int = 0,
    batch: int | None = None,
) -> Results[ScheduleDistance]:  # fmt: skip
    """Run the schedules of a comparison through a network, all from the same noise.

    It takes ``n (fine + S)`` answers, and ``n S`` more for each other schedule.

    Args:
      comparison: of :func:`specjax.compare`: a fit beside the families, with its sampler.
      denoiser: what :func:`specjax.learn` takes: a prior, a run, a :class:`specjax.BlackBox`.
      n: noises.
      fine: steps of the fine solutions, a power of 2 up to 512.
      seed: of the noises.
      batch: samples in one call; by default what suits the device.

    Returns:
      The schedules by rising geometric mean of the squared distances; those whose samples are not
      finite are last.

    Raises:
      UserError: for a sampler with noise, a denoiser of samples of another size than the data's or
        under another noise, and one whose answers are not finite.

    Example:
      >>> data = sx.data.open("digits")
      >>> table = sx.compare(data.spectrum(), 5, sampler="dpmpp_2m")
      >>> found = compare_on(table, sx.priors.prior_of("empirical", data), n=16, fine=32)
      >>> len(found) == len(table.rows)
      True
    """
    task = comparison.task
    n = checks.whole_number("n", n, 2)
    if fine not in _FINE:
        raise UserError(f"fine = {fine!r}: give a power of 2, from {_FINE[0]} to {_FINE[-1]}")
    prior = prior_from(denoiser, task.noise)
    check_noise(task.noise, prior_noise(prior), what="the comparison", where="the network")
    _check_size(comparison, prior.shape)
    plans = {row.name: task.plan(row.schedule) for row in comparison.rows}
    if plans["learned"].stochastic:
        raise UserError(
            f"sampler {task.sampler!r} draws noise in each step, so its samples belong to no fine "
            "solution: compare by samples (specjax evaluate), or take a sampler without noise"
        )
    rng = np.random.default_rng(checks.seed(seed))
    white: Any = rng.standard_normal((n, *prior.shape), np.float32)
    conditions = getattr(prior, "conditions", None)
    noises = Noises(np.asarray(colored(prior_noise(prior), white)), conditions)
    answers = Answers(as_denoiser(prior), network=prior.kind == "network", batch=batch)
    target = solutions(fine_plan(prior, fine, task.levels, task.process), answers, noises)
    found: Results[ScheduleDistance] = Results()
    for row in comparison.rows:
        with np.errstate(over="ignore", invalid="ignore"):
            samples = end_of(plans[row.name], answers, noises)
            squared = np.asarray(Distances.between(samples, target, 0.0).squared)
        found.append(ScheduleDistance(row.name, row.schedule, squared))
    found.sort(key=lambda one: np.nan_to_num(one.geometric_mean, nan=math.inf))
    return found


def _check_size(comparison: Comparison, shape: tuple[int, ...]) -> None:
    """Refuse a network of samples of another size than those of the data."""
    task = comparison.task
    if task.spectrum is None:
        return
    known = task.source.get("shape") or (task.noise and task.noise.shape)
    size = math.prod(known) if known else task.source.get("dimension", task.spectrum.dimension)
    if size != math.prod(shape):
        raise UserError(
            f"denoiser of samples of shape {tuple(shape)}: those of the data have {size:,} numbers"
        )
