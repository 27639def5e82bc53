"""Learning a schedule by gradient descent through the closed-form transfer.

The levels are a monotone function of unconstrained parameters: increments of logsnr are
``softplus(theta) + floor``, cumulated; rescaled to the span where both ends are fixed, free
where the clean end is noise-free. The log of the loss is minimised on the quadrature nodes of
the spectrum, from the best of several starts, all inside one compiled loop.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from specjax import _check
from specjax._values import Array, follows_the_rule
from specjax.losses import LOSSES
from specjax.objective import Objective, objective
from specjax.result import FitResult
from specjax.schedule import NoiseSchedule, alpha_bar_to_logsnr
from specjax.spectral import padded_levels
from specjax.spectrum import Spectrum

if TYPE_CHECKING:
    import optax

Progress = Callable[[int, int, float], None]
"""Called with (iterations done, most iterations, best loss so far)."""

_CHUNK = 50  # iterations between two returns to the host, for progress and Ctrl-C
_PATIENCE = 8  # iterations without a gain above rounding before a line search gives up
_TOLERANCE = {np.dtype("float64"): 1e-6, np.dtype("float32"): 2e-3}
_OVERSHOOT = 0.1  # a start goes on to this part of the tolerance while it still gains


class _Task(NamedTuple):
    """What is static in a compiled fit."""

    objective: Objective
    steps: int
    ends_clean: bool
    optimizer: Any
    max_iterations: int
    restarts: int


class _State(NamedTuple):
    """One start on its way."""

    theta: jax.Array
    optimizer: Any
    iteration: jax.Array
    stalled: jax.Array
    best: jax.Array
    best_theta: jax.Array
    slope: jax.Array  # largest entry of the gradient at the best theta
    history: jax.Array


def fit(
    spectrum: Spectrum,
    steps: int,
    *,
    sampler: str = "ddim",
    loss: str = "w2",
    process: str = "vp",
    alpha_bar_range: tuple[float, float] = _check.DEFAULT_ALPHA_BAR_RANGE,
    sampler_options: Mapping[str, Any] | None = None,
    optimizer: optax.GradientTransformation | None = None,
    max_iterations: int = 500,
    restarts: int | None = None,
    nodes: int | None = 40,
    tolerance: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> FitResult:
    """Learn the noise levels at which a sampler of S steps comes closest to the data.

    Args:
      spectrum: d eigenvalues (2502.00180, eq. 16-17 with the loss of its section 4).
      steps: S. sampler: a name in SAMPLERS. sampler_options: such as ``{"eta": 0.5}``.
      loss: a name in LOSSES. process: "vp" or "ve".
      alpha_bar_range: the two ends (noisy, clean). With ``clean = 1.0`` the last step returns
        the denoised estimate and the last noisy level is learned too.
      optimizer: any optax transformation; L-BFGS with a zoom line search by default.
      max_iterations: per start. restarts: how many of the best starts are followed; by default 1,
        but 8 on a clustered spectrum (two neighbouring eigenvalues more than a factor of 30
        apart), where there are several minima.
      nodes: quadrature nodes that the fit runs on; None for the full spectrum.
      tolerance: of the largest entry of the gradient of log(loss) at which a fit counts as
        converged; by default 1e-6 in float64 and 2e-3 in float32.
      seed: of the random starts. progress: see :data:`Progress`.

    Returns:
      A :class:`FitResult`. A fit that did not converge says so in ``converged``.

    Raises:
      ValueError: for an unknown name, steps below 1, a range that is reversed or outside (0, 1],
        zero eigenvalues under a loss that is infinite there.

    Example:
      >>> result = fit(Spectrum([1.0]), steps=4)
      >>> result.converged, result.schedule.steps
      (True, 4)
    """
    began = time.perf_counter()
    steps = _check.whole_number("steps", steps)
    ends = _check.alpha_bar_range(alpha_bar_range)
    chosen = objective(spectrum, sampler, sampler_options, loss, process)
    small = replace(spectrum, basis=None)
    if nodes is not None:
        small = spectrum.quadrature(_check.whole_number("nodes", nodes))
    task = _Task(
        objective=chosen,
        steps=steps,
        ends_clean=ends[1] == 1,
        optimizer=_lbfgs() if optimizer is None else optimizer,
        max_iterations=_check.whole_number("max_iterations", max_iterations),
        restarts=_restarts(spectrum, restarts),
    )
    if tolerance is not None:
        _check.positive("tolerance", tolerance)
    logsnr_ends = alpha_bar_to_logsnr(ends).astype(small.eigenvalues.dtype)
    levels, best, slope, limit, history = _optimise(
        task, small, logsnr_ends, tolerance, seed, progress
    )
    schedule = NoiseSchedule(levels)
    value = float(chosen.value(spectrum, schedule))
    finite = bool(np.isfinite(value))
    return FitResult(
        schedule=schedule,
        value=value,
        converged=finite and bool(slope <= limit),
        finite=finite,
        history=np.asarray(history, np.float64),
        sampler=sampler,
        sampler_options=dict(sampler_options or {}),
        loss=loss,
        process=process,
        alpha_bar_range=ends,
        nodes=small,
        node_value=float(best),
        source={**(spectrum.source or {}), "fingerprint": spectrum.fingerprint},
        seed=seed,
        seconds=time.perf_counter() - began,
    )


def _restarts(spectrum: Spectrum, restarts: int | None) -> int:
    """Several starts where the minima are several: how many levels go to each cluster.

    In about a thousand random spectra one start always found the best minimum of eight where
    neighbouring eigenvalues are within a factor of 50, with KL and W2, DDIM and DDPM.
    """
    if restarts is not None:
        return _check.whole_number("restarts", restarts)
    lam = np.sort(np.asarray(spectrum.eigenvalues))
    lam = lam[lam > 0]
    return 8 if (lam[1:] > 30 * lam[:-1]).any() else 1


@functools.cache
def _lbfgs() -> optax.GradientTransformation:
    import optax

    return optax.lbfgs(memory_size=20)


@follows_the_rule
def _optimise(
    task: _Task,
    nodes: Spectrum,
    ends: Array,
    tolerance: float | None,
    seed: int,
    progress: Progress | None,
) -> tuple[Array, Array, Array, Array, Array]:
    """The best levels, their loss, gradient and its tolerance, and the history of that start."""
    if tolerance is None:
        tolerance = _TOLERANCE[np.dtype(nodes.eigenvalues.dtype)]
    closed = padded_levels(nodes, LOSSES[task.objective.loss], task.steps, *ends)
    state = _start(task, nodes, ends, np.asarray(closed)[: task.steps + 1], seed)
    while True:
        state, running = _run(task, nodes, ends, state, tolerance * _OVERSHOOT)
        best = np.asarray(state.best)
        if progress:
            done = int(np.asarray(state.iteration).max())
            progress(done, task.max_iterations, math.exp(best.min()))
        if not running:
            break
    k = int(np.argmin(np.where(np.isnan(best), np.inf, best)))
    history = np.exp(np.asarray(state.history[k])[: max(int(state.iteration[k]), 1)])
    levels = levels_of(state.best_theta[k], ends, ends_clean=task.ends_clean)
    return levels, np.exp(best[k]), state.slope[k], np.asarray(tolerance), history


@functools.partial(jax.jit, static_argnames="ends_clean")
def levels_of(theta: jax.Array, ends: Array, ends_clean: bool) -> jax.Array:
    """logsnr [S + 1] of parameters: [S] between fixed ends, [S - 1] where the end is clean.

    The floor keeps levels apart by more than rounding; without it they can coincide and
    gradients become NaN.
    """
    noisy, clean = jnp.asarray(ends, theta.dtype)
    total = jnp.cumsum(jax.nn.softplus(theta) + _floor(theta.dtype))
    if not ends_clean:
        total = total[:-1] / total[-1] * (clean - noisy)
    return jnp.concatenate([noisy[None], noisy + total, clean[None]])


def _theta_of(levels: jax.Array, ends_clean: bool) -> jax.Array:
    """The inverse of :func:`levels_of`."""
    gaps = jnp.diff(levels[:-1] if ends_clean else levels)
    gaps = jnp.maximum(gaps - _floor(levels.dtype), _floor(levels.dtype))
    return gaps + jnp.log(-jnp.expm1(-gaps))


def _floor(dtype: Any) -> float:
    return max(1e-7, 1000 * float(jnp.finfo(dtype).eps))


def _log_loss(task: _Task, nodes: Spectrum, ends: Array) -> Callable[[jax.Array], jax.Array]:
    structure = jax.tree.structure(NoiseSchedule(np.array([0.0, 1.0])))

    def log_loss(theta: jax.Array) -> jax.Array:
        levels = levels_of(theta, ends, task.ends_clean)
        value = task.objective.value(nodes, jax.tree.unflatten(structure, [levels]))
        return jnp.log(jnp.maximum(value, jnp.finfo(value.dtype).tiny))

    return log_loss


@functools.partial(jax.jit, static_argnames="task")
def _start(task: _Task, nodes: Spectrum, ends: Array, closed: Array, seed: Array) -> _State:
    """States [restarts]: closed form, equal gaps and a cosine, the best first; then random ones.

    The random ones are far enough from the closed form to end in other minima.
    """
    time = jnp.linspace(0, 1, task.steps + 1)
    last = -2 if task.ends_clean else -1
    uniform = ends[0] + time * (closed[last] - ends[0]) / time[last]
    far, near = jnp.arctan(jnp.exp(-closed[0] / 2)), jnp.arctan(jnp.exp(-closed[-1] / 2))
    cosine = -2 * jnp.log(jnp.tan(far + time * (near - far)))
    candidates = (jnp.asarray(closed), uniform, cosine)
    simple = jnp.stack([_theta_of(levels, task.ends_clean) for levels in candidates])
    shape = (max(task.restarts - len(simple), 0), simple.shape[1])
    random = simple[0] + jax.random.normal(jax.random.key(seed), shape, simple.dtype)
    theta = jnp.concatenate([simple, random])
    value = jax.vmap(_log_loss(task, nodes, ends))(theta)
    known = value[: len(simple)]
    best_first = jnp.argsort(jnp.where(jnp.isfinite(known), known, jnp.inf))
    order = jnp.concatenate([best_first, jnp.arange(len(simple), len(theta))])[: task.restarts]
    return jax.vmap(functools.partial(_first_state, task))(theta[order], value[order])


def _first_state(task: _Task, theta: jax.Array, value: jax.Array) -> _State:
    import optax

    history = jnp.full(task.max_iterations, jnp.nan, theta.dtype)
    unknown = jnp.full((), jnp.inf, theta.dtype)
    nothing_to_learn = theta.size == 0  # one step to a clean end
    return _State(
        theta=theta,
        optimizer=optax.with_extra_args_support(task.optimizer).init(theta),
        iteration=jnp.zeros((), jnp.int32),
        stalled=jnp.zeros((), jnp.int32),
        best=value if nothing_to_learn else unknown,
        best_theta=theta,
        slope=jnp.zeros_like(value) if nothing_to_learn else unknown,
        history=history.at[0].set(value),
    )


@functools.partial(jax.jit, static_argnames="task")
def _run(
    task: _Task, nodes: Spectrum, ends: Array, state: _State, tolerance: Array
) -> tuple[_State, jax.Array]:
    """At most _CHUNK more iterations of every start, and whether any wants to go on."""
    log_loss = _log_loss(task, nodes, ends)
    descends = _searches_lines(state.optimizer)

    def wants_more(s: _State) -> jax.Array:
        left = (s.slope > tolerance) & (s.iteration < task.max_iterations)
        return left & (s.stalled < _PATIENCE) if descends else left

    def follow(s: _State) -> _State:
        until = s.iteration + _CHUNK
        return jax.lax.while_loop(
            lambda s: wants_more(s) & (s.iteration < until),
            functools.partial(_iterate, task.optimizer, log_loss),
            s,
        )

    # One after another: in a batch, each line search would wait for the longest and compute both
    # of its branches. On a CPU that takes three times as long.
    state = jax.lax.map(follow, state)
    return state, jax.vmap(wants_more)(state).any()


def _searches_lines(memory: Any) -> bool:
    """Whether an optimiser goes down at each step, and remembers the gradient it ended with.

    The others, such as Adam, may climb for long before they settle.
    """
    import optax

    return optax.tree_utils.tree_get(memory, "grad") is not None


def _iterate(optimizer: Any, log_loss: Callable[[jax.Array], jax.Array], s: _State) -> _State:
    """One update of any optax optimiser; the best point so far is kept."""
    import optax

    optimizer = optax.with_extra_args_support(optimizer)
    evaluate = jax.value_and_grad(log_loss)
    if _searches_lines(s.optimizer):
        evaluate = functools.partial(optax.value_and_grad_from_state(log_loss), state=s.optimizer)
    value, gradient = evaluate(s.theta)
    updates, memory = optimizer.update(
        gradient, s.optimizer, s.theta, value=value, grad=gradient, value_fn=log_loss
    )
    slope = jnp.abs(gradient).max(initial=0.0)
    rounding = 4 * jnp.finfo(value.dtype).eps
    gained = value < s.best - rounding
    better = gained | ((value <= s.best + rounding) & (slope < s.slope))
    moving = gained | (better & (slope < s.slope / 2))
    return _State(
        theta=optax.apply_updates(s.theta, updates),
        optimizer=memory,
        iteration=s.iteration + 1,
        stalled=jnp.where(moving, 0, s.stalled + 1),
        best=jnp.where(better, value, s.best),
        best_theta=jnp.where(better, s.theta, s.best_theta),
        slope=jnp.where(better, slope, s.slope),
        history=s.history.at[s.iteration].set(value),
    )
