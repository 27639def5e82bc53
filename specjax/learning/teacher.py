"""Fine solutions: what a prior makes of a noise in many steps.

DPM-Solver++(2M) along the closed-form schedule of the prior's spectrum (equal steps of logsnr
where it has none). Its steps are doubled until that changes the solutions by little.
"""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from specjax import files
from specjax.fitting.spectral import spectral
from specjax.learning.judge import Judge
from specjax.priors.prior import Prior
from specjax.sampling.samplers import plan as plan_of
from specjax.sampling.step import SamplerPlan
from specjax.schedules.families import family
from specjax.schedules.schedule import NoiseSchedule

FEWEST, MOST = 32, 512
"""Steps that are doubled to begin with, and those beyond which it is given up."""

COARSE = 4
"""Steps by whose outcome a denoiser is recognised."""

_ROUNDING = 1e-3  # of that outcome: what machines and batches may differ by
_KEPT = 8
_MEMORY: OrderedDict[str, Fine] = OrderedDict()
"""The latest, by key."""


class Teaching(NamedTuple):
    """How fine solutions are made.

    Attributes:
      process: "vp" or "ve". ends: alpha_bar_range. tolerance: of what doubling the steps changes.
      cache: a folder that keeps them, or None.
    """

    process: str
    ends: tuple[float, float]
    tolerance: float
    cache: Path | None = None


class Fine(NamedTuple):
    """Solutions [n, *shape] in ``steps`` steps, and their accuracy.

    ``change`` is the root mean square of what doubling the steps changed, as a part of the
    solutions' standard deviation. DPM-Solver++(2M) is of second order: the error that is left is
    about a third of it. ``coarse`` [n, *shape] is what few steps make.
    """

    samples: np.ndarray
    steps: int
    change: float
    coarse: np.ndarray


def fine(
    prior: Prior, judge: Judge, how: Teaching, progress: Callable[[int, int], None] | None = None
) -> Fine:
    """The fine solutions of a judge's prior and noise; remembered, and kept in a folder.

    What is kept is recognised by the numbers of prior and noise, and by what the denoiser makes of
    the noise in :data:`COARSE` steps: a function has no numbers that could be compared.

    Args:
      progress: called with (steps done, of all of this doubling).

    Raises:
      ValueError: if they have not converged in :data:`MOST` steps, or the denoiser returns what is
        not finite.
    """
    judge = replace(judge, by_calls=True)  # so that one program serves any number of steps
    coarse, key = _made(prior, judge, how, COARSE), _key(prior, judge, how)
    path = None if how.cache is None else how.cache / f"teacher-{key[:16]}.npz"
    found = _same(_MEMORY.pop(key, None), coarse) or _same(_read(path, key), coarse)
    if found is None:
        found = _solve(prior, judge, how, coarse, progress)
        if path is not None:
            files.write_atomically(path, _bytes(found, key))
    _MEMORY[key] = found
    while len(_MEMORY) > _KEPT:
        _MEMORY.popitem(last=False)
    return found


def _same(kept: Fine | None, coarse: np.ndarray) -> Fine | None:
    """What is kept, if the denoiser is the same up to rounding."""
    if kept is None or kept.coarse.shape != coarse.shape:
        return None
    gap = np.abs(kept.coarse - coarse).max()
    return kept if gap <= _ROUNDING * np.abs(coarse).max() else None


def _solve(prior: Prior, judge: Judge, how: Teaching, coarse: np.ndarray, progress: Any) -> Fine:
    before, steps = _made(prior, judge, how, FEWEST), FEWEST
    while True:
        steps *= 2
        if progress:
            progress(steps // 2, steps)
        now = _made(prior, judge, how, steps)
        spread = np.sqrt(np.mean((now - now.mean(0)) ** 2))
        change = float(np.sqrt(np.mean((now - before) ** 2)) / max(spread, np.finfo(float).tiny))
        if progress:
            progress(steps, steps)
        if change <= how.tolerance:
            return Fine(now, steps, change, coarse)
        if steps >= MOST:
            raise ValueError(
                f"the teacher has not converged: from {steps // 2} to {steps} steps its solutions "
                f"change by {100 * change:.2g} % of their standard deviation; allow for that by "
                f"teacher_tolerance (now {how.tolerance:g}), or end at a clean level below 1 "
                "(alpha_bar_range)"
            )
        before = now


def _made(prior: Prior, judge: Judge, how: Teaching, steps: int) -> np.ndarray:
    plan = fine_plan(prior, steps, how.ends, how.process)
    found = np.asarray(judge.outputs(plan))
    if not np.isfinite(found).all():
        check_answers(judge, plan)
        raise ValueError(f"the teacher's solutions in {steps} steps are not finite")
    return found


def fine_plan(
    prior: Prior, steps: int, ends: tuple[float, float], process: str = "vp"
) -> SamplerPlan:
    """The teacher's plan: of the levels of :data:`MOST` steps those at equal distances."""
    if prior.spectrum is None:
        levels = family("uniform_logsnr", MOST, alpha_bar_range=ends)
    else:
        levels = spectral(prior.spectrum, MOST, alpha_bar_range=ends)
    return plan_of("dpmpp_2m", NoiseSchedule(levels.logsnr[:: MOST // steps]), process)


def check_answers(judge: Judge, plan: SamplerPlan) -> None:
    """Refuse a denoiser whose answers are not finite, by the first level where they are not."""
    for part in judge.called(plan):
        for k, registers in enumerate(part):
            if not np.isfinite(np.asarray(registers)).all():
                s = float(plan.sigma[k] / plan.alpha[k])
                raise ValueError(
                    f"the denoiser's answers are not finite at sigma = {s:.4g} (logsnr "
                    f"{-2 * np.log(s):.4g}), call {k + 1} of {plan.calls}: check it there, or "
                    "leave that level out by alpha_bar_range"
                )


def _key(prior: Prior, judge: Judge, how: Teaching) -> str:
    settings = f"{how.process} {how.ends} {how.tolerance} {FEWEST} {MOST}"
    digest = hashlib.sha256(f"{prior.fingerprint} {settings}".encode())
    spectrum = prior.spectrum.fingerprint if prior.spectrum is not None else ""
    digest.update(spectrum.encode())
    digest.update(np.ascontiguousarray(np.asarray(judge.noise)).tobytes())
    return digest.hexdigest()


def _bytes(found: Fine, key: str) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, key=np.array(key), **found._asdict())
    return buffer.getvalue()


def _read(path: Path | None, key: str) -> Fine | None:
    """What is kept; None where there is nothing, or not the whole of it."""
    try:
        content = b"" if path is None else path.read_bytes()
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            if str(file["key"]) != key:
                return None
            steps, change = int(file["steps"]), float(file["change"])
            return Fine(file["samples"], steps, change, file["coarse"])
    except Exception:  # a cache: whatever is wrong with it, it is computed anew
        return None
