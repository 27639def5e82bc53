"""Whole timesteps for a schedule, for networks and schedulers that accept nothing else.

The levels at which a network is called are rounded to strictly falling whole numbers, which then
move on the training grid until no move of a single one lowers the loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from specjax._core.checks import UserError
from specjax.schedules.grids import TrainingGrid
from specjax.schedules.schedule import NoiseSchedule

LossOf = Callable[[np.ndarray], np.ndarray]
"""From levels [B, S + 1] (logsnr, noisy to clean) to their losses [B]."""

_BATCH = 256  # schedules evaluated at once: one compilation whatever the number of candidates
_LEAST_GAIN = 1e-6  # relative: smaller changes of the loss are rounding


@dataclass(frozen=True, eq=False)
class Assignment:
    """Whole timesteps for a schedule.

    Attributes:
      timesteps: [S] ints, strictly falling.
      rounded: [S] ints, the timesteps before they were moved.
      schedule: levels of ``timesteps`` and a noise-free end.
      duplicates: number of timesteps that plain rounding would have repeated.
      loss_float: loss of the schedule given, clipped to the grid; None without a loss.
      loss_rounded: loss of ``rounded``.
      loss: loss of ``timesteps``.
    """

    timesteps: np.ndarray
    rounded: np.ndarray
    schedule: NoiseSchedule
    duplicates: int
    loss_float: float | None = None
    loss_rounded: float | None = None
    loss: float | None = None


def assign(
    grid: TrainingGrid, schedule: NoiseSchedule, loss_of: LossOf | None = None
) -> Assignment:
    """Assign strictly falling whole timesteps to the S levels at which a network is called.

    Args:
      grid: T levels.
      schedule: S + 1 levels; those outside the grid are clipped.
      loss_of: from levels [B, S + 1] to losses [B], NumPy in and out. With it all timesteps but
        the first are moved on the grid, until no other value of a single one, between its
        neighbours, has a loss lower by more than 1e-6 of it.

    Raises:
      UserError: for more steps than the grid has levels.
    """
    clipped, _ = grid.clip(schedule)
    if schedule.steps > grid.size:
        raise UserError(
            f"steps = {schedule.steps} is more than the {grid.size} levels of grid "
            f"{grid.name!r}: give fewer steps, or a form that takes sigmas"
        )
    levels = np.asarray(clipped.logsnr, np.float64)
    exact = np.asarray(grid.timestep(levels[:-1]))
    timesteps = rounded = _rounded(exact, grid.size)
    losses: dict[str, float] = {}
    if loss_of is not None:

        def evaluate(candidates: np.ndarray) -> np.ndarray:
            return _in_batches(loss_of, _levels(grid, candidates))

        timesteps, loss = _improved(rounded, grid.size, evaluate)
        losses["loss_float"] = float(_in_batches(loss_of, levels[None])[0])
        losses |= {"loss_rounded": float(evaluate(rounded[None])[0]), "loss": loss}
    assigned = NoiseSchedule(_levels(grid, timesteps))
    duplicates = schedule.steps - np.unique(np.round(exact)).size
    return Assignment(timesteps, rounded, assigned, duplicates, **losses)


def _levels(grid: TrainingGrid, timesteps: np.ndarray) -> np.ndarray:
    """Return logsnr [..., S + 1] of timesteps [..., S], with a noise-free end."""
    end = np.full((*timesteps.shape[:-1], 1), np.inf)
    return np.concatenate([grid.logsnr[timesteps], end], -1)


def _rounded(exact: np.ndarray, size: int) -> np.ndarray:
    """Find the nearest strictly falling whole numbers in 0..size-1, in least squares.

    ``t_k`` falls strictly exactly where ``t_k + k`` does not rise: an isotonic regression.
    """
    from scipy.optimize import isotonic_regression

    k = np.arange(exact.size)
    fitted = isotonic_regression(exact + k, increasing=False).x
    return np.clip(np.round(fitted), exact.size - 1, size - 1).astype(np.int64) - k


def _in_batches(loss_of: LossOf, levels: np.ndarray) -> np.ndarray:
    """Evaluate levels [n, S + 1] in batches of one shape, the last padded by repetition."""
    padded = np.concatenate([levels, np.repeat(levels[-1:], -len(levels) % _BATCH, axis=0)])
    batches = padded.reshape(-1, _BATCH, levels.shape[1])
    return np.concatenate([np.asarray(loss_of(batch)) for batch in batches])[: len(levels)]


def _single_moves(timesteps: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return every (index, new value) [n] that keeps strict order and the first timestep."""
    above = np.concatenate([[size], timesteps[:-1]])
    below = np.concatenate([timesteps[1:], [-1]])
    index = np.repeat(np.arange(timesteps.size), above - below - 1)
    value = np.concatenate([np.arange(b + 1, a) for a, b in zip(above, below, strict=True)])
    other = (value != timesteps[index]) & (index > 0)
    return index[other], value[other]


def _improved(
    timesteps: np.ndarray, size: int, evaluate: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, float]:
    """Move timesteps while that lowers the loss: by powers of two, then by any distance."""
    loss = float(evaluate(timesteps[None])[0])
    # Few distances first: a sweep over all costs as many evaluations as the grid has levels.
    for distances in (2 ** np.arange(12), np.arange(size)):
        while True:
            index, value = _single_moves(timesteps, size)
            near = np.isin(np.abs(value - timesteps[index]), distances)
            together = _best_moves(timesteps, index[near], value[near], loss, evaluate)
            if not len(together):
                break
            losses = evaluate(together)
            best = int(np.argmin(losses))
            timesteps, loss = together[best], float(losses[best])
    return timesteps, loss


def _best_moves(
    timesteps: np.ndarray,
    index: np.ndarray,
    value: np.ndarray,
    loss: float,
    evaluate: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Return [m, S]: the best single move, the best two at once, three, ...

    Moves of neighbours are not combined, since one of them bounds the other.
    """
    if not index.size:
        return timesteps[None][:0]
    moved = np.repeat(timesteps[None], index.size, axis=0)
    moved[np.arange(index.size), index] = value
    losses = evaluate(moved)
    chosen: dict[int, int] = {}
    for i in np.argsort(losses):
        if not losses[i] < loss * (1 - _LEAST_GAIN):
            break
        if not {index[i] - 1, index[i], index[i] + 1} & chosen.keys():
            chosen[int(index[i])] = int(value[i])
    together = np.repeat(timesteps[None], len(chosen), axis=0)
    for row, (k, v) in enumerate(chosen.items()):
        together[row:, k] = v
    return together
