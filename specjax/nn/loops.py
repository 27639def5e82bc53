"""Repeating a traced function that holds convolutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def on_cpu() -> bool:
    """Whether computations run on the processor by default."""
    return jax.default_backend() == "cpu"


def repeat(body: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: Any) -> tuple[Any, Any]:
    """``jax.lax.scan``, written out on CPU.

    There XLA runs convolutions inside loops without its threaded kernels, some seven times as
    slow; elsewhere a loop on the device saves the dispatch of every turn.
    """
    if not on_cpu():
        return jax.lax.scan(body, carry, xs)
    found = []
    for i in range(len(jax.tree.leaves(xs)[0])):
        carry, y = body(carry, jax.tree.map(lambda x, i=i: x[i], xs))
        found.append(y)
    return carry, jax.tree.map(lambda *parts: jnp.stack(parts), *found)
