"""Scaled coordinates: where every sampler is written once, and the plan of a process from there.

In ``x / alpha`` VP, VE and flow matching are the same process. A sampler turns the steps between
levels (:class:`LevelSteps`) into coefficients there (:class:`ScaledRows`); :func:`plan_of_rows`
scales the registers that hold samples to the process asked for.

Pure noise, alpha = 0, has no place there. A finite level stands for it that is so noisy that
nothing changes if it is noisier (:func:`level_steps`): the ratio of the first step's noise levels
vanishes beside 1. In the scale of a process the numbers are those of the limit,
``x' = alpha' d + sigma' x`` for DDIM, and the denoiser is called at alpha = 0, sigma = 1.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Hashable
from dataclasses import replace
from types import ModuleType
from typing import NamedTuple, Protocol

import numpy as np

from specjax._core.arrays import Array, namespace, where
from specjax.sampling.step import SamplerPlan
from specjax.schedules.schedule import alpha_sigma, one_minus_alpha


class LevelSteps(NamedTuple):
    """The S steps between S + 1 levels, safe to divide by and to differentiate.

    Attributes:
      xp: the array library of the levels, ``numpy`` or ``jax.numpy``.
      now: logsnr at the noisy end of a step, finite where it is ``pure``.
      after: logsnr at its clean end, +inf where the step is ``last``.
      h: the width in logsnr, 1 where last.
      pure: whether a step starts from pure noise, at most one. What it and the step behind it
        extrapolate has to have a limit as the first level gets noisier.
      last: whether a step ends at s = 0.
      s: the scaled noise level ``sigma / alpha`` at the noisy end.
      s_next: that at the clean end, 0 where last.
      kernel_std: the standard deviation of the forward kernel from the next level to this one, in
        the scaled coordinate of the next level.
      age: how many steps lie behind each one, for samplers that remember; steps of negative age
        are idle.
    """

    xp: ModuleType
    now: Array
    after: Array
    h: Array
    pure: Array
    last: Array
    s: Array
    s_next: Array
    kernel_std: Array
    age: Array


class ScaledRows(NamedTuple):
    """A plan of K calls and H registers in scaled coordinates.

    Attributes:
      called: [K], logsnr of each call.
      entered: [K], logsnr of the registers which hold samples, before the row.
      left: [K], the same after it.
      keep: [K, H, H], what is kept of the registers.
      pull: [K, H], the coefficient of the denoiser's answer.
      push: [K, H], that of new noise.
      holds_sample: [H], which registers hold samples; the others hold estimates or slopes, which
        are not scaled.
      stochastic: whether any ``push`` is not zero.
    """

    called: Array
    entered: Array
    left: Array
    keep: Array
    pull: Array
    push: Array
    holds_sample: tuple[bool, ...]
    stochastic: bool = False


class SamplerLike(Hashable, Protocol):
    """The protocol of a sampler; it must be hashable, because programs are compiled for it.

    ``options`` (a tuple of name and value pairs) is written to files, if there are any. A number
    ``denoiser_error`` is what fits take a denoiser to err by where nobody says how much.
    """

    @property
    def name(self) -> str:
        """The name in tables and files."""

    def rows(self, steps: LevelSteps) -> ScaledRows:
        """Return the coefficients of S ``steps`` in scaled coordinates; traceable."""


def level_steps(logsnr: Array, process: str, idle: Array | int = 0) -> LevelSteps:
    """Return the steps between levels [S + 1], a step to s = 0 having the width 1.

    The level that stands for pure noise is so far before the next one, or before logsnr = 0, that
    ``exp(-h / 2)`` is less than the rounding of 1. Idle levels of pure noise are spaced before it.
    """
    xp = namespace(logsnr)
    pure = xp.isneginf(logsnr)
    noisiest = xp.minimum(where(pure, xp.inf, logsnr).min(), 0.0)
    far = noisiest + 2 * math.log(xp.finfo(logsnr.dtype).eps) - 2
    place = xp.arange(len(logsnr)) + 1 - pure.sum()  # 0 for the last
    logsnr = where(pure, far + 0.01 * place.astype(logsnr.dtype), logsnr)
    now, after = logsnr[:-1], logsnr[1:]
    last = xp.isinf(after)
    finite_after = where(last, now + 1, after)
    h = finite_after - now
    alpha_next = alpha_sigma(finite_after, process)[0]
    sigma_now = alpha_sigma(now, process)[1]
    return LevelSteps(
        xp, now, after, h, pure[:-1] & ~pure[1:], last,
        s=xp.exp(-now / 2),
        s_next=where(last, 0.0, xp.exp(-finite_after / 2)),
        kernel_std=sigma_now * xp.sqrt(-xp.expm1(-h)) / alpha_next,
        age=xp.arange(now.shape[0]) - idle,
    )  # fmt: skip


@functools.lru_cache(maxsize=256)
def keeps_means(sampler: SamplerLike) -> bool:
    """Tell whether a sampler's path is 1 at each call, in scaled coordinates, if all answers are.

    Those of the package are: what a step takes of the sample and of answers adds up to 1.
    """
    rows = sampler.rows(
        level_steps(np.array([-9.0, -4.0, -3.0, -1.0, 0.0, 2.0, 5.0, np.inf]), "vp")
    )
    pull, keep = np.asarray(rows.pull), np.asarray(rows.keep)
    r = np.eye(1, pull.shape[1])[0]
    path = [r[0]]
    for k in range(len(pull)):
        r = keep[k] @ r + pull[k]
        path.append(r[0])
    return bool(np.allclose(path, 1, rtol=0, atol=1e-9))


def plan_of_levels(
    sampler: SamplerLike, logsnr: Array, process: str, idle: Array | int = 0
) -> SamplerPlan:
    """Compute the plan along levels [S + 1] of which the first ``idle`` steps do nothing.

    One compilation so serves several S, padded to one: ``idle`` may be traced, and the levels of
    idle steps may be anything that rises. Idle rows keep the registers and use no answer.
    """
    steps = level_steps(logsnr, process, idle)
    return plan_of_rows(sampler.rows(steps), steps, process, idle, keeps_means(sampler))


def scaled_plan(
    sampler: SamplerLike, logsnr: Array, process: str, idle: Array | int = 0
) -> SamplerPlan:
    """Compute the plan along levels [S + 1] that calls the denoiser in scaled coordinates.

    Only its start and its end are those of the process, so it says the same of a Gaussian as
    :func:`plan_of_levels` does, in a shorter program.
    """
    steps = level_steps(logsnr, process, idle)
    plan = plan_of_rows(sampler.rows(steps), steps, "ve", idle, keeps_means(sampler))
    if process == "ve":
        return plan
    xp = steps.xp
    end = where(steps.last[-1], 1.0, alpha_sigma(logsnr[-1], process)[0])
    ending = xp.ones_like(plan.pull)
    ending = xp.concatenate([ending[:-1], where(xp.arange(plan.registers) == 0, end, 1.0)[None]])
    return replace(
        plan,
        keep=plan.keep * ending[:, :, None],
        pull=plan.pull * ending,
        push=plan.push * ending,
        start=xp.sqrt(1 + plan.start**2) if process == "vp" else plan.start,
        shortfall=None if plan.shortfall is None else one_minus_alpha(logsnr[-1], process),
    )


def plan_of_rows(
    rows: ScaledRows, t: LevelSteps, process: str, idle: Array | int = 0, keeps_means: bool = True
) -> SamplerPlan:
    """Compute the plan of a process from rows in scaled coordinates.

    VP starts from unit noise, as its samplers do everywhere; VE and flow matching from noise of the
    first sigma, which makes them the same plan in two scales.
    """
    xp = t.xp

    def scale(logsnr: Array) -> Array:
        """Return [K, H]: alpha for the registers that hold samples, 1 for the others."""
        alpha = alpha_sigma(logsnr, process)[0]
        return xp.stack([alpha if s else xp.ones_like(alpha) for s in rows.holds_sample], -1)

    before, behind = scale(rows.entered), scale(rows.left)
    alpha, sigma = alpha_sigma(rows.called, process)
    if process != "ve":
        at_start = rows.called <= where(t.pure, t.now, -xp.inf).max()
        alpha = where(at_start, 0.0, alpha)
    keep = rows.keep * behind[:, :, None] / before[:, None, :]
    pull, push = rows.pull * behind, rows.push * behind
    if not isinstance(idle, int) or idle > 0:
        busy = xp.repeat(t.age >= 0, len(pull) // len(t.age))
        keep = where(busy[:, None, None], keep, xp.eye(keep.shape[-1], dtype=keep.dtype))
        pull, push = (where(busy[:, None], x, 0.0) for x in (pull, push))
    start = xp.ones_like(t.s[0]) if process == "vp" else alpha_sigma(t.now[idle], process)[1]
    shortfall = one_minus_alpha(t.after[-1], process) if keeps_means else None
    return SamplerPlan(alpha, sigma, keep, pull, push, start, rows.stochastic, shortfall)
