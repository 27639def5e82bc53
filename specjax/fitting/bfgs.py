"""Descent: what a fit iterates, for one problem or for many at once.

:data:`BFGS` makes one evaluation of each problem an iteration: the line search for the weak Wolfe
conditions (Lewis and Overton 2013; near convergence, where values differ by rounding only, the
approximate conditions of Hager and Zhang 2005) is a state machine whose ``advance`` tries one
point, so that a batch under ``vmap`` never waits for the line search of one of its members.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Function = Callable[[jax.Array], jax.Array]
"""Parameters [n] to a value []."""

_ARMIJO, _WOLFE = 1e-4, 0.9  # sufficient decrease, and what may be left of the slope
PATIENCE = 8  # iterations without a gain above rounding before a method with line search ends
_TRIALS = 12  # points of one line search before the estimate of the Hessian is dropped
_SETTLED = 10  # times the tolerance: from here on a failed line search is the end


class Method(NamedTuple):
    """A way to descend. Its states have theta, value, slope, iteration and history.

    ``begin(function, theta, scale, history)``: the state at a start [n]; ``scale`` [n] is the
    expected inverse curvature in each parameter, ``history`` how many values to remember.
    ``advance(function, state)``: one iteration. ``wants_more(state, tolerance, most)``: whether a
    descent goes on. ``together``: whether a batch advances as one.
    """

    begin: Callable[[Function, jax.Array, jax.Array, int], Any]
    advance: Callable[[Function, Any], Any]
    wants_more: Callable[[Any, Any, Any], jax.Array]
    together: bool


def descend(
    method: Method,
    function_of: Callable[[Any], Function],
    problems: Any,
    states: Any,
    tolerance: Any,
    most: Any,
) -> Any:
    """Go on from states [B, ...] of problems [B, ...] until none wants more.

    Args:
      most: [B] or [], the iterations of each at which it stops here.
    """
    most = jnp.broadcast_to(most, states.iteration.shape)

    def wants_more(state: Any, until: jax.Array) -> jax.Array:
        return method.wants_more(state, tolerance, until)

    def advance(problem: Any, state: Any, until: jax.Array) -> Any:
        new = method.advance(function_of(problem), state)
        active = wants_more(state, until)
        return jax.tree.map(lambda a, b: jnp.where(active, a, b), new, state)

    if method.together:
        return jax.lax.while_loop(
            lambda s: jax.vmap(wants_more)(s, most).any(),
            lambda s: jax.vmap(advance)(problems, s, most),
            states,
        )

    # One after another: in a batch, each line search of optax would wait for the longest and
    # compute both of its branches.
    def follow(given: tuple[Any, Any, jax.Array]) -> Any:
        problem, state, until = given
        return jax.lax.while_loop(
            lambda s: wants_more(s, until), partial(method.advance, function_of(problem)), state
        )

    return jax.lax.map(follow, (problems, states, most))


class State(NamedTuple):
    """One problem on its way: the best point, and the point that is tried next.

    ``inverse`` is the estimate of the inverse Hessian [n, n], ``direction`` [n] with ``step`` []
    the trial, ``low`` and ``high`` [] the bracket of the step and ``trials`` its points so far.
    ``iteration`` counts evaluations, ``history`` [m] has the best value after each of the first m.
    """

    theta: jax.Array
    value: jax.Array
    gradient: jax.Array
    scale: jax.Array
    inverse: jax.Array
    direction: jax.Array
    step: jax.Array
    low: jax.Array
    high: jax.Array
    trials: jax.Array
    iteration: jax.Array
    stalled: jax.Array
    history: jax.Array

    @property
    def slope(self) -> jax.Array:
        """The largest entry of the gradient."""
        return jnp.abs(self.gradient).max(axis=-1, initial=0.0)


def _begin(function: Function, theta: jax.Array, scale: jax.Array, history: int) -> State:
    """A step of no length from nowhere: the first iteration evaluates the start."""
    nothing = jnp.zeros((), theta.dtype)
    return State(
        theta=theta,
        value=nothing + jnp.inf,
        gradient=jnp.zeros_like(theta),
        scale=scale,
        inverse=jnp.diag(scale),
        direction=jnp.zeros_like(theta),
        step=nothing,
        low=nothing,
        high=nothing + jnp.inf,
        trials=jnp.zeros((), jnp.int32),
        iteration=jnp.zeros((), jnp.int32),
        stalled=jnp.zeros((), jnp.int32),
        history=jnp.full(history, jnp.nan, theta.dtype),
    )


def _wants_more(state: State, tolerance: Any, most: Any) -> jax.Array:
    """Still steep, still gaining, and below ``most`` evaluations."""
    trials = jnp.where(state.slope > _SETTLED * tolerance, 2 * _TRIALS, PATIENCE)
    able = (state.stalled < PATIENCE) & (state.trials < trials) & jnp.isfinite(state.value)
    steep = (state.iteration == 0) | (able & (state.slope > tolerance))
    return steep & (state.iteration < most)


def _advance(function: Function, s: State) -> State:
    """Try one point: move there if it is good enough, else narrow the bracket."""
    theta = s.theta + s.step * s.direction
    value, gradient = jax.value_and_grad(function)(theta)
    rounding = 4 * jnp.finfo(value.dtype).eps * (1 + jnp.abs(value))
    before, here = s.gradient @ s.direction, gradient @ s.direction
    fell = value <= s.value + _ARMIJO * s.step * before
    level = (value <= s.value + rounding) & (here <= (2 * _ARMIJO - 1) * before)
    falls = jnp.isfinite(value) & jnp.isfinite(here) & (fell | level)
    moves = falls & (here >= _WOLFE * before)
    slope = jnp.abs(gradient).max(initial=0.0)
    gained = (value < s.value - rounding) | (slope < s.slope / 2)
    trials = jnp.where(moves, 0, s.trials + 1)
    drops = trials == _TRIALS
    updated = _updated(s.inverse, theta - s.theta, gradient - s.gradient)
    inverse = jnp.where(moves, updated, jnp.where(drops, jnp.diag(s.scale), s.inverse))
    low, high, step = _bracket(s, value, before, falls)

    def moved(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(moves, new, old)

    def anew(fresh: Any, old: jax.Array) -> jax.Array:
        return jnp.where(moves | drops, fresh, old)

    fresh = -(inverse * moved(gradient, s.gradient)[None, :]).sum(-1)
    best = moved(value, s.value)
    return State(
        theta=moved(theta, s.theta),
        value=best,
        gradient=moved(gradient, s.gradient),
        scale=s.scale,
        inverse=inverse,
        direction=anew(fresh, s.direction),
        step=anew(_first_step(fresh, s.scale), step),
        low=anew(0.0, low),
        high=anew(jnp.inf, high),
        trials=trials,
        iteration=s.iteration + 1,
        stalled=jnp.where(moves, jnp.where(gained, 0, s.stalled + 1), s.stalled),
        history=s.history.at[s.iteration].set(best) if s.history.size else s.history,
    )


def _first_step(direction: jax.Array, scale: jax.Array) -> jax.Array:
    """A whole step, but no parameter farther than the root of its inverse curvature.

    From far away whole steps may end where the function is flat.
    """
    return 1 / jnp.maximum(1, (jnp.abs(direction) / jnp.sqrt(scale)).max(initial=0.0))


def _updated(inverse: jax.Array, moved: jax.Array, change: jax.Array) -> jax.Array:
    """The BFGS update, left out where the curvature along the step is not positive."""
    curvature = moved @ change
    positive = curvature > 0
    rho = jnp.where(positive, 1 / jnp.where(positive, curvature, 1), 0)
    turned = (inverse * change[None, :]).sum(-1)
    cross = moved[:, None] * turned[None, :]
    again = rho * (1 + rho * (change @ turned)) * moved
    return inverse - rho * (cross + cross.T) + again[:, None] * moved[None, :]


def _bracket(
    s: State, value: jax.Array, before: jax.Array, falls: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The bracket and the next step after a trial that was too long or too short."""
    low, high = jnp.where(falls, s.step, s.low), jnp.where(falls, s.high, s.step)
    parabola = -before * s.step**2 / (2 * (value - s.value - before * s.step))
    first = jnp.where(jnp.isfinite(parabola), parabola, 0)
    shorter = jnp.where(low > 0, (low + high) / 2, jnp.clip(first, 0.1 * s.step, 0.5 * s.step))
    return low, high, jnp.where(jnp.isinf(high), 2 * s.step, shorter)


BFGS = Method(_begin, _advance, _wants_more, together=True)
"""BFGS from a diagonal estimate of the inverse Hessian."""
