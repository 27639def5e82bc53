"""Learning a schedule by gradient descent through the closed-form transfer.

The log of the loss is minimised over the parameters of :mod:`specjax.fitting.levels` on the
quadrature nodes of the task, from the best of several starts. :func:`follow_starts` is the loop of
every fit: it iterates all starts in a compiled program and returns to Python between chunks.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, follows_the_rule, shared_size
from specjax.fitting.bfgs import BFGS, Function, Method, descend
from specjax.fitting.learned import LearnedResult
from specjax.fitting.levels import levels_of
from specjax.fitting.optax_method import with_optax
from specjax.fitting.problem import FitInputs, FitShape, closed_form, curvature, log_loss, starts
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
      max_iterations: the most iterations of each start.
    """

    function_of: Callable[[FitShape, Any], Function]
    shape: FitShape
    method: Method
    max_iterations: int


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
    progress: Progress | None = None,
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
      progress: see :data:`Progress`.
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
    resolved = GaussianTask.resolve(spectrum, **task)
    small = resolved.nodes
    if nodes != 40:
        few = None if nodes is None else checks.whole_number("nodes", nodes)
        small = resolved.modes if few is None else resolved.modes.quadrature(few)
    descent = Descent(
        log_loss,
        FitShape(resolved.objective, shared_size(steps), ends_clean=resolved.levels.last_is_free),
        BFGS if optimizer is None else with_optax(optimizer),
        checks.whole_number("max_iterations", max_iterations),
    )
    restarts, seed = restarts_for(resolved.modes, restarts), checks.seed(seed)
    if tolerance is not None:
        checks.positive("tolerance", tolerance)
    idle = descent.shape.steps - steps
    inputs = FitInputs(small, resolved.logsnr_range, np.asarray(idle))
    start = functools.partial(_start, descent, restarts=restarts, seed=seed)
    best = follow_starts(descent, inputs, start, tolerance, progress)
    schedule = NoiseSchedule(best.levels[idle:])
    value = float(resolved.value(schedule))
    finite = bool(np.isfinite(value))
    return LearnedResult(
        schedule=schedule,
        value=value,
        converged=finite and bool(best.converged),
        finite=finite,
        history=np.asarray(best.history, np.float64),
        nodes=small,
        node_value=float(best.value),
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
      levels: logsnr [S + 1], with idle ones in front.
      theta: [n], the parameters.
      value: [], the loss.
      converged: [], whether the gradient of log(loss) is within the tolerance.
      history: the loss at each iteration.
    """

    levels: Array
    theta: Array
    value: Array
    converged: Array
    history: Array


@follows_the_rule
def follow_starts(
    descent: Descent,
    inputs: Any,
    start: Callable[[Any], Any],
    tolerance: float | None,
    progress: Progress | None,
) -> BestStart:
    """Iterate all starts to their ends, and return the best.

    The loop returns to Python every _CHUNK iterations, so that progress is reported and Ctrl-C
    works.

    Args:
      descent: what is static.
      inputs: of the fit.
      start: inputs to the states [restarts] at the starts.
      tolerance: of the gradient, None for that of the dtype.
      progress: see :data:`Progress`.
    """
    tolerance = tolerance_for(inputs.nodes.eigenvalues.dtype, tolerance)
    state, running = start(inputs), True
    while running:
        state, running = _run(descent, inputs, state, tolerance * OVERSHOOT)
        values = np.asarray(state.value)
        values = np.where(np.isnan(values), np.inf, values)
        if progress:
            done = int(np.asarray(state.iteration).max())
            progress(done, descent.max_iterations, math.exp(values.min()))
    k = int(np.argmin(values))
    history = np.exp(np.asarray(state.history[k])[: int(state.iteration[k])])
    levels = _levels(descent.shape, inputs, state.theta[k])
    converged = np.asarray(state.slope[k]) <= tolerance
    return BestStart(levels, state.theta[k], np.exp(values[k]), converged, history)


def tolerance_for(dtype: Any, given: float | None) -> float:
    """Return the given tolerance of the gradient, or the one of a dtype."""
    return _TOLERANCE[np.dtype(dtype)] if given is None else given


@functools.partial(jax.jit, static_argnames="descent")
def _run(descent: Descent, inputs: Any, state: Any, tolerance: Array) -> tuple[Any, jax.Array]:
    """Make at most _CHUNK more iterations of every start, and say whether any wants to go on."""
    method, restarts = descent.method, len(state.value)
    each = jax.tree.map(lambda x: jnp.broadcast_to(x, (restarts, *jnp.shape(x))), inputs)
    most = jnp.minimum(state.iteration + _CHUNK, descent.max_iterations)
    function_of = functools.partial(descent.function_of, descent.shape)
    state = descend(method, function_of, each, state, tolerance, most)
    more = jax.vmap(lambda s: method.wants_more(s, tolerance, descent.max_iterations))(state)
    return state, more.any()


@functools.partial(jax.jit, static_argnames="shape")
def _levels(shape: FitShape, inputs: Any, theta: jax.Array) -> jax.Array:
    """Compute the levels of parameters [n + p], of which the first n are those of the levels."""
    levels = theta[: shape.steps - shape.ends_clean]
    return levels_of(levels, inputs.ends, ends_clean=shape.ends_clean, idle=inputs.idle)


@functools.partial(jax.jit, static_argnames=("descent", "restarts"))
def _start(descent: Descent, inputs: FitInputs, restarts: int, seed: Array) -> Any:
    """Evaluate the starts, and return the states [restarts] of the best."""
    closed = closed_form(descent.shape, inputs)
    theta = starts(descent.shape, inputs, closed, restarts, seed)
    begin = functools.partial(descent.method.begin, descent.function_of(descent.shape, inputs))
    return jax.vmap(lambda x: begin(x, curvature(inputs, x), descent.max_iterations))(theta)
