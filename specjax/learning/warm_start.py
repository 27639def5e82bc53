"""A warm start: the parameters of a plan that was learned for other steps or on another prior."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from specjax.fitting.any_steps import corrections_along
from specjax.fitting.learned import PlanResult, in_float64
from specjax.learning.parameters import PlanParameters, pack
from specjax.schedules.level_range import LevelRange
from specjax.schedules.resampled import resampled


def warm_start(
    start: PlanResult, parameters: PlanParameters, dtype: Any, within: LevelRange
) -> tuple[PlanParameters, np.ndarray] | None:
    """Compute parameters [n] of S steps from a plan of S' steps, in the dtype they are used in.

    Levels and corrections are those of :mod:`specjax.fitting.any_steps`, within the range. None
    where the plan is of another kind: other ends, from noise or from data, with noise or without,
    or of one step from pure noise.
    """
    by, pure, schedule = start.corrections, within.starts_pure, start.schedule
    if schedule.ends_clean != (within.alpha_bar_range[1] == 1) or schedule.starts_pure != pure:
        return None
    if start.from_data != within.from_data or (pure and min(start.steps, parameters.steps) < 2):
        return None
    if by is not None and parameters.corrects and (by.noise is not None) != parameters.stochastic:
        return None
    start = in_float64(replace(start, schedule=within.clip(start.schedule)))
    schedule = start.schedule
    if parameters.steps != start.steps:
        schedule = within.clip(resampled(schedule, parameters.steps))
    schedule = within.passing(schedule)
    parameters = parameters._replace(split=within.splits(schedule)[0])
    along = corrections_along(start, schedule)
    ends = within.ends.astype(dtype)
    return parameters, pack(parameters, np.asarray(schedule.logsnr, dtype), along, ends)
