"""The teacher: what a prior makes of a noise in many steps.

DPM-Solver++(2M) along the closed-form schedule of the prior's spectrum (equal steps of logsnr
where it has none). Its steps are doubled until that changes the solutions by little. Solutions are
remembered, and kept in a folder; they are recognised by the numbers of prior and noise, and by what
the denoiser makes of the noise in a few steps: a function has no numbers that could be compared.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from specjax import files
from specjax._core.checks import UserError
from specjax.fitting.spectral import spectral
from specjax.learning.objective import PlanObjective
from specjax.learning.settings import LearnSettings
from specjax.priors.prior import Prior
from specjax.sampling.samplers import plan as plan_of
from specjax.sampling.step import SamplerPlan
from specjax.schedules.families import family
from specjax.schedules.grids import LevelRange
from specjax.schedules.schedule import NoiseSchedule

FEWEST, MOST = 32, 512
"""Steps that are doubled to begin with, and those beyond which it is given up."""

COARSE = 4
"""Steps by whose outcome a denoiser is recognised."""

Progress = Callable[[int, int], None]
"""Called with (steps done, of all of this doubling)."""

_ROUNDING = 1e-3  # of that outcome: what machines and batches may differ by
_VERSION = 1
_MOST_BYTES = 256 * 2**20
_MEMORY: OrderedDict[str, TeacherSolutions] = OrderedDict()
"""The latest, by key."""


class TeacherSolutions(NamedTuple):
    """Solutions [n, *shape] in ``steps`` steps, and their accuracy.

    ``change`` is the root mean square of what doubling the steps changed, as a part of the
    solutions' standard deviation. DPM-Solver++(2M) is of second order: the error that is left is
    about a third of it. ``coarse`` [n, *shape] is what few steps make.
    """

    samples: np.ndarray
    steps: int
    change: float
    coarse: np.ndarray

    @property
    def bytes(self) -> int:
        """The memory they take."""
        return self.samples.nbytes + self.coarse.nbytes


def teacher_solutions(
    prior: Prior, objective: PlanObjective, settings: LearnSettings,
    progress: Progress | None = None,
) -> TeacherSolutions:  # fmt: skip
    """Solve from the noise of an objective, or find what was solved before.

    Raises:
      UserError: if the solutions have not converged in :data:`MOST` steps, or the denoiser returns
        what is not finite.
    """
    objective = replace(objective, call_by_call=True)  # one program serves any number of steps
    coarse, key = _solve(prior, objective, settings, COARSE), _key(prior, objective, settings)
    path = None if settings.cache is None else settings.cache / f"teacher-{key[:16]}.npz"
    found = _if_same(_MEMORY.pop(key, None), coarse) or _if_same(_read(path, key), coarse)
    if found is None:
        found = _converged(prior, objective, settings, coarse, progress)
        if path is not None:
            header = {"key": key, "steps": found.steps, "change": found.change}
            arrays = {"samples": found.samples, "coarse": found.coarse}
            files.write(path, "teacher", _VERSION, header, arrays)
    _remember(key, found)
    return found


def _remember(key: str, found: TeacherSolutions) -> None:
    """Keep the latest in memory, up to :data:`_MOST_BYTES`."""
    _MEMORY[key] = found
    while sum(one.bytes for one in _MEMORY.values()) > _MOST_BYTES:
        _MEMORY.popitem(last=False)


def _if_same(kept: TeacherSolutions | None, coarse: np.ndarray) -> TeacherSolutions | None:
    """Return what is kept if the denoiser is the same up to rounding."""
    if kept is None or kept.coarse.shape != coarse.shape:
        return None
    gap = np.abs(kept.coarse - coarse).max()
    return kept if gap <= _ROUNDING * np.abs(coarse).max() else None


def _converged(
    prior: Prior, objective: PlanObjective, settings: LearnSettings, coarse: np.ndarray,
    progress: Progress | None,
) -> TeacherSolutions:  # fmt: skip
    """Double the steps until that changes the solutions by no more than the tolerance."""
    before, steps = _solve(prior, objective, settings, FEWEST), FEWEST
    while True:
        steps *= 2
        if progress:
            progress(steps // 2, steps)
        now = _solve(prior, objective, settings, steps)
        spread = np.sqrt(np.mean((now - now.mean(0)) ** 2))
        change = float(np.sqrt(np.mean((now - before) ** 2)) / max(spread, np.finfo(float).tiny))
        if progress:
            progress(steps, steps)
        if change <= settings.teacher_tolerance:
            return TeacherSolutions(now, steps, change, coarse)
        if steps >= MOST:
            raise UserError(
                f"the teacher has not converged: from {steps // 2} to {steps} steps its solutions "
                f"change by {100 * change:.2g} % of their standard deviation; allow for that by "
                f"teacher_tolerance (now {settings.teacher_tolerance:g}), or end at a clean level "
                "below 1 (alpha_bar_range)"
            )
        before = now


def _solve(
    prior: Prior, objective: PlanObjective, settings: LearnSettings, steps: int
) -> np.ndarray:
    plan = fine_plan(prior, steps, settings.levels, settings.process)
    samples = np.asarray(objective.samples(plan))
    if not np.isfinite(samples).all():
        check_answers(objective, plan)
        raise UserError(f"the teacher's solutions in {steps} steps are not finite")
    return samples


def fine_plan(prior: Prior, steps: int, within: LevelRange, process: str = "vp") -> SamplerPlan:
    """Make the teacher's plan: of the levels of :data:`MOST` steps those at equal distances."""
    ends = within.alpha_bar_range
    if prior.spectrum is None:
        levels = family("uniform_logsnr", MOST, alpha_bar_range=ends)
    else:
        levels = spectral(prior.spectrum, MOST, alpha_bar_range=ends)
    levels = within.clip(levels)
    return plan_of("dpmpp_2m", NoiseSchedule(levels.logsnr[:: MOST // steps]), process)


def check_answers(objective: PlanObjective, plan: SamplerPlan) -> None:
    """Refuse a denoiser whose answers are not finite, by the first level where they are not."""
    for batch in objective.registers_by_call(plan):
        for k, registers in enumerate(batch):
            if not np.isfinite(np.asarray(registers)).all():
                s = float(plan.sigma[k] / plan.alpha[k])
                raise UserError(
                    f"the denoiser's answers are not finite at sigma = {s:.4g} (logsnr "
                    f"{-2 * np.log(s):.4g}), call {k + 1} of {plan.calls}: check it there, or "
                    "leave that level out by alpha_bar_range"
                )


def _key(prior: Prior, objective: PlanObjective, settings: LearnSettings) -> str:
    known = (
        prior.fingerprint,
        "" if prior.spectrum is None else prior.spectrum.fingerprint,
        settings.process, settings.levels.ends.tolist(), settings.teacher_tolerance, FEWEST, MOST,
    )  # fmt: skip
    digest = hashlib.sha256(repr(known).encode())
    digest.update(np.ascontiguousarray(np.asarray(objective.noise)).tobytes())
    return digest.hexdigest()


def _read(path: Path | None, key: str) -> TeacherSolutions | None:
    """Read what is kept; None where there is nothing, or not the whole of it."""
    if path is None or not path.exists():
        return None
    try:
        kept = files.read(path, {"teacher": _VERSION})
        if kept.header["key"] != key:
            return None
        steps, change = int(kept.header["steps"]), float(kept.header["change"])
        return TeacherSolutions(kept.arrays["samples"], steps, change, kept.arrays["coarse"])
    except (UserError, KeyError):  # damaged, or of another version: it is computed anew
        return None
