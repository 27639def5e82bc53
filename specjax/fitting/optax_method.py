"""Any Optax transformation as a method of descent."""

from __future__ import annotations

import types
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from specjax.fitting.bfgs import PATIENCE, Function, Method, remembered

if TYPE_CHECKING:
    import optax


class OptaxState(NamedTuple):
    """The state of one problem under an Optax transformation.

    Attributes:
      at: [n], the point that is evaluated next.
      memory: the state of the optimiser.
      iteration: how many updates there were.
      stalled: how many updates in a row gained nothing above rounding.
      value, theta, slope: the best value, its point [n] and the largest entry of its gradient.
      history: the value after each update, in turn.
    """

    at: jax.Array
    memory: Any
    iteration: jax.Array
    stalled: jax.Array
    value: jax.Array
    theta: jax.Array
    slope: jax.Array
    history: jax.Array


_METHODS: dict[Any, Method] = {}
_MOST_METHODS = 32


def with_optax(optimizer: optax.GradientTransformation) -> Method:
    """Make a method of descent of an Optax transformation, with or without a line search.

    ``optax.adam(1e-2)`` makes new functions at each call, and a method is a static argument of what
    is compiled: optimisers of the same code and numbers are given the same method, so that one
    compilation serves them.
    """
    key = _content_of(optimizer)
    if key not in _METHODS:
        if len(_METHODS) == _MOST_METHODS:
            del _METHODS[next(iter(_METHODS))]
        _METHODS[key] = Method(
            partial(_begin, optimizer), partial(_advance, optimizer), _wants_more, together=False
        )
    return _METHODS[key]


def _content_of(x: Any) -> Any:
    """Return a hashable key that is the same for functions of the same code, closure and defaults.

    What is neither a function nor a plain value counts by its identity, which is safe: the method
    holds the optimiser, and so all of this, as long as the key is in use.
    """
    if isinstance(x, types.FunctionType):
        cells = tuple(_content_of(cell.cell_contents) for cell in x.__closure__ or ())
        return (x.__code__, cells, _content_of(x.__defaults__), _content_of(x.__kwdefaults__))
    if isinstance(x, types.MethodType):
        return (_content_of(x.__func__), _content_of(x.__self__))
    if isinstance(x, partial):
        return (_content_of(x.func), _content_of(x.args), _content_of(x.keywords))
    if isinstance(x, tuple | list):
        return (type(x), tuple(_content_of(one) for one in x))
    if isinstance(x, dict):
        return (dict, tuple((name, _content_of(one)) for name, one in x.items()))
    if isinstance(x, np.ndarray | np.generic | jax.Array):
        array = np.asarray(x)
        return (array.shape, array.dtype.str, array.tobytes())
    if isinstance(x, bool | int | float | complex | str | bytes | None):
        return (type(x), repr(x))
    return (type(x), id(x))


def _begin(
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


def _wants_more(state: OptaxState, tolerance: jax.Array, most: Any) -> jax.Array:
    """Decide as BFGS does, but let an optimiser without a line search climb as long as it likes."""
    left = (state.slope > tolerance) & (state.iteration < most)
    return left & (state.stalled < PATIENCE) if _searches_lines(state.memory) else left


def _searches_lines(memory: Any) -> bool:
    """Tell whether an optimiser searches along lines, and so keeps the gradient it ended with."""
    import optax

    return optax.tree_utils.tree_get(memory, "grad") is not None


def _advance(optimizer: Any, function: Function, s: OptaxState) -> OptaxState:
    """Make one update; the best point so far is kept."""
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
        history=remembered(s.history, s.iteration, value),
    )
