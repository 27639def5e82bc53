"""The plans of a step count that nobody has to learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from specjax.compare import heuristics as schedules_of
from specjax.compare import pinned_families
from specjax.corrections import LEARNABLE, Corrections, corrected_plan, corrections_of
from specjax.priors.contract import Prior
from specjax.samplers import intervals, plan_of_levels
from specjax.schedule import NoiseSchedule
from specjax.steps import SamplerPlan


class Heuristic(NamedTuple):
    """A sampler along a schedule of some family."""

    sampler: str
    options: Mapping[str, Any]
    schedule: NoiseSchedule

    def corrections(self, process: str) -> Corrections | None:
        """What the sampler does along its levels; None where that is of another form."""
        if self.sampler not in LEARNABLE:
            return None
        t = intervals(np.asarray(self.schedule.logsnr), process, 0)
        return corrections_of(self.sampler, t, **dict(self.options))

    def plan(self, process: str, memory: int) -> SamplerPlan:
        """The plan; with registers for so many past estimates, so that plans share a program."""
        by, logsnr = self.corrections(process), np.asarray(self.schedule.logsnr)
        if by is None:
            return plan_of_levels(self.sampler, logsnr, process, dict(self.options))
        return corrected_plan(logsnr, by.remembering(max(memory, by.memory)), process)


def heuristics(
    prior: Prior, steps: int, samplers: tuple[str, ...], options: Mapping[str, Any],
    ends: tuple[float, float],
) -> dict[str, Heuristic]:  # fmt: skip
    """Every sampler along every family in S steps, and along the closed form of the spectrum."""
    known = prior.spectrum
    makers = pinned_families(ends) if known is None else schedules_of(known, "w2", ends)
    return {
        f"{sampler} {name}": Heuristic(sampler, options, make(steps))
        for sampler in samplers
        for name, make in makers.items()
    }
