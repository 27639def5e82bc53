"""The result of learning, in memory and in files: levels, and maybe a sampler's corrections."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np

from specjax._core.checks import DEFAULT_ALPHA_BAR_RANGE
from specjax._core.shown import Shown
from specjax.gaussian.modes import Modes
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.sampling.corrections import LEARNABLE, Corrections, corrected_plan, corrections_of
from specjax.sampling.guidance import guided
from specjax.sampling.samplers import plan as plan_of_sampler
from specjax.sampling.samplers import sampler_of
from specjax.sampling.scaled import SamplerLike, level_steps
from specjax.sampling.step import SamplerPlan
from specjax.schedules.grids import TrainingGrid
from specjax.schedules.schedule import NoiseSchedule, check_process


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class LearnedResult(Shown):
    """Learned levels or a learned plan, with everything needed to use, judge and repeat it.

    :func:`fit` learns levels on the quadrature of a spectrum; :func:`learn` learns levels and
    corrections on any prior and judges them on noise (and data) that it did not learn from.

    Attributes:
      schedule: S + 1 levels, noisy to clean.
      corrections: the learned coefficients of each step; None where only levels were learned and
        the sampler's own coefficients are used.
      sampler: what was learned for, or started from.
      sampler_options: those of the sampler.
      process: "vp", "ve" or "flow".
      loss: a name in LOSSES. For a plan it is the loss of the objective's term "transfer".
      alpha_bar_range: the two ends (noisy, clean) that were asked for.
      grid: the training grid that the levels were kept within; None where they could be anywhere.
      value: the loss on the full spectrum; for a plan its objective on noise that
        neither learned nor chose.
      converged: whether the gradient of log(loss) vanished to the tolerance of the dtype.
      finite: whether the loss and all levels are finite.
      history: the loss on the nodes at each iteration, [iterations + 1]; for a plan [n, 2], the
        objective on the training and on the held-out noise.
      nodes: the quadrature of the spectrum that a fit ran on. With it the loss of any other
        schedule can be evaluated without the data. None for a plan.
      node_value: the loss on those nodes; its distance to ``value`` is the quadrature's error.
      baselines: values of the heuristics of S steps, by name.
      source: where the spectrum or prior comes from: name, data_range (so the units),
        fingerprint, ...
      noise: the noise of the forward process; None is isotropic.
      seed: of the random starts.
      seconds: the time of learning, with compilation.
      guidance: [S], the weights of a guided denoiser that were learned; None for its own.
      groups: what was learned, of "levels", "ratios", "weights", "noise", "guidance".
      prior: the kind of prior, such as "gaussian", "empirical", "network".
      objective: the weight of each term of what was minimised, a weighted sum of logarithms.
      train_value: the objective on the noise that was learned from.
      kept: "learned", or the name of the heuristic that was better on held-out noise; "given" for
        levels that were not learned.
      terms: each term of ``value`` by itself, without its logarithm; of squared
        distances to the teacher there are geometric and arithmetic mean, and the median.
      custom_sampler: the sampler itself where it is none of the package's; not kept in files.

    Example:
      >>> import specjax as sx
      >>> result = sx.fit(sx.Spectrum([4.0, 1.0]), steps=3)
      >>> result.steps, result.plan.calls
      (3, 3)
    """

    schedule: NoiseSchedule
    corrections: Corrections | None = None
    guidance: np.ndarray | None = None
    sampler: str
    sampler_options: Mapping[str, Any] = field(default_factory=dict)
    loss: str = "w2"
    process: str
    alpha_bar_range: tuple[float, float] = DEFAULT_ALPHA_BAR_RANGE
    grid: TrainingGrid | None = None
    value: float
    converged: bool = True
    finite: bool = True
    history: np.ndarray
    nodes: Modes | Any = None  # Any: whoever has the result of a fit knows that it has nodes
    node_value: float = float("nan")
    baselines: Mapping[str, float] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    noise: NoiseSpectrum | None = None
    seed: int = 0
    seconds: float = 0.0
    groups: tuple[str, ...] = ("levels",)
    prior: str = "gaussian"
    objective: Mapping[str, float] = field(default_factory=lambda: {"transfer": 1.0})
    train_value: float = float("nan")
    kept: str = "learned"
    terms: Mapping[str, float] = field(default_factory=dict)
    custom_sampler: SamplerLike | None = None

    @classmethod
    def from_schedule(cls, schedule: NoiseSchedule) -> LearnedResult:
        """Make a result of anybody's ``schedule``, for DDIM in VP; its value is not known."""
        unknown: dict[str, Any] = {"value": float("nan"), "history": np.zeros(0)}
        return cls(schedule=schedule, sampler="ddim", process="vp", kept="given", **unknown)

    @property
    def steps(self) -> int:
        """S, the number of steps."""
        return self.schedule.steps

    @property
    def network_calls(self) -> int:
        """The calls of the network, two for each call of a denoiser that is guided."""
        plan, about = self.plan, self.source.get("guidance")
        if about is not None and plan.guidance is None:
            interval = about["interval"] and tuple(about["interval"])
            own = guided(abs, abs, about["weight"], interval=interval)
            plan = replace(plan, guidance=own.weights_at(plan.alpha, plan.sigma))
        return plan.network_calls

    @property
    def iterations(self) -> int:
        """The number of iterations that learning took."""
        return len(self.history) - 1

    @property
    def method(self) -> SamplerLike:
        """The sampler itself.

        Raises:
          UserError: for a sampler of your own that was read from a file, which keeps its name only.
        """
        return self.custom_sampler or sampler_of(self.sampler, **self.sampler_options)

    @property
    def plan(self) -> SamplerPlan:
        """The plan in the process that was learned for, of the corrections or the sampler."""
        return self.plan_in(self.process)

    def plan_in(self, process: str) -> SamplerPlan:
        """Return the plan in a ``process``; its samples are those of the others up to rounding.

        They differ by the start alone: VP starts from unit noise, VE and flow from noise of the
        first sigma. From pure noise there is no plan in VE.
        """
        check_process(process, starts_pure=self.schedule.starts_pure)
        by = self.corrections
        if by is None and process != self.process and self.sampler in LEARNABLE:
            # DDPM's variance "beta" is the process's own: what is converted is the plan.
            steps = level_steps(np.asarray(self.schedule.logsnr), self.process)
            by = corrections_of(self.method, steps)
        if by is None:
            plan = plan_of_sampler(self.method, self.schedule, process)
        else:
            plan = corrected_plan(self.schedule.logsnr, by, process)
        return replace(plan, guidance=self.guidance)


FitResult = LearnedResult
"""The class of the results of :func:`fit`, by the name that scripts know."""

PlanResult = LearnedResult
"""The class of the results of :func:`learn`, by the name that scripts know."""


def in_float64(result: LearnedResult) -> LearnedResult:
    """Return the result in NumPy's float64, in which files and other programs make plans."""
    to_host = functools.partial(jax.tree.map, lambda x: np.asarray(x, np.float64))
    schedule, corrections, guidance = to_host(
        (result.schedule, result.corrections, result.guidance)
    )
    return replace(result, schedule=schedule, corrections=corrections, guidance=guidance)
