"""Plans of several steps, on several rungs of the ladder of priors, each from the ones before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from specjax._core import checks
from specjax.fitting.learned import PlanResult
from specjax.learning.judge import terms_of
from specjax.learning.learn import learn
from specjax.learning.prepare import bench_of, prior_from, request_of
from specjax.noise.noise_spectrum import NoiseSpectrum, check_noise
from specjax.priors.prior import prior_noise

_LAST_RUNG = ("objective", "data", "batch", "mesh", "n", "cache")
"""Options of :func:`learn` that rungs below the last one do not get."""

_JUDGING = (
    "objective", "loss", "data", "process", "alpha_bar_range", "n", "batch", "mesh",
    "teacher_tolerance", "cache", "seed",
)  # fmt: skip


class Verdict(NamedTuple):
    """What a plan is worth on some rung, held out.

    ``plan`` is the rung that it was learned on, or the name of a heuristic plan; ``on`` the rung
    that judges, by ``objective`` (the weights of its terms).
    """

    steps: int
    plan: str
    on: str
    value: float
    objective: Mapping[str, float]


def learn_all(
    priors: Sequence[Any],
    steps: Sequence[int],
    *,
    start: Sequence[PlanResult] = (),
    known: Mapping[int, PlanResult] | None = None,
    learned: Callable[[PlanResult], None] | None = None,
    noise: NoiseSpectrum | None = None,
    **options: Any,
) -> list[PlanResult]:
    """Learn plans of every S on every rung.

    A plan starts from the best of the heuristics, the plan of the rung below, and that of fewer
    steps on its own rung.

    Args:
      priors: the rungs, as :func:`learn` takes them, from the least to the most that is known.
      steps: one or several S. start: more plans to start from.
      known: plans of the last rung that need not be learned again, by S; the rungs below are left
        out there.
      learned: called with each plan as it is learned. noise: as in :func:`learn`, of all rungs.
      options: of :func:`learn`; objective, data, n, batch, mesh and cache go to the last rung, the
        others take their own.

    Returns:
      The plans, S by S and rung by rung, the known ones among them.

    Example:
      >>> priors = [sx.Spectrum.power_law(16, 2.0)]
      >>> [result.steps for result in sx.learn_all(priors, [2, 3])]
      [2, 3]
    """
    rungs = [prior_from(one, noise) for one in priors]
    if not rungs or not steps:
        raise ValueError("priors and steps: give at least one of each")
    counts = sorted({checks.whole_number("steps", one) for one in steps})
    found: list[PlanResult] = []
    before: dict[int, PlanResult] = {}
    top = len(rungs) - 1
    for count in counts:
        if known and count in known:
            before[top] = known[count]
            found.append(known[count])
            continue
        below: PlanResult | None = None
        for rung, prior in enumerate(rungs):
            starts = [one for one in (below, before.get(rung), *start) if one is not None]
            own = options if rung == top else _without(options, _LAST_RUNG)
            before[rung] = below = result = learn(prior, count, start=starts, **own)
            found.append(result)
            if learned:
                learned(result)
    return found


def verdicts(
    results: Sequence[PlanResult], priors: Sequence[Any], *, noise: NoiseSpectrum | None = None,
    **options: Any,
) -> list[Verdict]:  # fmt: skip
    """Every plan judged on every rung, beside the best heuristic of the rung.

    Args:
      results, priors, noise, options: of :func:`learn_all`, all of them.

    Raises:
      ValueError: for a plan that was learned for another noise than a rung is under.
    """
    rungs = [prior_from(one, noise) for one in priors]
    if not rungs or not results:
        raise ValueError("results and priors: give at least one of each")
    for one in results:
        for prior in rungs:
            where = f"the rung {prior.kind}"
            check_noise(one.noise, prior_noise(prior), what="the plan", where=where)
    found = []
    for rung, prior in enumerate(rungs):
        own = {name: x for name, x in options.items() if name in _JUDGING}
        if rung < len(rungs) - 1:
            own = _without(own, _LAST_RUNG)
        request = request_of(prior, results[0].plan.stochastic, **own)
        bench = bench_of(prior, request, None)
        weights = dict(request.objective)
        with bench.precision():
            for one in results:
                value = float(bench.held_out.total(terms_of(bench.held_out, one.plan)))
                found.append(Verdict(one.steps, one.prior, prior.kind, value, weights))
        for one in results:
            if one.prior == prior.kind and one.baselines:
                name = min(one.baselines, key=one.baselines.__getitem__)
                value = one.baselines[name]
                found.append(Verdict(one.steps, name, prior.kind, value, weights))
    return found


def _without(options: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: x for name, x in options.items() if name not in names}
