"""The results of all datasets, and numbers as tables show them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.common import read_json
from experiments.real_spectra.config import DATASETS

HERE = Path(__file__).parent
NOT_YET = "not yet run"
COMMAND = "`python -m experiments.real_spectra.run --data {}`"
HELD_OUT = "held out"


class Number(NamedTuple):
    """A number and its standard error (NaN where it has none)."""

    value: float
    error: float = float("nan")

    def __str__(self) -> str:
        if not np.isfinite(self.error):
            return f"{self.value:.{_digits(self.value)}f}"
        digits = max(_digits(self.value), min(5, _digits(self.error, 1)))
        return f"{self.value:.{digits}f} ± {self.error:.{digits}f}"

    def clearly_above(self, other: Number) -> bool:
        """By more than two standard errors of the difference."""
        error = np.nan_to_num(np.hypot(np.nan_to_num(self.error), np.nan_to_num(other.error)))
        return bool(self.value - other.value > 2 * error)


def _digits(value: float, significant: int = 3) -> int:
    """Places that show so many significant digits, two more for what is near 1 from above."""
    if significant > 1 and 1 <= value < 2:
        return significant
    power = int(np.floor(np.log10(abs(value)))) if value else 0
    return int(np.clip(significant - 1 - power, 0, 6))


class Results(NamedTuple):
    """What has been run: documents by dataset."""

    estimates: dict[str, dict[str, Any]]
    schedules: dict[str, dict[str, Any]]
    ranks: dict[str, dict[str, Any]]
    units: dict[str, dict[str, Any]]
    windows: dict[str, dict[str, Any]]
    cross: dict[str, Any]

    @property
    def regimes(self) -> list[str]:
        """Of what was learned."""
        return list(next(iter(self.schedules.values()))["regimes"])

    def matrix(self, regime: str) -> Matrix:
        """The datasets on each other."""
        return Matrix.of(self.cross["datasets"], self.cross["regimes"][regime])


def found(results: Path) -> Results:
    """All of it, in the order of the table of datasets."""

    def read(kind: str) -> dict[str, dict[str, Any]]:
        documents = {name: read_json(results / f"{kind}-{name}.json") for name in DATASETS}
        return {name: document for name, document in documents.items() if document}

    return Results(
        read("estimates"), read("schedules"), read("ranks"), read("units"), read("windows"),
        read_json(results / "cross.json"),
    )  # fmt: skip


class Matrix(NamedTuple):
    """Ratios to the optimum of the column: by (row, column)."""

    columns: list[str]
    rows: list[str]
    cells: dict[tuple[str, str], Number]

    @classmethod
    def of(cls, columns: list[str], document: dict[str, Any]) -> Matrix:
        """From a result; what was learned on the other half is a row of its own."""
        cells = {
            (row, column): Number(document["ratio"][i][j], document["error"][i][j])
            for i, row in enumerate(document["rows"])
            for j, column in enumerate(columns)
        }
        for j, column in enumerate(columns):
            own = Number(document["held_out"][j], document["held_out_error"][j])
            cells[HELD_OUT, column] = own
        return cls(columns, document["rows"], cells)

    @property
    def heuristics(self) -> list[str]:
        """Rows that are no dataset's."""
        return [row for row in self.rows if row not in self.columns]

    def best(self, column: str) -> tuple[str, Number]:
        """The best heuristic of a column."""
        name = min(self.heuristics, key=lambda row: self.cells[row, column].value)
        return name, self.cells[name, column]

    def pairs(self) -> list[tuple[str, str]]:
        """(row, column) of different datasets."""
        return [(a, b) for a in self.columns for b in self.columns if a != b]


def plain(name: str) -> str:
    """A name as readers see it."""
    return name.replace("_", " ")


def window_of(title: str, document: dict[str, Any]) -> str:
    """The window of a sound's spectrum, from its name."""
    return title.split("@")[1] if "@" in title else str(document["config"]["window"])
