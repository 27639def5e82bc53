"""What plans are worth, on noise and data that none of them has seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import specjax as sx
from experiments.learned_plans.config import ENDS
from specjax.evaluate.frechet import frechet, frechet_of_moments
from specjax.learning.parameters import DETERMINISTIC
from specjax.learning.heuristics import heuristics
from specjax.learning.teacher import fine_plan

FINE = "fine solution"
_NOISE = 10_000  # the first of the seeds of the noise that judges


def heuristic_plans(prior: Any, steps: int) -> dict[str, sx.SamplerPlan]:
    """DDIM and DPM-Solver++(2M) along every family, pinned to the same ends, and "spectral"."""
    known = heuristics(prior, steps, DETERMINISTIC, {}, ENDS, "w2")
    return {name: one.plan("vp", 1) for name, one in known.items()}


def judge(
    plans: Mapping[str, sx.SamplerPlan],
    prior: Any,
    distances: Callable[[np.ndarray], dict[str, float]],
    *,
    n: int,
    seed: int,
    fine: int,
    batch: int | None = None,
) -> dict[str, dict[str, float]]:
    """Each plan's distances, from the same noise.

    Args:
      prior: the denoiser that judges. distances: of samples [n, ...] to the data. fine: steps of
        the fine solution, DPM-Solver++(2M) along the spectral schedule.

    Returns:
      For each plan ``distances``, "to_fine" (Fréchet distance, squared, to the fine solutions) and
      "squared" (the mean squared distance to the fine solution from the same noise).
    """

    def made(plan: sx.SamplerPlan) -> np.ndarray:
        return sx.generate(plan, prior, n, prior.shape, seed=_NOISE + seed, batch=batch)

    solved = made(fine_plan(prior, fine, ENDS))
    found = {FINE: {**distances(solved), "to_fine": 0.0, "squared": 0.0}}
    for name, plan in plans.items():
        samples = made(plan)
        squared = float(((samples - solved) ** 2).sum() / n)
        own = {"to_fine": frechet(samples, solved), "squared": squared}
        found[name] = {**distances(samples), **own}
    return found


def of_half(prior: sx.priors.Empirical) -> Callable[[np.ndarray], dict[str, float]]:
    """Distances to a prior's own half: to its samples, and to what it stands for.

    What an exact denoiser with a kernel of width h generates at best is each sample and noise of
    variance h^2, not the samples: where h is large, plans that lose variance look good beside
    the samples alone.
    """
    data = np.asarray(prior.samples, np.float64).reshape(len(prior.offsets), -1)
    mean, covariance = data.mean(0), np.cov(data.T, bias=True)
    widened = covariance + float(prior.kernel_width) ** 2 * np.eye(len(mean))

    def found(samples: np.ndarray) -> dict[str, float]:
        flat = np.asarray(samples, np.float64).reshape(len(samples), -1)
        own = frechet_of_moments(flat.mean(0), np.cov(flat.T), mean, widened)
        return {"frechet": frechet(samples, data.reshape(-1, *prior.shape)), "own": own}

    return found


def of_data(data: np.ndarray) -> Callable[[np.ndarray], dict[str, float]]:
    """The distance to a set of samples."""
    return lambda samples: {"frechet": frechet(samples, data)}
