"""Learning a posterior sampler in closed form: a weight for each call, and the levels.

The log of a loss on the nodes of (lambda, h) is minimised by BFGS over the parameters of the levels
and of the weights. A weight is measured in units of the one at which some direction is corrected by
all of its residual, so that all are of order 1 for each method and level.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, namespace
from specjax._core.checks import UserError
from specjax._core.programs import program
from specjax._core.shown import Shown
from specjax.fitting.bfgs import BFGS, Function
from specjax.fitting.fit import BestStart, Descent, follow_starts
from specjax.fitting.levels import levels_of, theta_of
from specjax.restoration.dense import (
    MOST_DIMENSIONS,
    MeasuredMatrices,
    measured_matrices,
    surrogate_modes,
)
from specjax.restoration.measurement import Measurement
from specjax.restoration.methods import Method, check_noise, method_of
from specjax.restoration.posterior import (
    MeasuredModes,
    checked_loss,
    measured_modes,
    steering_of,
)
from specjax.restoration.quadrature import measured_nodes
from specjax.sampling.samplers import options_of, sampler_of
from specjax.sampling.scaled import SamplerLike, plan_of_levels
from specjax.sampling.step import SamplerPlan, drop_idle
from specjax.schedules.families import SCHEDULES, family
from specjax.schedules.grids import GridLike
from specjax.schedules.level_range import LevelRange
from specjax.schedules.schedule import NoiseSchedule, check_process
from specjax.spectra.spectrum import Spectrum

ANALYSES = {
    "diagonal": "exact: the measurement is diagonal in the basis of the spectrum",
    "matrices": "exact, by matrices",
    "surrogate": "not exact: as if the measurement were diagonal in the basis of the spectrum",
}
"""What the losses of a posterior sampler are."""
_TOLERANCE = 1e-4
"""Of the gradient of log(loss): below it the last digits of weights change and no figure does."""
_FAMILIES: tuple[tuple[str, dict[str, float]], ...] = (
    ("karras", {"rho": 7.0}), ("karras", {"rho": 3.0}), ("uniform_logsnr", {})
)  # fmt: skip
"""Levels to start from; all are quickly made."""
_NODES_FAIL = 1.05
"""Of the loss on all directions, over that on the nodes: above it, all directions are fitted."""
_SHARES = (1.0, 0.5, 0.2)  # of the exact score's weight, to start from


Measured = MeasuredModes | MeasuredMatrices


class PosteriorShape(NamedTuple):
    """The static part of a compiled fit."""

    sampler: SamplerLike
    process: str
    method: Method
    loss: tuple[tuple[str, float], ...]
    steps: int
    ends_clean: bool


class PosteriorInputs(NamedTuple):
    """The numbers of a fit: nodes, logsnr at the ends [2] or [3], and levels [S + 1] if given."""

    nodes: Measured
    ends: Array
    logsnr: Array | None = None


def steered_plan(plan: SamplerPlan, weights: Any) -> SamplerPlan:
    """Return a plan that takes ``d + w g`` where it took d: ``steer = w pull``.

    Args:
      plan: K rows.
      weights: [K] or [], w of each call.

    Raises:
      UserError: for another number of weights.
    """
    if np.ndim(weights) > 0 and np.shape(weights) != (plan.calls,):
        raise UserError(
            f"weights has shape {np.shape(weights)}: give one for each of {plan.calls} calls"
        )
    xp = namespace(plan.pull, weights)
    by = xp.broadcast_to(xp.asarray(weights, plan.pull.dtype), (plan.calls,))
    return replace(plan, steer=by[:, None] * plan.pull)


def log_loss(shape: PosteriorShape, inputs: PosteriorInputs) -> Function:
    """Make the function of parameters [n] that is minimised, log(loss) []."""

    def evaluate(theta: jax.Array) -> jax.Array:
        plan, _ = plan_of_theta(shape, inputs, theta)
        value = weighted(shape.loss, inputs.nodes.parts(plan, shape.method))
        return jnp.log(jnp.maximum(value, jnp.finfo(value.dtype).tiny))

    return evaluate


def plan_of_theta(
    shape: PosteriorShape, inputs: PosteriorInputs, theta: Array
) -> tuple[SamplerPlan, Array]:
    """Compute the plan and the levels [S + 1] of parameters [n]; traceable."""
    count, levels = 0, inputs.logsnr
    if levels is None:
        count = shape.steps - 1 if shape.ends_clean else shape.steps
        levels = levels_of(theta[:count], inputs.ends, ends_clean=shape.ends_clean)
    plan = plan_of_levels(shape.sampler, levels, shape.process)
    return steered_plan(
        plan, theta[count:] * units(plan, inputs.nodes.diagonal, shape.method)
    ), levels


def units(plan: SamplerPlan, nodes: MeasuredModes, method: Method) -> Array:
    """Return the weights [K] at which a direction is corrected by all of its residual."""
    steering = steering_of(plan, nodes, method)
    corrected: Any = abs(steering.response * steering.gain)
    most = corrected.max(1)
    xp = namespace(most)
    return xp.where(most > 0, 1 / xp.where(most > 0, most, 1), 0)


def weighted(loss: tuple[tuple[str, float], ...], parts: Mapping[str, Any]) -> Any:
    """Return the weighted sum of losses."""
    return sum(weight * parts[name] for name, weight in loss)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class PosteriorResult(Shown):
    """A learned posterior sampler.

    Attributes:
      schedule: S + 1 levels, noisy to clean.
      weights: [K], w of each call.
      plan: K rows with ``steer``.
      method: the method, whose direction the plan steers along.
      measurement: what was measured.
      sampler: its name.
      sampler_options: those of the sampler.
      process: "vp", "ve" or "flow".
      loss: weights of losses by name.
      value: the loss on all directions.
      parts: all of RESTORATION_LOSSES on all directions.
      converged: whether the gradient of log(loss) vanished.
      history: the loss on the nodes at each iteration.
      seconds: the time of learning, with compilation.
      source: where the spectrum comes from.
      theta: [n], the parameters.
      problem: what they are parameters of.
      analysis: a name in ANALYSES, what value and parts are: exact for measurements that are
        diagonal in the basis ("diagonal") and for up to 256 dimensions ("matrices"); of others
        those of gains ``|H v|`` of the spectrum's directions v ("surrogate").
    """

    schedule: NoiseSchedule
    weights: np.ndarray
    plan: SamplerPlan
    method: Method
    measurement: Measurement
    sampler: str
    sampler_options: Mapping[str, Any]
    process: str
    loss: Mapping[str, float]
    value: float
    parts: Mapping[str, float]
    converged: bool
    history: np.ndarray
    seconds: float
    source: Mapping[str, Any] = field(default_factory=dict)
    theta: np.ndarray
    problem: PosteriorProblem
    analysis: str = "diagonal"
    _rivals: Callable[[], Any]

    @property
    def steps(self) -> int:
        """S, the number of steps."""
        return self.schedule.steps

    @functools.cached_property
    def rivals(self) -> Mapping[str, Any]:
        """The samplers beside it, computed when first asked for; see ``baselines``."""
        found: Mapping[str, Any] = self._rivals()
        return found

    @functools.cached_property
    def baselines(self) -> Mapping[str, float]:
        """Values of the loss by name, computed when first asked for.

        "customary" has the method's own weights along DDPM's linear schedule, "constant" the best
        knob of a grid along the best of the usual schedules, "exact score" the conditional score
        of the Gaussian along the best of these in S steps, and "posterior" is the posterior itself.
        """
        return {name: one.value for name, one in self.rivals.items()}


def fit_posterior(
    spectrum: Spectrum,
    measurement: Measurement,
    steps: int | None = None,
    *,
    method: str | Method = "dps",
    sampler: str | SamplerLike = "ddim",
    loss: str | Mapping[str, float] = "w2",
    process: str = "vp",
    alpha_bar_range: tuple[float, float] = checks.DEFAULT_ALPHA_BAR_RANGE,
    grid: GridLike | None = None,
    schedule: NoiseSchedule | str | None = None,
    denoiser_error: float = 0.0,
    max_iterations: int = 200,
    cells: int | None = 32,
) -> PosteriorResult:
    """Learn the guidance weights and the levels of a posterior sampler, in closed form.

    Args:
      spectrum: d eigenvalues.
      measurement: one of ``specjax.measure``. Where it is not diagonal in the basis of the
        spectrum, matrices are learned on up to 256 dimensions, and gains that stand for it on
        more: see ``analysis`` of the result.
      steps: S, the number of steps; by default that of the schedule, or 20.
      method: a name in METHODS, or such a method with another knob.
      sampler: a name in SAMPLERS, or a sampler; with options it may add noise.
      loss: a name in RESTORATION_LOSSES, or weights by name, such as {"mse": 1, "perception": 2}.
      process: "vp", "ve" or "flow".
      alpha_bar_range: the two ends (noisy, clean); noisy is above 0.
      grid: the training grid of the network that will be called, see :func:`specjax.fit`.
      schedule: the levels, or the name of a family, along which weights alone are learned; by
        default levels are learned, too. Those are for Gaussian data: where the measurement tells
        what is large, they leave out the noisy levels, at which a network finds shapes.
      denoiser_error: the part of the posterior variance by which each answer of the denoiser is
        wrong, at random; it keeps weights from what only an exact denoiser would follow.
      max_iterations: the most iterations.
      cells: along each axis of (log lambda, log h), for the nodes that it is learned on; None
        learns on all directions.

    Returns:
      A :class:`PosteriorResult`, whose ``baselines`` are computed when they are asked for.

    Raises:
      UserError: for an unknown name, a measurement of another shape or without noise where the
        method divides by it, another number of steps than the schedule's, and pure noise.

    Example:
      >>> result = fit_posterior(sx.Spectrum([4.0, 0.1]), sx.measure.noise(0.5), 3)
      >>> result.value < result.baselines["constant"]
      True
    """
    clock = time.perf_counter()
    problem = problem_of(
        spectrum, measurement, steps, method=method, sampler=sampler, loss=loss, process=process,
        alpha_bar_range=alpha_bar_range, grid=grid, schedule=schedule,
        denoiser_error=denoiser_error, cells=cells,
    )  # fmt: skip
    shape, inputs, measured, nodes = problem.shape, problem.inputs, problem.measured, problem.nodes
    thetas = _starts(shape, inputs, problem.levels)
    if isinstance(nodes, MeasuredMatrices):  # what is learned as if it were diagonal is a start
        near = inputs._replace(nodes=measured_nodes(nodes.diagonal))
        first = _descended(shape, near, _best_of(shape, near, thetas), max_iterations).theta
        thetas = np.concatenate([thetas, first[None]])
    best = _descended(shape, inputs, _best_of(shape, inputs, thetas), max_iterations)
    plan = drop_idle(plan_of_theta(shape, inputs, best.theta)[0])
    value = weighted(shape.loss, on_all(plan, measured, shape.method))
    if nodes is not measured and not value <= _NODES_FAIL * best.value:
        problem = problem._replace(inputs=inputs._replace(nodes=measured), cells=None)
        best = _descended(shape, problem.inputs, best.theta[None], max_iterations)
    return problem.result(
        best.theta, converged=best.converged, history=best.history,
        seconds=time.perf_counter() - clock,
    )  # fmt: skip


def problem_of(
    spectrum: Spectrum, measurement: Measurement, steps: int | None, *, method: str | Method,
    sampler: str | SamplerLike, loss: str | Mapping[str, float], process: str,
    alpha_bar_range: tuple[float, float], grid: GridLike | None,
    schedule: NoiseSchedule | str | None, denoiser_error: float, cells: int | None,
) -> PosteriorProblem:  # fmt: skip
    """Check the arguments of :func:`fit_posterior`, and make the problem that they pose."""
    chosen, by, weights = method_of(method), sampler_of(sampler), checked_loss(loss)
    check_process(process)
    levels = LevelRange.resolve(alpha_bar_range, grid)
    if levels.alpha_bar_range[0] == 0:
        raise UserError("alpha_bar_range begins with pure noise: give a noisy end above 0")
    steps, logsnr = _levels_given(schedule, steps, levels)
    check_noise(chosen, measurement.sigma)
    measured, analysis = _measured(spectrum, measurement, denoiser_error)
    nodes = measured
    if cells is not None and isinstance(measured, MeasuredModes):
        nodes = measured_nodes(measured, checks.whole_number("cells", cells))
    shape = PosteriorShape(by, process, chosen, weights, steps, levels.last_is_free)
    inputs = PosteriorInputs(nodes, levels.ends, logsnr)
    return PosteriorProblem(
        shape, inputs, levels, measured, measurement, spectrum, analysis, denoiser_error, cells
    )  # fmt: skip


def _measured(
    spectrum: Spectrum, measurement: Measurement, denoiser_error: float
) -> tuple[Measured, str]:
    """Return what is learned on, and its name in ANALYSES."""
    if measurement.gains_on(spectrum) is not None:
        return measured_modes(spectrum, measurement, denoiser_error), "diagonal"
    if spectrum.dimension <= MOST_DIMENSIONS:
        error = denoiser_error or None  # matrices of no errors cost time
        return measured_matrices(spectrum, measurement, error), "matrices"
    return surrogate_modes(spectrum, measurement, denoiser_error), "surrogate"


def _levels_given(
    schedule: NoiseSchedule | str | None, steps: int | None, levels: LevelRange
) -> tuple[int, np.ndarray | None]:
    """Return S, and logsnr [S + 1] of the levels that are given, None where they are learned."""
    if isinstance(schedule, NoiseSchedule):
        if steps not in (None, schedule.steps):
            raise UserError(f"steps = {steps}: schedule has {schedule.steps}, leave steps out")
        steps, made = schedule.steps, schedule
    else:
        steps = checks.whole_number("steps", 20 if steps is None else steps)
        if schedule is None:
            return steps, None
        made = family(
            checks.one_of("schedule", schedule, SCHEDULES), steps,
            alpha_bar_range=levels.alpha_bar_range,
        )  # fmt: skip
    if made.starts_pure:
        raise UserError("schedule begins with pure noise: give a noisy end above 0")
    return steps, np.asarray(levels.clip(made).logsnr, np.float64)


def _descended(
    shape: PosteriorShape, inputs: PosteriorInputs, thetas: np.ndarray, most: int
) -> BestStart:
    function: Any = log_loss
    static: Any = shape
    return follow_starts(
        Descent(function, static, BFGS), inputs, thetas, np.full(thetas.shape, 0.2),
        most=checks.whole_number("max_iterations", most), tolerance=_TOLERANCE, progress=None,
    )  # fmt: skip


class PosteriorProblem(NamedTuple):
    """The problem that a posterior sampler is learned for; parameters [n] make a result of it."""

    shape: PosteriorShape
    inputs: PosteriorInputs
    levels: LevelRange
    measured: Measured
    measurement: Measurement
    spectrum: Spectrum
    analysis: str
    denoiser_error: float
    cells: int | None

    @property
    def nodes(self) -> Measured:
        """The measured modes that are learned on."""
        return self.inputs.nodes

    def result(self, theta: np.ndarray, **about: Any) -> PosteriorResult:
        """Make the result of parameters [n], with more of its fields."""
        from specjax.restoration.baselines import rivals

        shape = self.shape
        plan, logsnr = plan_of_theta(shape, self.inputs, theta)
        plan = drop_idle(plan)
        parts = on_all(plan, self.measured, shape.method)
        return PosteriorResult(
            schedule=NoiseSchedule(logsnr), weights=_weights_of(plan), plan=plan,
            method=shape.method, measurement=self.measurement, sampler=shape.sampler.name,
            sampler_options=options_of(shape.sampler), process=shape.process,
            loss=dict(shape.loss), value=float(weighted(shape.loss, parts)), parts=parts,
            source=dict(self.spectrum.source or {}), theta=theta, problem=self,
            analysis=self.analysis,
            _rivals=functools.partial(
                rivals, shape, self.levels, self.measured, self.inputs.nodes
            ), **about,
        )  # fmt: skip


def on_all(plan: SamplerPlan, measured: Measured, method: Method) -> dict[str, float]:
    """Compute all losses of a plan, as Python's numbers."""
    with np.errstate(all="ignore"):
        found = measured.parts(plan, method)
    return {name: float(x) for name, x in found.items()}


