"""The tables and claims of trained networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments.estimates import Estimate
from experiments.experiment import NOT_YET
from experiments.session import read_all
from experiments.summary import NO, NOT_CLEAR, YES, Claim, not_run, table
from experiments.trained_networks.comparison import (
    MEASURES,
    PLANS,
    Distances,
    Fewer,
    Point,
    below,
    best,
    contenders,
    fewer,
    point,
    read,
)
from experiments.trained_networks.config import (
    EXPERIMENT,
    FINE,
    HEURISTICS,
    REAL,
    ROWS,
    SAMPLERS,
    SPECTRAL,
)

GROUPS = (*SAMPLERS, None)
"""Samplers, whose schedules are compared; and None, the learned plans against all of them."""

DROP, FEWER = 0.123, 1.8
"""At equal calls, and at equal quality: the figures of the claims."""


def percent(one: Estimate | None) -> str:
    """Give a share as a percentage with its standard error."""
    if one is None:
        return "-"
    error = f" ± {100 * one.error:.0f}" if one.seeds > 1 else ""
    return f"{100 * one.mean:+.0f}{error}"


def tables(results: Path) -> list[str]:
    """Make all tables."""
    lines: list[str] = []
    for row, about in ROWS.items():
        found = read(row, results)
        steps = [s for s in found if s]
        lines += [f"### {about.title}", ""]
        if not steps:
            lines += [f"{NOT_YET}: `{EXPERIMENT.command(row)}`", ""]
            continue
        lines += _facts(row, found, results)
        for measure in ("features", "pixels"):
            shares = _compared(found, steps, measure, lambda one, all_: percent(below(one, all_)))
            title = f"{MEASURES[measure]}: % below the best heuristic of as many calls"
            lines += _table(title, steps, shares)
        ratios = _compared(found, steps, "features", lambda one, all_: str(fewer(one, all_) or "-"))
        title = "Calls of the best heuristic for the same distance of features, over the column's"
        lines += _table(title, steps, ratios)
        for measure, words in MEASURES.items():
            lines += _table(words, steps, _values(found, steps, measure))
    return lines


def _table(title: str, steps: list[int], rows: dict[str, list[str]]) -> list[str]:
    kept = [[name, *cells] for name, cells in rows.items() if set(cells) != {"-"}]
    return table(["", *(f"S = {s}" for s in steps)], kept, title)


def _compared(
    found: Distances, steps: list[int], measure: str, cell: Callable[[Point, list[Point]], str]
) -> dict[str, list[str]]:
    """Make a row for each contender, beside the best heuristics of its group."""
    rows = {}
    fine = point(found, 0, FINE, measure)
    for sampler in GROUPS:
        frontier = best(found, sampler, measure)
        if fine and sampler is None:
            known = [fine._replace(calls=s) for s in steps]
            rows[f"{FINE}, against all"] = [cell(one, frontier) for one in known]
        for name in contenders(sampler):
            judged = [point(found, s, name, measure) for s in steps]
            rows[name] = [cell(one, frontier) if one else "-" for one in judged]
    return rows


def _values(found: Distances, steps: list[int], measure: str) -> dict[str, list[str]]:
    names = [f"{s} {x}" for s in SAMPLERS for x in (*HEURISTICS, *SPECTRAL)]
    known = {name: [point(found, s, name, measure) for s in steps] for name in (*names, *PLANS)}
    rows = {name: [str(x.estimate) if x else "-" for x in row] for name, row in known.items()}
    limits = {name: point(found, 0, name, measure) for name in (FINE, REAL)}
    return rows | {name: [str(x.estimate)] * len(steps) for name, x in limits.items() if x}


def _facts(row: str, found: Distances, results: Path) -> list[str]:
    """Describe the network, the classifier, the fine solution and the seeds."""
    lines, documents = [], read_all(results, f"{row}-*.json")
    fine = read_all(results, f"{row}-fine-*.json")
    if fine:
        lines.append(
            f"{fine[0]['parameters'] / 1e6:.2f} M parameters; the classifier tells "
            f"{100 * fine[0]['accuracy']:.1f} % of what was held out ({ROWS[row].label}). The "
            f"fine solution has {fine[0]['config']['fine']} steps."
        )
    early = {f"{x}, S = {one['steps']}" for one in documents for x in one.get("unconverged", ())}
    if early:
        lines.append(f" Fits that ended before their tolerance: {', '.join(sorted(early))}.")
    refused = {name: why for one in documents for name, why in one.get("refused", {}).items()}
    lines += [f" No {name}: {why.split(';')[0]}." for name, why in refused.items()]
    return [*lines, "", _seeds(row, found), ""]


def _seeds(row: str, found: Distances) -> str:
    """Say how many seeds each S has, and which S are missing."""
    counts = {s: len(next(iter(columns.values()))) for s, columns in found.items() if s}
    by: dict[int, list[Any]] = {n: [] for n in sorted(set(counts.values()))}
    for s, n in counts.items():
        by[n].append(str(s))
    seeds = "; ".join(f"{n} seed{'s' * (n > 1)}: S = {', '.join(s)}" for n, s in by.items())
    missing = [str(s) for s in EXPERIMENT.config.steps if s not in found]
    if missing:
        command = f"{EXPERIMENT.command(row)} --steps {' '.join(missing)}"
        seeds += f". S = {', '.join(missing)}: {NOT_YET}: `{command}`"
    return f"{seeds}."


def verdict_at(known: Mapping[int, Estimate | Fewer], least: float) -> str:
    """Say yes if it holds at every S; if at some, at which; no if it surely holds at none."""
    found = {s: x.verdict(least) for s, x in known.items()}
    above = [str(s) for s, x in found.items() if x == YES]
    if len(above) == len(found):
        return YES
    if above:
        return f"at S = {', '.join(above)}"
    return NO if set(found.values()) == {NO} else NOT_CLEAR


def lower_by(shares: Mapping[int, Estimate]) -> str:
    """Say at each S by which share something is lower."""
    told = {s: f"{percent(x)} %" for s, x in shares.items()}
    return f"lower by (a minus: higher) {at_steps(told)}"


def at_steps(known: Mapping[int, Any]) -> str:
    """Give the numbers of a claim at each S."""
    return "; ".join(f"S = {s}: {x}" for s, x in known.items())


def claims(results: Path) -> Iterator[Claim]:
    """Make two lines for every row, sampler and contender."""
    for row, about in ROWS.items():
        known = list(_of_row(row, read(row, results)))
        missing = f"{about.title}: schedules of the spectrum and plans beat the best heuristic"
        yield from known or [not_run(missing, EXPERIMENT.command(row))]


def _of_row(row: str, found: Distances) -> Iterator[Claim]:
    command = EXPERIMENT.command(row)
    for sampler in GROUPS:
        frontier = best(found, sampler, "features")
        whose = "any sampler" if sampler is None else sampler
        for name in contenders(sampler):
            every = ((s, point(found, s, name, "features")) for s in found if s)
            known = {s: one for s, one in every if one}
            title = f"{ROWS[row].title}: {name}"
            shares = {s: x for s, one in known.items() if (x := below(one, frontier))}
            if shares:
                claim = (
                    f"{title} has a feature-Fréchet distance {100 * DROP:.1f} % below the best "
                    f"heuristic of {whose} in at most as many calls"
                )
                words = lower_by(shares)
                yield Claim(claim, verdict_at(shares, DROP), words, command)
            calls = {s: x for s, one in known.items() if (x := fewer(one, frontier))}
            if calls:
                claim = (
                    f"{title} takes {FEWER:g} times fewer calls than the best heuristic of "
                    f"{whose} at the same feature-Fréchet distance"
                )
                yield Claim(claim, verdict_at(calls, FEWER), at_steps(calls), command)
