"""The plans of a step count that nobody has to learn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from specjax.fitting.compare import errors_of, pinned_families
from specjax.fitting.compare import heuristics as schedules_of
from specjax.fitting.learned import PlanResult
from specjax.gaussian.losses import LOSSES, weighted
from specjax.priors.prior import Prior
from specjax.sampling.corrections import LEARNABLE, Corrections, corrected_plan, corrections_of
from specjax.sampling.samplers import intervals, plan_of_levels
from specjax.sampling.step import SamplerPlan
from specjax.schedules.schedule import NoiseSchedule, alpha_bar_range_of

AMPLIFIED = 4.0
"""From here on a network may not follow a plan, see :func:`amplification`."""


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
    ends: tuple[float, float], loss: str,
) -> dict[str, Heuristic]:  # fmt: skip
    """Every sampler along every family in S steps, and along the closed form for the loss."""
    known = prior.spectrum
    makers = pinned_families(ends) if known is None else schedules_of(known, loss, ends)
    return {
        f"{sampler} {name}": Heuristic(sampler, options, make(steps))
        for sampler in samplers
        for name, make in makers.items()
    }


def closed_form_for(objective: Mapping[str, float], loss: str) -> str:
    """The loss whose closed form is a heuristic: that of the transfer, W2 where there is none."""
    return loss if "transfer" in objective else "w2"


def rivals(result: PlanResult, prior: Prior) -> dict[str, Heuristic]:
    """The heuristic plans that a learned one was compared with, the best on its prior first."""
    names = sorted(result.baselines, key=result.baselines.__getitem__)
    samplers = tuple(dict.fromkeys(name.split()[0] for name in names))
    ends = alpha_bar_range_of(result.schedule)
    options, loss = result.sampler_options, closed_form_for(result.objective, result.loss)
    known = heuristics(prior, result.steps, samplers, options, ends, loss)
    return {name: known[name] for name in names}


def amplification(result: PlanResult, prior: Prior) -> float:
    """What a learned plan makes of a denoiser's errors, over the least of the heuristic plans.

    As :attr:`specjax.fitting.compare.Comparison.amplification` is of schedules, in units of the
    data: of the variance that independent errors of the posterior's variance add up to.

    Args:
      result: of :func:`learn`. prior: what it was learned on.

    Returns:
      The ratio; NaN where the prior has no spectrum.
    """
    if prior.spectrum is None:
        return math.nan
    spectrum = weighted(prior.spectrum, LOSSES["w2"])
    others = rivals(result, prior).values()
    least = min(errors_of(one.plan(result.process, 0), spectrum) for one in others)
    return errors_of(result.plan, spectrum) / least
