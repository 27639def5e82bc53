"""Immutable values that JAX can transform, and the rule about array libraries.

The rule: **NumPy in, NumPy out; JAX in, JAX out.** A public function whose arguments hold only
NumPy arrays (or Python numbers) computes on the host in their dtype, float64 among them whatever
``jax_enable_x64`` says, and returns NumPy arrays: constants, also inside somebody else's ``jit``
or ``scan``. As soon as one argument is a JAX array or a tracer, everything follows JAX's own dtype
rules, so the same function can be jitted, vmapped and differentiated.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core.checks import UserError, unmasked

Array = jax.Array | np.ndarray
S = TypeVar("S")
T = TypeVar("T", bound=type)
F = TypeVar("F", bound=Callable[..., Any])


class _Provenance:
    """A mapping of plain values as part of a pytree's structure, compared by its content."""

    def __init__(self, content: Any) -> None:
        self.content = content

    @functools.cached_property
    def _text(self) -> str:
        return json.dumps(self.content, sort_keys=True, default=repr)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Provenance):
            return False
        return self.content is other.content or self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


def value(
    *,
    data: Sequence[str],
    static: Sequence[str] = (),
    provenance: Sequence[str] = (),
) -> Callable[[T], T]:
    """Register a frozen dataclass as a pytree of which nothing is lost by a transformation.

    Args:
      data: fields that are leaves (or trees of them).
      static: hashable fields of the structure, and so of the key under which JAX keeps a program.
      provenance: fields of the structure that are mappings of plain values (names, seeds) and are
        compared by their content.

    Rebuilding bypasses ``__init__``: ``__post_init__`` checks what a user gives, never a tracer.
    """

    def register(cls: T) -> T:
        def structure(obj: Any) -> tuple[Any, ...]:
            notes = (_Provenance(getattr(obj, name)) for name in provenance)
            return (*(getattr(obj, name) for name in static), *notes)

        def flatten_with_keys(obj: Any) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
            keyed = [(jax.tree_util.GetAttrKey(name), getattr(obj, name)) for name in data]
            return keyed, structure(obj)

        def flatten(obj: Any) -> tuple[list[Any], tuple[Any, ...]]:
            return [getattr(obj, name) for name in data], structure(obj)

        def unflatten(aux: tuple[Any, ...], leaves: Iterable[Any]) -> Any:
            obj: Any = object.__new__(cls)
            for name, field in zip((*data, *static, *provenance), (*leaves, *aux), strict=True):
                content = field.content if isinstance(field, _Provenance) else field
                object.__setattr__(obj, name, content)
            return obj

        jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
        return cls

    return register


_OF_THE_HOST = {np.ndarray, np.float64, np.float32, float, int, bool, type(None)}


def namespace(*arrays: Any) -> ModuleType:
    """Return ``jax.numpy`` if any of the arrays is JAX's, else ``numpy``."""
    for x in arrays:
        if type(x) not in _OF_THE_HOST and isinstance(x, jax.Array):
            return jnp
    return np


def where(condition: Any, x: Any, y: Any) -> Any:
    """Choose as ``numpy.where`` does, in traced code without the ``jit`` around JAX's own.

    Around so small an operation that makes tracing, differentiating and lowering much longer.
    """
    given = (condition, x, y)
    xp = namespace(*given)
    if xp is np or not any(isinstance(one, jax.core.Tracer) for one in given):
        return xp.where(*given)
    dtype, shape = jnp.result_type(x, y), np.broadcast_shapes(*map(np.shape, given))
    cast = (jax.lax.convert_element_type(one, dtype) for one in (x, y))
    return jax.lax.select(*(jnp.broadcast_to(one, shape) for one in (condition, *cast)))


def repeated(xp: ModuleType, times: int, step: Callable[[int, S], S], start: S) -> S:
    """Apply ``step(i, x)`` so many times: as a loop of Python in NumPy, a compiled one in JAX."""
    if xp is jnp:
        return jax.lax.fori_loop(0, times, step, start)
    for i in range(times):
        start = step(i, start)
    return start


def as_float_array(x: Any) -> Array:
    """Convert to a real array of float32 or float64.

    Float32 and float64 stay as they are. Whole numbers in JAX arrays take JAX's default float
    (float64 where ``jax_enable_x64`` is set) and shorter JAX floats float32; all else becomes a
    float64 array of NumPy.

    Raises:
      UserError: for complex numbers.
    """
    if not isinstance(x, jax.Array):
        x = np.asarray(unmasked("an array of numbers", x))
    if x.dtype in (np.float32, np.float64):
        return x
    if np.issubdtype(x.dtype, np.complexfloating):
        raise UserError(f"numbers are {x.dtype}: give real ones")
    if isinstance(x, jax.Array):
        short = jnp.issubdtype(x.dtype, jnp.floating)
        return x.astype(np.float32 if short else jnp.result_type(float))
    return x.astype(np.float64)


def concrete(x: Any) -> np.ndarray | None:
    """Return the numbers of an array, or None while they are unknown (under jit, vmap or grad)."""
    return None if isinstance(x, jax.core.Tracer) else np.asarray(x)


def shared_size(n: int) -> int:
    """Round up to 4, 5 or 6 times a power of two (any number up to 6), so that sizes are few.

    What is compiled for a size then serves all numbers below, and at most a quarter is padding.
    """
    for power in 2 ** np.arange(n.bit_length() + 1):
        for part in (4, 5, 6):
            if part * power % 4 == 0 and part * power // 4 >= n:
                return int(part * power // 4)
    raise AssertionError(n)


def follows_the_rule(function: F) -> F:
    """Make a function written in JAX follow this module's rule about array libraries."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = jax.tree.flatten((args, kwargs))
        if any(isinstance(leaf, jax.Array) for leaf in leaves):
            return function(*args, **kwargs)
        # Views: JAX 0.10 keeps the float32 form of an array that is a constant of some live program
        # without x64 (a denoiser's eigenvalues), and would take it for the array itself here.
        views = [x.view() if isinstance(x, np.ndarray) else x for x in leaves]
        own_args, own_kwargs = jax.tree.unflatten(structure, views)
        # Known numbers are computed with at once, also while somebody else's function is traced:
        # there a new array is a tracer. (Elsewhere the context would only make tracing slower.)
        traced = isinstance(jnp.zeros(()), jax.core.Tracer)
        eager = jax.ensure_compile_time_eval() if traced else contextlib.nullcontext()
        with eager, jax.enable_x64(True):
            return jax.tree.map(np.asarray, function(*own_args, **own_kwargs))

    return wrapped  # type: ignore[return-value]
