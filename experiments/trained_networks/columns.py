"""What is compared in S steps: heuristics, schedules of the spectrum, and learned plans."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import specjax as sx
from experiments import methods
from experiments.learned_plans import plans
from experiments.learned_plans.run import Config as PlansConfig
from experiments.session import Session
from experiments.trained_networks.config import ROWS, SPECTRAL, plan_name
from experiments.trained_networks.network import TrainedNetwork


class Columns:
    """The columns of a row; what is asked of the network for them is asked once.

    Attributes:
      refused: the plans that could not be learned, and why.
    """

    def __init__(self, network: TrainedNetwork, session: Session) -> None:
        self.network, self.config, self.work = network, session.config, session.work
        self.refused: dict[str, str] = {}
        self.fits = functools.cache(self._fits)
        self.sampled = functools.lru_cache(maxsize=1)(self._sampled)

    @functools.cached_property
    def probe(self) -> sx.Probe:
        """The linear response of the network."""
        prior, data = self.network.prior, self.network.data
        count, spectrum = self.config.probe, self.network.run.spectrum
        return sx.probe(prior, data, spectrum, n=count, seed=0)

    def _fits(self, sampler: str, steps: int) -> dict[str, sx.FitResult]:
        """Learn schedules for a sampler on the spectrum and on the probed network."""
        spectrum = self.network.run.spectrum
        floor = ROWS[self.network.row].floor
        fits = (
            methods.fit(spectrum, steps, sampler),
            methods.fit(spectrum.floor(floor), steps, sampler, "kl"),
            methods.fit(spectrum, steps, sampler, denoiser=self.probe),
        )
        return dict(zip(SPECTRAL, fits, strict=True))

    def unconverged(self, steps: int) -> list[str]:
        """List the columns whose fit did not meet its tolerance."""
        return [
            f"{sampler} {name}"
            for sampler in self.config.samplers
            for name, found in self.fits(sampler, steps).items()
            if not found.converged
        ]

    def _sampled(self, steps: int) -> dict[str, sx.SamplerPlan]:
        """Make every sampler along every schedule: heuristics, and what is learned for it."""
        made = {}
        for sampler in self.config.samplers:
            schedules = {x: methods.heuristic(x, steps) for x in self.config.heuristics}
            schedules |= {x: found.schedule for x, found in self.fits(sampler, steps).items()}
            made |= {f"{sampler} {x}": sx.plan(sampler, y) for x, y in schedules.items()}
        return made

    def learned(self, steps: int) -> Iterator[tuple[str, sx.PlanResult, dict[str, Any]]]:
        """Give plans of so many calls, from the bottom of the ladder, and their facts."""
        found: list[sx.PlanResult] = []
        settings = replace(
            PlansConfig(), noises=self.config.noises, iterations=self.config.iterations
        )
        for rung in self.config.rungs:
            name = plan_name(rung)
            if steps not in ROWS[self.network.row].plans.get(rung, ()) or name in self.refused:
                continue
            start = plans.Rung(self._prior(rung), {"start": list(found)})
            path = self._path(rung, steps)
            try:
                result, facts = plans.learn_one(path, rung, start, steps, 0, settings)
            except ValueError as error:
                if not str(error).startswith("the teacher has not converged"):
                    raise
                self.refused[name] = str(error)
                continue
            found.append(result)
            yield name, result, facts

    def _path(self, rung: str, steps: int) -> Path:
        """Name a plan file; a plan through the digits' network is that of learned_plans, too."""
        row, work = self.network.row, self.work
        if (row, rung) == ("digits", "network") and self.config.updates is None:
            row, work = rung, work.parent / "learned_plans"
        return plans.plan_path(work, row, 0, steps, rung)

    def _prior(self, rung: str) -> Callable[[], Any]:
        if rung == "network":
            return lambda: self.network.prior
        if rung == "probed":
            return lambda: sx.priors.Gaussian(self.network.run.spectrum, response=self.probe)
        return lambda: sx.priors.prior_of(rung, self.network.data, seed=0)
