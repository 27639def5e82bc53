"""Running a plan with a real denoiser."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from specjax.denoisers import Denoiser
from specjax.steps import Row, SamplerPlan, advance


def sample(
    plan: SamplerPlan,
    denoise: Denoiser,
    key: jax.Array,
    shape: tuple[int, ...],
    *,
    start: jax.Array | None = None,
    dtype: Any = None,
) -> jax.Array:
    """Samples drawn by a plan: the scan of :func:`advance` over its rows.

    Args:
      plan: K rows. denoise: ``(x, alpha, sigma) -> x0`` on arrays of ``shape``.
      key: a typed PRNG key; the result is a function of it. shape: of the samples [...].
      start: unit noise [...] to start from; drawn from the key by default.
      dtype: of the samples; JAX's default float by default.

    Returns:
      Samples of the given shape, at the plan's last level.

    Raises:
      ValueError: if the key is not a typed one, or ``start`` has another shape.

    Example:
      >>> plan = sx.plan("ddim", sx.NoiseSchedule.from_sigmas([50.0, 1.0, 0.0]))
      >>> denoise = sx.wiener(sx.Spectrum([4.0, 1.0]))
      >>> sx.sample(plan, denoise, jax.random.key(0), (3, 2)).shape
      (3, 2)
    """
    if not (hasattr(key, "dtype") and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)):
        raise ValueError("key is not a typed PRNG key: make one by jax.random.key(seed)")
    dtype = jnp.zeros(()).dtype if dtype is None else jnp.dtype(dtype)
    if start is None:
        start = jax.random.normal(jax.random.fold_in(key, plan.calls), shape, dtype)
    if start.shape != tuple(shape):
        raise ValueError(f"start has shape {start.shape}, the samples {tuple(shape)}")
    rest = jnp.zeros((plan.registers - 1, *shape), dtype)
    first = jnp.asarray(plan.start, dtype) * jnp.asarray(start, dtype)
    rows = Row(*(jnp.asarray(x, dtype) for x in plan.rows))

    def step(r: jax.Array, row_and_index: tuple[Row, jax.Array]) -> tuple[jax.Array, None]:
        row, k = row_and_index
        estimate = denoise(r[0], row.alpha, row.sigma)
        noise = None
        if plan.stochastic:
            noise = jax.random.normal(jax.random.fold_in(key, k), shape, dtype)
        return jnp.asarray(advance(r, row, estimate, noise)), None

    registers = jnp.concatenate([first[None], rest])
    return jax.lax.scan(step, registers, (rows, jnp.arange(plan.calls)))[0][0]
