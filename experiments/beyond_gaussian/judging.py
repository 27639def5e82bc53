"""Schedules and plans of S steps, and what they are worth on a prior."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import specjax as sx
from experiments.beyond_gaussian.config import ENDS, HEURISTICS, Config
from experiments.beyond_gaussian.subjects import Case
from specjax.evaluate.energy_mmd import energy_distance
from specjax.evaluate.frechet import frechet, frechet_of_moments
from specjax.learning.teacher import fine_plan

_NOISE, _DRAWS = 30_000, 40_000  # the first of the seeds of noise, and of draws


@dataclass(frozen=True)
class Made:
    """A plan, and what is to be said of how it was found: whether a fit converged."""

    plan: sx.SamplerPlan
    facts: dict[str, Any] = field(default_factory=dict)


def schedules_of(spectrum: sx.Spectrum, sampler: str, steps: int) -> dict[str, Made]:
    """Heuristics pinned to the same ends, and those that are made from the spectrum."""
    found = {name: sx.family(name, steps, alpha_bar_range=ENDS) for name in HEURISTICS}
    for words, loss in (("spectral W2", "w2"), ("spectral KL", "kl")):
        found[words] = sx.spectral(spectrum, steps, loss=loss, alpha_bar_range=ENDS)
    best = sx.fit(spectrum, steps, sampler=sampler, alpha_bar_range=ENDS)
    made = {words: Made(sx.plan(sampler, schedule)) for words, schedule in found.items()}
    facts = {"converged": bool(best.converged)}
    return {**made, "learned W2": Made(sx.plan(sampler, best.schedule), facts)}


def learned(path: Path, prior: Any, steps: int, config: Config) -> sx.PlanResult:
    """The plan that is kept at a path, or a new one."""
    if not path.exists():
        result = sx.learn(
            prior, steps, n=config.noises, max_iterations=config.iterations,
            teacher_tolerance=config.tolerance, alpha_bar_range=ENDS,
        )  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        sx.save(path, result)
    found = sx.load(path)
    assert isinstance(found, sx.PlanResult)
    return found


class Judge:
    """Measures plans on a case from the noise of a seed; the fine solution is found once."""

    def __init__(self, case: Case, seed: int, config: Config):
        self.case, self.seed, self.config = case, seed, config
        self.real = case.draw(config.pairs, np.random.default_rng(_DRAWS + seed))
        self.fine = self.made(fine_plan(case.prior, config.fine, ENDS))

    def made(self, plan: sx.SamplerPlan) -> np.ndarray:
        """Samples [n, d] in float64."""
        n, prior = self.config.n, self.case.prior
        found = sx.generate(plan, prior, n, prior.shape, seed=_NOISE + self.seed, batch=n)
        return found.reshape(n, -1).astype(np.float64)

    def __call__(self, plan: sx.SamplerPlan) -> dict[str, float | None]:
        """The mean squared distance to the fine solution (None with noise), and distances to data.

        "squared" is summed over a sample. "to_fine": Fréchet, squared, to the fine solutions;
        "frechet": to the moments of the data; "energy": to draws.
        """
        return self.of(self.made(plan), plan.stochastic)

    def of(self, samples: np.ndarray, stochastic: bool = False) -> dict[str, float | None]:
        """The same of samples [n, d]; None where they are not finite."""
        names = ("squared", "to_fine", "frechet", "energy")
        if not np.isfinite(samples).all():
            return dict.fromkeys(names)
        squared = None if stochastic else float(((samples - self.fine) ** 2).sum(1).mean())
        mean, covariance = samples.mean(0), np.cov(samples.T)
        own = frechet_of_moments(mean, covariance, self.case.mean, self.case.covariance)
        energy = energy_distance(samples[: self.config.pairs], self.real)
        found = (squared, frechet(samples, self.fine), own, energy)
        pairs = zip(names, found, strict=True)
        return {name: None if x is None else float(f"{x:.5g}") for name, x in pairs}
