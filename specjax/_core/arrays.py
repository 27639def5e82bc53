"""Immutable values that JAX can transform, and the rule about array libraries.

The rule: **NumPy in, NumPy out; JAX in, JAX out.** A public function whose arguments hold only
NumPy arrays (or Python numbers) computes in their dtype, float64 among them whatever
``jax_enable_x64`` says, and returns NumPy arrays. As soon as one argument is a JAX array or a
tracer, everything follows JAX's own dtype rules, so the same function can be jitted, vmapped and
differentiated.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array | np.ndarray
T = TypeVar("T", bound=type)
F = TypeVar("F", bound=Callable[..., Any])


def value(
    *, data: Sequence[str], static: Sequence[str] = (), host: Sequence[str] = ()
) -> Callable[[T], T]:
    """Register a frozen dataclass as a pytree.

    ``data`` fields are leaves, ``static`` fields belong to the structure (and so to the key of
    a compilation), ``host`` fields (names, provenance) do not travel through transformations.
    Rebuilding bypasses ``__init__``: ``__post_init__`` checks what a user gives, never a tracer.
    """

    def register(cls: T) -> T:
        def flatten_with_keys(obj: Any) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
            keyed = [(jax.tree_util.GetAttrKey(name), getattr(obj, name)) for name in data]
            return keyed, tuple(getattr(obj, name) for name in static)

        def unflatten(aux: tuple[Any, ...], leaves: Iterable[Any]) -> Any:
            obj: Any = object.__new__(cls)
            names = (*data, *static, *host)
            for name, leaf in zip(names, (*leaves, *aux, *[None] * len(host)), strict=True):
                object.__setattr__(obj, name, leaf)
            return obj

        jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten)
        return cls

    return register


def namespace(*arrays: Any) -> ModuleType:
    """``jax.numpy`` if any of the arrays is JAX's, else ``numpy``."""
    return jnp if any(isinstance(x, jax.Array) for x in arrays) else np


def as_float_array(x: Any) -> Array:
    """A float32 or float64 array as it is; shorter floats and whole numbers of JAX as float32, all
    else as a float64 array of NumPy.

    Raises:
      ValueError: for complex numbers.
    """
    if not isinstance(x, jax.Array):
        x = np.asarray(x)
    if x.dtype in (np.float32, np.float64):
        return x
    if np.issubdtype(x.dtype, np.complexfloating):
        raise ValueError(f"numbers are {x.dtype}: give real ones")
    return x.astype(np.float32 if isinstance(x, jax.Array) else np.float64)


def concrete(x: Any) -> np.ndarray | None:
    """The numbers of an array, or None while they are unknown (under jit, vmap or grad)."""
    return None if isinstance(x, jax.core.Tracer) else np.asarray(x)


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
        with jax.enable_x64(True):
            return jax.tree.map(np.asarray, function(*own_args, **own_kwargs))

    return wrapped  # type: ignore[return-value]
