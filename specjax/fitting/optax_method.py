"""Any optax transformation as a method of descent."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from specjax.fitting.bfgs import PATIENCE, Function, Method

if TYPE_CHECKING:
    import optax


class OptaxState(NamedTuple):
    """One problem on its way under an optax transformation: the next point, and the best."""

    at: jax.Array
    memory: Any
    iteration: jax.Array
    stalled: jax.Array
    value: jax.Array
    theta: jax.Array
    slope: jax.Array
    history: jax.Array


@lru_cache(maxsize=32)  # the same optimiser is the same method, and so the same compilation
def with_optax(optimizer: optax.GradientTransformation) -> Method:
    """Any optax transformation, those with a line search among them."""
    return Method(
        partial(_begin_optax, optimizer),
        partial(_advance_optax, optimizer),
        _wants_more_of_optax,
        together=False,
    )


def _begin_optax(
    optimizer: Any, function: Function, theta: jax.Array, scale: jax.Array, history: int
) -> OptaxState:
    import optax

    value = function(theta)
    unknown = jnp.full_like(value, jnp.inf)
    nothing_to_learn = theta.size == 0  # one step to a clean end
    return OptaxState(
        at=theta,
        memory=optax.with_extra_args_support(optimizer).init(theta),
        iteration=jnp.zeros((), jnp.int32),
        stalled=jnp.zeros((), jnp.int32),
        value=value,
        theta=theta,
        slope=jnp.zeros_like(value) if nothing_to_learn else unknown,
        history=jnp.full(max(history, 1), jnp.nan, theta.dtype).at[0].set(value),
    )


def _wants_more_of_optax(state: OptaxState, tolerance: jax.Array, most: Any) -> jax.Array:
    """As BFGS; but an optimiser without a line search may climb for long before it settles."""
    left = (state.slope > tolerance) & (state.iteration < most)
    return left & (state.stalled < PATIENCE) if _searches_lines(state.memory) else left


def _searches_lines(memory: Any) -> bool:
    """Whether an optimiser goes down at each step, and remembers the gradient it ended with."""
    import optax

    return optax.tree_utils.tree_get(memory, "grad") is not None


def _advance_optax(optimizer: Any, function: Function, s: OptaxState) -> OptaxState:
    """One update; the best point so far is kept."""
    import optax

    optimizer = optax.with_extra_args_support(optimizer)
    evaluate = jax.value_and_grad(function)
    if _searches_lines(s.memory):
        evaluate = partial(optax.value_and_grad_from_state(function), state=s.memory)
    value, gradient = evaluate(s.at)
    updates, memory = optimizer.update(
        gradient, s.memory, s.at, value=value, grad=gradient, value_fn=function
    )
    slope = jnp.abs(gradient).max(initial=0.0)
    rounding = 4 * jnp.finfo(value.dtype).eps
    gained = value < s.value - rounding
    better = gained | ((value <= s.value + rounding) & (slope < s.slope))
    moving = gained | (better & (slope < s.slope / 2))
    return OptaxState(
        at=optax.apply_updates(s.at, updates),
        memory=memory,
        iteration=s.iteration + 1,
        stalled=jnp.where(moving, 0, s.stalled + 1),
        value=jnp.where(better, value, s.value),
        theta=jnp.where(better, s.at, s.theta),
        slope=jnp.where(better, slope, s.slope),
        history=s.history.at[s.iteration].set(value),
    )
