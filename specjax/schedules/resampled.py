"""Schedules of other steps, and through given levels, as dense as a known one.

The levels of a schedule are interpolated over the number of steps before them. In place of a
noise-free end, and of pure noise, a straight line goes on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from specjax._core.checks import UserError
from specjax.schedules.schedule import NoiseSchedule

_GAP = 8.0  # of logsnr in a schedule with one finite level, which tells nothing of its density


def resampled(schedule: NoiseSchedule, steps: int) -> NoiseSchedule:
    """Return a schedule of other ``steps``, between the same ends."""
    return NoiseSchedule(levels_at(schedule, np.linspace(0, schedule.steps, steps + 1)))


def levels_at(schedule: NoiseSchedule, times: np.ndarray) -> np.ndarray:
    """Interpolate logsnr [n] at numbers of steps [n] in fractions; the ends are the schedule's."""
    levels, (known, finite) = np.asarray(schedule.logsnr, np.float64), _finite(schedule)
    found = np.interp(times, known, finite)
    return np.where(times == 0, levels[0], np.where(times == schedule.steps, levels[-1], found))


def times_of(schedule: NoiseSchedule, logsnr: Sequence[float] | np.ndarray) -> np.ndarray:
    """Compute how many steps, in fractions, lie before levels [n]."""
    known, finite = _finite(schedule)
    return np.interp(logsnr, finite, known)


def _finite(schedule: NoiseSchedule) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of steps before levels, and the levels, all finite."""
    logsnr = np.asarray(schedule.logsnr, np.float64)
    times = np.flatnonzero(np.isfinite(logsnr)).astype(float)
    finite = logsnr[np.isfinite(logsnr)]
    slopes = np.diff(finite) if finite.size > 1 else np.full(1, _GAP)
    if schedule.starts_pure:
        finite, times = np.append(finite[0] - slopes[0], finite), np.append(0.0, times)
    if schedule.ends_clean:
        finite, times = np.append(finite, finite[-1] + slopes[-1]), np.append(times, schedule.steps)
    return times, finite


def splits(schedule: NoiseSchedule, through: Sequence[float]) -> list[tuple[int, ...]]:
    """Return the numbers of steps before each level of ``through`` that are worth a try.

    The first is that of the nearest levels of the schedule, in the number of steps; the others have
    a step more or less before one of them.

    Args:
      schedule: of S steps.
      through: logsnr [m], rising, between the ends.

    Raises:
      UserError: for fewer steps than m + 1.
    """
    m, steps = len(through), schedule.steps
    if steps <= m:
        raise UserError(f"steps = {steps} through {m} levels: give at least {m + 1}")
    place = np.arange(m)
    nearest = np.rint(times_of(schedule, through)).astype(int)
    moves = [np.zeros(m, int), *(sign * move for move in np.eye(m, dtype=int) for sign in (-1, 1))]
    found = []
    for move in moves:  # at least one step lies before, between and behind them
        counts = np.maximum.accumulate(np.maximum(nearest + move, 1) - place) + place
        found.append(tuple(np.minimum(counts, steps - m + place).tolist()))
    return list(dict.fromkeys(found))


def passing(
    schedule: NoiseSchedule, through: Sequence[float], split: Sequence[int]
) -> NoiseSchedule:
    """Return a schedule of as many steps which has given levels, as dense before and behind them.

    Args:
      schedule: of S steps.
      through: logsnr [m], rising, between the ends.
      split: [m], the steps before each of them.
    """
    steps, passed = schedule.steps, times_of(schedule, through)
    times = np.interp(np.arange(steps + 1), [0, *split, steps], [0, *passed, steps])
    logsnr = levels_at(schedule, times)
    logsnr[list(split)] = through
    return NoiseSchedule(logsnr)
