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

from specjax import io as files
from specjax.families import family
from specjax.learning.judge import Judge
from specjax.priors.contract import Prior
from specjax.samplers import plan as plan_of
from specjax.schedule import NoiseSchedule
from specjax.spectral import spectral
from specjax.steps import Row, SamplerPlan

FEWEST, MOST = 32, 512
"""Steps that are doubled to begin with, and those beyond which it is given up."""

_KEPT = 8
_MEMORY: OrderedDict[str, Fine] = OrderedDict()
"""The latest, by key."""


class Fine(NamedTuple):
    """Solutions [n, *shape] in ``steps`` steps, and their accuracy.

    ``change`` is the root mean square of what doubling the steps changed, as a part of the
    solutions' standard deviation. DPM-Solver++(2M) is of second order: the error that is left is
    about a third of it.
    """

    samples: np.ndarray
    steps: int
    change: float


def fine(
    prior: Prior,
    judge: Judge,
    ends: tuple[float, float],
    tolerance: float,
    cache: Path | None,
    progress: Callable[[int, int], None] | None = None,
) -> Fine:
    """The fine solutions of a judge's prior and noise; remembered, and kept in a folder.

    Args:
      ends: alpha_bar_range. tolerance: of ``change``. progress: called with (steps done, of all of
        this doubling).

    Raises:
      ValueError: if they have not converged in :data:`MOST` steps, or the denoiser returns what is
        not finite.
    """
    key = _key(prior, judge, ends, tolerance)
    path = None if cache is None else cache / f"teacher-{key[:16]}.npz"
    if key not in _MEMORY:
        found = _read(path, key)
        if found is None:
            found = _solve(prior, judge, ends, tolerance, progress)
            if path is not None:
                files.write_atomically(path, _bytes(found, key))
        _MEMORY[key] = found
        while len(_MEMORY) > _KEPT:
            _MEMORY.popitem(last=False)
    _MEMORY.move_to_end(key)
    return _MEMORY[key]


def _solve(
    prior: Prior, judge: Judge, ends: tuple[float, float], tolerance: float, progress: Any
) -> Fine:
    judge = replace(judge, by_calls=True)  # so that one program serves any number of steps
    before, steps = _made(prior, judge, ends, FEWEST), FEWEST
    while True:
        steps *= 2
        if progress:
            progress(steps // 2, steps)
        now = _made(prior, judge, ends, steps)
        spread = np.sqrt(np.mean((now - now.mean(0)) ** 2))
        change = float(np.sqrt(np.mean((now - before) ** 2)) / max(spread, np.finfo(float).tiny))
        if progress:
            progress(steps, steps)
        if change <= tolerance:
            return Fine(now, steps, change)
        if steps >= MOST:
            raise ValueError(
                f"the teacher has not converged: from {steps // 2} to {steps} steps its solutions "
                f"change by {100 * change:.2g} % of their standard deviation; allow for that by "
                f"teacher_tolerance (now {tolerance:g}), or end at a clean level below 1 "
                "(alpha_bar_range)"
            )
        before = now


def _made(prior: Prior, judge: Judge, ends: tuple[float, float], steps: int) -> np.ndarray:
    plan = fine_plan(prior, steps, ends)
    found = np.asarray(judge.outputs(plan))
    if not np.isfinite(found).all():
        check_answers(judge, plan)
        raise ValueError(f"the teacher's solutions in {steps} steps are not finite")
    return found


def fine_plan(prior: Prior, steps: int, ends: tuple[float, float]) -> SamplerPlan:
    """The teacher's plan: of the levels of :data:`MOST` steps those at equal distances."""
    if prior.spectrum is None:
        levels = family("uniform_logsnr", MOST, alpha_bar_range=ends)
    else:
        levels = spectral(prior.spectrum, MOST, alpha_bar_range=ends)
    return plan_of("dpmpp_2m", NoiseSchedule(levels.logsnr[:: MOST // steps]))


def check_answers(judge: Judge, plan: SamplerPlan) -> None:
    """Refuse a denoiser whose answers are not finite, by the first level where they are not."""
    few = replace(judge, noise=judge.noise[:8], keys=judge.keys[:8], by_calls=True)
    for k in range(1, plan.calls + 1):
        head = Row(*(x[:k] for x in plan.rows))
        if not np.isfinite(np.asarray(few.outputs(replace(plan, **head._asdict())))).all():
            s = float(plan.sigma[k - 1] / plan.alpha[k - 1])
            raise ValueError(
                f"the denoiser's answers are not finite at sigma = {s:.4g} (logsnr "
                f"{-2 * np.log(s):.4g}), call {k} of {plan.calls}: check it there, or leave that "
                "level out by alpha_bar_range"
            )


def _key(prior: Prior, judge: Judge, ends: tuple[float, float], tolerance: float) -> str:
    digest = hashlib.sha256(f"{prior.fingerprint} {ends} {tolerance} {FEWEST} {MOST}".encode())
    spectrum = prior.spectrum.fingerprint if prior.spectrum is not None else ""
    digest.update(spectrum.encode())
    digest.update(np.ascontiguousarray(np.asarray(judge.noise)).tobytes())
    return digest.hexdigest()


def _bytes(found: Fine, key: str) -> bytes:
    buffer = io.BytesIO()
    facts = {"steps": found.steps, "change": found.change, "key": np.array(key)}
    np.savez(buffer, samples=found.samples, **facts)  # type: ignore[arg-type]
    return buffer.getvalue()


def _read(path: Path | None, key: str) -> Fine | None:
    """What is kept; None where there is nothing, or not the whole of it."""
    try:
        with np.load(path or "", allow_pickle=False) as file:
            if str(file["key"]) != key:
                return None
            return Fine(file["samples"], int(file["steps"]), float(file["change"]))
    except Exception:  # a cache: whatever is wrong with it, it is computed anew
        return None
