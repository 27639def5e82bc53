"""What a program has to record: at which levels to call a network, and the steps in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.fitting.learned import LearnedResult, in_float64
from specjax.sampling.samplers import plan as plan_of
from specjax.sampling.step import SamplerPlan
from specjax.schedules.families import family
from specjax.schedules.grids import GridLike, TrainingGrid
from specjax.schedules.level_range import LevelRange
from specjax.schedules.schedule import NoiseSchedule, alpha_sigma, check_process

CALLS = 48
"""Calls of a recording on which dynamic programming can choose levels."""

RECORD_SPEC_VERSION = 1

ARRAYS: Mapping[str, str] = {
    "x": "[n, K + 1, *shape]: the samples at each call and at the end",
    "answers": "[n, K, *shape]: the estimates of the clean data; or eps or v, by that name",
    "alpha, sigma, keep, pull": "as here",
}
"""What the file of a recording holds (:mod:`specjax.learning.recording`)."""


@dataclass(frozen=True, eq=False)
class RecordSpec:
    """The plan along which a network is called, with the levels of its calls and of its end.

    Attributes:
      plan: K calls, one a step.
      alpha: [K + 1], the signal scale of the calls and of the end.
      sigma: [K + 1], their noise scale.
      timestep: [K], of the calls on the training grid; None without one.
      process: "vp", "ve" or "flow".
    """

    plan: SamplerPlan
    alpha: np.ndarray
    sigma: np.ndarray
    timestep: np.ndarray | None
    process: str

    def header(self) -> dict[str, Any]:
        """Return what a file of the specification says beside its arrays."""
        plan = self.plan
        start = float(plan.start)
        sizes = {"calls": plan.calls, "registers": plan.registers, "start": start}
        return {"process": self.process, **sizes, "record": dict(ARRAYS)}

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of the file by name."""
        known = {"alpha": self.alpha, "sigma": self.sigma, "timestep": self.timestep}
        known |= {"keep": np.asarray(self.plan.keep), "pull": np.asarray(self.plan.pull)}
        return {name: x for name, x in known.items() if x is not None}


def record_spec(
    calls: int = CALLS, *, grid: GridLike | None = None,
    alpha_bar_range: tuple[float, float] = checks.DEFAULT_ALPHA_BAR_RANGE, process: str = "vp",
) -> RecordSpec:  # fmt: skip
    """Specify a recording of fine trajectories: DPM-Solver++(2M) along equal steps of logsnr.

    Args:
      calls: K, some dozens.
      grid: the training grid of the network, within which the levels stay.
      alpha_bar_range: the two ends (noisy, clean).
      process: "vp", "ve" or "flow", the scale of the samples.

    Raises:
      UserError: for numbers and names out of bounds.

    Example:
      >>> spec = record_spec(24, grid="sd")
      >>> spec.plan.calls, spec.timestep[0].round()
      (24, np.float64(999.0))
    """
    levels = LevelRange.resolve(alpha_bar_range, grid)
    count = checks.whole_number("calls", calls, 2)
    logsnr = family("uniform_logsnr", count, alpha_bar_range=levels.alpha_bar_range).logsnr
    logsnr = np.array(logsnr, np.float64)
    if levels.grid is not None and np.isinf(logsnr[-1]):
        cleanest = min(logsnr[-2], levels.grid.logsnr[0])
        logsnr[:-1] = np.linspace(logsnr[0], cleanest, count)
    schedule = NoiseSchedule(logsnr)
    plan = plan_of("dpmpp_2m", schedule, check_process(process))
    return _spec(plan, schedule, levels.grid, process)


def record_spec_of(result: LearnedResult, grid: TrainingGrid | None = None) -> RecordSpec:
    """Specify a recording along a learned plan, to compare it with one of fine trajectories.

    Args:
      result: a plan without noise that makes one call a step.
      grid: the training grid of the network, by default the one it was learned for.

    Raises:
      UserError: for another plan.
    """
    result = in_float64(result)
    if result.plan.stochastic or result.plan.calls != result.steps:
        raise UserError(
            f"plan: {result.sampler} adds noise or makes several calls a step, which a recording "
            "has no place for: give a plan by learn"
        )
    return _spec(result.plan, result.schedule, grid or result.grid, result.process)


def _spec(
    plan: SamplerPlan, schedule: NoiseSchedule, grid: TrainingGrid | None, process: str
) -> RecordSpec:
    logsnr = np.asarray(schedule.logsnr)
    if schedule.starts_pure:
        raise UserError(
            "alpha_bar_range: a recording is read as x / alpha, which pure noise has none of: give "
            "a first level above 0"
        )
    alpha, sigma = alpha_sigma(logsnr, process)
    timestep = None if grid is None else np.asarray(grid.timestep(logsnr[:-1]))
    return RecordSpec(plan, np.asarray(alpha), np.asarray(sigma), timestep, process)
