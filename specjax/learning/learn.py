"""Learning a plan through one prior: :func:`learn`, to be read from top to bottom.

The objective is a weighted sum of logarithms of the terms of :mod:`specjax.learning.terms`. Where
they are sums of squares it is minimised by Levenberg-Marquardt with the answers of any denoiser
(:mod:`specjax.learning.least_squares`), else by gradients through all calls (BFGS), over the
parameters of :mod:`specjax.learning.parameters`, on noise that stays the same, from the best
heuristic plan or from one that was learned before. Other noise, and data that were kept aside,
decide which of the plans on the way is kept, and when to end. Noise that had no part in either then
judges it and the heuristics.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Unpack

import jax
import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax._core.progress import shows_progress
from specjax.fitting import limits
from specjax.fitting.learned import LearnedResult
from specjax.learning.guidance import Pattern, patterns, with_guidance
from specjax.learning.heuristics import Heuristic, closed_form_for, heuristics
from specjax.learning.objectives import (
    Objectives,
    TeacherProgress,
    objectives_of,
)
from specjax.learning.optimise import Optimised, Progress, optimise
from specjax.learning.parameters import PlanParameters, pack, plan_of, unpack
from specjax.learning.prior_from import prior_from
from specjax.learning.recorded_plans import learn_from_recording
from specjax.learning.recording import Recording
from specjax.learning.settings import LearnOptions, LearnSettings
from specjax.learning.solve import solve
from specjax.learning.teacher import FEW, check_answers
from specjax.learning.terms import weighted_sum
from specjax.learning.warm_start import warm_start
from specjax.priors.prior import Prior, prior_noise
from specjax.sampling.corrections import Corrections
from specjax.sampling.samplers import is_of_package, options_of
from specjax.sampling.step import SamplerPlan
from specjax.schedules.schedule import NoiseSchedule

LEARNED = "learned"
_MOST_EVALUATIONS = 300  # with gradients
_STARTS = 2  # heuristics, and plans that were given, from which learning is tried
_FEW_NOISES, _SHORTLISTED = 32, 4  # on which a network's heuristics are ranked, and those kept


@shows_progress("learning", "calls")
def learn(
    prior: Any,
    steps: int,
    *,
    start: LearnedResult | Sequence[LearnedResult] = (),
    progress: Progress | Literal[False] | None = None,
    teacher_progress: TeacherProgress | None = None,
    **options: Unpack[LearnOptions],
) -> LearnedResult:
    """Learn the levels and the coefficients of a plan of S denoiser calls.

    Args:
      prior: what is known of the data: a :class:`Spectrum`, a prior of :mod:`specjax.priors` (a
        Gaussian with a probed denoiser among them), any object of the protocol
        :class:`specjax.priors.Prior`, a trained network (:func:`specjax.nn.open_run`), any
        denoiser (``specjax.priors.Network(denoise, shape)`` of a JAX function, a
        :class:`specjax.BlackBox` of any other), or a :class:`specjax.Recording` of one, which takes
        ``memory`` and ``process`` alone.
      steps: S.
      start: plans learned before, of other steps or on another prior, to start from if they are
        better than all heuristics.
      progress: see :data:`Progress`; by default a line on standard error in long calls, False
        for none.
      teacher_progress: see :data:`TeacherProgress`.
      options: sampler, groups, network_calls, memory, objective, loss, data, noise, process,
        alpha_bar_range, start_level, strength, through, grid, n, batch, labels, conditions, mesh,
        optimizer, max_iterations, max_calls, teacher_tolerance, cache, seed: see
        :class:`specjax.learning.settings.LearnOptions`.

    Returns:
      A :class:`LearnedResult`. Its plan is chosen by held-out noise, where it is never worse than
      the best heuristic; its value, terms and baselines are those on noise that chose nothing.

    Raises:
      UserError: for names and numbers out of bounds, guidance of a denoiser that is not guided,
        another noise than the prior's, a teacher that does not converge, a denoiser whose answers
        are not finite at some level, an energy distance without a finite value.

    Example:
      >>> result = learn(sx.Spectrum.power_law(64, 2.0), 4)
      >>> result.value < min(result.baselines.values()) - 5  # a logarithm
      True
    """
    if isinstance(prior, Recording):
        return learn_from_recording(prior, steps, **options)
    settings = LearnSettings.resolve(**options)
    known = prior_from(prior, settings.noise)
    return learn_with(settings, known, steps, start, progress or None, teacher_progress)


def learn_with(
    settings: LearnSettings, prior: Prior, steps: int,
    start: LearnedResult | Sequence[LearnedResult] = (), progress: Progress | None = None,
    teacher_progress: TeacherProgress | None = None,
) -> LearnedResult:  # fmt: skip
    """Learn with resolved settings, see :func:`learn`."""
    began = time.perf_counter()
    steps, settings = checks.whole_number("steps", steps), settings.for_prior(prior)
    by_sampler = settings.parameters(steps)
    tried = patterns(steps, settings.network_calls)
    numbers = max(one.learned.size for one in by_sampler.values())
    checks.fits_in_memory("steps", steps, 3 * 8 * numbers**2)  # BFGS's matrices
    sampled = settings.n * math.prod(prior.shape) if settings.is_sampled else 0
    checks.fits_in_memory("n", settings.n, 3 * 4 * numbers * sampled)  # derivatives
    starts = [start] if isinstance(start, LearnedResult) else list(start)
    for one in starts:
        if not isinstance(one, LearnedResult):
            raise UserError(f"start of type {type(one).__name__}: give plans that learn returned")
    objectives = objectives_of(prior, settings, teacher_progress)
    calls = {"teacher": objectives.calls}
    ends = settings.levels.ends
    with objectives.precision():
        rivals, known = _best_heuristics(prior, steps, settings, by_sampler, objectives)
        fall_back = known[0]
        if settings.levels.through or not all(map(all, tried)):
            known = _in_every_form(known, prior, steps, settings, tried, objectives)
        firsts = _best_starts(starts, known, tried, by_sampler, objectives, settings, prior)
        calls["heuristics"] = objectives.calls - sum(calls.values())
        first, found = _minimised(firsts, objectives, settings, progress)
        calls["learning"] = objectives.calls - sum(calls.values())
        kept, parameters, found = _better(found, first, fall_back, objectives)
        baselines = {name: objectives.judging.worth(plan) for name, plan in rivals.items()}
        plan = _plan_fields(parameters, found, ends, objectives)
        plan["value"] = baselines.get(kept, plan["value"])  # that of the plan itself, not rounded
        calls["judging"] = objectives.calls - sum(calls.values())
        about = _about(prior, settings, objectives, calls)
        return LearnedResult(
            **about, **plan, kept=kept, baselines=baselines, seconds=time.perf_counter() - began
        )


def _minimised(
    starts: Sequence[_Start], objectives: Objectives, settings: LearnSettings,
    progress: Progress | None,
) -> tuple[_Start, Optimised]:  # fmt: skip
    """Minimise the objective by the method that it has derivatives for, from the best start."""
    ends = settings.levels.ends
    if objectives.squares:
        several = [(one.parameters, one.theta) for one in starts]
        number, found = solve(several, ends, objectives, settings, progress)
        return starts[number], found
    first = starts[0]
    return first, optimise(
        first.parameters, first.theta, ends, objectives, settings.method,
        settings.max_iterations or _MOST_EVALUATIONS, progress,
    )  # fmt: skip


def _better(
    found: Optimised, first: _Start, fall_back: _Start, objectives: Objectives
) -> tuple[str, PlanParameters, Optimised]:
    """Return what was learned, or the best heuristic where that is as good on what is held out."""
    moved = not np.array_equal(found.theta, fall_back.theta.astype(objectives.dtype))
    if moved and found.held_out < fall_back.value:
        return LEARNED, first.parameters, found
    found = found._replace(theta=fall_back.theta, held_out=fall_back.value)
    return fall_back.name, fall_back.parameters, found


class _Start(NamedTuple):
    """Parameters to start from, with their held-out value."""

    name: str
    parameters: PlanParameters
    theta: np.ndarray
    value: float


def _best_heuristics(
    prior: Prior, steps: int, settings: LearnSettings, by_sampler: Mapping[str, PlanParameters],
    objectives: Objectives,
) -> tuple[dict[str, SamplerPlan], list[_Start]]:  # fmt: skip
    """Return all heuristic plans, and the best of them, the first of which is kept at least.

    Of a number of network calls they have half as many steps, all of them guided.

    Raises:
      UserError: if the denoiser's answers along some heuristic plan are not finite.
    """
    samplers = [one.sampler for one in by_sampler.values()]
    closed = closed_form_for(dict(settings.objective), settings.loss)
    if settings.network_calls is not None:
        steps = settings.network_calls // 2
    known = heuristics(prior, steps, samplers, settings.levels, closed)
    memory = max(one.memory for one in by_sampler.values())
    plans = {name: one.plan(settings.process, memory) for name, one in known.items()}
    plans, values = _shortlist(plans, prior, objectives)
    finite = {name: x for name, x in values.items() if math.isfinite(x)}
    if len(finite) < len(values) and objectives.answers:
        noises = objectives.held_out.noises.first(FEW)
        for name in values.keys() - finite.keys():
            check_answers(objectives.answers[-1], known[name].plan(settings.process, 0), noises)
    if not finite:
        raise UserError(
            "objective: no heuristic plan has a finite one; try another objective, or other ends "
            "(alpha_bar_range)"
        )
    best = sorted(finite, key=finite.__getitem__)[:_STARTS]
    starts = [_packed(name, known[name], settings, objectives, (True,) * steps) for name in best]
    return plans, [one._replace(value=finite[one.name]) for one in starts]


def _packed(
    name: str, one: Heuristic, settings: LearnSettings, objectives: Objectives, pattern: Pattern,
    split: tuple[int, ...] | None = None,
) -> _Start:  # fmt: skip
    """Make the parameters of a heuristic plan, whose value is not known yet."""
    levels = settings.levels
    ends, split = levels.ends, levels.splits(one.schedule)[0] if split is None else split
    parameters = settings.parameters(one.schedule.steps)[one.sampler.name]._replace(split=split)
    logsnr = np.asarray(levels.passing(one.schedule, split).logsnr, objectives.dtype)
    # Levels keep the least distance of the dtype that they are learned in.
    theta = np.asarray(pack(parameters, logsnr, None, ends))
    if settings.has_weights:
        parameters, theta = with_guidance(parameters, theta, ends, settings.guided, pattern)
    return _Start(name, parameters, theta, math.nan)


def _in_every_form(
    best: Sequence[_Start], prior: Prior, steps: int, settings: LearnSettings,
    tried: Sequence[Pattern], objectives: Objectives,
) -> list[_Start]:  # fmt: skip
    """Return the best heuristics in S steps, by which calls are guided and how steps are split."""
    samplers = [one.parameters.sampler for one in best]
    closed = closed_form_for(dict(settings.objective), settings.loss)
    known = heuristics(prior, steps, samplers, settings.levels, closed)
    found = [
        _packed(one.name, known[one.name], settings, objectives, pattern, split)
        for one in best
        for pattern in tried
        for split in settings.levels.splits(known[one.name].schedule)
    ]
    return [one._replace(value=_held_out(one, objectives, settings)) for one in found]


def _held_out(one: _Start, objectives: Objectives, settings: LearnSettings) -> float:
    plan = plan_of(one.parameters, one.theta, settings.levels.ends)
    return float(objectives.held_out.worth(plan))


def _shortlist(
    plans: dict[str, SamplerPlan], prior: Prior, objectives: Objectives
) -> tuple[dict[str, SamplerPlan], dict[str, float]]:
    """Return plans with their held-out values: through a network, those best on a few noises."""
    aside = objectives.held_out
    if prior.kind == "network" and objectives.squares:
        first = aside.first(_FEW_NOISES)
        few = {name: first.worth(plan) for name, plan in plans.items()}
        if all(math.isfinite(x) for x in few.values()):
            plans = {name: plans[name] for name in sorted(few, key=few.__getitem__)[:_SHORTLISTED]}
    return plans, {name: aside.worth(plan) for name, plan in plans.items()}


def _best_starts(
    given: Sequence[LearnedResult], known: Sequence[_Start], tried: Sequence[Pattern],
    by_sampler: Mapping[str, PlanParameters], objectives: Objectives, settings: LearnSettings,
    prior: Prior,
) -> list[_Start]:  # fmt: skip
    """Return the best on what is held out of given plans and of heuristics, or a Gaussian's limit.

    Where derivatives come of few samples, several are tried; else the best alone is. Of several
    forms of parameters the best start of each is.
    """
    found, ends = list[_Start](), settings.levels.ends
    fall_back = by_sampler[known[0].parameters.sampler.name]
    for one in given:
        parameters = by_sampler.get(one.sampler, fall_back)
        warm = warm_start(one, parameters, objectives.dtype, settings.levels)
        if warm is None:
            continue
        parameters, theta = warm
        for pattern in tried if settings.has_weights else [None]:
            both = parameters, theta
            if pattern is not None:
                both = with_guidance(parameters, theta, ends, settings.guided, pattern, one)
            found.append(_Start(f"{one.prior}, {one.steps} steps", *both, math.nan))
    if objectives.exact and (limit := _at_limit(fall_back, settings, prior)) is not None:
        found.append(_Start("limit", fall_back, limit, math.nan))
    found = [one._replace(value=_held_out(one, objectives, settings)) for one in found]
    found = sorted((one for one in found if math.isfinite(one.value)), key=lambda one: one.value)
    every, best = sorted((*known, *found), key=lambda one: one.value), dict[Any, _Start]()
    for start in every:
        best.setdefault(start.parameters.form, start)
    if len(best) > 1 and objectives.squares:
        return list(best.values())
    if objectives.exact or not objectives.squares:
        return every[:1]
    return sorted((*known, *found[:_STARTS]), key=lambda one: one.value)


def _at_limit(
    parameters: PlanParameters, settings: LearnSettings, prior: Prior
) -> np.ndarray | None:
    """Compute the parameters [n] of the best gain of so many calls; None where no plan has it."""
    levels = settings.levels
    bounded = len(levels.ends) == 3 or levels.from_data or levels.through
    linear = prior.kind == "gaussian" and getattr(prior, "response", None) is None
    free = {"levels", "ratios"} <= set(parameters.groups) and parameters.ends_clean
    if not (linear and free) or bounded or parameters.stochastic or prior.spectrum is None:
        return None
    gain = limits.best(
        prior.spectrum, parameters.steps, settings.loss,
        noisy=float(settings.alpha_bar_range[0]), process=settings.process,
    )  # fmt: skip
    logsnr, ratio = limits.plan_numbers(gain, pure=settings.levels.starts_pure)
    by = Corrections(ratio, np.zeros((parameters.steps, parameters.memory)))
    return pack(parameters, logsnr, by, settings.levels.ends)


def _plan_fields(
    parameters: PlanParameters, found: Optimised, ends: np.ndarray, objectives: Objectives
) -> dict[str, Any]:
    """Return the fields of a result that say what was learned, and its value."""
    theta, ends = (np.asarray(x, objectives.dtype) for x in (found.theta, ends))
    levels, by, weights = jax.tree.map(
        lambda x: np.asarray(x, np.float64),
        (*unpack(parameters, theta, ends), parameters.weights_of_guidance(theta)),
    )
    terms = objectives.judging.report(plan_of(parameters, theta, ends))
    value = weighted_sum(objectives.judging.weights, terms)
    sampler = parameters.sampler
    return {
        "schedule": NoiseSchedule(levels), "corrections": by, "guidance": weights,
        "groups": parameters.groups,
        "sampler": sampler.name, "sampler_options": options_of(sampler),
        "custom_sampler": None if is_of_package(sampler) else sampler,
        "value": value, "train_value": found.training, "history": found.history, "terms": terms,
    }  # fmt: skip


def _about(
    prior: Prior, settings: LearnSettings, objectives: Objectives, calls: Mapping[str, int]
) -> dict[str, Any]:
    """Return the fields of a result that say what it was learned for and by."""
    source = {
        "fingerprint": prior.fingerprint, "noises": settings.n, "teacher": objectives.teacher,
        "calls": dict(calls), **_conditions(settings, prior),
    }  # fmt: skip
    if settings.guided is not None:
        source["guidance"] = {
            "weight": float(settings.guided.weight), "interval": settings.guided.interval
        }  # fmt: skip
    return {
        "prior": prior.kind, "source": {**(prior.source or {}), **source},
        "noise": prior_noise(prior), "objective": dict(settings.objective),
        "loss": settings.loss.name, "process": settings.process,
        "alpha_bar_range": settings.levels.alpha_bar_range, "grid": settings.grid,
        "from_data": settings.levels.from_data, "through": settings.through, "seed": settings.seed,
    }  # fmt: skip


def _conditions(settings: LearnSettings, prior: Prior) -> dict[str, Any]:
    """Say what denoisers were told: classes by number, of anything else how many there are."""
    given = settings.given_conditions(prior)
    if given is None:
        return {}
    if isinstance(given, np.ndarray) and given.ndim == 1 and given.dtype.kind in "iu":
        return {"labels": np.unique(given).tolist()}
    return {"conditions": len(jax.tree.leaves(given)[0])}
