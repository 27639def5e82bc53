"""The one definition of a sampling step.

A sampler is a table of numbers, one row per denoiser call, over H registers ``r`` of which
``r[0]`` is the sample::

    d  = denoise(r[0], alpha_k, sigma_k)
    r <- keep_k r + pull_k d + push_k z_k,        z_k ~ N(0, I)

``sample`` runs a real denoiser through :func:`advance`, ``transfer`` a Gaussian one, so that
analysis and generation cannot drift apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from specjax._core.arrays import Array, concrete, namespace, value
from specjax._core.shown import Shown


class Row(NamedTuple):
    """The coefficients of one denoiser call, or of K calls with an axis in front."""

    alpha: Array  # []
    sigma: Array  # []
    keep: Array  # [H, H]
    pull: Array  # [H]
    push: Array  # [H]


@value(
    data=["alpha", "sigma", "keep", "pull", "push", "start", "shortfall", "guidance"],
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

    @property
    def rows(self) -> Row:
        """All rows, stacked along the first axis."""
        return Row(self.alpha, self.sigma, self.keep, self.pull, self.push)

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


def advance(r: Array, row: Row, d: Array, z: Array | None) -> Array:
    """Take one row of a plan: ``keep r + pull d + push z``.

    Args:
      r: registers [H, ...].
      row: the coefficients. Those of K rows at once have an axis [K] behind those of the
        registers, which is the first axis of the samples then.
      d: the estimate [...].
      z: unit noise [...], or None without noise.

    The sum over registers is written out: H is 1 to 5, and a matrix product would round to
    tf32 or bfloat16 on accelerators.
    """

    def over_samples(c: Array) -> Array:
        return c.reshape(c.shape + (1,) * (d.ndim + 1 - row.pull.ndim)).astype(r.dtype)

    keep, out = over_samples(row.keep), over_samples(row.pull) * d
    for j in range(r.shape[0]):
        out = out + keep[:, j] * r[j]
    return out if z is None else out + over_samples(row.push) * z


def pad(plan: SamplerPlan, calls: int) -> SamplerPlan:
    """Add idle rows, calls whose answers are not used, at the end of a plan."""
    extra = calls - plan.calls
    if extra <= 0:
        return plan
    xp, h, dtype = namespace(plan.keep), plan.registers, plan.keep.dtype
    ones, zeros = xp.ones(extra, dtype), xp.zeros((extra, h), dtype)
    eye = xp.broadcast_to(xp.eye(h, dtype=dtype), (extra, h, h))
    idle = Row(ones, ones, eye, zeros, zeros)
    joined = Row(*(xp.concatenate(pair) for pair in zip(plan.rows, idle, strict=True)))
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
    if not idle.any():
        return plan
    busy = np.flatnonzero(~idle)
    weights = None if plan.guidance is None else plan.guidance[busy]
    return replace(plan, **Row(*(x[busy] for x in plan.rows))._asdict(), guidance=weights)
