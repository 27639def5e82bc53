"""A plan of other steps or of another rung as a start."""

from __future__ import annotations

from typing import Any

import numpy as np

from specjax.fitting.learned import PlanResult
from specjax.learning.form import Form, pack


def parameters_after(start: PlanResult, form: Form, dtype: Any) -> np.ndarray | None:
    """The parameters [n] of S steps after a plan of S' steps, as a dtype that they are used in.

    Levels, and what is corrected beyond the sampler, are interpolated over the time k / S; the
    corrections, of which there are more now, get smaller by S' / S. None where the plan is of
    another kind: other ends, with noise or without.
    """
    by, before = start.corrections, form._replace(steps=start.steps)
    if start.schedule.ends_clean != form.ends_clean:
        return None
    if by is not None and form.corrects and (by.noise is not None) != form.stochastic:
        return None
    levels = np.asarray(start.schedule.logsnr, dtype)
    old = pack(before, levels, by)
    if form.steps == start.steps:
        return old
    new = pack(form, _resampled(levels, form.steps, form.ends_clean).astype(dtype), None)
    parts = {name: np.asarray(x) for name, x in before.parts(old).items() if name != "levels"}
    added = [_interpolated(x, start.steps, form.steps).reshape(-1) for x in parts.values()]
    return new + np.concatenate([np.zeros(form.sizes["levels"]), *added])


def _resampled(levels: np.ndarray, steps: int, ends_clean: bool) -> np.ndarray:
    """Levels [S + 1]; behind the last finite one that is known they go on in a straight line."""
    before = len(levels) - 1
    if not ends_clean:
        return np.interp(np.arange(steps + 1) / steps, np.arange(before + 1) / before, levels)
    finite, times = levels[:-1], np.arange(steps) / steps
    slope = (finite[-1] - finite[-2]) * before if before > 1 else 8.0
    found = np.interp(times, np.arange(before) / before, finite)
    beyond = np.maximum(times - (before - 1) / before, 0)
    return np.append(found + slope * beyond, np.inf)


def _interpolated(x: np.ndarray, before: int, steps: int) -> np.ndarray:
    """What is added to the corrections [S', ...] as that of S steps."""
    columns = x.reshape(before, -1)
    at, known = (np.arange(n) / n + 0.5 / n for n in (steps, before))
    found = [np.interp(at, known, column) for column in columns.T]
    return np.stack(found, 1) * before / steps if found else np.zeros((steps, 0))
