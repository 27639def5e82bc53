"""The tables of the README, from the results: ``python -m experiments.learned_plans.tables``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.common import between, read_json
from experiments.estimates import Estimate, estimate
from experiments.learned_plans.config import LIKELY, NAMED, ROWS
from experiments.learned_plans.judging import FINE

HERE = Path(__file__).parent
MARKS = ("<!-- tables: written by tables.py -->", "<!-- end of tables -->")
_MEASURES = {
    "own": "Fréchet to what the denoiser stands for",
    "frechet": "Fréchet to the data",
    "to_fine": "Fréchet to the fine solutions",
    "squared": "squared distance to the fine solution",
}


class Judged(NamedTuple):
    """A row judged by one denoiser in S calls: column -> measure -> estimate, and value by seed."""

    row: str
    width: str
    kernel_width: Estimate | None
    steps: int
    columns: dict[str, dict[str, Estimate]]
    values: dict[str, dict[str, list[float]]]

    @property
    def title(self) -> str:
        """What it is, in words."""
        by = ""
        if self.kernel_width is not None:
            how = " (the likeliest)" if self.width == LIKELY else ""
            by = f", kernel width h = {self.kernel_width.mean:.3g}{how}"
        return f"{ROWS[self.row]}{by}: S = {self.steps}"

    @property
    def measure(self) -> str:
        """The measure by which columns are compared: to what the denoiser stands for, if known."""
        return "own" if "own" in self.columns[FINE] else "frechet"

    @property
    def heuristics(self) -> list[str]:
        """The columns that nobody learned, best first."""
        found = [x for x in self.columns if x.split()[0] in ("ddim", "dpmpp_2m")]
        return sorted(found, key=lambda x: self.columns[x][self.measure].mean)

    def of(self, column: str) -> Estimate:
        """The measure that counts, of a column."""
        return self.columns[column][self.measure]

    def seeds(self, column: str) -> dict[int, float]:
        """The measure that counts, seed by seed."""
        return dict(enumerate(self.values[column][self.measure]))

    @property
    def shown(self) -> dict[str, str]:
        """The columns of the table: what they are called, and their name."""
        best = self.heuristics[0]
        found = {name: name for name in NAMED if name in self.columns}
        found[f"best of all heuristics: {best}"] = best
        own = [x for x in self.columns if x not in self.heuristics and x != FINE]
        return {**found, **{f"plan: {x}": x for x in own}, FINE: FINE}


def judged(results: Path) -> Iterator[Judged]:
    """All that has been judged, with the seeds that are there."""
    for row in ROWS:
        seeds = [read_json(path) for path in sorted(results.glob(f"{row}-*.json"))]
        for steps in sorted({int(s) for one in seeds for s in one["steps"]}):
            found = [one["steps"][str(steps)] for one in seeds if str(steps) in one["steps"]]
            for width in found[0]["judged"]:
                kernel = [one["widths"][width] for one in found] if "widths" in found[0] else None
                values = _values([one["judged"][width] for one in found])
                columns = {
                    name: {m: estimate(x) for m, x in measures.items()}
                    for name, measures in values.items()
                }
                yield Judged(row, width, kernel and estimate(kernel), steps, columns, values)


def _values(seeds: list[dict[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """Of the columns that all seeds have."""
    shared = [name for name in seeds[0] if all(name in one for one in seeds)]
    return {name: {m: [one[name][m] for one in seeds] for m in seeds[0][name]} for name in shared}


def table_of(one: Judged) -> list[str]:
    """As Markdown."""
    measures = [m for m in _MEASURES if m in one.columns[FINE]]
    seeds = one.of(FINE).seeds
    lines = [
        f"### {one.title}",
        "",
        f"{seeds} seed{'s' * (seeds > 1)}.",
        "",
        "| | " + " | ".join(_MEASURES[m] for m in measures) + " |",
        "|---|" + "---|" * len(measures),
    ]
    for title, name in one.shown.items():
        cells = (str(one.columns[name][m]) for m in measures)
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def times_of(results: Path) -> list[str]:
    """Seconds of learning, where programs were compiled before and where not."""
    lines = [
        "### Seconds of learning",
        "",
        "| | S | first | later, median (range) |",
        "|---|---|---|---|",
    ]
    for row in ROWS:
        seeds = [read_json(path)["steps"] for path in sorted(results.glob(f"{row}-*.json"))]
        for steps in sorted({s for one in seeds for s in one}, key=int):
            known = [one[steps]["learning"] for one in seeds if steps in one]
            for name in known[0]:
                facts = [one[name] for one in known if one.get(name, {}).get("seconds")]
                if facts:
                    lines.append(f"| {row}: {name} | {steps} | {_times(facts)} |")
    return [*lines, ""]


def _times(facts: list[dict[str, Any]]) -> str:
    first = [f"{one['seconds']:.1f}" for one in facts if not one["compiled"]]
    later = [one["seconds"] for one in facts if one["compiled"]]
    spread = f"{np.median(later):.1f} ({min(later):.1f} to {max(later):.1f})" if later else "-"
    return f"{', '.join(first) or '-'} | {spread}"


def main(results: Path = HERE / "results", readme: Path = HERE / "README.md") -> None:
    """Write the tables between the marks of the README."""
    lines = [line for one in judged(results) for line in table_of(one)] + times_of(results)
    between(MARKS, ["", *lines], readme)


if __name__ == "__main__":
    main()
