"""Learning a plan through one prior: :func:`learn`, to be read from top to bottom.

The objective is a weighted sum of logarithms of the terms of :mod:`specjax.learning.terms`. It is
minimised by BFGS over the parameters of :mod:`specjax.learning.parameters`, on noise that stays the
same, from the best heuristic plan or from one that was learned before. Other noise, and data that
were kept aside, decide which of the plans on the way is kept, and when to end.
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
from specjax.learning.heuristics import Heuristic, closed_form_for, heuristics
from specjax.learning.objective import held_out_value, terms_of
from specjax.learning.objectives import Objectives, TeacherProgress, objectives_of
from specjax.learning.optimise import Optimised, Progress, optimise, value_of
from specjax.learning.parameters import PlanParameters, pack, plan_of, unpack
from specjax.learning.settings import LearnOptions, LearnSettings, prior_from
from specjax.learning.teacher import check_answers
from specjax.learning.warm_start import warm_start
from specjax.priors.prior import Prior, prior_noise
from specjax.sampling.samplers import SAMPLERS, options_of
from specjax.schedules.schedule import NoiseSchedule, alpha_bar_to_logsnr

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
        :class:`specjax.priors.Prior`, or a trained network (:func:`specjax.nn.open_run`).
      steps: S.
      start: plans learned before, of other steps or on another prior, to start from if they are
        better than all heuristics.
      progress: see :data:`Progress`. teacher_progress: see :data:`TeacherProgress`.
      options: sampler, groups, memory, objective, loss, data, noise, process, alpha_bar_range, n,
        batch, mesh, optimizer, max_iterations, teacher_tolerance, cache, seed: see
        :class:`specjax.learning.settings.LearnOptions`.

    Returns:
      A :class:`LearnedResult`, never worse on what is held out than the best heuristic.

    Raises:
      UserError: for names and numbers out of bounds, another noise than the prior's, a teacher
        that does not converge, a denoiser whose answers are not finite at some level, an energy
        distance without a finite value.

    Example:
      >>> result = learn(sx.Spectrum.power_law(64, 2.0), 4)
      >>> result.value < min(result.baselines.values()) - 5  # a logarithm
      True
    """
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
    starts = _checked_starts(start)
    settings = settings.for_prior(prior)
    objectives = objectives_of(prior, settings, teacher_progress)
    ends = alpha_bar_to_logsnr(settings.alpha_bar_range)
    with objectives.precision():
        known = _heuristics(prior, steps, by_sampler, settings)
        memory = max(one.memory for one in by_sampler.values())
        baselines = {
            name: held_out_value(objectives.held_out, one.plan(settings.process, memory))
            for name, one in known.items()
        }
        fall_back = _best_heuristic(baselines, known, by_sampler, settings, objectives)
        first = _first(fall_back, starts, by_sampler, objectives, ends)
        found = optimise(
            first.parameters, first.theta, ends, objectives, settings.method,
            settings.max_iterations, progress,
        )  # fmt: skip
        kept, parameters = LEARNED, first.parameters
        moved = not np.array_equal(found.theta, fall_back.theta.astype(objectives.dtype))
        if not (moved and found.held_out < fall_back.value):
            kept, parameters = fall_back.name, fall_back.parameters
            found = found._replace(theta=fall_back.theta, held_out=fall_back.value)
        return _result(
            found, parameters, ends, objectives, settings, prior, kept=kept,
            baselines=baselines, seconds=time.perf_counter() - began,
        )  # fmt: skip


class _Start(NamedTuple):
    """Parameters to start from, with their held-out value."""

    name: str
    parameters: PlanParameters
    theta: np.ndarray
    value: float


def _checked_starts(start: LearnedResult | Sequence[LearnedResult]) -> list[LearnedResult]:
    given = [start] if isinstance(start, LearnedResult) else list(start)
    for one in given:
        if not isinstance(one, LearnedResult):
            raise UserError(f"start of type {type(one).__name__}: give plans that learn returned")
    return given


def _heuristics(
    prior: Prior, steps: int, by_sampler: Mapping[str, PlanParameters], settings: LearnSettings
) -> dict[str, Heuristic]:
    samplers = tuple(one.sampler for one in by_sampler.values())
    closed = closed_form_for(dict(settings.objective), settings.loss)
    return heuristics(prior, steps, samplers, settings.alpha_bar_range, closed)


def _best_heuristic(
    baselines: Mapping[str, float], known: Mapping[str, Heuristic],
    by_sampler: Mapping[str, PlanParameters], settings: LearnSettings, objectives: Objectives,
) -> _Start:  # fmt: skip
    """Return what is kept where learning gains nothing.

    Raises:
      UserError: if the denoiser's answers along some heuristic plan are not finite.
    """
    finite = {name: x for name, x in baselines.items() if math.isfinite(x)}
    for name in baselines.keys() - finite.keys():
        if not objectives.exact:
            check_answers(objectives.held_out, known[name].plan(settings.process, 0))
    if not finite:
        raise UserError(
            "no heuristic plan has a finite objective: try another one, or other ends "
            "(alpha_bar_range)"
        )
    name = min(finite, key=finite.__getitem__)
    parameters = by_sampler[known[name].sampler.name]
    # Levels keep the least distance of the dtype that they are learned in.
    logsnr = np.asarray(known[name].schedule.logsnr, objectives.dtype)
    return _Start(name, parameters, np.asarray(pack(parameters, logsnr, None)), finite[name])


def _first(
    fall_back: _Start, starts: Sequence[LearnedResult], by_sampler: Mapping[str, PlanParameters],
    objectives: Objectives, ends: np.ndarray,
) -> _Start:  # fmt: skip
    """Return the best of the starts on what is held out."""
    found = [fall_back]
    for one in starts:
        parameters = by_sampler.get(one.sampler, fall_back.parameters)
        theta = warm_start(one, parameters, objectives.dtype)
        if theta is not None:
            value = float(value_of(objectives.held_out, parameters, theta, ends))
            found.append(_Start(f"{one.prior}, {one.steps} steps", parameters, theta, value))
    return min((one for one in found if math.isfinite(one.value)), key=lambda one: one.value)


def _result(
    found: Optimised, parameters: PlanParameters, ends: np.ndarray, objectives: Objectives,
    settings: LearnSettings, prior: Prior, **outcome: Any,
) -> LearnedResult:  # fmt: skip
    theta, ends = (np.asarray(x, objectives.dtype) for x in (found.theta, ends))
    levels, by = unpack(parameters, theta, ends)
    logsnr, by = jax.tree.map(lambda x: np.asarray(x, np.float64), (levels, by))
    terms = terms_of(objectives.held_out, plan_of(parameters, theta, ends))
    about = {
        "fingerprint": prior.fingerprint,
        "noises": settings.n,
        "teacher": objectives.teacher,
    }
    sampler = parameters.sampler
    return LearnedResult(
        schedule=NoiseSchedule(logsnr),
        corrections=by,
        sampler=sampler.name,
        sampler_options=options_of(sampler),
        custom_sampler=None if sampler.name in SAMPLERS else sampler,
        loss=settings.loss.name,
        process=settings.process,
        alpha_bar_range=settings.alpha_bar_range,
        value=found.held_out,
        train_value=found.training,
        history=found.history,
        terms={name: float(x) for name, x in terms.items()},
        groups=parameters.groups,
        prior=prior.kind,
        objective=dict(settings.objective),
        source={**(prior.source or {}), **about},
        noise=prior_noise(prior),
        seed=settings.seed,
        **outcome,
    )
