"""What a sampler does to each eigenvalue: :func:`advance` with the gain of a linear denoiser.

That is Wiener's gain, or one that was measured (:mod:`specjax.spectra.response`).

In the eigenbasis of the data row k of a plan is an affine map per eigenvalue: it takes registers
r [H] to ``M_k r + pull_k (offset_k mu + bias_k) + push_k z_k``, with ``M_k`` read off
:func:`advance`. What a row adds arrives at the end of the plan times ``u_k`` [H], which follows the
plan backwards::

    u_(k-1) = M_k^T u_k,    u_K = (1, 0, ..., 0).

So one recursion of H numbers a direction, and sums over k, give gain, mean, variance, bias and the
errors of the denoiser. Its derivative is such a recursion again.

Of the mean the error is followed where a plan keeps means, as those of samplers do: a denoiser that
answers mu for the mean of a level has ``alpha gain + offset = 1``, so that the error of a mean at
the start is multiplied by the gain g of a unit start, and ``1 - D2 = (1 - alpha_end) + alpha_0 g``
(:attr:`SamplerPlan.shortfall` is the first term). That keeps the digits of ``1 - D2`` where it is
tiny, and ``mu^2 / V`` multiplies it by 1e40.
"""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core.arrays import Array, namespace, value, where
from specjax._core.checks import UserError
from specjax.gaussian.modes import Modes, modes_of
from specjax.gaussian.probe import Probe
from specjax.sampling.step import Row, SamplerPlan, SteeredRow, advance
from specjax.spectra.response import Measured, posterior_variance, wiener_gain, wiener_slope
from specjax.spectra.spectrum import Spectrum

_BLOCK_ELEMENTS = 2**15  # of an array on the host: what the caches hold


@value(data=["gain", "response"])
@dataclass(frozen=True, eq=False)
class Steering:
    """The direction to a measurement per eigenvalue, ``g = response (y - gain d)``.

    Attributes:
      gain: [d], h of the measurement ``y = h x0 + n``.
      response: [K, d], at the level of each call.
    """

    gain: Array
    response: Array


@value(
    data=[
        "gain", "mean_gain", "std", "variance", "drift", "error", "mean_error", "measured_gain"
    ],
)  # fmt: skip
@dataclass(frozen=True, eq=False)
class Transfer:
    """The generated distribution per eigenvalue, [d] each.

    With v ~ N(0, 1) the starting noise, z the noise of the steps and mu the data's mean, the
    output is ``gain v + mean_gain mu + drift + (noise)``, of variance ``variance`` = ``std``^2. Of
    a plan that starts from data, v is the start less its mean, as a part of its deviation. A plan
    that steers to a measurement y adds ``measured_gain y``.

    Attributes:
      gain, mean_gain, std, variance: see above; D1, D2, sqrt(V) and V of 2502.00180.
      drift: what the denoiser's bias adds up to, None for the ideal denoiser.
      error: the variance that the denoiser's errors add up to, which is no part of ``variance``;
        None without ``denoiser_error``.
      mean_error: ``1 - mean_gain``, without the rounding of ``mean_gain`` where the plan keeps
        means; None stands for the difference. With a measurement, for which the mean means h mu,
        it is ``1 - mean_gain - h measured_gain``.
      measured_gain: the gain of the measurement; None without one.
    """

    gain: Array
    mean_gain: Array
    std: Array
    variance: Array
    drift: Array | None = None
    error: Array | None = None
    mean_error: Array | None = None
    measured_gain: Array | None = None


