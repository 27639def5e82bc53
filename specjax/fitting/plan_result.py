"""What learning a plan returns, and what a plan file holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.sampling.corrections import LEARNABLE, Corrections, corrected_plan, corrections_of
from specjax.sampling.samplers import intervals
from specjax.sampling.samplers import plan as plan_of_sampler
from specjax.sampling.step import SamplerPlan
from specjax.schedules.schedule import NoiseSchedule, check_process


@dataclass(frozen=True, eq=False)
class PlanResult:
    """A learned plan with everything needed to use, judge and repeat it.

    Values are of the objective: what was minimised, a weighted sum of logarithms (see
    :func:`learn`), on noise (and data) that were not used in learning.

    Attributes:
      schedule: S + 1 levels, noisy to clean.
      corrections: what is done with the answers; None where only levels were learned, and the
        sampler's own rows are used.
      sampler, sampler_options: whose plan it was in the beginning. process: "vp" or "ve".
      groups: what was learned, of "levels", "ratios", "weights", "noise".
      prior: the rung, such as "gaussian", "empirical", "network".
      objective: the weight of each term. loss: a name in LOSSES, of the term "transfer".
      value: of the plan, held out. train_value: on what it was learned on.
      terms: each term of ``value`` by itself, not its logarithm.
      baselines: held-out values of the heuristic plans of S calls, by name; the best of them is
        what the plan fell back to where ``kept`` is its name and not "learned".
      history: [n, 2], the values in learning and held out after some iterations each.
      source: where the prior comes from: name, data_range (so the units), fingerprint, ...
      noise: of the forward process: what starts a sample, and what is pushed, is of its spectrum;
        None is white.
      seed, seconds: of the learning (``seconds`` includes compilation).
    """

    schedule: NoiseSchedule
    corrections: Corrections | None
    sampler: str
    process: str
    groups: tuple[str, ...]
    prior: str
    objective: Mapping[str, float]
    value: float
    train_value: float
    kept: str
    history: np.ndarray
    loss: str = "w2"
    sampler_options: Mapping[str, Any] = field(default_factory=dict)
    terms: Mapping[str, float] = field(default_factory=dict)
    baselines: Mapping[str, float] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    noise: NoiseSpectrum | None = None
    seed: int = 0
    seconds: float = 0.0

    @property
    def steps(self) -> int:
        """S."""
        return self.schedule.steps

    @property
    def plan(self) -> SamplerPlan:
        """The plan in its own process."""
        return self.plan_in(self.process)

    def plan_in(self, process: str) -> SamplerPlan:
        """The plan in a process: the same samples, up to rounding, at other scales on the way.

        (Apart from the first level, where VP starts from unit noise and VE from noise of sigma.)
        """
        check_process(process)
        by, options = self.corrections, dict(self.sampler_options)
        if by is None and process != self.process and self.sampler in LEARNABLE:
            # DDPM's variance "beta" is the process's own: what is converted is the plan.
            t = intervals(np.asarray(self.schedule.logsnr), self.process, 0)
            by = corrections_of(self.sampler, t, **options)
        if by is None:
            return plan_of_sampler(self.sampler, self.schedule, process, **options)
        return corrected_plan(self.schedule.logsnr, by, process)
