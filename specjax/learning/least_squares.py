"""Levenberg-Marquardt for a plan: a few numbers, residuals of many samples.

The objective is a weighted sum of logarithms of sums of squares
(:mod:`specjax.learning.sums_of_squares`). At each iterate every square is divided by the sum (or
the sample's own distance) that it belongs to. That makes of the objective a sum of squares of the
same gradient, and nowhere below it: ``log t <= log t_0 + (t - t_0) / t_0``. Its normal equations
are damped by Marquardt's scaled diagonal.

Derivatives are dear, residuals are cheap: after a step Broyden's update corrects the derivatives
along it, and steps go on as long as they fall as predicted. The first iterations see few of the
noises; the sample grows where that falls by little. What is held out decides which iterate is kept,
and when to end.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, Self

import numpy as np

_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-2, 1e-9, 1e6
_DAMPING_DECREASE, _DAMPING_INCREASE = 0.2, 5.0
_LEAST_GAIN_RATIO = 1e-4  # of the fall that the model predicts
_GOOD_GAIN_RATIO = 0.5  # of it: the derivatives are good enough for another step
_POOR_GAIN_RATIO = 0.1
_LEAST_SCALE = 1e-3
"""Of the largest entry of the diagonal: where the start is stationary in a parameter, as a closed
form is in its levels, an entry of next to nothing would let it go anywhere."""
_MOST_UPDATES = 4


class NormalEquations(NamedTuple):
    """``J^T J`` [P, P] and ``J^T r`` [P], reweighted: half the gradient of the objective."""

    matrix: np.ndarray
    vector: np.ndarray


class Linear(Protocol):
    """Residuals and their derivatives at parameters [P]."""

    def equations(self) -> NormalEquations:
        """Sum up the normal equations."""

    def updated(self, step: np.ndarray, residuals: Any) -> Self:
        """Update by Broyden's formula: the derivatives along a step [P] are what it changed."""


class Residuals(Protocol):
    """Residuals at parameters [P]."""

    @property
    def value(self) -> float:
        """The objective."""


class Problem(Protocol):
    """A plan as Levenberg-Marquardt sees it; ``sizes`` are those of the growing sample."""

    sizes: tuple[int, ...]

    def residuals(self, theta: np.ndarray, size: int) -> Residuals:
        """Compute the residuals on the first noises."""

    def linear(self, theta: np.ndarray, residuals: Any) -> Linear:
        """Differentiate the residuals at the parameters that they were computed at last."""

    def held_out(self, theta: np.ndarray) -> float:
        """Compute the objective on what is held out."""


class Stopping(NamedTuple):
    """When the sample grows, and when all ends.

    The sample grows as the objective falls by less than ``grow``, or what is held out by less than
    ``gain``. With all noises it ends after ``patience`` iterations in a row without such a gain,
    where no step makes the objective fall, or below ``floor``, that of rounding.
    """

    grow: float
    gain: float
    patience: int
    floor: float = -np.inf


class Iterate(NamedTuple):
    """The state between two iterations: all that is needed to go on.

    Attributes:
      theta: [P]. damping: Marquardt's. size: the number of the sample's size.
      best: the best parameters by what is held out, with the objective on the sample
      (``training``) and ``held_out``.
      idle: iterations without a gain. done: whether it has ended.
      history: [k, 2], the objective on the sample and held out.
    """

    theta: np.ndarray
    damping: float
    size: int
    best: np.ndarray
    training: float
    held_out: float
    idle: int
    done: bool
    history: np.ndarray


def begin(problem: Problem, theta: np.ndarray) -> Iterate:
    """Make the state at the start [P]."""
    value = problem.residuals(theta, problem.sizes[0]).value
    aside = problem.held_out(theta)
    history = np.array([[value, aside]])
    done = not theta.size  # as of one step to the clean end
    return Iterate(theta, _FIRST_DAMPING, 0, theta, value, aside, 0, done, history)


def iterate(problem: Problem, state: Iterate, stopping: Stopping) -> Iterate:
    """Differentiate once, and take as many steps as that is good for."""
    if state.done or state.training < stopping.floor:
        return state._replace(done=True)
    size = problem.sizes[state.size]
    before = problem.residuals(state.theta, size)
    theta, after, damping = _descend(problem, state.theta, before, state.damping, size)
    fall = before.value - after.value
    aside = problem.held_out(theta) if fall > 0 else float(state.history[-1, 1])
    gained = aside < state.history[-1, 1] - stopping.gain
    best = (state.best, state.training, state.held_out)
    if aside < state.held_out:
        best = (theta, after.value, aside)
    last = state.size == len(problem.sizes) - 1
    grows = not last and (fall < stopping.grow or not gained)
    idle = state.idle + 1 if last and not gained else 0
    return Iterate(
        theta, damping, state.size + grows, *best, idle,
        done=last and (idle >= stopping.patience or fall <= 0 or after.value < stopping.floor),
        history=np.concatenate([state.history, [[after.value, aside]]]),
    )  # fmt: skip


def _descend(
    problem: Problem, theta: np.ndarray, residuals: Residuals, damping: float, size: int
) -> tuple[np.ndarray, Residuals, float]:
    """Take steps from parameters [P] with one set of derivatives, updated by Broyden's formula."""
    linear = problem.linear(theta, residuals)
    for updates in range(_MOST_UPDATES):
        equations, gain_ratio, step = linear.equations(), 0.0, theta
        while damping <= _MOST_DAMPING:
            step, predicted = _damped(equations, damping)
            tried = problem.residuals(theta + step, size)
            gain_ratio = (residuals.value - tried.value) / max(predicted, 1e-300)
            if gain_ratio > _LEAST_GAIN_RATIO or predicted < 1e-10 or updates:
                break
            damping *= _DAMPING_INCREASE
        if not gain_ratio > _LEAST_GAIN_RATIO:
            break
        theta, residuals = theta + step, tried
        if gain_ratio > _GOOD_GAIN_RATIO:
            damping *= _DAMPING_DECREASE
        elif gain_ratio < _POOR_GAIN_RATIO:
            damping *= 2
        damping = max(damping, _LEAST_DAMPING)
        if gain_ratio < _GOOD_GAIN_RATIO or predicted < 1e-3:
            break
        linear = linear.updated(step, residuals)
    return theta, residuals, min(damping, _MOST_DAMPING)


def _damped(equations: NormalEquations, damping: float) -> tuple[np.ndarray, float]:
    """Solve the damped equations for a step [P], and say by how much the objective falls."""
    matrix, vector = equations
    diagonal = np.diag(matrix)
    scale = np.sqrt(np.maximum(diagonal, _LEAST_SCALE * max(diagonal.max(), 1e-300)))
    unit, right = matrix / np.outer(scale, scale), vector / scale
    step = -np.linalg.solve(unit + damping * np.eye(len(unit)), right)
    predicted = -(2 * right @ step + step @ unit @ step)
    return step / scale, float(predicted)
