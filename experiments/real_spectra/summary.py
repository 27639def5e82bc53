"""The tables of README.md and tables.md: ``python -m experiments.real_spectra.tables``."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from experiments.common import between
from experiments.real_spectra.config import DATASETS
from experiments.real_spectra.found import (
    COMMAND,
    HELD_OUT,
    HERE,
    NOT_YET,
    Matrix,
    Number,
    Results,
    found,
    plain,
    window_of,
)

MARKS = ("<!-- tables: written by tables.py -->", "<!-- end of tables -->")
SHOWN = "ddim, w2, S = 10"
"""The regime that the README shows; tables.md has all."""


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> list[str]:
    """Lines of Markdown."""
    head = list(head)
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return [*lines, *("| " + " | ".join(str(x) for x in row) + " |" for row in rows), ""]


def missing(results: Results) -> list[str]:
    """A line for each dataset that has not been run."""
    absent = [name for name in DATASETS if name not in results.schedules]
    return [f"{DATASETS[x].words}: {NOT_YET}: {COMMAND.format(x)}\n" for x in absent]


def spectra(results: Results) -> list[str]:
    """Each dataset by each estimate."""
    head = (
        "dataset", "estimate", "samples", "d", "slope", "R^2", "variance", "90 % in", "99 % in",
        "CPU s", "MiB",
    )  # fmt: skip
    rows = []
    for name, document in results.estimates.items():
        for method, x in document["estimates"].items():
            d = math.prod(document["source"]["shape"])
            slope = f"{x['exponent']:.2f} ± {x['exponent_error']:.2f}"
            share = [f"{n:.0f}" for n in x["directions"].values()]
            facts = (f"{x['r_squared']:.2f}", f"{x['variance']:.4g}", *share)
            took = (f"{x['cpu_seconds']:.1f}", f"{x['mebibytes']:.0f}")
            samples = f"{document['samples']:,}"
            rows.append((plain(name), method, samples, d, slope, *facts, *took))
    return ["### Spectra", "", *table(head, rows)]


def schedules(results: Results, regime: str) -> list[str]:
    """The learned loss, its shape, and every other schedule over it."""
    known = {name: x["regimes"][regime] for name, x in results.schedules.items()}
    every = list(known.values())
    estimates, others = every[0]["estimates"], [x for x in every[0]["ratio"] if x != "learned"]
    others.sort(key=lambda row: sum(x["ratio"][row] for x in every))
    rows: list[list[Any]] = [
        ["learned: loss", *map(_loss, every)],
        ["area under alpha_bar", *(Number(x["area"], x["area_error"]) for x in every)],
        ["sigma at half time", *(Number(x["middle"], x["middle_error"]) for x in every)],
        *([f"learned on {m}", *(_through(x, m) for x in every)] for m in estimates),
        *([row, *(Number(x["ratio"][row]) for x in every)] for row in others),
        ["steps that cosine needs", *(x["steps_needed"]["cosine"] or "> 1000" for x in every)],
    ]
    return [f"#### {regime}", "", *table(["", *map(plain, known)], rows)]


def _through(x: dict[str, Any], method: str) -> Number:
    return Number(x["estimates"][method]["ratio"])


def _loss(x: dict[str, Any]) -> str:
    return f"{x['value']:.3g} ± {100 * x['value_error'] / x['value']:.1f} %"


def cross(title: str, matrix: Matrix, names: dict[str, str]) -> list[str]:
    """Rows: where it was learned; columns: where it is judged."""
    rows = [
        [names[row], *(matrix.cells[HELD_OUT if row == x else row, x] for x in matrix.columns)]
        for row in matrix.columns
    ]
    rows.append(["cosine", *(matrix.cells["cosine", x] for x in matrix.columns)])
    best = [matrix.best(x) for x in matrix.columns]
    rows.append(["best heuristic", *(f"{number} ({name})" for name, number in best)])
    head = ["learned on \\ judged on", *(names[x] for x in matrix.columns)]
    return [f"#### {title}", "", *table(head, rows)]


def ranks(results: Results) -> list[str]:
    """The low-rank estimate, rank by rank."""
    some = next(iter(results.ranks.values()))
    every = [str(x) for x in some["config"]["ranks"]]
    lines = ["### Rank", ""]
    for regime in next(iter(some["ranks"].values()))["ratio"]:
        rows = [
            [plain(name), *(_at(document["ranks"].get(x), regime) for x in every)]
            for name, document in results.ranks.items()
        ]
        lines += [f"#### {regime}", "", *table(["dataset \\ rank", *every], rows)]
    rows = [
        [plain(name), *(_seconds(document["ranks"].get(x)) for x in every)]
        for name, document in results.ranks.items()
    ]
    return [*lines, "#### CPU seconds", "", *table(["dataset \\ rank", *every], rows)]


def _seconds(one: dict[str, Any] | None) -> str:
    return "-" if one is None else f"{one['cpu_seconds']:.1f}"


def _at(one: dict[str, Any] | None, regime: str) -> str:
    return "-" if one is None else str(Number(one["ratio"][regime]))


def windows(results: Results, only: str | None = None) -> list[str]:
    """Windows on each other."""
    lines = ["### Window of sound", ""]
    for name, document in results.windows.items():
        names = {x: window_of(x, document) for x in document["datasets"]}
        for regime, one in document["regimes"].items():
            if only in (None, regime):
                matrix = Matrix.of(document["datasets"], one)
                lines += cross(f"{plain(name)}: {regime}", matrix, names)
    return lines


def units(results: Results) -> list[str]:
    """What other units would cost."""
    head = ["dataset", "learned in", *results.regimes]
    rows = [
        [plain(name), x["units"], *(Number(r) for r in x["ratio"].values())]
        for name, x in results.units.items()
    ]
    told = [f"- {plain(name)}: {x['refusal'] or 'accepted'}" for name, x in results.units.items()]
    return ["### Units", "", *table(head, rows), "`check_units` says:", "", *told, ""]


def _crosses(results: Results, regimes: list[str]) -> list[str]:
    lines = ["### Everything on everything", ""]
    for regime in regimes if results.cross else []:
        matrix = results.matrix(regime)
        lines += cross(regime, matrix, {x: plain(x) for x in matrix.columns})
    return lines


def few(results: Results) -> list[str]:
    """What the README shows."""
    if not results.schedules:
        return missing(results)
    return [
        "", *missing(results), *spectra(results), "### Schedules", "", *schedules(results, SHOWN),
        *_crosses(results, [SHOWN]), *windows(results, SHOWN),
    ]  # fmt: skip


def every(results: Results) -> list[str]:
    """All of them."""
    if not results.schedules:
        return missing(results)
    learned = [line for regime in results.regimes for line in schedules(results, regime)]
    return [
        "", *missing(results), "### Schedules", "", *learned,
        *_crosses(results, results.regimes), *ranks(results), *windows(results), *units(results),
    ]  # fmt: skip


def main(
    results: Path = HERE / "results",
    readme: Path = HERE / "README.md",
    more: Path = HERE / "tables.md",
) -> None:
    """Write them between the marks."""
    known = found(results)
    between(MARKS, few(known), readme)
    between(MARKS, every(known), more)


if __name__ == "__main__":
    main()
