"""The descent: evaluations on training noise, with looks at what is held out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core.arrays import Array
from specjax.fitting.bfgs import Method
from specjax.learning.objective import PlanObjective, compiled
from specjax.learning.objectives import Objectives
from specjax.learning.parameters import PlanParameters, plan_of

Progress = Callable[[int, int, float], None]
"""Called with (calls, or evaluations, done; of how many; the gain of the held-out value so far)."""

_TOLERANCE = {np.dtype("float64"): 1e-6, np.dtype("float32"): 1e-3}  # of the gradient, at most


class _Stopping(NamedTuple):
    """When to look at what is held out, and when to stop.

    Every ``look`` evaluations; after ``patience`` looks that gained less than ``gain`` (of the
    value, a logarithm).
    """

    look: int
    patience: int
    gain: float


_CLOSED_FORM, _SAMPLES = _Stopping(10, 10, 2e-3), _Stopping(10, 3, 2e-3)
_NETWORK = _Stopping(5, 3, 0.01)


def _stopping(objectives: Objectives) -> _Stopping:
    """Stop the sooner, the dearer an evaluation is."""
    if objectives.exact:
        return _CLOSED_FORM
    return _NETWORK if objectives.training.call_by_call else _SAMPLES


class Optimised(NamedTuple):
    """The best parameters [n] by what is held out, their values, and those of all looks [k, 2]."""

    theta: np.ndarray
    training: float
    held_out: float
    history: np.ndarray


class _Program(NamedTuple):
    """The static part of a compiled descent."""

    parameters: PlanParameters
    method: Method
    max_iterations: int


def optimise(
    parameters: PlanParameters, start: np.ndarray, ends: np.ndarray, objectives: Objectives,
    method: Method, max_iterations: int, progress: Progress | None = None,
) -> Optimised:  # fmt: skip
    """Minimise the training objective from parameters [n], and keep the best by the held-out one.

    Args:
      ends: logsnr at both ends [2]. max_iterations: evaluations at most.
    """
    theta, ends = np.asarray(start, objectives.dtype), np.asarray(ends, objectives.dtype)
    program = _Program(parameters, method, max_iterations)
    training, stopping = objectives.training, _stopping(objectives)

    def held_out(theta: np.ndarray) -> float:
        return float(objectives.held_out.worth(plan_of(parameters, theta, ends)))

    state = compiled(_begin, training, program, theta, ends, static="program")
    best = Optimised(theta, float(state.value), held_out(theta), np.zeros((0, 2)))
    looks, without_gain = [(best.training, best.held_out)], 0
    while without_gain < stopping.patience and _wants_more(program, state, max_iterations):
        until = min(int(state.iteration) + stopping.look, max_iterations)
        state = compiled(_advance, training, program, theta, ends, state, until, static="program")
        if len(looks) == 1:  # BFGS evaluates its start in the first iteration
            best = best._replace(training=float(state.history[0]))
            looks = [(best.training, best.held_out)]
        now = theta.copy()
        now[parameters.learned] = state.theta
        looks.append((float(state.value), held_out(now)))
        without_gain = 0 if looks[-1][1] < best.held_out - stopping.gain else without_gain + 1
        if looks[-1][1] < best.held_out:
            best = Optimised(now, *looks[-1], best.history)
        if progress:
            progress(int(state.iteration), max_iterations, best.held_out - looks[0][1])
    return best._replace(history=np.array(looks))


def _begin(objective: PlanObjective, program: _Program, theta: Array, ends: Array) -> Any:
    """Make the state of the descent at its start."""
    learned, theta = program.parameters.learned, jnp.asarray(theta)
    scale = program.parameters.scale(theta)[learned]
    function = _of_learned(objective, program.parameters, theta, ends)
    return program.method.begin(function, theta[learned], scale, program.max_iterations)


def _advance(
    objective: PlanObjective, program: _Program, theta: Array, ends: Array, state: Any, until: Any
) -> Any:
    """Go on to so many evaluations in all."""
    function = _of_learned(objective, program.parameters, theta, ends)
    advance = functools.partial(program.method.advance, function)
    if not objective.call_by_call:
        return jax.lax.while_loop(lambda s: _wants_more(program, s, until), advance, state)
    while _wants_more(program, state, until):
        state = advance(state)
    return state


def _of_learned(
    objective: PlanObjective, parameters: PlanParameters, theta: Array, ends: Array
) -> Callable[[jax.Array], jax.Array]:
    """Make the function of the parameters that are learned; the others stay as in theta [n]."""

    def value(learned: jax.Array) -> jax.Array:
        whole = jnp.asarray(theta).at[parameters.learned].set(learned)
        found = objective.value(plan_of(parameters, whole, ends))
        return jnp.asarray(found, learned.dtype)  # a spectrum may have more digits than samples

    return value


def _wants_more(program: _Program, state: Any, until: Any) -> jax.Array:
    return program.method.wants_more(state, _TOLERANCE[np.dtype(state.theta.dtype)], until)
