"""A warm start: the parameters of a plan that was learned for other steps or on another prior."""

from __future__ import annotations

from typing import Any

import numpy as np

from specjax.fitting.learned import PlanResult
from specjax.learning.parameters import PlanParameters, pack
from specjax.schedules.grids import LevelRange
from specjax.schedules.schedule import NoiseSchedule

_GAP = 8.0  # of logsnr in a whole plan, where a plan of one step tells nothing of it


def warm_start(
    start: PlanResult, parameters: PlanParameters, dtype: Any, within: LevelRange
) -> np.ndarray | None:
    """Compute parameters [n] of S steps from a plan of S' steps, in the dtype they are used in.

    Levels, and what is corrected beyond the sampler, are interpolated over the time k / S; the
    corrections, of which there are more now, get smaller by S' / S. None where the plan is of
    another kind: other ends, with noise or without, or of one step from pure noise.
    """
    by, before = start.corrections, parameters._replace(steps=start.steps)
    clean = within.alpha_bar_range[1] == 1
    pure = within.starts_pure
    if start.schedule.ends_clean != clean or start.schedule.starts_pure != pure:
        return None
    if pure and min(start.steps, parameters.steps) < 2:
        return None
    if by is not None and parameters.corrects and (by.noise is not None) != parameters.stochastic:
        return None
    ends = within.ends.astype(dtype)
    levels = np.asarray(within.clip(start.schedule).logsnr, dtype)
    old = pack(before, levels, by, ends)
    if parameters.steps == start.steps:
        return old
    finite = _resampled_levels(levels[pure:], parameters.steps - pure, clean)
    resampled = NoiseSchedule(np.concatenate([levels[:pure], finite]))
    new = pack(parameters, np.asarray(within.clip(resampled).logsnr, dtype), None, ends)
    groups = {name: np.asarray(x) for name, x in before.by_group(old).items() if name != "levels"}
    added = [_resampled(x, start.steps, parameters.steps) for x in groups.values()]
    return new + np.concatenate([np.zeros(parameters.sizes["levels"]), *added])


def _resampled_levels(levels: np.ndarray, steps: int, ends_clean: bool) -> np.ndarray:
    """Interpolate levels [S + 1]; beyond the last finite one they go on in a straight line."""
    before = len(levels) - 1
    if not ends_clean:
        return np.interp(np.arange(steps + 1) / steps, np.arange(before + 1) / before, levels)
    finite, times = levels[:-1], np.arange(steps) / steps
    slope = (finite[-1] - finite[-2]) * before if before > 1 else _GAP
    within = np.interp(times, np.arange(before) / before, finite)
    beyond = np.maximum(times - (before - 1) / before, 0)
    return np.append(within + slope * beyond, np.inf)


def _resampled(x: np.ndarray, before: int, steps: int) -> np.ndarray:
    """Interpolate what is added to the corrections of S' steps, flattened, to that of S steps."""
    columns = x.reshape(before, -1)
    at, known = (np.arange(n) / n + 0.5 / n for n in (steps, before))
    found = [np.interp(at, known, column) for column in columns.T]
    return (np.stack(found, 1) * before / steps).reshape(-1) if found else np.zeros(0)
