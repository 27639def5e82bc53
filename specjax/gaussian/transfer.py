"""What a sampler does to each eigenvalue: :func:`advance` with the gain of a linear denoiser.

That is Wiener's gain, or one that was measured (:mod:`specjax.spectra.response`).

In the eigenbasis of the data a row is an affine map per eigenvalue. Its matrix is read off by
pushing unit registers, the mean and the noise through :func:`advance`. The maps of all rows are
composed in pairs: composition is associative, and a tree of depth log2 K is shorter, to run and to
differentiate, than a scan over K tiny steps. Where the maps of all rows would not fit in the cache
the tree is that of a block of rows, and a scan goes over the blocks.

The errors of a denoiser are noise that enters with its answers: they are pushed through like the
noise of the steps, and kept apart from it.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from specjax._core.arrays import Array, follows_the_rule, value
from specjax.gaussian.modes import Modes, modes_of
from specjax.gaussian.probe import Probe
from specjax.sampling.step import Row, SamplerPlan, advance, pad_to_share
from specjax.spectra.response import Measured, posterior_variance, wiener_gain
from specjax.spectra.spectrum import Spectrum

_BLOCK_ELEMENTS = 2**16  # what is composed at once stays in the cache


@value(data=["gain", "mean_gain", "std", "variance", "drift", "error"])
@dataclass(frozen=True, eq=False)
class Transfer:
    """The generated distribution per eigenvalue, [d] each.

    With v ~ N(0, 1) the starting noise, z the noise of the steps and mu the data's mean, the
    output is ``gain v + mean_gain mu + drift + (noise)``, of variance ``variance`` = ``std``^2.

    Attributes:
      gain, mean_gain, std, variance: see above; D1, D2, sqrt(V) and V of 2502.00180.
      drift: what the denoiser's bias adds up to, None for the ideal denoiser.
      error: the variance that the denoiser's errors add up to, which is no part of ``variance``;
        None without ``denoiser_error``.
    """

    gain: Array
    mean_gain: Array
    std: Array
    variance: Array
    drift: Array | None = None
    error: Array | None = None


class _Affine(NamedTuple):
    """The map r -> matrix r + shift mu + drift + N(0, cov + error), per eigenvalue [d]."""

    matrix: Array  # [..., H, H, d]
    shift: Array  # [..., H, d]
    drift: Array | None  # [..., H, d], None with the ideal denoiser
    cov: Array | None  # [..., H, H, d], None without noise
    error: Array | None  # [..., H, H, d], None without errors of the denoiser


def transfer(
    plan: SamplerPlan,
    spectrum: Spectrum | Modes,
    *,
    denoiser: Probe | Measured | None = None,
    denoiser_error: float | None = None,
) -> Transfer:
    """Compute gain, mean gain and variance of a plan with the ideal denoiser of a Gaussian.

    Args:
      plan: K rows.
      spectrum: d eigenvalues.
      denoiser: a probe of this spectrum, or a response, in place of the ideal denoiser.
      denoiser_error: the part of the posterior variance that each answer is wrong by.

    Returns:
      A :class:`Transfer` of [d] arrays: D1, D2, sqrt(V) and V of 2502.00180, section 3.

    Raises:
      UserError: for a probe of another spectrum, or an error that is negative.

    Example:
      >>> schedule = NoiseSchedule([-10.0, 0.0, float("inf")])
      >>> transfer(plan("ddim", schedule), Spectrum([1.0])).std.round(3)
      array([0.503])
    """
    modes = modes_of(spectrum, denoiser=denoiser, denoiser_error=denoiser_error)
    return transfer_modes(pad_to_share(plan), modes)


@follows_the_rule
@jax.jit
def transfer_modes(plan: SamplerPlan, modes: Modes) -> Transfer:
    """Compute the transfer of a plan for modes; what :func:`transfer` compiles."""
    dtype = jnp.result_type(plan.keep, modes.eigenvalues)
    rows = Row(*(jnp.asarray(x, dtype) for x in plan.rows))
    lam = jnp.asarray(modes.eigenvalues, dtype)
    acting = (modes.response, modes.denoiser_error)
    denoiser, wrong = jax.tree.map(lambda x: jnp.asarray(x, dtype), acting)

    def map_of(row: Row) -> _Affine:
        return _step_map(row, lam, denoiser, wrong, plan.stochastic)

    total = _compose_rows(map_of, rows, lam.shape[0])
    gain, shift = total.matrix[0, 0] * plan.start, total.shift[0]
    drift = None if total.drift is None else total.drift[0]
    error = None if total.error is None else total.error[0, 0]
    if total.cov is None:
        return Transfer(gain, shift, jnp.abs(gain), gain**2, drift, error)
    variance = gain**2 + total.cov[0, 0]
    positive = variance > 0
    std = jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1)), 0)
    return Transfer(gain, shift, std, variance, drift, error)


def _step_map(
    row: Row,
    eigenvalues: Array,
    denoiser: Measured | None,
    wrong: Array | None,
    stochastic: bool,
) -> _Affine:
    """Read the affine map of one row off :func:`advance`, which is linear."""
    h, d = row.pull.shape[0], eigenvalues.shape[0]
    columns = h + 2 if stochastic else h + 1  # unit registers, the mean, the noise
    bias = None
    if denoiser is None:
        attenuation, offset = wiener_gain(eigenvalues, row.alpha, row.sigma)
    else:
        attenuation, offset, bias = denoiser.affine(row.alpha, row.sigma)
    unit = jnp.eye(h, columns, dtype=eigenvalues.dtype)
    inputs = jnp.broadcast_to(unit[:, :, None], (h, columns, d))
    mean, noise = jnp.eye(2, columns, h, dtype=eigenvalues.dtype)[:, :, None]
    estimate = inputs[0] * attenuation + mean * offset
    out = advance(inputs, row, estimate, noise if stochastic else None)
    cov = out[:, None, h + 1] * out[None, :, h + 1] if stochastic else None
    nothing = jnp.zeros((h, d), eigenvalues.dtype)
    drift = None if bias is None else advance(nothing, row, bias, None)
    error = None
    if wrong is not None:
        answer = advance(nothing, row, jnp.ones_like(eigenvalues), None)
        variance = wrong * posterior_variance(eigenvalues, row.alpha, row.sigma)
        error = answer[:, None] * answer[None, :] * variance
    return _Affine(out[:, :h], out[:, h], drift, cov, error)


def _compose(later: _Affine, earlier: _Affine) -> _Affine:
    """Compose two maps, of which ``earlier`` is applied first.

    Products are written out: H is 1 to 5, and sums of terms vectorise over eigenvalues where
    reductions of length H do not.
    """
    f = later.matrix

    def times(m: Array) -> Array:
        return sum_over(lambda j: f[..., :, j, None, :] * m[..., j, None, :, :])

    def sum_over(term: Callable[[int], Array]) -> Array:
        return functools.reduce(operator.add, (term(j) for j in range(f.shape[-2])))

    def moved(x: Array) -> Array:
        return sum_over(lambda j: f[..., :, j, :] * x[..., j, None, :])

    matrix, shift = times(earlier.matrix), moved(earlier.shift) + later.shift

    def spread(after: Array | None, before: Array | None) -> Array | None:
        if after is None or before is None:
            return None
        return times(jnp.swapaxes(times(before), -3, -2)) + after

    drift = None
    if later.drift is not None and earlier.drift is not None:
        drift = moved(earlier.drift) + later.drift
    cov, error = spread(later.cov, earlier.cov), spread(later.error, earlier.error)
    return _Affine(matrix, shift, drift, cov, error)


def _compose_pairs(maps: _Affine) -> _Affine:
    """Compose maps [K, ...] into one [1, ...]: neighbours first, an odd one waits at the end."""
    while (count := len(maps.matrix)) > 1:
        even = count - count % 2
        pairs = [jax.tree.map(lambda x, i=i, n=even: x[i:n:2], maps) for i in (0, 1)]
        composed = _compose(pairs[1], pairs[0])
        if even < count:
            last = jax.tree.map(lambda x: x[-1:], maps)
            composed = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), composed, last)
        maps = composed
    return maps


def _compose_rows(map_of: Callable[[Row], _Affine], rows: Row, dimension: int) -> _Affine:
    """Compose the maps of all K rows, block by block."""
    calls, h = rows.pull.shape
    fits = _BLOCK_ELEMENTS // (h * (h + 2) * dimension)
    block = min(calls, max(fits, 1))

    def compose_block(block_rows: Row) -> _Affine:
        return jax.tree.map(lambda x: x[0], _compose_pairs(jax.vmap(map_of)(block_rows)))

    head = calls % block or block  # the rows that whole blocks leave over come first
    total = compose_block(Row(*(x[:head] for x in rows)))
    if calls == head:
        return total
    rest = Row(*(x[head:].reshape(-1, block, *x.shape[1:]) for x in rows))
    return jax.lax.scan(lambda m, r: (_compose(compose_block(r), m), None), total, rest)[0]
