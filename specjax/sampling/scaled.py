"""Scaled coordinates: where every sampler is written once, and the plan of a process from there.

In ``x / alpha`` VP and VE are the same process. A sampler turns the steps between levels
(:class:`LevelSteps`) into coefficients there (:class:`ScaledRows`); :func:`plan_of_rows` scales
the registers that hold samples to the process asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable
from dataclasses import replace
from types import ModuleType
from typing import NamedTuple, Protocol

import numpy as np

from specjax._core.arrays import Array, namespace
from specjax.sampling.step import SamplerPlan
from specjax.schedules.schedule import alpha_sigma, sigmoid


class LevelSteps(NamedTuple):
    """The S steps between S + 1 levels, safe to divide by and to differentiate.

    Attributes:
      xp: the array library of the levels, ``numpy`` or ``jax.numpy``.
      now: logsnr at the noisy end of a step.
      after: logsnr at its clean end, +inf where the step is ``last``.
      h: the width in logsnr, 1 where last.
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

    ``options`` (a tuple of name and value pairs) is written to files, if there are any.
    """

    @property
    def name(self) -> str:
        """The name in tables and files."""

    def rows(self, steps: LevelSteps) -> ScaledRows:
        """Return the coefficients of S ``steps`` in scaled coordinates; traceable."""


def level_steps(logsnr: Array, process: str, idle: Array | int = 0) -> LevelSteps:
    """Return the steps between levels [S + 1], a step to s = 0 having the width 1."""
    xp = namespace(logsnr)
    now, after = logsnr[:-1], logsnr[1:]
    last = xp.isinf(after)
    finite_after = xp.where(last, now + 1, after)
    h = finite_after - now
    alpha_next = alpha_sigma(finite_after, process)[0]
    sigma_now = alpha_sigma(now, process)[1]
    return LevelSteps(
        xp, now, after, h, last,
        s=xp.exp(-now / 2),
        s_next=xp.where(last, 0.0, xp.exp(-finite_after / 2)),
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
    end = xp.where(steps.last[-1], 1.0, alpha_sigma(logsnr[-1], process)[0])
    left = sigmoid(-logsnr[-1]) / (1 + end)
    ending = xp.ones_like(plan.pull)
    ending = xp.concatenate([ending[:-1], xp.where(xp.arange(plan.registers) == 0, end, 1.0)[None]])
    return replace(
        plan,
        keep=plan.keep * ending[:, :, None],
        pull=plan.pull * ending,
        push=plan.push * ending,
        start=xp.sqrt(1 + plan.start**2),
        shortfall=None if plan.shortfall is None else left,
    )


def plan_of_rows(
    rows: ScaledRows, t: LevelSteps, process: str, idle: Array | int = 0, keeps_means: bool = True
) -> SamplerPlan:
    """Compute the plan of a process from rows in scaled coordinates."""
    xp = t.xp

    def scale(logsnr: Array) -> Array:
        """Return [K, H]: alpha for the registers that hold samples, 1 for the others."""
        alpha = alpha_sigma(logsnr, process)[0]
        return xp.stack([alpha if s else xp.ones_like(alpha) for s in rows.holds_sample], -1)

    before, behind = scale(rows.entered), scale(rows.left)
    alpha, sigma = alpha_sigma(rows.called, process)
    keep = rows.keep * behind[:, :, None] / before[:, None, :]
    pull, push = rows.pull * behind, rows.push * behind
    if not isinstance(idle, int) or idle > 0:
        busy = xp.repeat(t.age >= 0, len(pull) // len(t.age))
        keep = xp.where(busy[:, None, None], keep, xp.eye(keep.shape[-1], dtype=keep.dtype))
        pull, push = (xp.where(busy[:, None], x, 0.0) for x in (pull, push))
    start = xp.ones_like(t.s[0]) if process == "vp" else t.s[idle]
    shortfall = None
    if keeps_means:
        end = t.after[-1]
        short = sigmoid(-end) / (1 + xp.sqrt(sigmoid(end)))  # 1 - alpha without rounding
        shortfall = short if process == "vp" else xp.zeros_like(short)
    return SamplerPlan(alpha, sigma, keep, pull, push, start, rows.stochastic, shortfall)
