"""Corrections: the coefficients of a plan's steps, as numbers that can be learned.

In scaled coordinates, with the last estimates ``d_0, d_1, ...`` (``d_0`` the newest) and noise
levels s, s' before and after a step of logsnr width h::

    x' = r x + (1 - r) (w_0 d_0 + w_1 d_1 + ...) + p z,     w_0 = 1 - w_1 - ...
    r = e^c s' / s,     p = g s' sqrt(1 - e^-h)

Whatever c and w are, a plan ends at the answer of a denoiser that always gives the same one.
``c = w_1 = g = 0`` is DDIM, ``c = -h/2, g = 1`` DDPM with the posterior variance (eta = 1) and
``w_1 = -h / (2 h_before)`` DPM-Solver++(2M). A last step to s = 0 has r = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from specjax._core.arrays import Array, namespace, value
from specjax._core.checks import UserError
from specjax.sampling.scaled import (
    LevelSteps,
    SamplerLike,
    ScaledRows,
    level_steps,
    plan_of_rows,
)
from specjax.sampling.step import SamplerPlan


@value(data=["ratio", "weights", "noise"])
@dataclass(frozen=True, eq=False)
class Corrections:
    """The corrections of the S steps of a plan, see the module.

    Attributes:
      ratio: c [S].
      weights: w_1, w_2, ... [S, M] of the M estimates before the newest.
      noise: g [S], or None for a plan without noise.
    """

    ratio: Array
    weights: Array
    noise: Array | None = None

    @property
    def memory(self) -> int:
        """M, the number of past estimates that are remembered."""
        return int(self.weights.shape[-1])

    def remembering(self, memory: int) -> Corrections:
        """Return the same steps with weights [S, ``memory``]: cut, or with zeros added."""
        xp, steps = namespace(self.weights), self.weights.shape[0]
        extra = xp.zeros((steps, max(memory - self.memory, 0)), self.weights.dtype)
        return replace(self, weights=xp.concatenate([self.weights, extra], 1)[:, :memory])


def corrections_of(sampler: SamplerLike, t: LevelSteps) -> Corrections:
    """Return the corrections of a sampler that makes one call a step and remembers estimates."""
    rows = sampler.rows(t)
    xp, ratio = t.xp, rows.keep[:, 0, 0]
    rest = xp.where(t.last, 1.0, 1 - ratio)[:, None]
    c = xp.log(xp.where(t.last, 1.0, ratio)) + xp.where(t.last, 0.0, t.h / 2)
    return Corrections(c, rows.keep[:, 0, 1:] / rest, _gain(t, rows) if rows.stochastic else None)


def _gain(t: LevelSteps, rows: ScaledRows) -> Array:
    unit = t.s_next * t.xp.sqrt(-t.xp.expm1(-t.h))
    return t.xp.where(t.last, 0.0, rows.push[:, 0] / t.xp.where(t.last, 1.0, unit))


def corrected_rows(t: LevelSteps, by: Corrections) -> ScaledRows:
    """Compute the rows of S steps; the registers are the sample and the M last estimates."""
    xp, memory = t.xp, by.memory
    ratio = xp.where(t.last, 0.0, xp.exp(by.ratio - t.h / 2))
    blend = 1 - ratio
    known = t.age[:, None] > xp.arange(memory)
    weights = xp.where(known, by.weights, 0.0)
    zeros = xp.zeros((*ratio.shape, 1 + memory), ratio.dtype)
    top = xp.concatenate([ratio[:, None], blend[:, None] * weights], 1)
    shift = xp.eye(1 + memory, k=-1, dtype=ratio.dtype)  # register j takes what j - 1 held
    shift = shift * (xp.arange(1 + memory) > 1)[:, None]
    keep = xp.concatenate(
        [top[:, None], xp.broadcast_to(shift[1:], (*ratio.shape, memory, 1 + memory))], 1
    )
    newest = xp.eye(1 + memory, dtype=ratio.dtype)[min(1, memory)] * (memory > 0)
    pull = newest + xp.concatenate([(blend * (1 - weights.sum(1)))[:, None], zeros[:, 1:]], 1)
    push = zeros
    if by.noise is not None:
        unit = t.s_next * xp.sqrt(-xp.expm1(-t.h))
        push = xp.concatenate([xp.where(t.last, 0.0, by.noise * unit)[:, None], zeros[:, 1:]], 1)
    return ScaledRows(
        t.now, t.now, t.after, keep, pull, push, (True,) + (False,) * memory,
        stochastic=by.noise is not None,
    )  # fmt: skip


def corrected_plan(logsnr: Array, by: Corrections, process: str) -> SamplerPlan:
    """Compute the plan of levels [S + 1] and corrections; traceable in both."""
    t = level_steps(logsnr, process)
    return plan_of_rows(corrected_rows(t, by), t, process)


LEARNABLE = (
    "ddim", "ddpm", "euler_ancestral", "dpmpp_2m", "dpmpp_2m_sde", "dpmpp_3m", "unipc"
)  # fmt: skip
"""The samplers of one call a step that remember past estimates and nothing else."""


def check_learnable(sampler: SamplerLike) -> None:
    """Refuse a sampler whose steps are not of this form.

    Raises:
      UserError: for such a sampler.
    """
    if sampler.name not in LEARNABLE:
        raise UserError(
            f"sampler = {sampler.name!r}: only its levels can be learned (groups = ('levels',)); "
            f"whole plans are learned from {', '.join(sorted(LEARNABLE))}"
        )
