"""What a denoiser is told beside the level: class labels, or trees of arrays (embeddings, masks).

They are a denoiser's fourth argument, ``denoise(x, alpha, sigma, conditions)``, with one row for
each sample of x.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from specjax._core.arrays import Array, value
from specjax._core.checks import UserError


def checked(labels: Any, conditions: Any, n: int) -> Any:
    """Return the conditions of n samples, or None without any.

    Args:
      labels: [n], one for each sample, or None.
      conditions: a tree of arrays [n, ...], or None.
      n: the number of samples.

    Raises:
      UserError: for both, and for another number of labels or rows.
    """
    if labels is not None and conditions is not None:
        raise UserError("labels and conditions: give one; labels can be a part of conditions")
    if labels is not None:
        labels = np.asarray(labels)
        if labels.shape != (n,):
            raise UserError(
                f"labels has shape {labels.shape}: give one label for each of n = {n:,}"
            )
        return labels
    conditions = jax.tree.map(_array, conditions)
    for leaf in jax.tree.leaves(conditions):
        if leaf.shape[:1] != (n,):
            raise UserError(
                f"conditions has an array of shape {leaf.shape}: give arrays [n, ...] with one "
                f"row for each of n = {n:,}"
            )
    return conditions


def _array(x: Any) -> Any:
    return x if isinstance(x, jax.Array) else np.asarray(x)


@value(data=["denoise", "conditions"])
@dataclass(frozen=True, eq=False)
class Told:
    """A denoiser that is told conditions; a pytree if it is one."""

    denoise: Callable[..., Any]
    conditions: Any

    def __call__(self, x: Array, alpha: Array, sigma: Array) -> Any:
        """Estimate ``E[x0 | x]`` of x [n, ...]."""
        return self.denoise(x, alpha, sigma, self.conditions)


def telling(denoise: Callable[..., Any], conditions: Any) -> Callable[..., Any]:
    """Return a denoiser that is told the conditions; the given one without any."""
    return denoise if conditions is None else Told(denoise, conditions)


def at(conditions: Any, rows: Any) -> Any:
    """Return the conditions of some rows: a slice, or indices [m]."""
    return jax.tree.map(lambda x: x[rows], conditions)
