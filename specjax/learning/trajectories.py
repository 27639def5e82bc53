"""The path of samples along a plan, and its derivative in a parameter of the plan.

Everything runs on the host, call by call, with the answers of any denoiser
(:mod:`specjax.learning.answers`). A row maps registers to registers linearly
(:func:`specjax.sampling.step.advance`), so that a small change t of them, of the row and of the
answer d goes on as ::

    t <- keep t + pull dd + (dkeep r + dpull d),
    dd = (denoise(r_0 + e t_0, alpha + e dalpha, sigma + e dsigma) - d) / e

with the same noise and one more answer a call. A parameter of step k changes nothing before it: its
column starts there, from the registers that were kept.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from specjax.learning.answers import Answers
from specjax.sampling.step import Row, SamplerPlan, advance

_STEP_OF_PARAMETER = 1e-6  # central, in float64
_LEAST_STEP = 1e-3  # of a change of the sample or of log s, relative


class Noises(NamedTuple):
    """Noise [n, *shape] that trajectories start from, and the conditions of each (a pytree)."""

    start: np.ndarray
    conditions: Any = None

    def first(self, n: int) -> Noises:
        """Return the first n."""
        return Noises(*jax.tree.map(lambda x: x[:n], tuple(self)))


class Trajectory(NamedTuple):
    """Registers [H, n, *shape] before each of K calls and at the end, and K answers."""

    registers: list[np.ndarray]
    answers: list[np.ndarray]

    @property
    def samples(self) -> np.ndarray:
        """The samples [n, *shape] at the end."""
        return self.registers[-1][0]


def follow(plan: SamplerPlan, answers: Answers, noises: Noises) -> Trajectory:
    """Run a plan without noise in its steps from n noises."""
    registers, given = zip(*_calls(plan, answers, noises), strict=True)
    return Trajectory(list(registers), list(given[:-1]))


def end_of(plan: SamplerPlan, answers: Answers, noises: Noises) -> np.ndarray:
    """Run a plan from n noises and return the samples [n, *shape], without keeping its path."""
    return collections.deque(_calls(plan, answers, noises), maxlen=1)[0][0][0]


def _calls(
    plan: SamplerPlan, answers: Answers, noises: Noises
) -> Iterator[tuple[np.ndarray, np.ndarray | Any]]:
    """Yield the registers before each call, with its answer, and those at the end, with None."""
    start = noises.start
    r = np.zeros((plan.registers, *start.shape), start.dtype)
    r[0] = np.asarray(plan.start, start.dtype) * start
    for k in range(plan.calls):
        row = row_of(plan, k)
        d = answers(r[0], float(row.alpha), float(row.sigma), noises.conditions)
        yield r, d
        r = np.asarray(advance(r, row, d, None))
    yield r, None


def row_of(plan: SamplerPlan, k: int) -> Row:
    """Return row k of a plan of NumPy's numbers."""
    return Row(*(np.asarray(x)[k] for x in plan.rows))


class RowDerivatives(NamedTuple):
    """The derivatives of all rows of a plan in P parameters, [P, K, ...] each."""

    rows: Row

    @classmethod
    def of(cls, plan_at: Callable[[np.ndarray], SamplerPlan], theta: np.ndarray) -> RowDerivatives:
        """Differentiate a plan of float64 numbers in its parameters [P]."""
        found = []
        for step in _STEP_OF_PARAMETER * np.eye(len(theta)):
            above, below = plan_at(theta + step).rows, plan_at(theta - step).rows
            found.append([(a - b) / (2 * step.max()) for a, b in zip(above, below, strict=True)])
        return cls(Row(*(np.stack(x) for x in zip(*found, strict=True))))

    def of_parameter(self, j: int) -> list[Row | None]:
        """Return the derivatives of the K rows in parameter j, None for rows that do not change."""
        rows = [Row(*(x[j, k] for x in self.rows)) for k in range(self.rows.alpha.shape[1])]
        scale = max(np.abs(x[j]).max(initial=0) for x in self.rows)
        return [
            row if max(np.abs(x).max() for x in row) > 1e-9 * scale else None for row in rows
        ]  # fmt: skip


def column(
    plan: SamplerPlan, changes: list[Row | None], trajectory: Trajectory, answers: Answers,
    conditions: Any,
) -> np.ndarray:  # fmt: skip
    """Compute the derivative [n, *shape] of samples in a parameter that changes some rows."""
    t: np.ndarray | None = None
    for k, change in enumerate(changes):
        if t is None and change is None:
            continue
        r, d, row = trajectory.registers[k], trajectory.answers[k], row_of(plan, k)
        after: Any = 0.0
        if t is not None or (change is not None and (change.alpha != 0 or change.sigma != 0)):
            moved = np.zeros_like(r) if t is None else t
            derivative = _of_answer(row, change, r[0], moved[0], d, answers, conditions)
            after = advance(moved, row, derivative, None)
        if change is not None:
            after = after + advance(r, change, d, None)
        t = np.asarray(after)
    last = trajectory.registers[-1][0]
    return np.zeros_like(last) if t is None else t[0]


def _of_answer(
    row: Row, change: Row | None, x: np.ndarray, t: np.ndarray, d: np.ndarray, answers: Answers,
    conditions: Any,
) -> np.ndarray:  # fmt: skip
    """Compute the derivative [n, *shape] of the answers to x [n, *shape] as it moves by t."""
    alpha, sigma = float(row.alpha), float(row.sigma)
    by_alpha, by_sigma = (0.0, 0.0) if change is None else map(float, (change.alpha, change.sigma))
    scales = [abs(by) / of for by, of in ((by_alpha, alpha), (by_sigma, sigma)) if by]
    speed = max([_rms(t) / _rms(x), *scales])
    if speed == 0:
        return np.zeros_like(d)
    step = max(_LEAST_STEP, answers.precision**0.5) / speed
    moved = x + np.asarray(step, x.dtype) * t
    found = answers(moved, alpha + step * by_alpha, sigma + step * by_sigma, conditions)
    return (found - d) / np.asarray(step, d.dtype)


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) or 1e-30
