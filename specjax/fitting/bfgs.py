"""BFGS for a batch of problems under ``vmap``, and the loop that runs any method of descent.

Why not the BFGS of SciPy, Optax or JAXopt: a fit has 5 to 100 parameters and takes milliseconds,
and a sweep makes thousands of fits as one batch. SciPy returns to Python for each evaluation. The
other two search along the line in a loop inside the iteration: under ``vmap`` each member of a
batch waits for the longest line search, and computes both branches of every condition. Here the
line search is a state machine whose ``advance`` makes one evaluation of each problem, so that no
member ever waits for the line search of another.

A step is accepted by the weak Wolfe conditions (Lewis and Overton 2013), or, near convergence,
where values differ by rounding only, by the approximate ones of Hager and Zhang (2005).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core.arrays import namespace, where

Function = Callable[[jax.Array], jax.Array]
"""Parameters [n] to a value []."""

_ARMIJO, _WOLFE = 1e-4, 0.9  # the constants c1 (sufficient decrease) and c2 (curvature)
PATIENCE = 8
"""Iterations without a gain above rounding after which a method with a line search ends."""
_MOST_TRIALS = 12  # of one line search, before the estimate of the Hessian is reset
_NEARLY_CONVERGED = 10  # times the tolerance: from here on a failed line search ends a descent


class Method(NamedTuple):
    """A method of descent; its states have theta, value, slope, iteration and history.

    Attributes:
      begin: ``(function, theta, scale, history)``, the state at a start [n]; ``scale`` [n] is the
        expected inverse curvature in each parameter, ``history`` how many values to remember.
      advance: ``(function, state)``, the state after one more iteration.
      wants_more: ``(state, tolerance, most)``, whether a descent goes on.
      together: whether a batch advances as one.
    """

    begin: Callable[[Function, Any, Any, int], Any]
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
    """Iterate the states [B, ...] of problems [B, ...] until none wants more.

    Args:
      method: what iterates them.
      function_of: the function of one problem.
      problems: a pytree with a leading axis B.
      states: of each problem, as ``method.begin`` makes them.
      tolerance: of the largest entry of the gradient.
      most: [B] or [], the iteration at which each stops here.
    """
    most = jnp.broadcast_to(most, states.iteration.shape)

    def wants_more(state: Any, until: jax.Array) -> jax.Array:
        return method.wants_more(state, tolerance, until)

    def advance(problem: Any, state: Any, until: jax.Array) -> Any:
        new = method.advance(function_of(problem), state)
        active = wants_more(state, until)  # members that have ended stay as they are
        return jax.tree.map(lambda a, b: where(active, a, b), new, state)

    if method.together:
        return jax.lax.while_loop(
            lambda s: jax.vmap(wants_more)(s, most).any(),
            lambda s: jax.vmap(advance)(problems, s, most),
            states,
        )

    # One after another: in a batch, each line search of Optax would wait for the longest and
    # compute both of its branches. A CPU is quicker so, too.
    def alone(given: tuple[Any, Any, jax.Array]) -> Any:
        problem, state, until = given
        return follow(method, function_of(problem), state, tolerance, until)

    return jax.lax.map(alone, (problems, states, most))


def follow(method: Method, function: Function, state: Any, tolerance: Any, most: Any) -> Any:
    """Iterate the state of one problem until it wants no more; arguments as in :func:`descend`."""
    return jax.lax.while_loop(
        lambda s: method.wants_more(s, tolerance, most), partial(method.advance, function), state
    )


class State(NamedTuple):
    """The state of one problem: the best point so far, and the line search from there.

    Attributes:
      theta, value, gradient: the best point [n], its value [] and gradient [n].
      scale: [n], the inverse curvature that was expected at the start.
      inverse: [n, n], the estimate of the inverse Hessian.
      direction, step: [n] and [], the trial that is evaluated next is ``theta + step direction``.
      low, high: [], the bracket of the step.
      trials: how many points this line search has tried.
      iteration: how many evaluations there were.
      stalled: how many accepted steps in a row gained nothing above rounding.
      history: [m], the best value after each of the last m evaluations, in turn.
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
        return abs(self.gradient).max(axis=-1, initial=0.0)


def _begin(function: Function, theta: Any, scale: Any, history: int) -> State:
    """Return a state whose first iteration evaluates the start.

    Its trial has no length and its value is infinite, so that the start is always accepted, and
    ``function`` is compiled once, in ``advance``. Of NumPy's arrays it is made on the host.
    """
    xp: Any = namespace(theta, scale)
    dtype = theta.dtype
    zero, endless = xp.asarray(0, dtype), xp.asarray(np.inf, dtype)
    count, still = xp.asarray(0, np.int32), xp.zeros_like(theta)
    return State(
        theta, endless, still, scale, xp.diag(scale), still, step=zero, low=zero,
        high=endless, trials=count, iteration=count, stalled=count,
        history=xp.full(history, np.nan, dtype),
    )  # fmt: skip


