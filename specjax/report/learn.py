"""The tables and the JSON of ``specjax learn``: a table for each number of steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from specjax.files import plain
from specjax.fitting.learned import LearnedResult
from specjax.learning import TERMS, Verdict
from specjax.learning.heuristics import AMPLIFIED
from specjax.learning.terms import MEDIAN
from specjax.report.table import Block, Column, Table, print_blocks
from specjax.report.words import wrote

_HEURISTICS = 6  # heuristic plans in a table
_FACTS = ("steps", "prior", "kept", "objective", "value", "train_value", "terms", "baselines")


def learned_json(
    results: Sequence[LearnedResult], verdicts: Sequence[Verdict], amplifications: Sequence[float]
) -> dict[str, Any]:
    """Give the plans of the last rung, all of one noise, and every verdict for machines."""
    noise = results[0].noise
    return {
        "noise": None if noise is None else {"name": noise.name, "fingerprint": noise.fingerprint},
        "plans": [
            {
                **{name: plain(getattr(one, name)) for name in _FACTS},
                **_guidance_json(one),
                "seconds": round(one.seconds, 3),
                "amplification": plain(amplification),
            }
            for one, amplification in zip(results, amplifications, strict=True)
        ],
        "verdicts": [plain(one._asdict()) for one in verdicts],
    }


def _guidance_json(one: LearnedResult) -> dict[str, Any]:
    if "guidance" not in one.source:
        return {}
    weights = None if one.guidance is None else plain(one.guidance)
    return {"network_calls": one.network_calls, "guidance": weights}


def print_learned(
    results: Sequence[LearnedResult],
    verdicts: Sequence[Verdict],
    amplifications: Sequence[float],
    written: Sequence[str],
    variance: float | None = None,
) -> None:
    """Print :func:`learned_blocks`."""
    print_blocks(learned_blocks(results, verdicts, amplifications, written, variance))


def learned_blocks(
    results: Sequence[LearnedResult],
    verdicts: Sequence[Verdict],
    amplifications: Sequence[float],
    written: Sequence[str] = (),
    variance: float | None = None,
) -> list[Block]:
    """Report a table for each S: a row for each prior learned on, a column for each that judges.

    Args:
      results: learned plans of the last rung. amplifications: one for each of them.
      variance: of the data, which distances are shares of.
    """
    blocks: list[Block] = []
    priors = list(dict.fromkeys(one.on for one in verdicts))
    for result, amplification in zip(results, amplifications, strict=True):
        own = [one for one in verdicts if one.steps == result.steps]
        blocks.append(_table(result, own, priors, amplification))
    known = {result.steps for result in results}
    between = [one for one in verdicts if one.steps not in known]
    if between:
        blocks.append(_between_table(between, verdicts, priors))
    terms = dict.fromkeys(name for one in verdicts for name in one.objective)
    noise, noise_line = results[0].noise, []
    if noise is not None:
        noise_line = [
            f"noise: {noise.name}; {noise.omitted:,} of {math.prod(noise.shape):,} directions have "
            "none; distances are in units of the data"
        ]
    lines = (f"{term}: {TERMS[term]}" for term in terms)
    scale = [] if variance is None else [f"the data's variance is {variance:.5g}"]
    return [*blocks, *lines, *scale, *noise_line, *wrote(written)]


def recorded_json(results: Sequence[LearnedResult]) -> dict[str, Any]:
    """Give plans that were made of a recording for machines."""
    return {
        "plans": [
            {
                **{name: plain(getattr(one, name)) for name in _FACTS},
                "seconds": round(one.seconds, 3),
            }
            for one in results
        ]
    }


def print_recorded(results: Sequence[LearnedResult], written: Sequence[str]) -> None:
    """Print :func:`recorded_blocks`."""
    print_blocks(recorded_blocks(results, written))


def recorded_blocks(results: Sequence[LearnedResult], written: Sequence[str] = ()) -> list[Block]:
    """Report what a recording predicts of the plans that were made of it, a row each.

    Args:
      results: plans of several S.
      written: the files.
    """
    heads = ["S", "predicted", "median", "best heuristic", "predicted of it"]
    columns = [Column(name, "{:.4g}", "right") for name in heads]
    rows = []
    for one in results:
        best = min(one.baselines, key=one.baselines.__getitem__, default="")
        other = math.exp(one.baselines[best]) if best else None
        rows.append([one.steps, one.terms["teacher_mean"], one.terms[MEDIAN], best, other])
    notes = [
        "squared distance to the fine solution, on noises that were held out, by the linear "
        "response of the recording; samples that end elsewhere are not foreseen: record along the "
        "plan (specjax record-spec PLAN) and compare (sx.Recording.compare)"
    ]
    return [Table("", columns, rows, notes), *wrote(written)]


def geometric_mean(value: Any, objective: Mapping[str, float]) -> Any:
    """Turn a value, or [n], of an objective into the weighted geometric mean of its terms.

    (The objective is their weighted sum of logarithms.)
    """
    return np.exp(np.asarray(value, np.float64) / sum(objective.values()))


def _table(
    result: LearnedResult, verdicts: Sequence[Verdict], priors: Sequence[str], amplification: float
) -> Table:
    values = {(one.plan, one.on): geometric_mean(one.value, one.objective) for one in verdicts}
    medians = {one.plan: one.terms.get(MEDIAN) for one in verdicts if one.on == priors[-1]}
    rows = [
        [f"learned on {plan}" if plan in priors else plan, *(values.get((plan, x)) for x in priors)]
        for plan in dict.fromkeys(one.plan for one in verdicts)
    ]
    rows.sort(key=lambda row: [math.inf if x is None else x for x in reversed(row[1:])])
    # The best heuristic has been judged on every prior; the next ones on the last alone.
    for name, value in sorted(result.baselines.items(), key=lambda one: one[1])[1:_HEURISTICS]:
        rows.append([name, *[None] * (len(priors) - 1), geometric_mean(value, result.objective)])
    objectives = {one.on: _product(one.objective) for one in verdicts}
    columns = [Column(f"{prior}: {objectives[prior]}", "{:.5g}", "right") for prior in priors]
    if any(median is not None for median in medians.values()):
        columns.append(Column(MEDIAN, "{:.5g}", "right"))
        for row in rows:
            row.append(medians.get(str(row[0]).removeprefix("learned on ")))
    outcome = _outcome(result, medians)
    return Table(
        f"S = {result.steps}{_calls(result)}, on noise that neither learned nor chose",
        ["plan", *columns],
        rows,
        [*_worse_ones(values, priors), *_warning(result, amplification), outcome],
    )


def _between_table(
    between: Sequence[Verdict], verdicts: Sequence[Verdict], priors: Sequence[str]
) -> Table:
    """Report plans that were made of their neighbours, a row each; say where fewer steps do."""
    values = {(one.steps, one.on): geometric_mean(one.value, one.objective) for one in between}
    plans = {one.steps: one.plan for one in between}
    rows = [[s, plan, *(values.get((s, on)) for on in priors)] for s, plan in plans.items()]
    last, notes = priors[-1], []
    learned = {one.steps: one.value for one in verdicts if one.plan == one.on == last}
    for one in between:
        fewer = [s for s, x in learned.items() if s < one.steps and x < one.value]
        if one.on == last and fewer:
            notes.append(f"S = {one.steps}: that of {max(fewer)} steps is better; learn one")
    judges = [Column(name, "{:.5g}", "right") for name in priors]
    columns = [Column("S", "{}", "right"), Column("plan"), *judges]
    return Table("other numbers of steps", columns, rows, notes)


def _calls(result: LearnedResult) -> str:
    """Say how often the network is called, where that is more than S; heuristics have as many."""
    if "guidance" not in result.source:
        return ""
    calls = result.network_calls
    return f", {calls} network calls (heuristics: {calls // 2} guided steps)"


def _product(objective: Mapping[str, float]) -> str:
    """Write the terms with their weights, such as ``teacher x transfer^0.1``."""
    powers = (name if weight == 1 else f"{name}^{weight:g}" for name, weight in objective.items())
    return " x ".join(powers)


def _worse_ones(values: Mapping[tuple[str, str], float], priors: Sequence[str]) -> list[str]:
    """Say where a plan learned on one prior is worse, on a later one, than a plan that knew less.

    Such plans are the heuristic ones, and those learned on an earlier prior.
    """
    lines = []
    for number, judge in enumerate(priors[1:], 1):
        for learned_on in priors[:number]:
            earlier = priors[: priors.index(learned_on)]
            for (plan, on), value in values.items():
                knew_less = plan not in priors or plan in earlier
                own = values.get((learned_on, judge), -math.inf)
                if on == judge and knew_less and own > value:
                    name = f"that learned on {plan}" if plan in priors else plan
                    lines.append(
                        f"the plan learned on {learned_on} is worse on {judge} than {name}"
                    )
    return lines


def _warning(result: LearnedResult, amplification: float) -> list[str]:
    """Warn where a network may not follow a plan that was not learned through it."""
    if result.prior == "network" or not amplification > AMPLIFIED:
        return []
    return [
        f"a network may not follow this plan: independent errors of a denoiser count "
        f"{amplification:.2g} times what they do in the best of the heuristic plans; learn through "
        "the network (specjax learn RUN)"
    ]


def _outcome(result: LearnedResult, medians: Mapping[str, float | None]) -> str:
    best = min(result.baselines, key=result.baselines.__getitem__)
    if result.kept != "learned":
        return f"no plan was better than {best}: the plan is that one"
    gain = geometric_mean(result.baselines[best] - result.value, result.objective)
    own, other = medians.get(result.prior), medians.get(best)
    of_median = f" ({other / own:.3g} times by the median sample)" if own and other else ""
    return (
        f"{gain:.3g} times better than {best}{of_median}, the best of {len(result.baselines)} "
        f"heuristic plans; {result.seconds:.1f} s"
    )
