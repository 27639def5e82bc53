"""The teacher: what a prior makes of a noise in many steps.

The exponential Adams-Bashforth method of third order along the closed-form schedule of the prior's
spectrum (equal steps of logsnr where it has none). On a few noises its steps are doubled until that
changes the solutions by little; the steps before the last doubling then serve all noises, and
their error is what it changed. Solutions are remembered, and kept in a folder; they are recognised
by the numbers of prior and noise, and by what the denoiser makes of a few noises in a few steps: a
function has no numbers that could be compared.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from specjax import files
from specjax._core.checks import UserError
from specjax.fitting.spectral import spectral
from specjax.learning.answers import Answers
from specjax.learning.settings import LearnSettings
from specjax.learning.trajectories import Noises, end_of, follow
from specjax.priors.prior import Prior
from specjax.sampling.corrections import corrected_plan
from specjax.sampling.multistep import exponential_adams
from specjax.sampling.scaled import level_steps
from specjax.sampling.step import SamplerPlan, from_data
from specjax.schedules.families import family
from specjax.schedules.level_range import LevelRange
from specjax.schedules.schedule import NoiseSchedule

FEWEST, MOST = 16, 512
"""Steps that are doubled to begin with, and those beyond which it is given up."""

FEW = 16
"""Noises on which the steps are doubled."""

COARSE = 4
"""Steps by whose outcome a denoiser is recognised."""

Progress = Callable[[int, int], None]
"""Called with (calls done, of all of this solution)."""

_ORDER = 3
_ROUNDING = 1e-3  # of that outcome: what machines and batches may differ by
_VERSION = 2
_MOST_BYTES = 256 * 2**20
_MEMORY: OrderedDict[str, TeacherSolutions] = OrderedDict()
"""The latest, by key."""


class TeacherSolutions(NamedTuple):
    """Solutions [n, *shape] in ``steps`` steps, and their accuracy.

    ``change`` is the root mean square of what doubling the steps changes, as a part of the
    solutions' standard deviation; ``error`` the median over samples of its square, summed over a
    sample, or that of rounding if it is larger. ``coarse`` [few, *shape] is what few steps make of
    the first noises.
    """

    samples: np.ndarray
    steps: int
    change: float
    error: float
    coarse: np.ndarray

    @property
    def bytes(self) -> int:
        """The memory they take."""
        return self.samples.nbytes + self.coarse.nbytes


def teacher_solutions(
    prior: Prior, noises: Noises, answers: Answers, settings: LearnSettings,
    progress: Progress | None = None, alike: TeacherSolutions | None = None,
) -> TeacherSolutions:  # fmt: skip
    """Solve from noises, or find what was solved before.

    Args:
      alike: solutions of the same prior from other noises, whose steps are then enough.

    Raises:
      UserError: if the solutions have not converged in :data:`MOST` steps, or the denoiser returns
        what is not finite.
    """
    solve = _Solver(prior, noises, answers, settings, progress)
    coarse, key = solve(COARSE, FEW), _key(prior, noises, settings)
    path = None if settings.cache is None else settings.cache / f"teacher-{key[:16]}.npz"
    found = _if_same(_MEMORY.pop(key, None), coarse) or _if_same(_read(path, key), coarse)
    if found is None:
        if alike is None:
            found = _converged(solve, settings.teacher_tolerance)
        else:
            found = alike._replace(samples=solve(alike.steps))
        found = found._replace(coarse=coarse)
        if path is not None:
            header = {"key": key, **{x: getattr(found, x) for x in ("steps", "change", "error")}}
            arrays = {"samples": found.samples, "coarse": found.coarse}
            files.write(path, "teacher", _VERSION, header, arrays)
    _remember(key, found)
    return found


class _Solver(NamedTuple):
    """``(steps, n) -> solutions [n, *shape]`` from the first n noises."""

    prior: Prior
    noises: Noises
    answers: Answers
    settings: LearnSettings
    progress: Progress | None

    def __call__(self, steps: int, n: int | None = None) -> np.ndarray:
        noises = self.noises.first(n or len(self.noises.start))
        plan = fine_plan(self.prior, steps, self.settings.levels, self.settings.process)
        calls, most = self.answers.calls, steps * len(noises.start)
        before = self.answers.after_batch
        if self.progress is not None:
            update = self.progress
            self.answers.after_batch = lambda: update(self.answers.calls - calls, most)
        try:
            return solutions(plan, self.answers, noises)
        finally:
            self.answers.after_batch = before


def solutions(plan: SamplerPlan, answers: Answers, noises: Noises) -> np.ndarray:
    """Run a fine plan from noises and return the samples [n, *shape].

    Raises:
      UserError: if they are not finite, by the first level where the answers are not.
    """
    samples = end_of(plan, answers, noises)
    if not np.isfinite(samples).all():
        check_answers(answers, plan, noises)
        raise UserError(f"the fine solutions in {plan.calls} steps are not finite")
    return samples


def _converged(solve: _Solver, tolerance: float) -> TeacherSolutions:
    """Double the steps on a few noises until that changes little, and solve from all."""
    before, steps = solve(FEWEST, FEW), FEWEST
    while True:
        now = solve(2 * steps, FEW)
        gap = (now - before).reshape(len(now), -1).astype(np.float64)
        spread = np.sqrt(np.mean((now - now.mean(0)) ** 2))
        change = float(np.sqrt(np.mean(gap**2)) / max(spread, np.finfo(float).tiny))
        if change <= tolerance:
            rounding = (solve.answers.precision * before.reshape(len(before), -1)) ** 2
            error = float(max(np.median((gap**2).sum(1)), rounding.sum(1).mean()))
            return TeacherSolutions(solve(steps), steps, change, error, before)
        steps *= 2
        if 2 * steps > MOST:
            raise UserError(
                f"the teacher has not converged: from {steps // 2} to {steps} steps its solutions "
                f"change by {100 * change:.2g} % of their standard deviation; allow for that by "
                f"teacher_tolerance (now {tolerance:g}), or end at a clean level below 1 "
                "(alpha_bar_range)"
            )
        before = now


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


def fine_plan(prior: Prior, steps: int, within: LevelRange, process: str = "vp") -> SamplerPlan:
    """Make the teacher's plan: of the levels of :data:`MOST` steps those at equal distances."""
    ends = within.alpha_bar_range
    if prior.spectrum is None:
        levels = family("uniform_logsnr", MOST, alpha_bar_range=ends)
    else:
        levels = spectral(prior.spectrum, MOST, alpha_bar_range=ends)
    schedule = NoiseSchedule(np.asarray(within.clip(levels).logsnr, np.float64)[:: MOST // steps])
    logsnr = np.asarray(within.passing(schedule).logsnr)
    by = exponential_adams(level_steps(logsnr, process), _ORDER)
    plan = corrected_plan(logsnr, by, process)
    return from_data(plan) if within.from_data else plan


def check_answers(answers: Answers, plan: SamplerPlan, noises: Noises) -> None:
    """Refuse a denoiser whose answers are not finite, by the first level where they are not."""
    with np.errstate(all="ignore"):
        answered = follow(plan, answers, noises).answers
    for k, answer in enumerate(answered):
        if not np.isfinite(answer).all():
            with np.errstate(divide="ignore"):  # of pure noise
                s = float(np.divide(plan.sigma[k], plan.alpha[k]))
            raise UserError(
                f"the denoiser's answers are not finite at sigma = {s:.4g} (logsnr "
                f"{-2 * np.log(s):.4g}), call {k + 1} of {plan.calls}: check it there, or "
                "leave that level out by alpha_bar_range"
            )


def _key(prior: Prior, noises: Noises, settings: LearnSettings) -> str:
    known = (
        prior.fingerprint,
        "" if prior.spectrum is None else prior.spectrum.fingerprint,
        settings.process, settings.levels.ends.tolist(), settings.teacher_tolerance, FEWEST, MOST,
        *settings.levels.through,
    )  # fmt: skip
    digest = hashlib.sha256(repr(known).encode())
    for array in jax.tree.leaves(tuple(noises)):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _read(path: Path | None, key: str) -> TeacherSolutions | None:
    """Read what is kept; None where there is nothing, or not the whole of it."""
    if path is None or not path.exists():
        return None
    try:
        kept = files.read(path, {"teacher": _VERSION})
        known = kept.header
        if known["key"] != key:
            return None
        accuracy = int(known["steps"]), float(known["change"]), float(known["error"])
        return TeacherSolutions(kept.arrays["samples"], *accuracy, kept.arrays["coarse"])
    except (UserError, KeyError):  # damaged, or of another version: it is computed anew
        return None
