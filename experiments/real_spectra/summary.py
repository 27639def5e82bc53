"""The tables and claims of real spectra."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.experiment import NOT_YET
from experiments.real_spectra.run import DATASETS, EXPERIMENT
from experiments.session import read_json
from experiments.summary import NO, NOT_CLEAR, YES, Claim, not_run, table, verdict

HELD_OUT = "held out"
SHOWN = "ddim, w2, S = 10"
"""The regime that the README shows; tables.md has all."""

WITHIN = {"shift-invariant": 1.05, "low-rank": 1.05, "spectral": 1.01, "half": 1.01, "window": 1.1}
"""How far above the optimum an estimate, the closed form, half of the data, a window may be."""


class Number(NamedTuple):
    """A number and its standard error (NaN where it has none)."""

    value: float
    error: float = float("nan")

    def __str__(self) -> str:
        if not np.isfinite(self.error):
            return f"{self.value:.{_decimals(self.value)}f}"
        digits = max(_decimals(self.value), min(5, _decimals(self.error, 1)))
        return f"{self.value:.{digits}f} ± {self.error:.{digits}f}"

    def clearly_above(self, other: Number) -> bool:
        """Tell whether it is larger by more than two standard errors of the difference."""
        error = np.nan_to_num(np.hypot(np.nan_to_num(self.error), np.nan_to_num(other.error)))
        return bool(self.value - other.value > 2 * error)


def _decimals(value: float, significant: int = 3) -> int:
    """Count the decimals for so many significant digits, two more for what is just above 1."""
    if significant > 1 and 1 <= value < 2:
        return significant
    power = int(np.floor(np.log10(abs(value)))) if value else 0
    return int(np.clip(significant - 1 - power, 0, 6))


class Matrix(NamedTuple):
    """Ratios to the optimum of the column, by (row, column)."""

    columns: list[str]
    rows: list[str]
    cells: dict[tuple[str, str], Number]

    @classmethod
    def of(cls, columns: list[str], document: dict[str, Any]) -> Matrix:
        """Read a result; what was learned on the other half is a row of its own."""
        cells = {
            (row, column): Number(document["ratio"][i][j], document["error"][i][j])
            for i, row in enumerate(document["rows"])
            for j, column in enumerate(columns)
        }
        for j, column in enumerate(columns):
            own = Number(document["held_out"][j], document["held_out_error"][j])
            cells[HELD_OUT, column] = own
        return cls(columns, document["rows"], cells)

    def best(self, column: str) -> tuple[str, Number]:
        """Give the best heuristic of a column: the best row that is no dataset's."""
        rows = [row for row in self.rows if row not in self.columns]
        name = min(rows, key=lambda row: self.cells[row, column].value)
        return name, self.cells[name, column]

    def pairs(self) -> list[tuple[str, str]]:
        """List (row, column) of different datasets."""
        return [(a, b) for a in self.columns for b in self.columns if a != b]


