"""The path of samples along a plan, and its derivative in a parameter of the plan.

Everything runs on the host, call by call, with the answers of any denoiser
(:mod:`specjax.learning.answers`). A row maps registers to registers linearly
(:func:`specjax.sampling.step.advance`), so that a small change t of them, of the row and of the
answer d goes on as ::

    t <- keep t + pull dd + (dkeep r + dpull d),
    dd = (denoise(r_0 + e t_0, alpha + e dalpha, sigma + e dsigma) - d) / e

with the same noise and one more answer a call. A parameter of step k changes nothing before it: its
column starts there, from the registers that were kept. The derivative of a guided answer in its
weight is the difference of the two answers that it is made of, and costs nothing.
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
    """Registers [H, n, *shape] before each of K calls and at the end, and K answers.

    ``slopes`` are the derivatives of answers in the weights of guidance; None where a plan has
    none, or one network is called.
    """

    registers: list[np.ndarray]
    answers: list[np.ndarray]
    slopes: list[np.ndarray | None]

    @property
    def samples(self) -> np.ndarray:
        """The samples [n, *shape] at the end."""
        return self.registers[-1][0]


def follow(plan: SamplerPlan, answers: Answers, noises: Noises) -> Trajectory:
    """Run a plan without noise in its steps from n noises."""
    registers, given, slopes = zip(*_calls(plan, answers, noises), strict=True)
    return Trajectory(list(registers), list(given[:-1]), list(slopes[:-1]))


def end_of(plan: SamplerPlan, answers: Answers, noises: Noises) -> np.ndarray:
    """Run a plan from n noises and return the samples [n, *shape], without keeping its path."""
    return collections.deque(_calls(plan, answers, noises), maxlen=1)[0][0][0]


def _calls(
    plan: SamplerPlan, answers: Answers, noises: Noises
) -> Iterator[tuple[np.ndarray, np.ndarray | Any, np.ndarray | None]]:
    """Yield the registers before each call, with its answer and slope, and those at the end."""
    start = noises.start
    r = np.zeros((plan.registers, *start.shape), start.dtype)
    r[0] = np.asarray(plan.start, start.dtype) * start
    for k in range(plan.calls):
        row, weight, slope = row_of(plan, k), weight_of(plan, k), None
        asked = r[0], float(row.alpha), float(row.sigma), noises.conditions
        if weight in (None, 0, 1):
            d = answers(*asked, weight)
        else:
            d, slope = answers.with_slope(*asked, weight)
        yield r, d, slope
        r = np.asarray(advance(r, row, d, None))
    yield r, None, None


def weight_of(plan: SamplerPlan, k: int) -> float | None:
    """Return the weight of guidance of call k; None where it is left to the denoiser."""
    return None if plan.guidance is None else float(plan.guidance[k])


def row_of(plan: SamplerPlan, k: int) -> Row:
    """Return row k of a plan of NumPy's numbers."""
    return Row(*(np.asarray(x)[k] for x in plan.rows))


class Change(NamedTuple):
    """How a parameter changes a call: the derivatives of its row, and of its weight of guidance."""

    row: Row
    weight: float


class RowDerivatives(NamedTuple):
    """The derivatives of all rows of a plan in P parameters, [P, K, ...] each, and of weights."""

    rows: Row
    weights: np.ndarray

    @classmethod
    def of(cls, plan_at: Callable[[np.ndarray], SamplerPlan], theta: np.ndarray) -> RowDerivatives:
        """Differentiate a plan of float64 numbers in its parameters [P]."""

        def numbers(plan: SamplerPlan) -> list[np.ndarray]:
            weights = np.ones(plan.calls) if plan.guidance is None else plan.guidance
            return [np.asarray(x) for x in (*plan.rows, weights)]

        found = []
        for step in _STEP_OF_PARAMETER * np.eye(len(theta)):
            above, below = numbers(plan_at(theta + step)), numbers(plan_at(theta - step))
            found.append([(a - b) / (2 * step.max()) for a, b in zip(above, below, strict=True)])
        *rows, weights = (np.stack(x) for x in zip(*found, strict=True))
        return cls(Row(*rows), weights)

    def of_parameter(self, j: int) -> list[Change | None]:
        """Return the derivatives of the K rows in parameter j, None for rows that do not change."""
        every = [*self.rows, self.weights]
        scale = max(np.abs(x[j]).max(initial=0) for x in every)
        return [
            Change(Row(*(x[j, k] for x in self.rows)), float(self.weights[j, k]))
            if max(np.abs(x[j, k]).max() for x in every) > 1e-9 * scale
            else None
            for k in range(self.rows.alpha.shape[1])
        ]


def column(
    plan: SamplerPlan, changes: list[Change | None], trajectory: Trajectory, answers: Answers,
    conditions: Any,
) -> np.ndarray:  # fmt: skip
    """Compute the derivative [n, *shape] of samples in a parameter that changes some rows."""
    t: np.ndarray | None = None
    for k, change in enumerate(changes):
        if t is None and change is None:
            continue
        r, d, row = trajectory.registers[k], trajectory.answers[k], row_of(plan, k)
        moved = np.zeros_like(r) if t is None else t
        derivative = _of_answer(plan, k, change, trajectory, moved[0], answers, conditions)
        after = advance(moved, row, derivative, None)
        if change is not None:
            after = after + advance(r, change.row, d, None)
        t = np.asarray(after)
    last = trajectory.registers[-1][0]
    return np.zeros_like(last) if t is None else t[0]


def _of_answer(
    plan: SamplerPlan, k: int, change: Change | None, trajectory: Trajectory, t: np.ndarray,
    answers: Answers, conditions: Any,
) -> np.ndarray:  # fmt: skip
    """Compute the derivative [n, *shape] of the answers of call k as its samples move by t."""
    x, d, slope = trajectory.registers[k][0], trajectory.answers[k], trajectory.slopes[k]
    row = row_of(plan, k)
    alpha, sigma, by_alpha, by_sigma = float(row.alpha), float(row.sigma), 0.0, 0.0
    found = np.zeros_like(d)
    if change is not None:
        by_alpha, by_sigma = float(change.row.alpha), float(change.row.sigma)
        if slope is not None:
            found = found + np.asarray(change.weight, d.dtype) * slope
    if not t.any() and by_alpha == by_sigma == 0:
        return found
    scales = [abs(by) / of for by, of in ((by_alpha, alpha), (by_sigma, sigma)) if by]
    speed = max([_rms(t) / _rms(x), *scales])
    step = max(_LEAST_STEP, answers.precision**0.5) / speed
    moved = x + np.asarray(step, x.dtype) * t
    after = answers(
        moved, alpha + step * by_alpha, sigma + step * by_sigma, conditions, weight_of(plan, k)
    )
    return found + (after - d) / np.asarray(step, d.dtype)


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) or 1e-30
