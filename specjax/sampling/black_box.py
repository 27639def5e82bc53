"""Denoisers that JAX cannot look into: torch, ONNX Runtime, a server, any Python function.

A black box is called on NumPy arrays, in batches, by the thread that asks. It is never traced: what
takes one (:func:`specjax.generate`, :func:`specjax.probe`, ...) computes on the host around it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array
from specjax._core.checks import UserError
from specjax.sampling import conditions


class BlackBox:
    """Any Python function on NumPy arrays as a denoiser.

    Each call of the function has a batch of its own: it may write into it, and keep its answer in
    a buffer. What the function raises is raised as it is. Answers for samples that are not finite
    themselves are NaN.

    Args:
      denoise: ``(x, alpha, sigma) -> x0`` with x and x0 [m, *shape], ``m <= batch``; x is float32,
        alpha and sigma are Python's floats, and ``x = alpha x0 + sigma eps``. With labels or
        conditions it is ``(x, alpha, sigma, conditions)``, these in NumPy arrays [m, ...].
        Answers are NumPy or JAX arrays of floats (float16, bfloat16, float32 or float64).
      shape: of one sample.
      batch: the most samples in one call.
      precision: the unit roundoff of answers, by which :func:`specjax.learn` chooses the step of
        its finite differences; float32's by default, float16's is 2**-10, bfloat16's 2**-7.

    Raises:
      UserError: here, for a function that is none, a shape or a batch that is none. In calls, for
        samples of another shape and those that JAX traces, and for answers of another type, shape
        or dtype, with NaN or infinite numbers.

    Example:
      >>> box = BlackBox(lambda x, alpha, sigma: x / (1 + sigma**2), (2,), batch=8)
      >>> box(np.ones((20, 2)), 1.0, 1.0)[0], box.answers
      (array([0.5, 0.5]), 20)
    """

    def __init__(
        self,
        denoise: Callable[..., Any],
        shape: tuple[int, ...],
        batch: int = 32,
        *,
        precision: float = float(np.finfo(np.float32).eps),
    ) -> None:
        if not callable(denoise):
            raise UserError(f"denoise = {denoise!r}: give a function (x, alpha, sigma) -> x0")
        self._denoise, self._answers = denoise, 0
        self._shape, self._batch = checks.sample_shape(shape), checks.whole_number("batch", batch)
        say = "a unit roundoff, such as 2**-10 for float16"
        self._precision = checks.number("precision", precision, 2.0**-24, 0.1, say)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return self._shape

    @property
    def batch(self) -> int:
        """The most samples in one call."""
        return self._batch

    @property
    def precision(self) -> float:
        """The unit roundoff of answers."""
        return self._precision

    @property
    def answers(self) -> int:
        """How many samples were denoised so far."""
        return self._answers

    def __repr__(self) -> str:
        name = getattr(self._denoise, "__qualname__", type(self._denoise).__qualname__)
        return f"BlackBox({name}, shape={self.shape}, batch={self.batch})"

    def __call__(self, x: Array, alpha: Any, sigma: Any, *more: Any) -> np.ndarray:
        """Estimate ``E[x0 | x]`` of x [..., *shape] in NumPy, in the dtype of x.

        Args:
          x: samples at one level.
          alpha, sigma: [], of the level.
          more: at most one tree of arrays [n, ...], for n samples.
        """
        _refuse_tracers((x, alpha, sigma, more))
        x = np.asarray(x)
        dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else np.dtype(np.float32)
        lead = x.ndim - len(self.shape)
        if lead < 0 or x.shape[lead:] != self.shape:
            raise UserError(f"x has shape {x.shape}: give samples [n, {str(self.shape)[1:]}")
        with np.errstate(over="ignore"):
            flat = x.astype(np.float32).reshape(-1, *self.shape)
        level = _float("alpha", alpha), _float("sigma", sigma)
        told = [jax.tree.map(np.asarray, conditions.checked(None, one, len(flat))) for one in more]
        answers = np.empty_like(flat)
        for first in range(0, len(flat), self.batch):
            part = slice(first, first + self.batch)
            seen = flat[part]
            answer = self._denoise(seen.copy(), *level, *(conditions.at(one, part) for one in told))
            answers[part] = self._checked(answer, seen, level)
            self._answers += len(seen)
        return answers.reshape(x.shape).astype(dtype)

    def _checked(self, answer: Any, x: np.ndarray, level: tuple[float, float]) -> np.ndarray:
        """Return an answer to x [m, *shape] in float32, NaN where x is not finite."""
        at_level = f"at alpha = {level[0]:.4g}, sigma = {level[1]:.4g}"
        if not isinstance(answer, np.ndarray | jax.Array):
            kind = f"{type(answer).__module__}.{type(answer).__qualname__}"
            raise UserError(
                f"denoise returned {kind.removeprefix('builtins.')} {at_level}: return a NumPy "
                "array (of a torch tensor: x0.detach().float().cpu().numpy())"
            )
        found = np.asarray(checks.unmasked("the answer of denoise", answer))
        if found.shape != x.shape:
            raise UserError(
                f"denoise returned shape {found.shape} for x of shape {x.shape} {at_level}: return "
                "one x0 for each sample"
            )
        if not jnp.issubdtype(found.dtype, jnp.floating) or found.dtype.itemsize > 8:
            raise UserError(
                f"denoise returned dtype {found.dtype} {at_level}: return float32 (or float16, "
                "bfloat16, float64)"
            )
        with np.errstate(over="ignore"):
            found = found.astype(np.float32)
        fine, asked = (np.isfinite(a).reshape(len(x), -1).all(1) for a in (found, x))
        if (asked & ~fine).any():
            raise UserError(
                f"denoise returned NaN or infinite values for {(asked & ~fine).sum()} of {len(x)} "
                f"samples {at_level}, whose x were finite (up to {np.abs(x[asked]).max():.3g})"
            )
        found[~asked] = np.nan
        return found


def is_black_box(denoise: Any) -> bool:
    """Tell whether a denoiser is a black box, or a pytree with one in it."""
    return any(isinstance(leaf, BlackBox) for leaf in jax.tree.leaves(denoise))


def _refuse_tracers(given: Any) -> None:
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(given)):
        raise UserError(
            "a BlackBox cannot be traced (jit, grad, vmap, scan): give it to specjax.generate, "
            "probe or learn as it is, or call it on arrays of known numbers; a torch module "
            "becomes a JAX function by specjax.interop.torch.differentiable"
        )


def _float(name: str, given: Any) -> float:
    if np.ndim(given):
        raise UserError(f"{name} has shape {np.shape(given)}: give one number for all samples")
    return float(given)
