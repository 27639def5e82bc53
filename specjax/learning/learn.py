"""Learning a plan through one prior: :func:`learn`, to be read from top to bottom.

The objective is a weighted sum of logarithms of the terms of :mod:`specjax.learning.terms`. It is
minimised by BFGS over the parameters of :mod:`specjax.learning.parameters`, on noise that stays the
same, from the best heuristic plan or from one that was learned before. Other noise, and data that
were kept aside, decide which of the plans on the way is kept, and when to end. Noise that had no
part in either then judges it and the heuristics.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Unpack

import jax
import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.fitting.learned import LearnedResult
from specjax.learning.heuristics import closed_form_for, heuristics
from specjax.learning.objective import judge, value_of_plan
from specjax.learning.objectives import Objectives, TeacherProgress, objectives_of
from specjax.learning.optimise import Optimised, Progress, optimise
from specjax.learning.parameters import PlanParameters, pack, plan_of, unpack
from specjax.learning.recorded_plans import learn_from_recording
from specjax.learning.recording import Recording
from specjax.learning.settings import LearnOptions, LearnSettings, prior_from
from specjax.learning.teacher import check_answers
from specjax.learning.warm_start import warm_start
from specjax.priors.prior import Prior, prior_noise
from specjax.sampling.samplers import is_of_package, options_of
from specjax.sampling.step import SamplerPlan
from specjax.schedules.grids import LevelRange
from specjax.schedules.schedule import NoiseSchedule

LEARNED = "learned"


def learn(
    prior: Any,
    steps: int,
    *,
    start: LearnedResult | Sequence[LearnedResult] = (),
    progress: Progress | None = None,
    teacher_progress: TeacherProgress | None = None,
    **options: Unpack[LearnOptions],
) -> LearnedResult:
    """Learn the levels and the coefficients of a plan of S denoiser calls.

    Args:
      prior: what is known of the data: a :class:`Spectrum`, a prior of :mod:`specjax.priors` (a
        Gaussian with a probed denoiser among them), any object of the protocol
        :class:`specjax.priors.Prior`, a trained network (:func:`specjax.nn.open_run`), or a
        :class:`specjax.Recording` of one, which takes ``memory`` and ``process`` alone.
      steps: S.
      start: plans learned before, of other steps or on another prior, to start from if they are
        better than all heuristics.
      progress: see :data:`Progress`. teacher_progress: see :data:`TeacherProgress`.
      options: sampler, groups, memory, objective, loss, data, noise, process, alpha_bar_range,
        grid, n, batch, mesh, optimizer, max_iterations, teacher_tolerance, cache, seed: see
        :class:`specjax.learning.settings.LearnOptions`.

    Returns:
      A :class:`LearnedResult`. Its plan is chosen by held-out noise, where it is never worse than
      the best heuristic; its value, terms and baselines are those on noise that chose nothing.

    Raises:
      UserError: for names and numbers out of bounds, another noise than the prior's, a teacher
        that does not converge, a denoiser whose answers are not finite at some level, an energy
        distance without a finite value.

    Example:
      >>> result = learn(sx.Spectrum.power_law(64, 2.0), 4)
      >>> result.value < min(result.baselines.values()) - 5  # a logarithm
      True
    """
    if isinstance(prior, Recording):
        return learn_from_recording(prior, steps, **options)
    settings = LearnSettings.resolve(**options)
    known = prior_from(prior, settings.noise)
    return learn_with(settings, known, steps, start, progress, teacher_progress)


def learn_with(
    settings: LearnSettings, prior: Prior, steps: int,
    start: LearnedResult | Sequence[LearnedResult] = (), progress: Progress | None = None,
    teacher_progress: TeacherProgress | None = None,
) -> LearnedResult:  # fmt: skip
    """Learn with resolved settings, see :func:`learn`."""
    began = time.perf_counter()
    by_sampler = settings.parameters(checks.whole_number("steps", steps))
    numbers = max(one.learned.size for one in by_sampler.values())
    checks.fits_in_memory("steps", steps, 3 * 8 * numbers**2)  # BFGS's matrices
    starts = [start] if isinstance(start, LearnedResult) else list(start)
    for one in starts:
        if not isinstance(one, LearnedResult):
            raise UserError(f"start of type {type(one).__name__}: give plans that learn returned")
    settings = settings.for_prior(prior)
    objectives = objectives_of(prior, settings, teacher_progress)
    ends = settings.levels.ends
    with objectives.precision():
        rivals, fall_back = _best_heuristic(prior, steps, settings, by_sampler, objectives)
        first = _warm_starts(starts, fall_back, by_sampler, objectives, settings.levels)
        found = optimise(
            first.parameters, first.theta, ends, objectives, settings.method,
            settings.max_iterations, progress,
        )  # fmt: skip
        kept, parameters = LEARNED, first.parameters
        moved = not np.array_equal(found.theta, fall_back.theta.astype(objectives.dtype))
        if not (moved and found.held_out < fall_back.value):
            kept, parameters = fall_back.name, fall_back.parameters
            found = found._replace(theta=fall_back.theta, held_out=fall_back.value)
        baselines = {name: judge(objectives.judging, plan)[0] for name, plan in rivals.items()}
        about = _about(prior, settings, objectives)
        plan = _plan_fields(parameters, found, ends, objectives)
        plan["value"] = baselines.get(kept, plan["value"])  # that of the plan itself, not rounded
        return LearnedResult(
            **about, **plan, kept=kept, baselines=baselines, seconds=time.perf_counter() - began
        )


class _Start(NamedTuple):
    """Parameters to start from, with their held-out value."""

    name: str
    parameters: PlanParameters
    theta: np.ndarray
    value: float


def _best_heuristic(
    prior: Prior, steps: int, settings: LearnSettings, by_sampler: Mapping[str, PlanParameters],
    objectives: Objectives,
) -> tuple[dict[str, SamplerPlan], _Start]:  # fmt: skip
    """Return all heuristic plans, and the best of them, which is kept if learning fails.

    Raises:
      UserError: if the denoiser's answers along some heuristic plan are not finite.
    """
    samplers = [one.sampler for one in by_sampler.values()]
    closed = closed_form_for(dict(settings.objective), settings.loss)
    known = heuristics(prior, steps, samplers, settings.levels, closed)
    memory = max(one.memory for one in by_sampler.values())
    plans = {name: one.plan(settings.process, memory) for name, one in known.items()}
    values = {name: value_of_plan(objectives.held_out, plan) for name, plan in plans.items()}
    finite = {name: x for name, x in values.items() if math.isfinite(x)}
    for name in values.keys() - finite.keys():
        if not objectives.exact:
            check_answers(objectives.held_out, known[name].plan(settings.process, 0))
    if not finite:
        raise UserError(
            "objective: no heuristic plan has a finite one; try another objective, or other ends "
            "(alpha_bar_range)"
        )
    best = min(finite, key=finite.__getitem__)
    parameters = by_sampler[known[best].sampler.name]
    # Levels keep the least distance of the dtype that they are learned in.
    logsnr = np.asarray(known[best].schedule.logsnr, objectives.dtype)
    return plans, _Start(
        best,
        parameters,
        np.asarray(pack(parameters, logsnr, None, settings.levels.ends)),
        values[best],
    )


def _warm_starts(
    starts: Sequence[LearnedResult], fall_back: _Start, by_sampler: Mapping[str, PlanParameters],
    objectives: Objectives, levels: LevelRange,
) -> _Start:  # fmt: skip
    """Return the best of the starts on what is held out."""
    found = [fall_back]
    for one in starts:
        parameters = by_sampler.get(one.sampler, fall_back.parameters)
        theta = warm_start(one, parameters, objectives.dtype, levels)
        if theta is not None:
            value = value_of_plan(objectives.held_out, plan_of(parameters, theta, levels.ends))
            found.append(_Start(f"{one.prior}, {one.steps} steps", parameters, theta, value))
    return min((one for one in found if math.isfinite(one.value)), key=lambda one: one.value)


def _plan_fields(
    parameters: PlanParameters, found: Optimised, ends: np.ndarray, objectives: Objectives
) -> dict[str, Any]:
    """Return the fields of a result that say what was learned, and its value."""
    theta, ends = (np.asarray(x, objectives.dtype) for x in (found.theta, ends))
    levels, by = jax.tree.map(
        lambda x: np.asarray(x, np.float64), unpack(parameters, theta, ends)
    )  # fmt: skip
    value, terms = judge(objectives.judging, plan_of(parameters, theta, ends))
    sampler = parameters.sampler
    return {
        "schedule": NoiseSchedule(levels), "corrections": by, "groups": parameters.groups,
        "sampler": sampler.name, "sampler_options": options_of(sampler),
        "custom_sampler": None if is_of_package(sampler) else sampler,
        "value": value, "train_value": found.training, "history": found.history, "terms": terms,
    }  # fmt: skip


def _about(prior: Prior, settings: LearnSettings, objectives: Objectives) -> dict[str, Any]:
    """Return the fields of a result that say what it was learned for and by."""
    source = {
        "fingerprint": prior.fingerprint, "noises": settings.n, "teacher": objectives.teacher
    }  # fmt: skip
    return {
        "prior": prior.kind, "source": {**(prior.source or {}), **source},
        "noise": prior_noise(prior), "objective": dict(settings.objective),
        "loss": settings.loss.name, "process": settings.process,
        "alpha_bar_range": settings.alpha_bar_range, "grid": settings.grid, "seed": settings.seed,
    }  # fmt: skip
