"""A curriculum: plans of several steps through several priors, each from the ones before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, Unpack

from specjax._core import checks
from specjax._core.checks import UserError
from specjax._core.progress import shows_progress
from specjax._core.shown import Results
from specjax.fitting.learned import LearnedResult
from specjax.learning.heuristics import rivals
from specjax.learning.learn import learn_with
from specjax.learning.objectives import TeacherProgress, objectives_of
from specjax.learning.optimise import Progress
from specjax.learning.prior_from import prior_from
from specjax.learning.settings import LearnOptions, LearnSettings
from specjax.learning.terms import weighted_sum
from specjax.noise.noise_spectrum import check_noise
from specjax.priors.prior import Prior, prior_noise


class Verdict(NamedTuple):
    """The value of a plan through some prior, on noise that neither learned nor chose.

    ``plan`` is the kind of prior that it was learned on, the name of a heuristic plan, or which
    plans it was made of without being learned (:class:`specjax.PlanSet`); ``on``
    the prior that judges, by ``objective`` (the weights of its terms). ``terms`` are these, and
    beside the teacher's other means of the squared distances.
    """

    steps: int
    plan: str
    on: str
    value: float
    objective: Mapping[str, float]
    terms: Mapping[str, float]


@shows_progress("learning", "calls")
def learn_all(
    priors: Sequence[Any],
    steps: Sequence[int],
    *,
    start: Sequence[LearnedResult] = (),
    known: Mapping[int, LearnedResult] | None = None,
    learned: Callable[[LearnedResult], None] | None = None,
    progress: Progress | Literal[False] | None = None,
    teacher_progress: TeacherProgress | None = None,
    **options: Unpack[LearnOptions],
) -> Results[LearnedResult]:
    """Learn plans of every S through every prior.

    A plan starts from the best of the heuristics, the plan of the prior before, and that of fewer
    steps through its own prior.

    Args:
      priors: as :func:`learn` takes them, from the least to the most that is known of the data.
      steps: one or several S.
      start: more plans to start from.
      known: plans of the last prior that need not be learned again, by S; the priors before are
        left out there.
      learned: called with each plan as it is learned.
      progress: of each plan, see :data:`Progress`.
      teacher_progress: of each plan, see :data:`TeacherProgress`.
      options: of :func:`learn`; objective, data, n, batch, mesh and cache go to the last prior, the
        others take their own.

    Returns:
      The plans, S by S and prior by prior, the known ones among them.

    Example:
      >>> priors = [sx.Spectrum.power_law(16, 2.0)]
      >>> [result.steps for result in sx.learn_all(priors, [2, 3])]
      [2, 3]
    """
    stages = _stages(priors, LearnSettings.resolve(**options))
    if not steps:
        raise UserError("steps: give at least one")
    results: Results[LearnedResult] = Results()
    before: dict[int, LearnedResult] = {}  # of fewer steps, by the prior's number
    for count in sorted({checks.whole_number("steps", one) for one in steps}):
        if known and count in known:
            before[len(stages) - 1] = known[count]
            results.append(known[count])
            continue
        below: list[LearnedResult] = []
        for number, (prior, settings) in enumerate(stages):
            fewer = [before[number]] if number in before else []
            starts = [*below, *fewer, *start]
            result = learn_with(settings, prior, count, starts, progress or None, teacher_progress)
            before[number], below = result, [result]
            results.append(result)
            if learned:
                learned(result)
    return results


def verdicts(
    results: Sequence[LearnedResult], priors: Sequence[Any], **options: Unpack[LearnOptions]
) -> Results[Verdict]:
    """Judge every plan on every prior, beside the best heuristic of the prior.

    Args:
      results: plans that :func:`learn_all` returned.
      priors: those that judge, as :func:`learn_all` takes them.
      options: of :func:`learn_all`.

    Raises:
      UserError: for a plan that was learned for another noise than a prior is under, and one that
        starts from data beside options of others, or the other way round.
    """
    stages = _stages(priors, LearnSettings.resolve(**options))
    if not results:
        raise UserError("results: give at least one plan")
    for one in results:
        for prior, settings in stages:
            if one.from_data != settings.levels.from_data:
                start = "data" if one.from_data else "noise"
                raise UserError(
                    f"start_level: a plan starts from {start}; give what it was learned with"
                )
            where = f"the prior {prior.kind}"
            check_noise(one.noise, prior_noise(prior), what="the plan", where=where)
    judged: Results[Verdict] = Results()
    for prior, settings in stages:
        settings = settings.for_prior(prior, results[0].plan.stochastic)
        objectives, weights = objectives_of(prior, settings), dict(settings.objective)
        with objectives.precision():
            plans = [
                (one.steps, one.kept if one.is_between else one.prior, one.plan) for one in results
            ]
            for one in results:
                if one.prior == prior.kind and one.baselines:
                    name, best = next(iter(rivals(one, prior).items()))
                    memory = 0 if one.corrections is None else one.corrections.memory
                    plans.append((one.steps, name, best.plan(settings.process, memory)))
            if settings.guided is None:  # weights are for those that are
                plans = [(s, name, replace(plan, guidance=None)) for s, name, plan in plans]
            for steps, name, plan in plans:
                terms = objectives.judging.report(plan)
                value = weighted_sum(objectives.judging.weights, terms)
                judged.append(Verdict(steps, name, prior.kind, value, weights, terms))
    return judged


def _stages(priors: Sequence[Any], settings: LearnSettings) -> list[tuple[Prior, LearnSettings]]:
    """Return each prior with its settings."""
    known = [prior_from(one, settings.noise) for one in priors]
    if not known:
        raise UserError("priors: give at least one")
    return [(one, settings.below()) for one in known[:-1]] + [(known[-1], settings)]
