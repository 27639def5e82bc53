"""What is said of learned plans: a table for each S, and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from specjax.files import plain
from specjax.fitting.learned import PlanResult
from specjax.learning import TERMS, Verdict
from specjax.learning.heuristics import AMPLIFIED

_HEURISTICS = 6  # heuristic plans in a table


def learned_json(
    found: Sequence[PlanResult], judged: Sequence[Verdict], ratios: Sequence[float]
) -> dict[str, Any]:
    """The plans of the last rung, all of one noise, with their amplifications; every verdict."""
    noise = found[0].noise
    return {
        "noise": None if noise is None else {"name": noise.name, "fingerprint": noise.fingerprint},
        "plans": [
            {**_facts(one), "amplification": plain(ratio)}
            for one, ratio in zip(found, ratios, strict=True)
        ],
        "verdicts": [
            {**one._asdict(), "value": plain(one.value), "objective": dict(one.objective)}
            for one in judged
        ],
    }


def _facts(one: PlanResult) -> dict[str, Any]:
    return {
        "steps": one.steps,
        "prior": one.prior,
        "kept": one.kept,
        "objective": dict(one.objective),
        "value": plain(one.value),
        "train_value": plain(one.train_value),
        "terms": plain(one.terms),
        "baselines": plain(one.baselines),
        "seconds": round(one.seconds, 3),
    }


def print_learned(
    found: Sequence[PlanResult],
    judged: Sequence[Verdict],
    ratios: Sequence[float],
    written: Sequence[str],
) -> None:
    """A table for each S: a row by what was learned on, a column by what judges.

    ``ratios`` are the plans' amplifications.
    """
    console = Console()
    rungs = list(dict.fromkeys(one.on for one in judged))
    for result, ratio in zip(found, ratios, strict=True):
        own = [one for one in judged if one.steps == result.steps]
        console.print(_table(result, own, rungs))
        for line in (*_warnings(own, rungs), *_amplified(result, ratio), _about(result)):
            console.print(line, highlight=False, soft_wrap=True)
    for term in dict.fromkeys(name for one in judged for name in one.objective):
        console.print(f"{term}: {TERMS[term]}", highlight=False, soft_wrap=True)
    if (noise := found[0].noise) is not None:
        console.print(
            f"noise: {noise.name}, {noise.omitted:,} of {math.prod(noise.shape):,} directions "
            "without any; distances in units of the data", highlight=False, soft_wrap=True,
        )  # fmt: skip
    console.print(f"wrote {', '.join(written)}", highlight=False, soft_wrap=True)


def _table(result: PlanResult, judged: Sequence[Verdict], rungs: Sequence[str]) -> Table:
    table = Table(title=f"S = {result.steps}, by noise (and data) not learned on",
                  title_justify="left")  # fmt: skip
    table.add_column("plan", no_wrap=True)
    cells = {(one.plan, one.on): one for one in judged}
    for rung in rungs:
        of = next(_product(one.objective) for one in judged if one.on == rung)
        table.add_column(f"{rung}: {of}", justify="right")
    plans = dict.fromkeys(one.plan for one in judged)

    def order(plan: str) -> tuple[float, ...]:
        found = (cells.get((plan, rung)) for rung in reversed(rungs))
        return tuple(math.inf if one is None else one.value for one in found)

    for plan in sorted(plans, key=order):
        name = f"learned on {plan}" if plan in rungs else plan
        table.add_row(name, *(_cell(cells.get((plan, rung))) for rung in rungs))
    best = sorted(result.baselines.items(), key=lambda item: item[1])
    for name, value in best[1:_HEURISTICS]:
        made = Verdict(result.steps, name, rungs[-1], value, result.objective)
        table.add_row(name, *("" for _ in rungs[1:]), _cell(made))
    return table


def _product(objective: Mapping[str, float]) -> str:
    """The terms with their weights, such as ``teacher x transfer^0.1``."""
    powers = (name if x == 1 else f"{name}^{x:g}" for name, x in objective.items())
    return " x ".join(powers)


def _cell(one: Verdict | None) -> str:
    """The term itself: of several their weighted geometric mean."""
    return "" if one is None else f"{math.exp(one.value / sum(one.objective.values())):.5g}"


def _warnings(judged: Sequence[Verdict], rungs: Sequence[str]) -> list[str]:
    """Where a plan learned on one rung is worse on a later one than a plan that knew less."""
    values = {(one.plan, one.on): one.value for one in judged}
    found = []
    for k, on in enumerate(rungs[1:], 1):
        heuristic = [one for one in judged if one.on == on and one.plan not in rungs]
        for plan in rungs[:k]:
            value = values.get((plan, on))
            if value is None:
                continue
            for one in heuristic:
                if value > one.value:
                    found.append(f"the plan learned on {plan} is worse on {on} than {one.plan}")
            found += [
                f"the plan learned on {plan} is worse on {on} than that learned on {less}"
                for less in rungs[: rungs.index(plan)]
                if value > values.get((less, on), math.inf)
            ]
    return found


def _amplified(result: PlanResult, ratio: float) -> list[str]:
    """A line where a network may not follow a plan that was not learned through it."""
    if result.prior == "network" or not ratio > AMPLIFIED:
        return []
    return [
        f"a denoiser's errors, if independent, count {ratio:.2g} times what they do in the best of "
        "the heuristic plans: a network may not follow; learn through it (specjax learn RUN)"
    ]


def _about(result: PlanResult) -> str:
    best = min(result.baselines, key=result.baselines.__getitem__)
    if result.kept != "learned":
        return f"nothing better was found than {best}: that is what the plan is"
    gain = math.exp((result.baselines[best] - result.value) / sum(result.objective.values()))
    return (
        f"{gain:.3g} times less than {best}, the best of {len(result.baselines)} heuristic plans; "
        f"{result.seconds:.1f} s"
    )