class Results(NamedTuple):
    """What has been run: documents by dataset, in the order of DATASETS."""

    estimates: dict[str, dict[str, Any]]
    schedules: dict[str, dict[str, Any]]
    ranks: dict[str, dict[str, Any]]
    units: dict[str, dict[str, Any]]
    windows: dict[str, dict[str, Any]]
    cross: dict[str, Any]

    @property
    def regimes(self) -> list[str]:
        """The regimes of what was learned."""
        return list(next(iter(self.schedules.values()), {"regimes": []})["regimes"])

    def matrix(self, regime: str) -> Matrix:
        """Give the datasets on each other."""
        return Matrix.of(self.cross["datasets"], self.cross["regimes"][regime])

    def each(self, regimes: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Give what was learned in regimes with the words of dataset and regime."""
        for regime in regimes:
            for name, document in self.schedules.items():
                yield f"{plain(name)}, {regime}", document["regimes"][regime]


def read(results: Path) -> Results:
    """Read all of it."""
    kinds = []
    for kind in Results._fields[:-1]:
        documents = {name: read_json(results / f"{kind}-{name}.json") for name in DATASETS}
        kinds.append({name: document for name, document in documents.items() if document})
    return Results(*kinds, read_json(results / "cross.json"))


def plain(name: str) -> str:
    """Give a name as readers see it."""
    return name.replace("_", " ")


def window_of(title: str, document: dict[str, Any]) -> str:
    """Give the window of a sound's spectrum, from its title."""
    return title.split("@")[1] if "@" in title else str(document["config"]["window"])


def tables(results: Path) -> list[str]:
    """Make what the README shows."""
    known = read(results)
    lines = missing(known)
    if known.schedules:
        lines += [*spectra_table(known), "### Schedules", "", *schedules_table(known, SHOWN)]
        lines += crosses(known, [SHOWN]) + windows_tables(known, SHOWN)
    return lines


def more_tables(results: Path) -> list[str]:
    """Make the tables of all regimes."""
    known = read(results)
    if not known.schedules:
        return missing(known)
    learned = [line for regime in known.regimes for line in schedules_table(known, regime)]
    return [
        *missing(known), "### Schedules", "", *learned, *crosses(known, known.regimes),
        *ranks_tables(known), *windows_tables(known), *units_table(known),
    ]  # fmt: skip


def missing(results: Results) -> list[str]:
    """Name each dataset that has not been run."""
    absent = [name for name in DATASETS if name not in results.schedules]
    return [f"{DATASETS[x].words}: {NOT_YET}: `{EXPERIMENT.command(x)}`\n" for x in absent]


def spectra_table(results: Results) -> list[str]:
    """Show each dataset by each estimate."""
    head = ["dataset", "estimate", "samples", "d", "slope", "R^2", "variance", "90 % in", "99 % in"]
    rows = []
    for name, document in results.estimates.items():
        for method, x in document["estimates"].items():
            rows.append([
                plain(name), method, f"{document['samples']:,}",
                math.prod(document["source"]["shape"]),
                f"{x['exponent']:.2f} ± {x['exponent_error']:.2f}", f"{x['r_squared']:.2f}",
                f"{x['variance']:.4g}", *(f"{n:.0f}" for n in x["directions"].values()),
                f"{x['cpu_seconds']:.1f}", f"{x['mebibytes']:.0f}",
            ])  # fmt: skip
    return table([*head, "CPU s", "MiB"], rows, "Spectra", 3)


def schedules_table(results: Results, regime: str) -> list[str]:
    """Show the learned loss, its shape, and every other schedule over it."""
    known = {name: x["regimes"][regime] for name, x in results.schedules.items()}
    every = list(known.values())
    others = [x for x in every[0]["ratio"] if x != "learned"]
    others.sort(key=lambda row: sum(x["ratio"][row] for x in every))

    def loss(x: dict[str, Any]) -> str:
        return f"{x['value']:.3g} ± {100 * x['value_error'] / x['value']:.1f} %"

    rows: list[list[Any]] = [
        ["learned: loss", *map(loss, every)],
        ["area under alpha_bar", *(Number(x["area"], x["area_error"]) for x in every)],
        ["sigma at half time", *(Number(x["middle"], x["middle_error"]) for x in every)],
    ]
    for method in every[0]["estimates"]:
        ratios = [Number(x["estimates"][method]["ratio"]) for x in every]
        rows.append([f"learned on {method}", *ratios])
    rows += [[row, *(Number(x["ratio"][row]) for x in every)] for row in others]
    needed = (x["steps_needed"]["cosine"] or "> 1000" for x in every)
    rows.append(["steps that cosine needs", *needed])
    return table(["", *map(plain, known)], rows, regime)


def cross_table(title: str, matrix: Matrix, names: dict[str, str]) -> list[str]:
    """Show where a schedule was learned in rows, and where it is judged in columns."""
    rows: list[list[Any]] = [
        [names[row], *(matrix.cells[HELD_OUT if row == x else row, x] for x in matrix.columns)]
        for row in matrix.columns
    ]
    rows.append(["cosine", *(matrix.cells["cosine", x] for x in matrix.columns)])
    best = [matrix.best(x) for x in matrix.columns]
    rows.append(["best heuristic", *(f"{number} ({name})" for name, number in best)])
    head = ["learned on \\ judged on", *(names[x] for x in matrix.columns)]
    return table(head, rows, title)


def crosses(results: Results, regimes: list[str]) -> list[str]:
    """Show all datasets on each other."""
    lines = ["### Everything on everything", ""]
    for regime in regimes if results.cross else []:
        matrix = results.matrix(regime)
        lines += cross_table(regime, matrix, {x: plain(x) for x in matrix.columns})
    return lines


def ranks_tables(results: Results) -> list[str]:
    """Show the low-rank estimate, rank by rank."""
    some = next(iter(results.ranks.values()))
    every = [str(x) for x in some["config"]["ranks"]]
    head = ["dataset \\ rank", *every]
    lines = ["### Rank", ""]

    def rows(cell: Any) -> list[list[str]]:
        known = {name: x["ranks"] for name, x in results.ranks.items()}
        return [[plain(name), *(cell(one[x]) if x in one else "-" for x in every)]
                for name, one in known.items()]  # fmt: skip

    for regime in next(iter(some["ranks"].values()))["ratio"]:
        lines += table(head, rows(lambda one, r=regime: str(Number(one["ratio"][r]))), regime)
    return lines + table(head, rows(lambda one: f"{one['cpu_seconds']:.1f}"), "CPU seconds")


def windows_tables(results: Results, only: str | None = None) -> list[str]:
    """Show windows of sound on each other."""
    lines = ["### Window of sound", ""]
    for name, document in results.windows.items():
        names = {x: window_of(x, document) for x in document["datasets"]}
        for regime, one in document["regimes"].items():
            if only in (None, regime):
                matrix = Matrix.of(document["datasets"], one)
                lines += cross_table(f"{plain(name)}: {regime}", matrix, names)
    return lines


def units_table(results: Results) -> list[str]:
    """Show what other units would cost."""
    rows = [
        [plain(name), x["units"], *(Number(r) for r in x["ratio"].values())]
        for name, x in results.units.items()
    ]
    said = [f"- {plain(name)}: {x['refusal'] or 'accepted'}" for name, x in results.units.items()]
    lines = table(["dataset", "learned in", *results.regimes], rows, "Units", 3)
    return [*lines, "`check_units` says:", "", *said, ""]


class Comparison(NamedTuple):
    """A number that should be below another, and the words for both."""

    less: Number
    more: Number
    words: str


def claims(results: Path) -> Iterator[Claim]:
    """Make a line for each claim, and for what is missing."""
    known = read(results)
    for name in DATASETS:
        if name not in known.schedules:
            yield not_run(f"{DATASETS[name].words}: its schedules", EXPERIMENT.command(name))
    for regime in known.regimes if known.cross else []:
        yield from _of_regime(known, regime)
    for loss in ("w2", "kl"):
        mine = [x for x in known.regimes if f" {loss}," in x]
        if mine:
            yield from _of_loss(known, loss, mine)
    for name, one in known.units.items():
        costs = [Number(x) for x in one["ratio"].values()]
        yield Claim(
            f"{plain(name)} in other units ({one['units']}): the schedule is refused on [-1, 1]",
            verdict(bool(one["refusal"])),
            f"it would cost {min(costs)} to {max(costs)} times the optimum",
            EXPERIMENT.command(name),
        )


def _claim(claim: str, cases: Iterable[Comparison]) -> Claim:
    """Say yes if it holds in every case, no if it clearly fails in one."""
    cases = list(cases)
    held = [x for x in cases if x.more.clearly_above(x.less)]
    failed = [x for x in cases if x.less.clearly_above(x.more)]
    holds = NO if failed else YES if len(held) == len(cases) else NOT_CLEAR
    tightest = min(cases, key=lambda x: x.more.value / x.less.value)
    counts = f"{len(held)} of {len(cases)} cases, against it {len(failed)}"
    return Claim(claim, holds, f"{counts}; the tightest: {tightest.words}", EXPERIMENT.command())


def _of_regime(results: Results, regime: str) -> Iterator[Claim]:
    """Claim something of the matrix of all datasets."""
    matrix = results.matrix(regime)
    what = f"{len(matrix.columns)} real spectra, {regime}"
    own = []
    for name in matrix.columns:
        held_out, (best, number) = matrix.cells[HELD_OUT, name], matrix.best(name)
        words = f"{plain(name)}: {held_out} of the optimum on the other half, {best} {number}"
        own.append(Comparison(held_out, number, words))
    yield _claim(f"{what}: the learned schedule beats every heuristic", own)
    for rival, words in (("cosine", "cosine"), ("best", "the best heuristic of that one")):
        cases = []
        for row, column in matrix.pairs():
            given = matrix.cells[row, column]
            name, number = (
                matrix.best(column) if rival == "best" else (rival, matrix.cells[rival, column])
            )
            told = f"{plain(row)}'s on {plain(column)} {given}, {name} {number}"
            cases.append(Comparison(given, number, told))
        yield _claim(f"{what}: the schedule of any other dataset beats {words}", cases)


def _of_loss(results: Results, loss: str, regimes: list[str]) -> Iterator[Claim]:
    """Claim something of estimates, halves, shapes and windows."""
    what, every = f"real spectra, {loss}", list(results.each(regimes))
    for name in ("shift-invariant", "low-rank"):
        ratios = [(words, Number(x["estimates"][name]["ratio"])) for words, x in every]
        claim = f"the schedule of the {name} estimate is within {_percent(name)} of the optimum"
        yield _claim(f"{what}: {claim}", _within(name, ratios))
    ddim = [x for x in regimes if x.startswith("ddim")]
    ratios = [(words, Number(x["ratio"]["spectral"])) for words, x in results.each(ddim)]
    claim = f"{what}, DDIM: the closed form is within {_percent('spectral')} of the optimum"
    yield _claim(claim, _within("spectral", ratios))
    if results.cross:
        matrices = [(regime, results.matrix(regime)) for regime in regimes]
        ratios = [
            (f"{plain(name)}, {regime}", matrix.cells[HELD_OUT, name])
            for regime, matrix in matrices
            for name in matrix.columns
        ]
        claim = f"learned on half of the data it is within {_percent('half')} on the other half"
        yield _claim(f"{what}: {claim}", _within("half", ratios))
    areas = [(words, Number(x["area"], x["area_error"])) for words, x in every]
    shape = "convex (area < 1/2)" if loss == "w2" else "concave (area > 1/2)"
    pairs = [
        Comparison(*((x, Number(0.5)) if loss == "w2" else (Number(0.5), x)), f"{words}: {x}")
        for words, x in areas
    ]
    yield _claim(f"{what}: alpha_bar over time is {shape}", pairs)
    for sound, document in results.windows.items():
        ratios = [
            (f"{window_of(pair[0], document)} on {window_of(pair[1], document)}, {regime}", ratio)
            for regime, one in document["regimes"].items()
            if f" {loss}," in regime
            for pair, ratio in _others(Matrix.of(document["datasets"], one))
        ]
        claim = f"the schedule of any window is within {_percent('window')} on any other"
        yield _claim(f"{plain(sound)}, {loss}: {claim}", _within("window", ratios))


def _others(matrix: Matrix) -> list[tuple[tuple[str, str], Number]]:
    return [(pair, matrix.cells[pair]) for pair in matrix.pairs()]


def _within(name: str, ratios: list[tuple[str, Number]]) -> list[Comparison]:
    """Compare ratios to the optimum with what is allowed."""
    return [Comparison(x, Number(WITHIN[name]), f"{words}: {x}") for words, x in ratios]


def _percent(name: str) -> str:
    return f"{100 * (WITHIN[name] - 1):.0f} %"