def _wants_more(state: State, tolerance: Any, most: Any) -> jax.Array:
    """Tell whether a descent is still steep and gaining, with fewer than ``most`` evaluations."""
    settled = state.slope <= _NEARLY_CONVERGED * tolerance
    trials = where(settled, PATIENCE, 2 * _MOST_TRIALS)  # twice: also from a reset Hessian
    able = (state.stalled < PATIENCE) & (state.trials < trials) & jnp.isfinite(state.value)
    steep = (state.iteration == 0) | (able & (state.slope > tolerance))
    return steep & (state.iteration < most)


def _advance(function: Function, s: State) -> State:
    """Evaluate one trial, and do the one of three things that follows from it.

    - The trial is good enough: move there, update the inverse Hessian, begin a new line search.
    - It is not: narrow the bracket, and choose the next trial of the same line search.
    - It was the last one allowed: reset the inverse Hessian, and search along the new direction.

    All three are computed and one is selected, since members of a batch differ in what they do.
    """
    theta = s.theta + s.step * s.direction
    value, gradient = jax.value_and_grad(function)(theta)
    rounding = 4 * jnp.finfo(value.dtype).eps * (1 + jnp.abs(value))
    slope_before, slope_here = s.gradient @ s.direction, gradient @ s.direction
    armijo = value <= s.value + _ARMIJO * s.step * slope_before
    # Hager and Zhang: where the decrease is lost in rounding, the slopes still show it.
    approximate = (value <= s.value + rounding) & (slope_here <= (2 * _ARMIJO - 1) * slope_before)
    decreases = jnp.isfinite(value) & jnp.isfinite(slope_here) & (armijo | approximate)
    accepted = decreases & (slope_here >= _WOLFE * slope_before)
    slope = jnp.abs(gradient).max(initial=0.0)
    gained = (value < s.value - rounding) | (slope < s.slope / 2)
    trials = where(accepted, 0, s.trials + 1)
    reset = trials == _MOST_TRIALS
    updated = _updated(s.inverse, theta - s.theta, gradient - s.gradient)
    inverse = where(accepted, updated, where(reset, jnp.diag(s.scale), s.inverse))
    low, high, step = _bracket(s, value, slope_before, decreases)

    def if_accepted(new: jax.Array, old: jax.Array) -> jax.Array:
        return where(accepted, new, old)

    def for_a_new_search(new: Any, old: jax.Array) -> jax.Array:
        return where(accepted | reset, new, old)

    # Products are written out: a matrix product in a batch rounds otherwise than alone.
    direction = -(inverse * if_accepted(gradient, s.gradient)[None, :]).sum(-1)
    best = if_accepted(value, s.value)
    return State(
        theta=if_accepted(theta, s.theta),
        value=best,
        gradient=if_accepted(gradient, s.gradient),
        scale=s.scale,
        inverse=inverse,
        direction=for_a_new_search(direction, s.direction),
        step=for_a_new_search(_first_step(direction, s.scale), step),
        low=for_a_new_search(0.0, low),
        high=for_a_new_search(jnp.inf, high),
        trials=trials,
        iteration=s.iteration + 1,
        stalled=where(accepted, where(gained, 0, s.stalled + 1), s.stalled),
        history=remembered(s.history, s.iteration, best),
    )


def remembered(history: jax.Array, iteration: jax.Array, value: jax.Array) -> jax.Array:
    """Put the value of an iteration into a history [m], in turn."""
    size = history.size
    return history.at[iteration % size].set(value) if size else history


def _first_step(direction: jax.Array, scale: jax.Array) -> jax.Array:
    """Return 1, or less where a parameter would move beyond the root of its inverse curvature.

    From far away whole steps may end where the function is flat.
    """
    return 1 / jnp.maximum(1, (jnp.abs(direction) / jnp.sqrt(scale)).max(initial=0.0))


def _updated(inverse: jax.Array, moved: jax.Array, change: jax.Array) -> jax.Array:
    """Apply the BFGS update, unless the curvature along the step is not positive."""
    curvature = moved @ change
    positive = curvature > 0
    rho = where(positive, 1 / where(positive, curvature, 1), 0)
    turned = (inverse * change[None, :]).sum(-1)
    cross = moved[:, None] * turned[None, :]
    again = rho * (1 + rho * (change @ turned)) * moved
    return inverse - rho * (cross + cross.T) + again[:, None] * moved[None, :]


def _bracket(
    s: State, value: jax.Array, slope_before: jax.Array, decreases: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Narrow the bracket after a trial that was too short (it decreases) or too long.

    Without an upper end the step doubles; without a lower one it is that of the parabola through
    the two values and the slope; between both it is halfway.
    """
    low, high = where(decreases, s.step, s.low), where(decreases, s.high, s.step)
    parabola = -slope_before * s.step**2 / (2 * (value - s.value - slope_before * s.step))
    first = where(jnp.isfinite(parabola), parabola, 0)
    shorter = where(low > 0, (low + high) / 2, jnp.clip(first, 0.1 * s.step, 0.5 * s.step))
    return low, high, where(jnp.isinf(high), 2 * s.step, shorter)


BFGS = Method(_begin, _advance, _wants_more, together=True)
"""BFGS from a diagonal estimate of the inverse Hessian."""
