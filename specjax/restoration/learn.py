"""Learning a posterior sampler through a denoiser, by least squares on simulated measurements.

What the closed form learned for Gaussian data is the start. Samples x0 are measured, the sampler is
run from the same noise as a fine solution, and the squared distances of the two are minimised over
the weights and levels (:mod:`specjax.learning.least_squares`), by finite differences with the same
noise: any denoiser will do. Other samples, measurements and noise decide what is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.learning.least_squares import NormalEquations, Stopping, begin, iterate
from specjax.restoration.fit import PosteriorResult, plan_of_theta, steered_plan
from specjax.restoration.methods import METHODS
from specjax.restoration.steered import steered
from specjax.sampling.generate import generate
from specjax.sampling.samplers import plan as plan_of
from specjax.sampling.step import SamplerPlan, drop_idle
from specjax.schedules.families import family

_STEP = 1e-2  # of a parameter, which are of order 1; answers are of float32
_STOPPING = Stopping(0.0, 0.003, 2)


class _Side(NamedTuple):
    """Measurements [n, ...], the seed of the noise to start from, and the fine solutions [n, d]."""

    y: np.ndarray
    seed: int
    target: np.ndarray


class _Ends(NamedTuple):
    """Samples at the end less the fine solutions [n, d]."""

    gap: np.ndarray

    @property
    def value(self) -> float:
        """The logarithm of the mean squared distance."""
        return float(np.log(max(np.mean(np.sum(self.gap**2, 1)), np.finfo(float).tiny)))


class _Linear(NamedTuple):
    """The ends, and their derivatives [P, n d]."""

    ends: _Ends
    columns: np.ndarray

    def equations(self) -> NormalEquations:
        """Sum up the normal equations of the logarithm."""
        total = np.sum(self.ends.gap**2)
        matrix = self.columns @ self.columns.T / total
        return NormalEquations(matrix, self.columns @ self.ends.gap.ravel() / total)

    def updated(self, step: np.ndarray, residuals: _Ends) -> _Linear:
        """Update by Broyden's formula: the derivatives along the step are what it changed."""
        missed = (residuals.gap - self.ends.gap).ravel() - step @ self.columns
        return _Linear(residuals, self.columns + np.outer(step / (step @ step), missed))


@dataclass(eq=False)
class _Problem:
    """Weights and levels as a :class:`specjax.learning.least_squares.Problem`."""

    run: Callable[[SamplerPlan, _Side], np.ndarray]
    plan: Callable[[np.ndarray], SamplerPlan]
    training: _Side
    aside: _Side
    sizes: tuple[int, ...]

    def residuals(self, theta: np.ndarray, size: int) -> _Ends:
        """Run the sampler."""
        return self._ends(theta, self.training)

    def held_out(self, theta: np.ndarray) -> float:
        """Run it on what is held out."""
        return self._ends(theta, self.aside).value

    def linear(self, theta: np.ndarray, residuals: _Ends) -> _Linear:
        """Run it with each parameter changed."""
        columns = [
            (self._ends(theta + step, self.training).gap - residuals.gap).ravel() / _STEP
            for step in _STEP * np.eye(len(theta))
        ]
        return _Linear(residuals, np.stack(columns))

    def _ends(self, theta: np.ndarray, side: _Side) -> _Ends:
        return _Ends(self.run(self.plan(theta), side) - side.target)


def learn_posterior(
    start: PosteriorResult, denoise: Callable[..., Any], x0: Any, *,
    teacher: Callable[..., Any] | None = None, teacher_steps: int = 50, max_iterations: int = 6,
    seed: int = 0,
) -> PosteriorResult:  # fmt: skip
    """Learn weights and levels of a posterior sampler through a denoiser.

    Args:
      start: what :func:`specjax.fit_posterior` learned, of a deterministic sampler.
      denoise: ``(x, alpha, sigma) -> x0``, see :func:`specjax.steered`.
      x0: [N, *shape] samples of the data; measurements of one half are learned on, of the other
        held out.
      teacher: ``(x, alpha, sigma, y) -> x0``, the denoiser of the posterior itself, where it is
        known; by default that of ``denoise`` with the conditional score of the spectrum.
      teacher_steps: of its fine solutions, by DPM-Solver++(2M).
      max_iterations: of Levenberg-Marquardt, each of as many runs as there are parameters.
      seed: of noise and measurements.

    Returns:
      A result whose ``history`` [k, 2] has the logarithm of the mean squared distance to the fine
      solutions, on the measurements learned on and on those held out, where the best is kept. Its
      ``value`` and ``parts`` are those of Gaussian data.

    Raises:
      UserError: for a sampler with noise, and fewer than four samples.
    """
    clock, problem = time.perf_counter(), start.problem
    if start.plan.stochastic:
        raise UserError("start: its sampler adds noise: give one of a deterministic sampler")
    x0 = np.asarray(x0, np.float32)
    if len(x0) < 4:
        raise UserError(f"x0 has {len(x0)} samples: give at least 4")
    measurement, spectrum = start.measurement, problem.spectrum
    rng = np.random.default_rng(checks.seed(seed))
    clean = np.asarray(measurement.forward(x0))
    y = clean + float(measurement.sigma) * rng.standard_normal(clean.shape)
    own = steered(denoise, measurement, start.method, spectrum=spectrum)
    fine, exact = _teacher(start, denoise, teacher, teacher_steps)

    def run(plan: SamplerPlan, side: _Side, by: Any = own) -> np.ndarray:
        found = generate(
            plan, by, len(side.y), x0.shape[1:], seed=side.seed, conditions=side.y, progress=False
        )
        return found.reshape(len(found), -1).astype(np.float64)

    half = len(x0) // 2
    sides = [
        _Side(part.astype(np.float32), seed + number, np.zeros(()))
        for number, part in enumerate((y[:half], y[half:]))
    ]
    training, aside = (side._replace(target=run(fine, side, exact)) for side in sides)
    state_of = _Problem(
        run, lambda theta: drop_idle(plan_of_theta(problem.shape, problem.inputs, theta)[0]),
        training, aside, (half,),
    )  # fmt: skip
    state = begin(state_of, start.theta)
    with np.errstate(all="ignore"):
        for _ in range(checks.whole_number("max_iterations", max_iterations)):
            state = iterate(state_of, state, _STOPPING)
            if state.done:
                break
    return problem.result(
        state.best, converged=state.done, history=state.history,
        seconds=time.perf_counter() - clock,
    )  # fmt: skip


def _teacher(
    start: PosteriorResult, denoise: Any, teacher: Any, steps: int
) -> tuple[SamplerPlan, Any]:
    """Return the plan of fine solutions, from the same noise, and the denoiser that it runs."""
    levels = start.problem.levels.alpha_bar_range
    schedule = family("karras", checks.whole_number("steps", steps), alpha_bar_range=levels)
    plan = plan_of("dpmpp_2m", schedule, start.process)
    if teacher is not None:
        return plan, teacher
    spectrum = start.problem.spectrum
    exact = steered(denoise, start.measurement, METHODS["gaussian"], spectrum=spectrum)
    return steered_plan(plan, 1.0), exact
