"""What is compared in S steps: heuristics, schedules of the spectrum, and learned plans."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import specjax as sx
from experiments.learned_plans import plans as learned_plans
from experiments.learned_plans.config import CONFIG as LEARNED_PLANS
from experiments.learned_plans.plans import Rung
from experiments.trained_networks.config import ENDS, ROWS, SPECTRAL, Config
from experiments.trained_networks.subjects import Subject


def plan_name(rung: str) -> str:
    """The column of a rung's plan."""
    return f"plan: {rung}"


class Made:
    """The columns of a row; what is asked of the network for them is asked once."""

    def __init__(self, subject: Subject, config: Config, work: Path) -> None:
        self.subject, self.config, self.work = subject, config, work
        self.refused: dict[str, str] = {}  # rungs without a plan, and why

    @functools.cached_property
    def probed(self) -> sx.Spectrum:
        """The spectrum with the response of the network."""
        prior, data = self.subject.prior, self.subject.data
        count = self.config.probe
        return sx.probe(prior, data, self.subject.run.spectrum, n=count, seed=0).attach()

    def schedules(self, sampler: str, steps: int) -> Iterator[tuple[str, sx.NoiseSchedule]]:
        """Heuristics pinned to the same ends, and what is learned for the sampler."""
        for name in self.config.heuristics:
            yield name, sx.family(name, steps, alpha_bar_range=ENDS)
        for name, found in self.fits(sampler, steps).items():
            yield name, found.schedule

    @functools.lru_cache(maxsize=8)  # noqa: B019 - there is one for each row
    def fits(self, sampler: str, steps: int) -> dict[str, sx.FitResult]:
        """What is learned for a sampler on the spectrum and on the probed network."""
        spectrum = self.subject.run.spectrum
        floor = ROWS[self.subject.row].floor
        tasks = ((spectrum, "w2"), (spectrum.floor(floor), "kl"), (self.probed, "w2"))
        return {
            name: sx.fit(known, steps, sampler=sampler, loss=loss, alpha_bar_range=ENDS)
            for name, (known, loss) in zip(SPECTRAL, tasks, strict=True)
        }

    def unconverged(self, steps: int) -> list[str]:
        """The columns whose fit did not meet its tolerance."""
        return [
            f"{sampler} {name}"
            for sampler in self.config.samplers
            for name, found in self.fits(sampler, steps).items()
            if not found.converged
        ]

    @functools.lru_cache(maxsize=1)  # noqa: B019 - there is one for each row
    def sampled(self, steps: int) -> dict[str, sx.SamplerPlan]:
        """Every sampler along every schedule."""
        return {
            f"{sampler} {name}": sx.plan(sampler, schedule)
            for sampler in self.config.samplers
            for name, schedule in self.schedules(sampler, steps)
        }

    def learned(self, steps: int) -> Iterator[tuple[str, sx.PlanResult, dict[str, Any]]]:
        """Plans of so many denoiser calls, from the bottom of the ladder, and their facts."""
        found: list[sx.PlanResult] = []
        for name in self.config.rungs:
            if steps not in ROWS[self.subject.row].plans.get(name, ()):
                continue
            if plan_name(name) in self.refused:  # whatever the steps
                continue
            rung = Rung(self._prior(name), {"start": list(found)})
            path, settings = self._path(name, steps), self._settings
            try:
                result, facts = learned_plans.learn_one(path, name, rung, steps, 0, settings)
            except ValueError as error:
                if not str(error).startswith("the teacher has not converged"):
                    raise
                self.refused[plan_name(name)] = str(error)
                continue
            found.append(result)
            yield plan_name(name), result, facts

    @property
    def _settings(self) -> Any:
        noises, most = self.config.noises, self.config.iterations
        return replace(LEARNED_PLANS, noises=noises, iterations=most)

    def _path(self, name: str, steps: int) -> Path:
        """A plan through the digits' network is that of experiments/learned_plans, too."""
        row = self.subject.row
        if (row, name) == ("digits", "network") and self.config.updates is None:
            return learned_plans.plan_path(self.work.parent / "learned_plans", name, 0, steps, name)
        return learned_plans.plan_path(self.work, row, 0, steps, name)

    def _prior(self, name: str) -> Callable[[], Any]:
        if name == "network":
            return lambda: self.subject.prior
        if name == "probed":
            return lambda: self.probed
        return lambda: sx.priors.prior_of(name, self.subject.data, seed=0)
