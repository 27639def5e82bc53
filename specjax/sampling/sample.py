"""Running a plan with a real denoiser.

:func:`call_row` is one row of a plan with the network. Both the scan here and the Python loop of
:mod:`specjax.sampling.generate` run it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core.arrays import Array
from specjax._core.checks import UserError
from specjax.noise.noise_spectrum import NoiseSpectrum, anisotropic, colored, without_rounding
from specjax.sampling import conditions as told
from specjax.sampling.black_box import is_black_box
from specjax.sampling.denoisers import Denoiser, check_signal, within
from specjax.sampling.guidance import alike, at_weight, weights_of
from specjax.sampling.step import Row, SamplerPlan, advance


def sample(
    plan: SamplerPlan,
    denoise: Denoiser,
    key: jax.Array,
    shape: tuple[int, ...],
    *,
    start: jax.Array | None = None,
    labels: Any = None,
    conditions: Any = None,
    noise: NoiseSpectrum | None = None,
    dtype: Any = None,
) -> jax.Array:
    """Draw samples by a plan: the scan of :func:`advance` over its rows.

    The noise that a sample starts from is a function of the key alone, so that plans of any length
    can be compared on the same noise. With ``key = fold_in(jax.random.key(seed), i)`` and the shape
    of one sample the result is sample i of :func:`specjax.generate` with that seed.

    Args:
      plan: K rows.
      denoise: ``(x, alpha, sigma) -> x0`` on arrays of ``shape``; a :class:`specjax.BlackBox`
        is called in NumPy, on samples [..., *its shape]. One by :func:`specjax.guided` has the
        plan's weights, or its own.
      key: a typed PRNG key, which decides all noise.
      shape: of the samples [...].
      start: white noise [...] to start from; drawn from the key by default.
      labels: [n] of samples [n, ...], the denoiser's fourth argument.
      conditions: in place of labels, a tree of arrays [n, ...].
      noise: of the forward process, on the last axes of the samples; isotropic by default. In
        directions without noise samples stay 0.
      dtype: of the samples; JAX's default float by default.

    Returns:
      Samples of the given shape, at the plan's last level.

    Raises:
      UserError: if the key is not a typed one, ``start`` has another shape, labels or conditions
        are not one for each of n samples, or the plan has guidance and the denoiser is not guided.

    Example:
      >>> plan = sx.plan("ddim", sx.NoiseSchedule.from_sigmas([50.0, 1.0, 0.0]))
      >>> denoise = sx.wiener(sx.Spectrum([4.0, 1.0]))
      >>> sx.sample(plan, denoise, jax.random.key(0), (3, 2)).shape
      (3, 2)
    """
    if not (hasattr(key, "dtype") and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)):
        raise UserError("key is not a typed PRNG key: make one by jax.random.key(seed)")
    dtype = jnp.zeros(()).dtype if dtype is None else jnp.dtype(dtype)
    if start is None:
        start = jax.random.normal(jax.random.fold_in(key, 0), shape, dtype)
    if start.shape != tuple(shape):
        raise UserError(f"start has shape {start.shape}, the samples {tuple(shape)}")
    check_signal(denoise, plan.alpha)
    rows = Row(*(jnp.asarray(x, dtype) for x in plan.rows))
    noise, denoise = anisotropic(noise), within(denoise, noise)
    weights = weights_of(plan, denoise)
    on_host, count = is_black_box(denoise), shape[0] if shape else 0
    denoise = told.telling(denoise, told.checked(labels, conditions, count))

    def pushed(k: jax.Array) -> jax.Array:
        return colored(noise, jax.random.normal(jax.random.fold_in(key, k + 1), shape, dtype))

    first = jnp.asarray(plan.start, dtype) * colored(noise, jnp.asarray(start, dtype))
    filled = first_registers(first, plan.registers)
    run = host_rows if on_host else scan_rows
    last = run(denoise, filled, rows, pushed if plan.stochastic else None, weights)
    return without_rounding(last[0], noise)


def first_registers(first: jax.Array, registers: int) -> jax.Array:
    """Return the registers [H, ...] before the first call: the sample [...] and zeros."""
    rest = jnp.zeros((registers - 1, *first.shape), first.dtype)
    return jnp.concatenate([first[None], rest])


def call_row(
    denoise: Denoiser, r: jax.Array, row: Row, noise: jax.Array | None, weight: Any = None
) -> jax.Array:
    """Return the registers [H, ...] after one row: a call of the denoiser and :func:`advance`."""
    d = at_weight(denoise, weight)(r[0], row.alpha, row.sigma)
    return jnp.asarray(advance(r, row, d, noise), r.dtype)


def scan_rows(
    denoise: Denoiser, r: jax.Array, rows: Row, noise: Callable[[jax.Array], jax.Array] | None,
    weights: Array | None = None, call: Callable[..., jax.Array] = call_row,
) -> jax.Array:  # fmt: skip
    """Return the registers [H, ...] after all K rows.

    Args:
      denoise: with guidance or without.
      r: the registers at the start.
      rows: those of the plan.
      noise: ``noise(k)`` [...] is that of row k.
      weights: [K], of a guided denoiser. Where they are known, calls of one network are scanned
        apart from those of two.
      call: what makes a row.
    """
    every = (rows, jnp.arange(len(rows.alpha)), weights)

    def step(of: Denoiser, r: jax.Array, one: Any) -> tuple[jax.Array, None]:
        row, k, weight = one
        return call(of, r, row, None if noise is None else noise(k), weight), None

    for part, of in alike(denoise, weights):
        here = jax.tree.map(lambda x, part=part: x[part], every)
        r = jax.lax.scan(functools.partial(step, of), r, here)[0]
    return r


def host_rows(
    denoise: Denoiser, r: Array, rows: Row, noise: Callable[[Any], Array] | None,
    weights: Array | None = None, report: Callable[[int], None] = lambda k: None,
) -> np.ndarray:  # fmt: skip
    """Do as :func:`scan_rows` in NumPy, around a black box; ``report(k)`` is called before row k.

    The box has the first word about a traced sample, so registers are converted after its call.
    """
    for k in range(len(rows.alpha)):
        report(k)
        weight = None if weights is None else weights[k]
        d = at_weight(denoise, weight)(r[0], rows.alpha[k], rows.sigma[k])
        row = Row(*(np.asarray(x[k]) for x in rows))
        z = None if noise is None else np.asarray(noise(k))
        with np.errstate(over="ignore", invalid="ignore"):  # as in JAX: samples say it
            r = advance(np.asarray(r), row, np.asarray(d), z)
    return np.asarray(r)
