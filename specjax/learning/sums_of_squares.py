"""Objectives of a plan that are sums of squares, with their derivatives.

The terms of :mod:`specjax.learning.terms` that are: "teacher" (``mean log(e_i + c)`` is one after
dividing by ``e_i + c``), "teacher_mean", and "transfer" for quadratic losses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from specjax._core import checks
from specjax.gaussian.losses import Loss
from specjax.gaussian.modes import Modes
from specjax.gaussian.task import residuals_of_plan
from specjax.learning.answers import Answers
from specjax.learning.least_squares import NormalEquations
from specjax.learning.parameters import PlanParameters
from specjax.learning.terms import Distances, Weights, weighted_sum
from specjax.learning.trajectories import (
    Noises,
    RowDerivatives,
    Trajectory,
    column,
    end_of,
    follow,
)
from specjax.sampling.step import SamplerPlan

_STEP = 1e-6  # of a parameter, for the derivatives of the transfer


class Taught(NamedTuple):
    """Noises with the teacher's solutions [n, *shape], and the squared error of one of these."""

    noises: Noises
    target: np.ndarray
    error: float

    def first(self, n: int) -> Taught:
        """Return the first n."""
        return Taught(self.noises.first(n), self.target[:n], self.error)

    def distances(self, samples: np.ndarray) -> Distances:
        """Measure samples [n, *shape] of these noises."""
        return Distances.between(samples, self.target, self.error)


@dataclass(frozen=True, eq=False)
class Terms:
    """The terms by which plans are measured on training, held-out or judging noise.

    Attributes:
      weights: (term, weight) of the logarithms. loss: of the transfer.
      answers: of the denoiser; None where the transfer is all that counts.
      taught: noises with the teacher's solutions, or None. modes: of the transfer, or None.
    """

    weights: Weights
    loss: Loss
    answers: Answers | Any
    taught: Taught | Any
    modes: Modes | Any

    def first(self, n: int) -> Terms:
        """Return the same on the first n noises."""
        return self if self.taught is None else replace(self, taught=self.taught.first(n))

    def report(self, plan: SamplerPlan) -> dict[str, float]:
        """Compute the terms of a plan, and what is reported beside those of the teacher."""
        found: dict[str, Any] = {}
        if self.modes is not None:
            squares = residuals_of_plan(plan, self.modes, self.loss) ** 2
            found["transfer"] = squares.sum()
        if self.taught is not None:
            samples = end_of(plan, self.answers, self.taught.noises)
            found |= self.taught.distances(samples).report
        return {name: float(x) for name, x in found.items()}

    def worth(self, plan: SamplerPlan) -> float:
        """Compute the objective of a plan."""
        return weighted_sum(self.weights, self.report(plan))


@dataclass(eq=False)
class SumOfSquares:
    """A plan's objective as a :class:`specjax.learning.least_squares.Problem`.

    Attributes:
      parameters: of the plan; ``start`` [n] are all of them, and ``learned`` the numbers of those
      [P] that are learned. ends: logsnr at both ends.
      training, aside: the terms to learn on, and those held out.
      sizes: of the growing sample.
    """

    parameters: PlanParameters
    start: np.ndarray
    learned: np.ndarray
    ends: np.ndarray
    training: Terms
    aside: Terms
    sizes: tuple[int, ...]
    _last: tuple[bytes, int, PlanResiduals] | None = None

    def whole(self, theta: np.ndarray) -> np.ndarray:
        """Return all parameters [n] of those that are learned [P]."""
        found = np.array(self.start, np.float64)
        found[self.learned] = theta
        return found

    def plan(self, theta: np.ndarray) -> SamplerPlan:
        """Compute the plan."""
        return self.parameters.plan(self.whole(theta), self.ends)

    def held_out(self, theta: np.ndarray) -> float:
        """Compute the objective on what is held out."""
        return self.aside.worth(self.plan(theta))

    def residuals(self, theta: np.ndarray, size: int) -> PlanResiduals:
        """Compute the residuals on the first noises; the latest are remembered."""
        if self._last is not None and self._last[:2] == (theta.tobytes(), size):
            return self._last[2]
        plan, terms = self.plan(theta), self.training.first(size)
        transfer = trajectory = None
        levels = np.asarray(self.parameters.levels(self.whole(theta), self.ends)[:-1])
        if checks.are_within(levels[levels > -np.inf], checks.MOST_LOGSNR):  # else it is no plan
            if terms.modes is not None:
                transfer = residuals_of_plan(plan, terms.modes, terms.loss)
            if terms.taught is not None:
                trajectory = follow(plan, terms.answers, terms.taught.noises)
        found = PlanResiduals(terms, transfer, trajectory)
        self._last = (theta.tobytes(), size, found)
        return found

    def linear(self, theta: np.ndarray, residuals: PlanResiduals) -> LinearPlan:
        """Differentiate the residuals at parameters [P]."""
        terms, transfer, samples = residuals.terms, None, None
        if terms.modes is not None:
            transfer = np.stack([self._of_transfer(theta, step) for step in np.eye(len(theta))])
        if terms.taught is not None:
            changes = RowDerivatives.of(self.plan, theta)
            plan, noises = self.plan(theta), terms.taught.noises
            columns = (
                column(
                    plan,
                    changes.of_parameter(j),
                    residuals.trajectory,
                    terms.answers,
                    noises.conditions,
                )
                for j in range(len(theta))
            )
            samples = np.stack([x.reshape(len(x), -1) for x in columns], 1)
        return LinearPlan(residuals, transfer, samples)

    def _of_transfer(self, theta: np.ndarray, direction: np.ndarray) -> np.ndarray:
        modes, loss = self.training.modes, self.training.loss
        above, below = (
            residuals_of_plan(self.plan(theta + h * direction), modes, loss)
            for h in (_STEP, -_STEP)
        )
        return (above - below) / (2 * _STEP)


