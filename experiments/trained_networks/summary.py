"""The tables of the README: ``python -m experiments.trained_networks.tables``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.common import between, read_json
from experiments.estimates import Estimate
from experiments.registry import NOT_YET
from experiments.trained_networks.config import CONFIG, HEURISTICS, ROWS, SAMPLERS, SPECTRAL
from experiments.trained_networks.curves import (
    HERE,
    MEASURES,
    PLANS,
    Found,
    Point,
    below,
    best,
    contenders,
    fewer,
    found_of,
    point,
)
from experiments.trained_networks.run import FINE, REAL

MARKS = ("<!-- tables: written by tables.py -->", "<!-- end of tables -->")
COMMAND = "`python -m experiments.trained_networks.run --rows {}`"
GROUPS = (*SAMPLERS, None)
"""Samplers, whose schedules are compared; and None, the learned plans against all of them."""


def percent(one: Estimate | None) -> str:
    """A share as a percentage with its standard error."""
    if one is None:
        return "-"
    error = f" ± {100 * one.error:.0f}" if one.seeds > 1 else ""
    return f"{100 * one.mean:+.0f}{error}"


def _table(title: str, steps: list[int], rows: dict[str, list[str]]) -> list[str]:
    kept = {name: cells for name, cells in rows.items() if set(cells) != {"-"}}
    head = "| | " + " | ".join(f"S = {s}" for s in steps) + " |"
    lines = [f"#### {title}", "", head, "|---|" + "---|" * len(steps)]
    return [*lines, *(f"| {name} | {' | '.join(cells)} |" for name, cells in kept.items()), ""]


def _compared(
    found: Found, steps: list[int], measure: str, told: Callable[[Point, list[Point]], str]
) -> dict[str, list[str]]:
    """A row for each contender, told beside the best heuristics of its group."""
    rows = {}
    fine = point(found, 0, FINE, measure)
    for sampler in GROUPS:
        frontier = best(found, sampler, measure)
        if fine and sampler is None:
            known = [fine._replace(calls=s) for s in steps]
            rows[f"{FINE}, against all"] = [told(one, frontier) for one in known]
        for name in contenders(sampler):
            known = [point(found, s, name, measure) for s in steps]
            rows[name] = [told(one, frontier) if one else "-" for one in known]
    return rows


def _values(found: Found, steps: list[int], measure: str) -> dict[str, list[str]]:
    names = [f"{s} {x}" for s in SAMPLERS for x in (*HEURISTICS, *SPECTRAL)]
    known = {name: [point(found, s, name, measure) for s in steps] for name in (*names, *PLANS)}
    rows = {name: [str(x.estimate) if x else "-" for x in row] for name, row in known.items()}
    limits = {name: point(found, 0, name, measure) for name in (FINE, REAL)}
    return rows | {name: [str(x.estimate)] * len(steps) for name, x in limits.items() if x}


def _unconverged(document: dict[str, Any]) -> list[str]:
    return [f"{name}, S = {document['steps']}" for name in document.get("unconverged", ())]


def _refused(row: str, results: Path) -> dict[str, str]:
    """Plans that could not be learned, and why."""
    documents = [read_json(path) for path in sorted(results.glob(f"{row}-*.json"))]
    return {name: why for one in documents for name, why in one.get("refused", {}).items()}


def _facts(row: str, found: Found, results: Path) -> list[str]:
    """Of the network, the classifier, the fine solution and the seeds."""
    lines = []
    fine = [read_json(x) for x in sorted(results.glob(f"{row}-fine-*.json"))]
    if fine:
        lines.append(
            f"{fine[0]['parameters'] / 1e6:.2f} M parameters; the classifier tells "
            f"{100 * fine[0]['accuracy']:.1f} % of what was held out ({ROWS[row].label}). The "
            f"fine solution has {fine[0]['config']['fine']} steps."
        )
    told = [x for path in results.glob(f"{row}-*.json") for x in _unconverged(read_json(path))]
    if told:
        lines.append(f" Fits that ended before their tolerance: {', '.join(sorted(set(told)))}.")
    for name, why in _refused(row, results).items():
        lines.append(f" No {name}: {why.split(';')[0]}.")
    counts = {s: len(next(iter(columns.values()))) for s, columns in found.items() if s}
    by = {n: [str(s) for s in counts if counts[s] == n] for n in sorted(set(counts.values()))}
    seeds = "; ".join(f"{n} seed{'s' * (n > 1)}: S = {', '.join(s)}" for n, s in by.items())
    missing = [str(s) for s in CONFIG.steps if s not in found]
    if missing:
        command = COMMAND.format(f"{row} --steps {' '.join(missing)}")
        seeds += f". S = {', '.join(missing)}: {NOT_YET}: {command}"
    return [*lines, "", f"{seeds}.", ""]


def lines_of(results: Path = HERE / "results") -> list[str]:
    """All tables."""
    lines = [""]
    for row, about in ROWS.items():
        found = found_of(row, results)
        steps = [s for s in found if s]
        lines += [f"### {about.title}", ""]
        if not steps:
            lines += [f"{NOT_YET}: {COMMAND.format(row)}", ""]
            continue
        lines += _facts(row, found, results)
        for measure in ("features", "pixels"):
            words = MEASURES[measure]
            told = _compared(found, steps, measure, lambda one, all_: percent(below(one, all_)))
            lines += _table(f"{words}: % below the best heuristic of as many calls", steps, told)
        told = _compared(found, steps, "features", lambda one, all_: str(fewer(one, all_) or "-"))
        title = "Calls of the best heuristic for the same distance of features, over the column's"
        lines += _table(title, steps, told)
        for measure, words in MEASURES.items():
            lines += _table(words, steps, _values(found, steps, measure))
    return lines


def main(results: Path = HERE / "results", readme: Path = HERE / "README.md") -> None:
    """Write them between the marks of the README."""
    between(MARKS, lines_of(results), readme)


if __name__ == "__main__":
    main()
