"""The one definition of a sampling step.

A sampler is a table of numbers, one row per denoiser call, over H registers ``r`` of which
``r[0]`` is the sample::

    d  = denoise(r[0], alpha_k, sigma_k)
    r <- keep_k r + pull_k d + push_k z_k,        z_k ~ N(0, I)

Plans that are guided by a measurement have one term more, ``steer_k g``: g is the direction to what
was measured, which the denoiser answers beside d (:mod:`specjax.restoration`).

``sample`` runs a real denoiser through :func:`advance`, ``transfer`` a Gaussian one, so that
analysis and generation cannot drift apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import numpy as np

from specjax._core.arrays import Array, concrete, namespace, value
from specjax._core.checks import UserError
from specjax._core.shown import Shown


class Row(NamedTuple):
    """The coefficients of one denoiser call, or of K calls with an axis in front."""

    alpha: Array  # []
    sigma: Array  # []
    keep: Array  # [H, H]
    pull: Array  # [H]
    push: Array  # [H]


class SteeredRow(NamedTuple):
    """A row, or K rows, of a plan with ``steer``: :class:`Row` and one coefficient more."""

    alpha: Array  # []
    sigma: Array  # []
    keep: Array  # [H, H]
    pull: Array  # [H]
    push: Array  # [H]
    steer: Array  # [H]


@value(
    data=[
        "alpha",
        "sigma",
        "keep",
        "pull",
        "push",
        "start",
        "shortfall",
        "guidance",
        "signal",
        "steer",
    ],
    static=["stochastic"],
)
@dataclass(frozen=True, eq=False, repr=False)
class SamplerPlan(Shown):
    """The K denoiser calls of a sampler and what is done with their answers.

    Attributes:
      alpha: [K], the scale of the data at each call.
      sigma: [K], the standard deviation of the noise at each call.
      keep: [K, H, H], what is kept of the registers.
      pull: [K, H], the coefficient of the denoiser's answer.
      push: [K, H], that of new noise.
      start: standard deviation of the noise that ``r[0]`` starts from; other registers are 0.
      stochastic: whether any ``push`` is not zero.
      shortfall: 1 - alpha at the end where the plan keeps means: ``r[0]`` is ``alpha_k mu`` at each
        call, and ``(1 - shortfall) mu`` at the end, if it was at the first call and all answers
        are mu. Plans of samplers do so; None for others.
      guidance: [K], the weight of a guided denoiser (:func:`specjax.guided`) at each call; None is
        its own.
      signal: the scale of data in what ``r[0]`` starts from, ``signal x0 + start z``; None for a
        plan that starts from noise alone.
      steer: [K, H], the coefficient of the direction to a measurement, which the denoiser answers
        beside its estimate (:func:`specjax.steered`); None without one.
    """

    alpha: Array
    sigma: Array
    keep: Array
    pull: Array
    push: Array
    start: Array
    stochastic: bool
    shortfall: Array | None = None
    guidance: Array | None = None
    signal: Array | None = None
    steer: Array | None = None

    @property
    def rows(self) -> Row | SteeredRow:
        """All rows, stacked along the first axis."""
        plain = Row(self.alpha, self.sigma, self.keep, self.pull, self.push)
        return plain if self.steer is None else SteeredRow(*plain, self.steer)

    @property
    def calls(self) -> int:
        """K, the number of denoiser calls."""
        return int(self.keep.shape[0])

    @property
    def network_calls(self) -> int:
        """The calls of the network: two where a weight of :attr:`guidance` is not 0 or 1."""
        twice = () if self.guidance is None else ~np.isin(np.asarray(self.guidance), (0, 1))
        return self.calls + int(np.sum(twice))

    @property
    def registers(self) -> int:
        """H, the number of registers."""
        return int(self.keep.shape[-1])


def from_data(plan: SamplerPlan) -> SamplerPlan:
    """Return the same plan from data, to which noise is added up to the level of the first call."""
    return replace(plan, start=plan.sigma[0], signal=plan.alpha[0])


def first_sample(
    start: Array, signal: Array | None, noise: Array, data: Array | None = None
) -> Array:
    """Return what ``r[0]`` [...] starts from: ``start z``, or ``signal x0 + start z``.

    Args:
      start: of a plan.
      signal: likewise.
      noise: unit noise z [...].
      data: x0 [...], of a plan that starts from data.

    Raises:
      UserError: for a plan that starts from data, without any.
    """
    xp = namespace(noise)
    first = xp.asarray(start, noise.dtype) * noise
    if signal is None:
        return first
    if data is None:
        raise UserError(
            "data = None: the plan starts from data with noise up to its first level, not from "
            "noise alone; give data"
        )
    return first + xp.asarray(signal, noise.dtype) * xp.asarray(data, noise.dtype)


def advance(
    r: Array, row: Row | SteeredRow, d: Array, z: Array | None, g: Array | None = None
) -> Array:
    """Take one row of a plan: ``keep r + pull d + push z + steer g``.

    Args:
      r: registers [H, ...].
      row: the coefficients. Those of K rows at once have an axis [K] behind those of the
        registers, which is the first axis of the samples then.
      d: the estimate [...].
      z: unit noise [...], or None without noise.
      g: the direction to a measurement [...] of a :class:`SteeredRow`, or None.

    The sum over registers is written out: H is 1 to 5, and a matrix product would round to
    tf32 or bfloat16 on accelerators.
    """

    def over_samples(c: Array) -> Array:
        return c.reshape(c.shape + (1,) * (d.ndim + 1 - row.pull.ndim)).astype(r.dtype)

    keep, out = over_samples(row.keep), over_samples(row.pull) * d
    for j in range(r.shape[0]):
        out = out + keep[:, j] * r[j]
    if isinstance(row, SteeredRow) and g is not None:
        out = out + over_samples(row.steer) * g
    return out if z is None else out + over_samples(row.push) * z


def pad(plan: SamplerPlan, calls: int) -> SamplerPlan:
    """Add idle rows, calls whose answers are not used, at the end of a plan."""
    extra = calls - plan.calls
    if extra <= 0:
        return plan
    xp, h, dtype = namespace(plan.keep), plan.registers, plan.keep.dtype
    ones, zeros = xp.ones(extra, dtype), xp.zeros((extra, h), dtype)
    eye = xp.broadcast_to(xp.eye(h, dtype=dtype), (extra, h, h))
    idle = (ones, ones, eye, zeros, zeros, zeros)
    joined = type(plan.rows)(*(xp.concatenate(pair) for pair in zip(plan.rows, idle, strict=False)))
    weights = plan.guidance
    if weights is not None:
        weights = namespace(weights).concatenate([weights, np.ones(extra, weights.dtype)])
    return replace(plan, **joined._asdict(), guidance=weights)


def drop_idle(plan: SamplerPlan) -> SamplerPlan:
    """Drop rows that do nothing from a plan; it is unchanged while its numbers are traced."""
    keep, pull, push = concrete(plan.keep), concrete(plan.pull), concrete(plan.push)
    if keep is None or pull is None or push is None:
        return plan
    idle = ~pull.any(1) & ~push.any(1) & (keep == np.eye(plan.registers)).all((1, 2))
    if plan.steer is not None:
        idle &= ~np.asarray(plan.steer).any(1)
    if not idle.any():
        return plan
    busy = np.flatnonzero(~idle)
    weights = None if plan.guidance is None else plan.guidance[busy]
    rows = jax.tree.map(lambda x: x[busy], plan.rows)
    return replace(plan, **rows._asdict(), guidance=weights)