def _weights_of(plan: SamplerPlan) -> np.ndarray:
    """Return w [K] of a plan whose steer is w pull."""
    pull, steer = np.asarray(plan.pull), np.asarray(plan.steer)
    most = np.abs(pull).argmax(1)[:, None]
    by, weighed = (np.take_along_axis(x, most, 1)[:, 0] for x in (pull, steer))
    return np.divide(weighed, by, out=np.zeros_like(by), where=by != 0)


def exact_shares(plan: SamplerPlan, nodes: MeasuredModes) -> np.ndarray:
    """Return how much of its residual the exact score corrects the best-measured direction [K]."""
    from specjax.restoration.methods import gaussian

    steering = steering_of(plan, nodes, gaussian)
    corrected: Any = abs(steering.response * steering.gain)
    return np.asarray(corrected.max(1))


def _starts(shape: PosteriorShape, inputs: PosteriorInputs, levels: LevelRange) -> np.ndarray:
    """Return some simple starts, as parameters [B, n]."""
    found, ends = [], levels.alpha_bar_range
    of_levels: Any = np.zeros(0)
    for name, options in _FAMILIES if inputs.logsnr is None else _FAMILIES[:1]:
        logsnr: Any = inputs.logsnr
        if logsnr is None:
            made = family(name, shape.steps, alpha_bar_range=ends, **options)
            logsnr = np.asarray(levels.clip(made).logsnr)
            of_levels = theta_of(logsnr, inputs.ends, ends_clean=shape.ends_clean)
        plan = plan_of_levels(shape.sampler, logsnr, shape.process)
        shares = exact_shares(plan, inputs.nodes.diagonal)
        found += [np.concatenate([of_levels, share * shares]) for share in _SHARES]
    return np.stack(found)


def _best_of(shape: PosteriorShape, inputs: PosteriorInputs, thetas: np.ndarray) -> np.ndarray:
    """Return the best of parameters [B, n], as [1, n]."""
    values = np.asarray(_values(shape, inputs, thetas))
    order = np.argsort(np.where(np.isfinite(values), values, math.inf), kind="stable")
    return thetas[order[:1]]


@program(static=("shape",))
def _values(shape: PosteriorShape, inputs: PosteriorInputs, thetas: Array) -> jax.Array:
    """Compute the objective of parameters [B, n]."""
    return jax.lax.map(log_loss(shape, inputs), thetas)