def transfer(
    plan: SamplerPlan,
    spectrum: Spectrum | Modes,
    *,
    denoiser: Probe | Measured | None = None,
    denoiser_error: float | None = None,
    starts_at_mean: bool = False,
    steering: Steering | None = None,
) -> Transfer:
    """Compute gain, mean gain and variance of a plan with the ideal denoiser of a Gaussian.

    Args:
      plan: K rows.
      spectrum: d eigenvalues.
      denoiser: a probe of this spectrum, or a response, in place of the ideal denoiser.
      denoiser_error: the part of the posterior variance that each answer is wrong by.
      starts_at_mean: whether samples start at the marginal's mean ``sqrt(alpha_bar) mu`` and not
        at 0 (``mean`` of :func:`specjax.sample`). Then a plan that keeps means, as those of
        samplers do, ends at ``alpha mu`` exactly, whatever its levels.
      steering: of a plan with ``steer``; :func:`specjax.posterior_transfer` makes it.

    Returns:
      A :class:`Transfer` of [d] arrays: D1, D2, sqrt(V) and V of 2502.00180, section 3.

    Raises:
      UserError: for a probe of another spectrum, an error that is negative, a plan with weights of
        guidance, or one that steers to a measurement without ``steering``.

    Example:
      >>> schedule = NoiseSchedule([-10.0, 0.0, float("inf")])
      >>> transfer(plan("ddim", schedule), Spectrum([1.0])).std.round(3)
      array([0.503])
    """
    if plan.guidance is not None:
        raise UserError(
            "guidance: the plan has weights for a guided denoiser, which is no Gaussian's: drop "
            "them by dataclasses.replace(plan, guidance=None)"
        )
    if (plan.steer is None) != (steering is None):
        raise UserError(
            "steer: a plan that steers to a measurement has a transfer with that measurement: use "
            "specjax.posterior_transfer"
        )
    modes = modes_of(spectrum, denoiser=denoiser, denoiser_error=denoiser_error)
    return transfer_modes(plan, modes, steering, starts_at_mean)


def transfer_modes(
    plan: SamplerPlan, modes: Modes, steering: Steering | None = None, starts_at_mean: bool = False
) -> Transfer:
    """Compute the transfer of a plan for modes: at once where all is NumPy's, else compiled."""
    on_host = namespace(*jax.tree.leaves((plan, modes, steering))) is np
    return (_transfer if on_host else _compiled)(plan, modes, steering, starts_at_mean)


class _Answers(NamedTuple):
    """The answers at K levels, ``gain x + offset mu + bias``, and their errors, [K, d] each."""

    gain: Array
    offset: Array | None  # which nothing asks for where means are kept
    bias: Array | None
    error: Array | None
    response: Array | None = None  # of the direction to a measurement


class _Sums(NamedTuple):
    """The sums over rows of what arrives at the end, [d]; None where nothing is added.

    Of the mean it is None where the plan keeps means, too.
    """

    mean: Array | None
    variance: Array | None
    drift: Array | None
    error: Array | None
    measured: Array | None = None


