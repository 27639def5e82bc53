"""Learning a schedule by gradient descent through the closed-form transfer.

The log of the loss is minimised over the parameters of :mod:`specjax.fitting.levels` on the
quadrature nodes of the task, from the best of several starts. :func:`follow_starts` is the loop of
every fit: it iterates a start in a compiled program and returns to Python between chunks. That
program is the only one: starts and values are computed by NumPy.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, namespace
from specjax._core.programs import program
from specjax._core.progress import shows_progress
from specjax.fitting.bfgs import BFGS, Function, Method, follow
from specjax.fitting.learned import LearnedResult
from specjax.fitting.levels import levels_of
from specjax.fitting.optax_method import with_optax
from specjax.fitting.problem import (
    FitShape,
    curvature,
    inputs_of,
    log_loss,
    padded_parameters,
    starts,
)
from specjax.gaussian.modes import Modes
from specjax.gaussian.task import GaussianTask, TaskOptions
from specjax.sampling.samplers import is_of_package
from specjax.schedules.schedule import NoiseSchedule
from specjax.spectra.spectrum import Spectrum

if TYPE_CHECKING:
    import optax

Progress = Callable[[int, int, float], None]
"""Called with (iterations done, most iterations, best loss so far)."""

_CHUNK = 50  # iterations between two returns to the host
_TOLERANCE = {np.dtype("float64"): 1e-6, np.dtype("float32"): 2e-3}
OVERSHOOT = 0.1
"""The part of the tolerance down to which a start goes on while it still gains."""


class Descent(NamedTuple):
    """The static part of the compiled descent of a fit.

    Attributes:
      function_of: ``(shape, inputs)`` to the function that is minimised, :func:`log_loss` or its
        like; one of a module, so that its identity stands for it.
      shape: of the fit.
      method: of descent.
    """

    function_of: Callable[[FitShape, Any], Function]
    shape: FitShape
    method: Method


@shows_progress("fit", "iterations")
def fit(
    spectrum: Spectrum | GaussianTask,
    steps: int,
    *,
    optimizer: optax.GradientTransformation | None = None,
    max_iterations: int = 500,
    restarts: int | None = None,
    nodes: int | None = 40,
    tolerance: float | None = None,
    seed: int = 0,
    progress: Progress | Literal[False] | None = None,
    **task: Unpack[TaskOptions],
) -> LearnedResult:
    """Learn the noise levels at which a sampler of S steps comes closest to the data.

    Args:
      spectrum: d eigenvalues (2502.00180, eq. 16-17 with the loss of its section 4), or a task.
      steps: S, the number of steps.
      optimizer: any Optax transformation; BFGS from a good estimate of the Hessian by default.
      max_iterations: the most iterations of each start.
      restarts: how many of the best starts are followed; by default 1, but 8 on a clustered
        spectrum (two neighbouring eigenvalues more than a factor of 30 apart) or with a measured
        denoiser, where there are several minima. There are some, too, for KL in 100 steps on a
        spectrum with a mean: one start was seen to end 3 % above the best of 3.
      nodes: quadrature nodes that the fit runs on; None for the full spectrum.
      tolerance: of the largest entry of the gradient of log(loss) at which a fit counts as
        converged; by default 1e-6 in float64 and 2e-3 in float32.
      seed: of the random starts.
      progress: see :data:`Progress`; by default a line on standard error in long calls, False
        for none.
      task: sampler, loss, process, alpha_bar_range, grid, noise, denoiser, denoiser_error, see
        :class:`specjax.gaussian.task.TaskOptions`.

    Returns:
      A :class:`LearnedResult`. A fit that did not converge says so in ``converged``.

    Raises:
      UserError: for an unknown name, steps below 1, a range that is reversed or outside (0, 1],
        zero eigenvalues under a loss that is infinite there, a denoiser's error under one that
        counts none.

    Example:
      >>> result = fit(Spectrum([1.0]), steps=4)
      >>> result.converged, result.schedule.steps
      (True, 4)
    """
    clock = time.perf_counter()
    steps = checks.whole_number("steps", steps)
    resolved = GaussianTask.for_fit(spectrum, **task)
    small = resolved.nodes
    if nodes != 40:
        few = None if nodes is None else checks.whole_number("nodes", nodes)
        small = resolved.modes if few is None else resolved.modes.quadrature(few)
    most = checks.whole_number("max_iterations", max_iterations)
    restarts, seed = restarts_for(resolved.modes, restarts), checks.seed(seed)
    checks.fits_in_memory("steps", steps, 3 * 8 * restarts * steps**2)  # BFGS's matrices
    if tolerance is not None:
        checks.positive("tolerance", tolerance)
    objective, ends = resolved.objective, resolved.logsnr_range
    shape = FitShape.of(objective, steps, ends_clean=resolved.levels.last_is_free)
    descent = Descent(log_loss, shape, BFGS if optimizer is None else with_optax(optimizer))
    on_host = jax.tree.map(np.asarray, small)
    thetas = starts(objective, on_host, ends, steps, restarts, seed)
    inputs = inputs_of(shape, objective.loss, small, ends, steps)
    idle = shape.steps - steps
    best = follow_starts(
        descent, inputs, padded_parameters(thetas, idle),
        padded_parameters(curvature(steps, thetas, ends), idle, 1.0),
        most=most, tolerance=tolerance, progress=progress or None,
    )  # fmt: skip
    learned = best.theta[idle:]
    levels = levels_of(learned, ends, ends_clean=shape.ends_clean)
    schedule = NoiseSchedule(namespace(small.eigenvalues).asarray(levels))
    value = float(resolved.value(schedule))
    finite = bool(np.isfinite(value))
    return LearnedResult(
        schedule=schedule,
        value=value,
        converged=finite and best.converged,
        finite=finite,
        history=best.history,
        nodes=small,
        node_value=best.value,
        seed=seed,
        seconds=time.perf_counter() - clock,
        **about_task(resolved),
    )


def about_task(task: GaussianTask) -> dict[str, Any]:
    """Return the fields of a :class:`LearnedResult` that say what it was learned for."""
    sampler = task.objective.sampler
    return {
        "sampler": task.sampler,
        "sampler_options": task.sampler_options,
        "custom_sampler": None if is_of_package(sampler) else sampler,
        "loss": task.loss.name,
        "process": task.process,
        "alpha_bar_range": task.alpha_bar_range,
        "grid": task.levels.grid,
        "source": task.source,
        "noise": task.noise,
    }


def restarts_for(modes: Modes, restarts: int | None) -> int:
    """Choose the number of starts: several where there are several minima.

    On a clustered spectrum they differ by how many levels go to each cluster.
    In 2,000 fits of 250 random spectra (neighbours within a factor of 29, S = 4 and 10, DDIM and
    DDPM, W2 and KL) one start reached the best minimum of eight in all but two, DDPM with KL in 4
    steps, which ended up to 1.1 % above. With the measured denoiser of a network there are more
    minima: on digits one start of DDIM in 10 and 25 steps ended 1 to 4 % above the best of eight.
    """
    if restarts is not None:
        return checks.whole_number("restarts", restarts)
    if modes.response is not None:
        return 8
    lam = np.sort(np.asarray(modes.eigenvalues))
    lam = lam[lam > 0]
    return 8 if (lam[1:] > 30 * lam[:-1]).any() else 1


class BestStart(NamedTuple):
    """The end of the best of several starts.

    Attributes:
      theta: [n], the parameters.
      value: the loss.
      converged: whether the gradient of log(loss) is within the tolerance.
      history: the loss at each iteration.
    """

    theta: np.ndarray
    value: float
    converged: bool
    history: np.ndarray


def follow_starts(
    descent: Descent, inputs: Any, thetas: np.ndarray, scales: np.ndarray, *,
    most: int, tolerance: float | None, progress: Progress | None,
) -> BestStart:  # fmt: skip
    """Iterate every start to its end, one after another, and return the best.

    The loop returns to Python every _CHUNK iterations, so that progress is reported and Ctrl-C
    works.

    Args:
      descent: what is static.
      inputs: of the fit.
      thetas: [restarts, n], parameters to start from.
      scales: [restarts, n], the expected inverse curvature in each.
      most: the most iterations of each start.
      tolerance: of the gradient, None for that of the dtype.
      progress: see :data:`Progress`; it counts the iterations of all starts.
    """
    tolerance = tolerance_for(thetas.dtype, tolerance)
    ends: list[BestStart] = []
    for k, (theta, scale) in enumerate(zip(thetas, scales, strict=True)):

        def report(done: int, value: float, before: int = k) -> None:
            if progress:
                least = min([value, *(end.value for end in ends)])
                progress(before * most + done, len(thetas) * most, least)

        ends.append(_follow_start(descent, inputs, theta, scale, most, tolerance, report))
    return min(ends, key=lambda end: end.value)


def _follow_start(
    descent: Descent, inputs: Any, theta: np.ndarray, scale: np.ndarray, most: int,
    tolerance: float, report: Callable[[int, float], None],
) -> BestStart:  # fmt: skip
    state = _begin(descent, inputs, theta, scale)
    history: list[float] = []
    running = True
    while running:
        state, running = _run(descent, inputs, state, tolerance * OVERSHOOT, np.int32(most))
        done, value = int(state.iteration), float(state.value)
        recent = np.asarray(state.history)[np.arange(len(history), done) % _CHUNK]
        history += np.exp(np.asarray(recent, np.float64)).tolist()
        report(done, math.inf if math.isnan(value) else math.exp(value))
    value = math.inf if math.isnan(value) else math.exp(value)
    converged = bool(np.asarray(state.slope) <= tolerance)
    return BestStart(np.asarray(state.theta), value, converged, np.array(history))


def _begin(descent: Descent, inputs: Any, theta: np.ndarray, scale: np.ndarray) -> Any:
    """Make the state of a start; that of BFGS needs no program."""
    if descent.method is BFGS:
        return BFGS.begin(descent.function_of(descent.shape, inputs), theta, scale, _CHUNK)
    return _begin_compiled(descent, inputs, theta, scale)


@program(static=("descent",))
def _begin_compiled(descent: Descent, inputs: Any, theta: jax.Array, scale: jax.Array) -> Any:
    function = descent.function_of(descent.shape, inputs)
    return descent.method.begin(function, theta, scale, _CHUNK)


@program(static=("descent",))
def _run(
    descent: Descent, inputs: Any, state: Any, tolerance: Array, most: Array
) -> tuple[Any, jax.Array]:
    """Make at most _CHUNK more iterations of a start, and say whether it wants to go on."""
    until = jnp.minimum(state.iteration + _CHUNK, most)
    function = descent.function_of(descent.shape, inputs)
    state = follow(descent.method, function, state, tolerance, until)
    return state, descent.method.wants_more(state, tolerance, most)


def tolerance_for(dtype: Any, given: float | None) -> float:
    """Return the given tolerance of the gradient, or the one of a dtype."""
    return _TOLERANCE[np.dtype(dtype)] if given is None else given
