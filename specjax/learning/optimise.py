"""The loop of learning: evaluations on what is learned on, looks at what is held out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core.arrays import Array
from specjax.fitting.bfgs import Method
from specjax.learning.parameters import Form
from specjax.learning.objective import Judge
from specjax.learning.settings import Bench

Progress = Callable[[int, int, float], None]
"""Called with (evaluations done, most, the best held-out value so far)."""

_TOLERANCE = {np.dtype("float64"): 1e-6, np.dtype("float32"): 1e-3}  # of the gradient, at most


class _Pace(NamedTuple):
    """Evaluations between two looks at what is held out, and looks without a gain to the end.

    ``gain`` of the value, a logarithm, counts as one.
    """

    look: int
    patience: int
    gain: float


_CLOSED_FORM, _SAMPLES, _NETWORK = _Pace(10, 10, 2e-3), _Pace(10, 3, 2e-3), _Pace(5, 3, 0.01)


def _pace(bench: Bench) -> _Pace:
    """The dearer an evaluation, the sooner it ends."""
    if bench.exact:
        return _CLOSED_FORM
    return _NETWORK if bench.learnt.by_calls else _SAMPLES


class Found(NamedTuple):
    """The best parameters [n] by what is held out, their values, and all looks [looks, 2]."""

    parameters: np.ndarray
    train: float
    held_out: float
    history: np.ndarray


class _Task(NamedTuple):
    form: Form
    method: Method


def descend(
    form: Form, method: Method, bench: Bench, start: np.ndarray, ends: np.ndarray, most: int,
    progress: Progress | None,
) -> Found:  # fmt: skip
    """Learn from parameters [n] on."""
    whole, ends = np.asarray(start, bench.dtype), np.asarray(ends, bench.dtype)
    task = _Task(form, method)
    held_out = float(value_of(form, bench.held_out, whole, ends))
    state = _begin(task, bench.learnt, whole, ends, most)
    looks: list[tuple[float, float]] = []
    best = Found(whole, np.nan, held_out, np.zeros((0, 2)))
    waited, pace = 0, _pace(bench)
    while waited < pace.patience and _wants_more(task, state, most):
        until = min(int(state.iteration) + pace.look, most)
        state = _advance(task, bench.learnt, whole, ends, state, until)
        if not looks:  # the value at the start is the first of its history
            looks.append((float(state.history[0]), held_out))
            best = best._replace(train=looks[0][0])
        now = np.asarray(_filled(form, whole, state.theta))
        looks.append((float(state.value), float(value_of(form, bench.held_out, now, ends))))
        gained = looks[-1][1] < best.held_out - pace.gain
        waited = 0 if gained else waited + 1
        if looks[-1][1] < best.held_out:
            best = Found(now, *looks[-1], best.history)
        if progress:
            progress(int(state.iteration), most, best.held_out)
    if not looks:  # nothing to learn
        looks.append((float(value_of(form, bench.learnt, whole, ends)), held_out))
        best = best._replace(train=looks[0][0])
    return best._replace(history=np.array(looks))


def value_of(form: Form, judge: Judge, parameters: Array, ends: Array) -> jax.Array:
    """The objective [] of parameters [n]."""
    return (_value if judge.by_calls else _compiled_value)(form, judge, parameters, ends)


def _value(form: Form, judge: Judge, parameters: Array, ends: Array) -> jax.Array:
    return judge.value(plan_of(form, parameters, ends))


plan_of = jax.jit(lambda form, parameters, ends: form.plan(parameters, ends), static_argnums=0)
_compiled_value = jax.jit(_value, static_argnums=0)


@functools.partial(jax.jit, static_argnums=0)
def _filled(form: Form, whole: Array, theta: Array) -> Array:
    """All parameters: those that are learned, and those that stay."""
    return jnp.asarray(whole).at[np.flatnonzero(form.free)].set(theta)


def _function(form: Form, judge: Judge, whole: Array, ends: Array) -> Callable[..., jax.Array]:
    def value(theta: jax.Array) -> jax.Array:
        found = _value(form, judge, _filled(form, whole, theta), ends)
        return jnp.asarray(found, theta.dtype)  # a spectrum may be of more digits than the samples

    return value


def _started(task: _Task, judge: Judge, whole: Array, ends: Array, most: int) -> Any:
    chosen = np.flatnonzero(task.form.free)
    whole = jnp.asarray(whole)
    scale = jnp.asarray(task.form.scale(whole))[chosen]
    return task.method.begin(_function(task.form, judge, whole, ends), whole[chosen], scale, most)


def _moved(task: _Task, judge: Judge, whole: Array, ends: Array, state: Any, until: Any) -> Any:
    function = _function(task.form, judge, whole, ends)
    return jax.lax.while_loop(
        lambda s: _wants_more(task, s, until),
        lambda s: task.method.advance(function, s),
        state,
    )


_started_compiled = jax.jit(_started, static_argnums=(0, 4))
_moved_compiled = jax.jit(_moved, static_argnums=0)


def _begin(task: _Task, judge: Judge, whole: Array, ends: Array, most: int) -> Any:
    start = _started if judge.by_calls else _started_compiled
    return start(task, judge, whole, ends, most)


def _wants_more(task: _Task, state: Any, until: Any) -> jax.Array:
    return task.method.wants_more(state, _TOLERANCE[np.dtype(state.theta.dtype)], until)


def _advance(task: _Task, judge: Judge, whole: Array, ends: Array, state: Any, until: int) -> Any:
    """Up to so many evaluations in all; one by one where each call is a program of its own."""
    if not judge.by_calls:
        return _moved_compiled(task, judge, whole, ends, state, until)
    function = _function(task.form, judge, whole, ends)
    while _wants_more(task, state, until):
        state = task.method.advance(function, state)
    return state
