"""The tables and claims of the learned plans."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.data import LIKELY
from experiments.estimates import Estimate, differences, estimate
from experiments.learned_plans.run import EXPERIMENT, FINE, NAMED, ROWS, TIMING
from experiments.session import read_all, read_json
from experiments.summary import Claim, all_hold, seeds_line, table, verdict

MEASURES = {
    "own": "Fréchet to what the denoiser stands for",
    "frechet": "Fréchet to the data",
    "to_fine": "Fréchet to the fine solutions",
    "squared": "squared distance to the fine solution",
}
LIMITS = {"digits": 5.0, "network": 180.0}
"""Seconds in which a plan of 5 calls should be learned."""

SUBJECTS = {
    ("digits", LIKELY): "exact denoiser of the other half of the digits",
    ("patches", LIKELY): "that of 8x8 patches of photographs",
    ("network", "network"): "a UNet trained on the digits, plans through it",
}
"""Rows of the first table, by row and kernel width."""


class Judged(NamedTuple):
    """A row judged by one denoiser in S calls: the values of column -> measure, seed by seed."""

    row: str
    width: str
    kernel_width: Estimate | None
    steps: int
    values: dict[str, dict[str, list[float]]]

    @property
    def title(self) -> str:
        """The row, the kernel width and S, in words."""
        by = ""
        if self.kernel_width is not None:
            how = " (the likeliest)" if self.width == LIKELY else ""
            by = f", kernel width h = {self.kernel_width.mean:.3g}{how}"
        return f"{ROWS[self.row]}{by}: S = {self.steps}"

    @property
    def measure(self) -> str:
        """The measure that counts: the distance to what the denoiser stands for, if known."""
        return "own" if "own" in self.values[FINE] else "frechet"

    @property
    def heuristics(self) -> list[str]:
        """The columns that nobody learned, best first."""
        found = [x for x in self.values if x.split()[0] in ("ddim", "dpmpp_2m")]
        return sorted(found, key=lambda x: self.of(x).mean)

    @property
    def plans(self) -> list[str]:
        """The columns that were learned."""
        return [x for x in self.values if x not in self.heuristics and x != FINE]

    def of(self, column: str, measure: str | None = None) -> Estimate:
        """Estimate a measure of a column, by default the one that counts."""
        return estimate(self.values[column][measure or self.measure])

    def seeds(self, column: str) -> dict[int, float]:
        """Give the measure that counts, seed by seed."""
        return dict(enumerate(self.values[column][self.measure]))

    def best(self, sampler: str = "") -> str:
        """Name the best heuristic, of a sampler if one is given."""
        return next(name for name in self.heuristics if name.startswith(sampler))

    def verdict(self, plan: str, other: Judged, rival: str) -> str:
        """Judge whether a plan is nearer than its rival, from the same noise of each seed."""
        return differences(self.seeds(plan), other.seeds(rival)).verdict()

    @property
    def default_plans(self) -> dict[str, str]:
        """The plans learned for the denoiser that judges; first that of sx.learn's default.

        The default objective was the distance to the teacher alone when this was run. The tenth of
        the transfer loss came after, and later the mean of logarithms in place of the mean.
        """
        if self.row == "network":
            return {"the learned plan": "network"}
        plans = {
            "the learned plan": f"empirical + gaussian @ {self.width}",
            "the plan learned by the teacher alone": f"empirical @ {self.width}",
        }
        return {words: plan for words, plan in plans.items() if plan in self.values}

    @property
    def shown(self) -> dict[str, str]:
        """The columns of the table: their words, and their names."""
        best = self.best()
        found = {name: name for name in NAMED if name in self.values}
        found[f"best of all heuristics: {best}"] = best
        return {**found, **{f"plan: {x}": x for x in self.plans}, FINE: FINE}


def judged(results: Path) -> Iterator[Judged]:
    """Read all that has been judged, with the seeds that are there."""
    for row in ROWS:
        seeds = read_all(results, f"{row}-*.json")
        for steps in sorted({int(s) for one in seeds for s in one["steps"]}):
            found = [one["steps"][str(steps)] for one in seeds if str(steps) in one["steps"]]
            for width in found[0]["judged"]:
                kernel = [one["widths"][width] for one in found] if "widths" in found[0] else None
                values = _by_column([one["judged"][width] for one in found])
                yield Judged(row, width, kernel and estimate(kernel), steps, values)


def _by_column(seeds: list[dict[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """Collect the seeds of the columns that all of them have."""
    shared = [name for name in seeds[0] if all(name in one for one in seeds)]
    return {name: {m: [one[name][m] for one in seeds] for m in seeds[0][name]} for name in shared}


def tables(results: Path) -> list[str]:
    """Make all tables."""
    every = list(judged(results))
    lines = default_table(every)
    for one in every:
        measures = [m for m in MEASURES if m in one.values[FINE]]
        lines += [f"### {one.title}", "", *seeds_line(one.of(FINE).seeds)]
        rows = [[x, *(one.of(name, m) for m in measures)] for x, name in one.shown.items()]
        lines += table(["", *(MEASURES[m] for m in measures)], rows)
    return lines + times_table(results)


def default_table(every: list[Judged]) -> list[str]:
    """Put the plan of the default objective beside the best heuristic."""
    known, rows = {(one.row, one.width, one.steps): one for one in every}, []
    for (row, width), words in SUBJECTS.items():
        pair = [known[row, width, steps] for steps in (5, 8) if (row, width, steps) in known]
        if len(pair) == 2:
            default = next(iter(pair[0].default_plans.values()))
            cells = [one.of(x) for one in pair for x in (one.best(), default)]
            rows.append([words, *cells, pair[1].of(FINE)])
    head = [x for s in (5, 8) for x in (f"best heuristic, {s} calls", f"plan, {s} calls")]
    title = "The plan of the default objective beside the best heuristic"
    return table(["judged by", *head, FINE], rows, title, 3)


def times_table(results: Path) -> list[str]:
    """Give seconds of learning, where programs were compiled before and where not."""
    rows = []
    for row in ROWS:
        seeds = [one["steps"] for one in read_all(results, f"{row}-*.json")]
        for steps in sorted({s for one in seeds for s in one}, key=int):
            known = [one[steps]["learning"] for one in seeds if steps in one]
            for name in known[0]:
                facts = [one[name] for one in known if one.get(name, {}).get("seconds")]
                if facts:
                    rows.append([f"{row}: {name}", steps, *_seconds(facts)])
    return table(["", "S", "first", "later, median (range)"], rows, "Seconds of learning", 3)


def _seconds(facts: list[dict[str, Any]]) -> tuple[str, str]:
    first = [f"{one['seconds']:.1f}" for one in facts if not one["compiled"]]
    later = [one["seconds"] for one in facts if one["compiled"]]
    spread = f"{np.median(later):.1f} ({min(later):.1f} to {max(later):.1f})" if later else "-"
    return ", ".join(first) or "-", spread


def claims(results: Path) -> Iterator[Claim]:
    """Make the claims of every row that has been judged."""
    every = list(judged(results))
    for one in every:
        best, command = one.best(), EXPERIMENT.command(one.row)
        for words, plan in one.default_plans.items():
            yield Claim(
                f"{one.title}: {words} beats every heuristic", one.verdict(plan, one, best),
                f"{one.of(plan)}; best heuristic ({best}) {one.of(best)}; fine {one.of(FINE)}",
                command,
            )  # fmt: skip
        yield from _fewer_calls(one, every)
        verdicts = [one.verdict(x, one, best) for x in one.plans]
        worse = [f"{x} {one.of(x)}" for x in one.plans if one.of(x).mean > one.of(best).mean]
        yield Claim(
            f"{one.title}: plans learned on any other rung or width beat every heuristic, too",
            all_hold(verdicts),
            f"best heuristic {one.of(best)}; worse: {', '.join(worse) or 'none'}",
            command,
        )
    yield from _times(results)


def _fewer_calls(one: Judged, every: list[Judged]) -> Iterator[Claim]:
    """Compare 5 calls with DPM-Solver++(2M)'s best at 8."""
    more = [x for x in every if (x.row, x.width, x.steps) == (one.row, one.width, 8)]
    if one.steps != 5 or not more:
        return
    rival = more[0].best("dpmpp_2m")
    for words, plan in one.default_plans.items():
        yield Claim(
            f"{one.title}: {words} is better than DPM-Solver++(2M) along its best schedule at 8",
            one.verdict(plan, more[0], rival),
            f"{one.of(plan)}; {rival} at 8: {more[0].of(rival)}",
            EXPERIMENT.command(one.row),
        )


def _times(results: Path) -> Iterator[Claim]:
    known = read_json(results / "timing.json")
    for row, most in LIMITS.items():
        seconds = [one["seconds"] for one in known.get(row, [])]
        if seconds:
            later = estimate(seconds[1:] or seconds)
            compiled = f" (first, with compilation: {seconds[0]:.1f} s)" if seconds[1:] else ""
            claim = f"{ROWS[row]}: S = {known['steps']} is learned in {most:.0f} s on 2 cores"
            holds = verdict(later.mean <= most)
            yield Claim(claim, holds, f"{later} s{compiled}", EXPERIMENT.command(TIMING))