class PlanResiduals(NamedTuple):
    """The residuals of the transfer [K] and the trajectories, whose ends have those of samples.

    Both are None where levels are beyond what a schedule may have.
    """

    terms: Terms
    transfer: np.ndarray | Any
    trajectory: Trajectory | Any

    @property
    def samples(self) -> np.ndarray:
        """The differences of samples and the teacher's [n, d]."""
        gap = self.trajectory.samples - self.terms.taught.target
        return gap.reshape(len(gap), -1)

    @property
    def distances(self) -> Distances:
        """The squared distances of the samples."""
        return self.terms.taught.distances(self.trajectory.samples)

    @property
    def value(self) -> float:
        """The objective; NaN where there is no plan."""
        if self.transfer is None and self.trajectory is None:
            return np.nan
        found = {} if self.transfer is None else {"transfer": (self.transfer**2).sum()}
        if self.trajectory is not None:
            found |= self.distances.report
        return weighted_sum(self.terms.weights, found)


class LinearPlan(NamedTuple):
    """Residuals, and the derivatives of those of the transfer [P, K] and of samples [n, P, d]."""

    residuals: PlanResiduals
    transfer: np.ndarray | Any
    samples: np.ndarray | Any

    def equations(self) -> NormalEquations:
        """Sum up the reweighted normal equations."""
        found, weights = [], dict(self.residuals.terms.weights)
        if self.transfer is not None:
            r = self.residuals.transfer
            by = weights["transfer"] / max((r**2).sum(), np.finfo(float).tiny)
            found.append((by * self.transfer @ self.transfer.T, by * self.transfer @ r))
        if self.samples is not None:
            by = self.residuals.distances.reweighted(weights)
            gram = np.matmul(self.samples, np.swapaxes(self.samples, 1, 2))
            vector = np.matmul(self.samples, self.residuals.samples[:, :, None])[..., 0]
            found.append((np.tensordot(by, gram, 1), by @ vector))
        matrices, vectors = zip(*found, strict=True)
        return NormalEquations(sum(matrices), sum(vectors))

    def updated(self, step: np.ndarray, residuals: PlanResiduals) -> LinearPlan:
        """Update by Broyden's formula, in the metric of the diagonal of the equations."""
        scaled = step * np.diag(self.equations().matrix)
        along = scaled / (scaled @ step)
        transfer, samples = self.transfer, self.samples
        if transfer is not None:
            missed = residuals.transfer - self.residuals.transfer - step @ transfer
            transfer = transfer + np.outer(along, missed)
        if samples is not None:
            now, before = (x.trajectory.samples for x in (residuals, self.residuals))
            change = (now - before).reshape(len(now), -1)
            missed = change - np.einsum("p,npd->nd", step.astype(samples.dtype), samples)
            samples = samples + along.astype(samples.dtype)[:, None] * missed[:, None, :]
        return LinearPlan(residuals, transfer, samples)
