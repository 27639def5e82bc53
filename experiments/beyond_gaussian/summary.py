"""The tables of the README, from the results: ``python -m experiments.beyond_gaussian.tables``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from experiments.beyond_gaussian.config import FAMILIES, PLANS, SAMPLERS, SPECTRAL, SUBJECTS
from experiments.beyond_gaussian.ratios import (
    HERE,
    MEASURES,
    WORSE,
    Found,
    Ratio,
    best_heuristic,
    candidates,
    distance_from_gaussian,
    level,
    measured_by,
    pooled,
    ratio,
    rivals,
    seeds_of,
    values,
)
from experiments.beyond_gaussian.run import FINE
from experiments.beyond_gaussian.subjects import kurtosis
from experiments.common import between
from experiments.estimates import Estimate, estimate
from experiments.registry import NOT_YET

MARKS = ("<!-- tables: written by tables.py -->", "<!-- end of tables -->")


def command(names: tuple[str, ...]) -> str:
    """What runs subjects."""
    return f"python -m experiments.beyond_gaussian.run --subjects {' '.join(names)}"


def _row(name: str, title: str, seeds: list[Found], cells: list[str]) -> str:
    words = level(name, title)
    if SUBJECTS[name].kind == "tails":
        words += f" (excess kurtosis {kurtosis(SUBJECTS[name]):.3g})"
    if "kernel_width" in seeds[0]:
        words = f"h = {np.mean([one['kernel_width'] for one in seeds]):.3g}" + (
            " (likeliest)" if SUBJECTS[name].width == "likely" else ""
        )
    exact = SUBJECTS[name].kind == "gaussian"
    nats = "0 (exact)" if exact else str(distance_from_gaussian(seeds))
    return f"| {words} | {nats} | {' | '.join(cells)} |"


def summary_of(results: Path) -> list[str]:
    """One number a prior and sampler: the ratio, the geometric mean over S."""
    lines = ["### The learned W2 schedule and plans over the best heuristic", ""]
    shown = candidates()
    head = [f"{column} ({measure})" for column, measure in shown]
    for title, names in FAMILIES.items():
        there = {name: seeds_of(name, results) for name in names}
        some = next((seeds for seeds in there.values() if seeds), None)
        if some is None:
            lines += [f"#### {title}", "", f"{NOT_YET}: `{command(names)}`", ""]
            continue
        steps = pooled(title, some)
        lines += [f"#### {title} (S = {', '.join(steps)} together)", ""]
        lines += [
            f"| | nats from Gaussian | {' | '.join(head)} |", "|---|---|" + "---|" * len(head),
        ]  # fmt: skip
        for name, seeds in there.items():
            if seeds:
                found = [ratio(seeds, *one, steps) for one in shown]
                lines.append(_row(name, title, seeds, [_marked(x) for x in found]))
        lines.append("")
    return lines


def _marked(x: Ratio | None) -> str:
    """A ratio, bold where it is clearly above 1."""
    if x is None:
        return "-"
    return f"**{x}**" if x.verdict == WORSE else str(x)


def by_steps_of(results: Path) -> list[str]:
    """The same at every S, for all three schedules of the spectrum."""
    lines = ["### At every S", ""]
    for sampler in SAMPLERS:
        measure = measured_by(sampler)
        lines += [f"#### {sampler}, {MEASURES[measure]}, over the best heuristic", ""]
        body: list[str] = []
        head: list[str] = []
        for name in SUBJECTS:
            seeds = seeds_of(name, results)
            if not seeds or sampler not in seeds[0]["config"]["samplers"]:
                continue
            steps = list(seeds[0]["steps"])
            head = head or [f"| | {' | '.join(f'S = {s}' for s in steps)} |",
                            "|---|" + "---|" * len(steps)]  # fmt: skip
            for words in SPECTRAL:
                cells = [_marked(ratio(seeds, f"{sampler} {words}", measure, [s])) for s in steps]
                body.append(f"| {name}: {words} | {' | '.join(cells)} |")
        lines += [*head, *body, ""]
    return lines


def values_of(results: Path, shown: str = "5") -> list[str]:
    """Values at one S: the best heuristic, the Gaussian schedule, plans, and the fine solution."""
    lines = [f"### Values, S = {shown}", ""]
    for measure, words in MEASURES.items():
        columns = [f"{x} {SPECTRAL[-1]}" for x in SAMPLERS if measure != "squared" or x != "ddpm"]
        head = [x for c in columns for x in (f"best heuristic, {c.split()[0]}", c)]
        head += [*PLANS, FINE]
        lines += [f"#### {words[0].upper()}{words[1:]}", "", f"| | {' | '.join(head)} |",
                  "|---|" + "---|" * len(head)]  # fmt: skip
        for name in SUBJECTS:
            seeds = seeds_of(name, results)
            if seeds and shown in seeds[0]["steps"]:
                cells = [x for c in columns for x in _pair(seeds, shown, c, measure)]
                cells += [_cell(values(seeds, shown, plan, measure)) for plan in PLANS]
                cells.append(_cell(np.array([one[FINE][measure] for one in seeds])))
                lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    return lines


def _pair(seeds: list[Found], steps: str, column: str, measure: str) -> tuple[str, str]:
    if column.split()[0] not in seeds[0]["config"]["samplers"]:
        return "-", "-"
    best, found = best_heuristic(seeds, steps, rivals(column), measure)
    return f"{_cell(found)} ({best.split()[1]})", _cell(values(seeds, steps, column, measure))


def converged_of(results: Path) -> str:
    """How many of the learned schedules converged, of those that say so."""
    every = [
        cell["converged"]
        for name in SUBJECTS
        for one in seeds_of(name, results)
        for columns in one["steps"].values()
        for cell in columns.values()
        if "converged" in cell
    ]
    if not every:
        return "Whether the learned schedules converged is not in these results."
    return f"{every.count(False)} of {len(every)} learned schedules did not converge."


def _cell(x: np.ndarray) -> str:
    if not np.isfinite(x).all():
        return "-"
    found: Estimate = estimate(list(x))
    return str(found) if abs(found.mean) >= 0.1 else f"{found.mean:.4f} ± {found.error:.4f}"


def lines_of(results: Path = HERE / "results") -> list[str]:
    """All tables."""
    tables = [*summary_of(results), *by_steps_of(results), *values_of(results)]
    return ["", *tables, converged_of(results), ""]


def main(results: Path = HERE / "results", readme: Path = HERE / "README.md") -> None:
    """Write the tables between the marks of the README."""
    between(MARKS, lines_of(results), readme)


if __name__ == "__main__":
    main()