def _transfer(
    plan: SamplerPlan, modes: Modes, steering: Steering | None = None, starts_at_mean: bool = False
) -> Transfer:
    xp = namespace(*jax.tree.leaves((plan, modes)))
    dtype = xp.result_type(plan.keep, modes.eigenvalues)
    plan, modes, steering = jax.tree.map(lambda x: xp.asarray(x, dtype), (plan, modes, steering))
    calls, h, columns = plan.calls, plan.registers, modes.dimension
    keeps_means = plan.shortfall is not None
    block = max(_BLOCK_ELEMENTS // (h * h * columns), 1) if xp is np else calls
    u, parts = xp.broadcast_to(xp.eye(h, 1, dtype=dtype), (h, columns)), list[_Sums]()
    for end in range(calls, 0, -block):
        here = slice(max(end - block, 0), end)
        rows = jax.tree.map(lambda x, here=here: x[here], plan.rows)
        part, answers = replace(plan, **rows._asdict()), _answers(rows, modes, keeps_means)
        if steering is not None:
            answers = answers._replace(response=steering.response[here])
        u, added = _follow_back(xp, part, answers, u, None if steering is None else steering.gain)
        parts.append(added)
    mean: Any
    variance: Any
    mean, variance, drift, error, measured = (
        None if x[0] is None else functools.reduce(operator.add, x)
        for x in zip(*parts, strict=True)
    )
    gain, mean_at_start = u[0] * plan.start, 0.0
    if plan.signal is not None:
        gain = u[0] * xp.sqrt(plan.signal**2 * modes.eigenvalues + plan.start**2)
        mean_at_start = u[0] * plan.signal
    elif starts_at_mean:
        mean_at_start = u[0] * plan.alpha[0]
    seen = 0 if steering is None or measured is None else steering.gain * measured
    if plan.shortfall is None:
        mean_error = 1 - mean - seen
    else:
        mean_error = plan.shortfall + plan.alpha[0] * u[0]
    mean_error = mean_error - mean_at_start
    total = gain**2 if variance is None else gain**2 + variance
    std = abs(gain) if variance is None else _root(xp, total)
    mean_gain = 1 - mean_error - seen
    return Transfer(gain, mean_gain, std, total, drift, error, mean_error, measured)


_compiled = jax.jit(_transfer, static_argnames="starts_at_mean")


def _root(xp: ModuleType, x: Array) -> Array:
    positive = x > 0
    return where(positive, xp.sqrt(where(positive, x, 1)), 0)


def _answers(rows: Row | SteeredRow, modes: Modes, means_are_kept: bool) -> _Answers:
    """Compute the answers [K, d] at the levels of K rows."""
    alpha, sigma, lam = rows.alpha[:, None], rows.sigma[:, None], modes.eigenvalues
    error = None
    if modes.denoiser_error is not None:
        error = modes.denoiser_error * posterior_variance(lam, alpha, sigma)
    if modes.response is None and means_are_kept:
        return _Answers(wiener_slope(lam, alpha, sigma), None, None, error)
    if modes.response is None:
        return _Answers(*wiener_gain(lam, alpha, sigma), None, error)
    return _Answers(*modes.response.affine(rows.alpha, rows.sigma), error)


def _follow_back(
    xp: ModuleType, plan: SamplerPlan, answers: _Answers, u: Array, seen: Array | None
) -> tuple[Array, _Sums]:
    """Follow ``u`` [H, d] back over the rows of a plan, and sum up what they add.

    ``seen`` [d] is the gain of a measurement, by which an estimate d adds ``-response seen d`` to
    the direction.
    """
    calls, h = plan.pull.shape
    unit = xp.eye(h, dtype=u.dtype)[:, None, :, None]
    inputs = xp.broadcast_to(unit, (h, calls, h, u.shape[1]))  # registers, rows, columns, d
    behind = jax.tree.map(lambda x: x.transpose(*range(1, x.ndim), 0), plan.rows)
    estimate, direction, turned = inputs[0] * answers.gain[:, None], None, None
    if seen is not None and answers.response is not None:
        turned = answers.response * seen
        direction = -turned[:, None] * estimate
    maps = advance(inputs, behind, estimate, None, direction)
    first, reached = _recursion(xp, maps.swapaxes(0, 1), u)  # reached: [K, H, d]

    def added(by: Array) -> Array:
        return _over_registers(by[:, :, None], reached, 1)

    noise = (added(plan.push) ** 2).sum(0) if plan.stochastic else None
    measured = None
    if plan.steer is not None and answers.response is not None:
        measured = (added(plan.steer) * answers.response).sum(0)
    if plan.shortfall is not None and answers.bias is None and answers.error is None:
        return first, _Sums(None, noise, None, None, measured)
    pulled = added(plan.pull)
    if plan.steer is not None and turned is not None:
        pulled = pulled - added(plan.steer) * turned
    return first, _Sums(
        None if answers.offset is None else (pulled * answers.offset).sum(0),
        noise,
        None if answers.bias is None else (pulled * answers.bias).sum(0),
        None if answers.error is None else (pulled**2 * answers.error).sum(0),
        measured,
    )


def _over_registers(a: Array, b: Array, axis: int) -> Array:
    """Sum ``a b`` over the axis of the H registers, written out.

    H is 1 to 5: sums of terms vectorise over eigenvalues where reductions of length H do not.
    """
    index: list[tuple[slice | int, ...]] = [
        (slice(None),) * axis + (i,) for i in range(b.shape[axis])
    ]
    return functools.reduce(operator.add, (a[i] * b[i] for i in index))


def _recursion(xp: ModuleType, maps: Array, u: Array) -> tuple[Array, Array]:
    """Apply transposed maps [K, H, H, d], the last first; also return what each one was given."""

    def back(u: Array, matrix: Any) -> tuple[Array, Array]:
        return _over_registers(matrix, u[:, None], 0), u

    if xp is jnp:
        first, reached = jax.lax.scan(back, u, maps, reverse=True)
        return first, reached
    reached = np.empty((len(maps), *u.shape), u.dtype)
    for k in range(len(maps) - 1, -1, -1):
        u, reached[k] = back(u, maps[k])
    return u, reached
