"""Whole timesteps for a schedule, for networks and schedulers that accept nothing else.

The levels at which a network is called are rounded to strictly falling whole numbers, and then
moved on the training grid until no single move lowers the loss.
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
_GAIN = 1e-6  # the least relative gain that counts as an improvement


@dataclass(frozen=True, eq=False)
class Assignment:
    """Whole timesteps for a schedule.

    Attributes:
      timesteps: [S] ints, strictly falling.
      rounded: [S], the same before re-optimisation.
      schedule: what the timesteps really mean: their levels and a noise-free end.
      duplicates: how many timesteps plain rounding would have repeated.
      loss_float, loss_rounded, loss: of the schedule given (clipped to the grid), of
        ``rounded`` and of ``timesteps``; None without a loss.
    """

    timesteps: np.ndarray
    rounded: np.ndarray
    schedule: NoiseSchedule
    duplicates: int
    loss_float: float | None = None
    loss_rounded: float | None = None
    loss: float | None = None


def levels_of(grid: TrainingGrid, timesteps: np.ndarray) -> np.ndarray:
    """logsnr [..., S + 1] of whole timesteps [..., S] and the noise-free end behind them."""
    end = np.full((*timesteps.shape[:-1], 1), np.inf)
    return np.concatenate([grid.logsnr[timesteps], end], -1)


def assign(
    grid: TrainingGrid, schedule: NoiseSchedule, loss_of: LossOf | None = None
) -> Assignment:
    """Strictly falling whole timesteps for the S levels at which a network is called.

    Args:
      grid: T levels. schedule: S + 1 levels; those outside the grid are clipped.
      loss_of: from levels [B, S + 1] to losses [B], NumPy in and out. With it the timesteps are
        re-optimised on the grid with the first one fixed: no other whole number between its
        neighbours, for any other of them, has a loss lower by more than 1e-6 of it.

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
    wanted = np.asarray(grid.timestep(levels[:-1]))
    duplicates = schedule.steps - np.unique(np.round(wanted)).size
    rounded = _round(wanted, grid.size)
    if loss_of is None:
        meant = NoiseSchedule(levels_of(grid, rounded))
        return Assignment(rounded, rounded, meant, duplicates)

    def evaluate(timesteps: np.ndarray) -> np.ndarray:
        return _in_batches(loss_of, levels_of(grid, timesteps))

    timesteps, loss = _improve(rounded, grid.size, evaluate)
    return Assignment(
        timesteps,
        rounded,
        NoiseSchedule(levels_of(grid, timesteps)),
        duplicates,
        loss_float=float(_in_batches(loss_of, levels[None])[0]),
        loss_rounded=float(evaluate(rounded[None])[0]),
        loss=loss,
    )


def _round(wanted: np.ndarray, size: int) -> np.ndarray:
    """The nearest strictly falling whole numbers in 0..size-1, in least squares.

    ``t_k + k`` does not rise exactly where ``t_k`` falls strictly: an isotonic regression.
    """
    from scipy.optimize import isotonic_regression

    k = np.arange(wanted.size)
    level = isotonic_regression(wanted + k, increasing=False).x
    return np.clip(np.round(level), wanted.size - 1, size - 1).astype(np.int64) - k


def _in_batches(loss_of: LossOf, levels: np.ndarray) -> np.ndarray:
    """Losses [n] of levels [n, S + 1], in batches of one shape."""
    padded = np.concatenate([levels, np.repeat(levels[-1:], -len(levels) % _BATCH, axis=0)])
    batches = padded.reshape(-1, _BATCH, levels.shape[1])
    return np.concatenate([np.asarray(loss_of(b)) for b in batches])[: len(levels)]


def _single_moves(timesteps: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Every (index, new value) [n] that keeps the timesteps strictly falling and the noisy end."""
    above = np.concatenate([[size], timesteps[:-1]])
    below = np.concatenate([timesteps[1:], [-1]])
    index = np.repeat(np.arange(timesteps.size), above - below - 1)
    value = np.concatenate([np.arange(b + 1, a) for a, b in zip(above, below, strict=True)])
    other = (value != timesteps[index]) & (index > 0)
    return index[other], value[other]


def _improve(
    timesteps: np.ndarray, size: int, evaluate: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, float]:
    """Move timesteps while that lowers the loss: by powers of two, then by any distance."""
    loss = float(evaluate(timesteps[None])[0])
    for distances in (2 ** np.arange(12), np.arange(size)):
        while True:
            index, value = _single_moves(timesteps, size)
            near = np.isin(np.abs(value - timesteps[index]), distances)
            better, best = _best_moves(timesteps, index[near], value[near], loss, evaluate)
            if better is None:
                break
            timesteps, loss = better, best
    return timesteps, loss


def _best_moves(
    timesteps: np.ndarray,
    index: np.ndarray,
    value: np.ndarray,
    loss: float,
    evaluate: Callable[[np.ndarray], np.ndarray],
) -> tuple[np.ndarray | None, float]:
    """The best of: the best single move, the best two that are no neighbours, three, ..."""
    if not index.size:
        return None, loss
    moved = np.repeat(timesteps[None], index.size, axis=0)
    moved[np.arange(index.size), index] = value
    losses = evaluate(moved)
    chosen: dict[int, int] = {}
    for i in np.argsort(losses):
        if not losses[i] < loss * (1 - _GAIN):
            break
        if not {index[i] - 1, index[i], index[i] + 1} & chosen.keys():
            chosen[int(index[i])] = int(value[i])
    if not chosen:
        return None, loss
    together = np.repeat(timesteps[None], len(chosen), axis=0)
    for row, (k, v) in enumerate(chosen.items()):
        together[row:, k] = v
    losses = evaluate(together)
    best = int(np.argmin(losses))
    return together[best], float(losses[best])
