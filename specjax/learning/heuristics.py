"""The plans of a step count that nobody has to learn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from specjax.fitting.compare import accumulated_error, pinned_families
from specjax.fitting.compare import heuristics as schedules_of
from specjax.fitting.learned import LearnedResult
from specjax.gaussian.losses import Loss
from specjax.gaussian.modes import modes_of
from specjax.gaussian.task import GaussianTask
from specjax.learning.non_uniform import non_uniform
from specjax.priors.prior import Prior
from specjax.sampling.corrections import LEARNABLE, Corrections, corrected_plan, corrections_of
from specjax.sampling.samplers import sampler_of
from specjax.sampling.scaled import SamplerLike, level_steps, plan_of_levels
from specjax.sampling.step import SamplerPlan, from_data
from specjax.schedules.level_range import LevelRange
from specjax.schedules.schedule import NoiseSchedule, alpha_bar_range_of

AMPLIFIED = 4.0
"""From here on a network may not follow a plan, see :func:`amplification`."""


MOST_NON_UNIFORM = 12
"""Steps; the search for more takes seconds."""


class Heuristic(NamedTuple):
    """A sampler along a schedule of some family."""

    sampler: SamplerLike
    schedule: NoiseSchedule
    from_data: bool = False

    def corrections(self, process: str) -> Corrections | None:
        """Return what the sampler does along its levels; None where that is of another form."""
        if self.sampler.name not in LEARNABLE:
            return None
        return corrections_of(self.sampler, level_steps(np.asarray(self.schedule.logsnr), process))

    def plan(self, process: str, memory: int) -> SamplerPlan:
        """Compute the plan; with registers for so many estimates, so that plans share a program."""
        by, logsnr = self.corrections(process), np.asarray(self.schedule.logsnr)
        if by is None:
            plan = plan_of_levels(self.sampler, logsnr, process)
        else:
            plan = corrected_plan(logsnr, by.remembering(max(memory, by.memory)), process)
        return from_data(plan) if self.from_data else plan


def heuristics(
    prior: Prior, steps: int, samplers: Sequence[SamplerLike], levels: LevelRange,
    loss: str | Loss,
) -> dict[str, Heuristic]:  # fmt: skip
    """Return every sampler in S steps along every family, and along the closed form for a loss.

    Through a network, in few steps, they go along DM-NonUniform's levels, too.
    """
    makers = schedule_makers(prior, levels, loss)
    if prior.kind == "network" and steps <= MOST_NON_UNIFORM and not levels.starts_pure:
        makers["non_uniform"] = lambda s: levels.clip(non_uniform(s, levels.alpha_bar_range))
    return {
        f"{sampler.name} {name}": Heuristic(sampler, levels.passing(make(steps)), levels.from_data)
        for sampler in samplers
        for name, make in makers.items()
    }


def schedule_makers(
    prior: Prior, levels: LevelRange, loss: str | Loss
) -> dict[str, Callable[[int], NoiseSchedule]]:
    """Return what makes a schedule of S steps: every family, and the closed form for a loss."""
    if prior.spectrum is None:
        return pinned_families(levels)
    return schedules_of(
        GaussianTask.resolve(
            prior.spectrum, loss=loss, alpha_bar_range=levels.alpha_bar_range, grid=levels.grid
        )
    )


def closed_form_for(objective: Mapping[str, float], loss: str | Loss) -> str | Loss:
    """Return the loss whose closed form is a heuristic: that of the transfer, else W2."""
    return loss if "transfer" in objective else "w2"


def rivals(result: LearnedResult, prior: Prior) -> dict[str, Heuristic]:
    """Return the heuristic plans that a learned one was compared with, the best first.

    All calls of theirs are guided, where a plan's are; they have as many calls of the network.
    """
    names = sorted(result.baselines, key=result.baselines.__getitem__)
    samplers = [
        result.method if name == result.sampler else sampler_of(name)
        for name in dict.fromkeys(name.split()[0] for name in names)
    ]
    loss = closed_form_for(result.objective, result.loss)
    steps = result.steps if result.guidance is None else result.plan.network_calls // 2
    known = heuristics(prior, steps, samplers, levels_of(result), loss)
    return {name: known[name] for name in names}


def levels_of(result: LearnedResult) -> LevelRange:
    """Return the range in which the levels of a learned plan, and of its rivals, lie."""
    ends = alpha_bar_range_of(result.schedule)
    return LevelRange(ends, result.grid, result.from_data, result.through)


def amplification(result: LearnedResult, prior: Prior) -> float:
    """Compute what a learned plan makes of a denoiser's errors, over the least of the heuristics.

    As :attr:`specjax.fitting.compare.Comparison.amplification` is of schedules, in units of the
    data: of the variance that independent errors of the posterior's variance add up to.

    Args:
      result: of :func:`learn`. prior: what it was learned on.

    Returns:
      The ratio; NaN where the prior has no spectrum, and for a plan with weights of guidance.
    """
    if prior.spectrum is None or result.guidance is not None:
        return math.nan
    modes = modes_of(prior.spectrum, in_data_units=True)
    others = rivals(result, prior).values()
    least = min(accumulated_error(one.plan(result.process, 0), modes) for one in others)
    return accumulated_error(result.plan, modes) / least
