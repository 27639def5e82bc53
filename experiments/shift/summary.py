"""The tables and claims of shifts that a spectrum names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.estimates import Estimate, estimate
from experiments.experiment import NOT_YET
from experiments.session import read_all, read_json
from experiments.shift.run import ALL, DIGITS, EXPERIMENT, FLOW, NAMED, SAMPLERS, WITHIN
from experiments.summary import Claim, all_hold, not_run, seeds_line, table, verdict

TITLES = {
    "hsc": "galaxies of HSC, 32x32",
    "ztf": "galaxies of ZTF, 32x32",
    DIGITS: "a UNet on digits, 8x8",
}
CUSTOMARY = {"1": "no shift", "1.65": "Flux's at 256 tokens", "3": "SD3's at 1,024 pixels"}
FLOW_TITLE = "a guided flow transformer on clothes, 16x16"
SCHEDULERS = {"Euler, trailing": "ddim", "DPM-Solver++(2M)": "dpmpp_2m", "UniPC": "unipc"}
"""Diffusers' schedulers of the flow transformer, and the sampler that a shift is named for."""

NEAR, SAME_FALL = 0.1, 0.25


class Row(NamedTuple):
    """All shifts of a network, a sampler and S, of every seed."""

    case: str
    sampler: str
    steps: int
    seeds: dict[int, dict[str, dict[str, float]]]

    def values(self, name: str, measure: str = "mean") -> dict[int, float]:
        """Give a measure of a shift, by its name, seed by seed."""
        return {seed: rows[name][measure] for seed, rows in self.seeds.items()}

    def of(self, name: str, measure: str = "mean") -> Estimate:
        """Estimate it."""
        return estimate(list(self.values(name, measure).values()))

    @property
    def shifts(self) -> dict[str, float]:
        """The shifts by name, the named one among them."""
        return {name: x["shift"] for name, x in next(iter(self.seeds.values())).items()}

    def best(self, measure: str = "mean") -> str:
        """Find the best shift but the named one, by its mean over seeds."""
        return min((x for x in self.shifts if x != NAMED), key=lambda x: self.of(x, measure).mean)

    def over(self, name: str) -> Estimate:
        """Estimate the named shift's distance over that of another, from the same noise."""
        mine, other = self.values(NAMED), self.values(name)
        return estimate([mine[seed] / other[seed] for seed in mine])

    def optimum(self, seed: int) -> float:
        """Interpolate the best shift of a seed by a parabola, in logarithms."""
        known = {name: x["mean"] for name, x in self.seeds[seed].items() if name != NAMED}
        x = np.log([self.shifts[name] for name in known])
        y = np.log(list(known.values()))
        k = int(np.clip(np.argmin(y), 1, len(y) - 2))
        a, b, _ = np.polyfit(x[k - 1 : k + 2], y[k - 1 : k + 2], 2)
        return float(np.exp(np.clip(-b / (2 * a), x[0], x[-1])))


def read(results: Path, case: str) -> list[Row]:
    """Read the results of a network, a row for each sampler and S."""
    found: dict[tuple[str, int], dict[int, Any]] = {}
    for document in (x for x in read_all(results, f"{case}-*.json") if x["complete"]):
        for sampler, every in document["judged"].items():
            for steps, rows in every.items():
                found.setdefault((sampler, int(steps)), {})[document["seed"]] = rows
    return [Row(case, *key, seeds) for key, seeds in found.items()]


def tables(results: Path) -> list[str]:
    """Make a table of distances for each network, and one of the flow transformer."""
    lines = []
    for case, title in TITLES.items():
        rows = read(results, case)
        if not rows:
            lines += [f"{title}: {NOT_YET}: `{EXPERIMENT.command(case)}`", ""]
            continue
        head = ["sampler", "S", "named", "its distance", "best of the grid", "its distance",
                *(f"{name} ({words})" for name, words in CUSTOMARY.items()),
                "Fréchet, named", "Fréchet, best"]  # fmt: skip
        cells = [
            [SAMPLERS[row.sampler], row.steps, f"{row.shifts[NAMED]:.2f}", row.of(NAMED),
             row.best(), row.of(row.best()), *map(row.of, CUSTOMARY), row.of(NAMED, "frechet"),
             f"{row.of(row.best('frechet'), 'frechet')} ({row.best('frechet')})"]
            for row in rows
        ]  # fmt: skip
        lines += table(head, cells, title) + seeds_line(len(rows[0].seeds))
    return lines + _flow_table(results)


class Scheduled(NamedTuple):
    """A scheduler of the flow transformer in S steps.

    Attributes:
      named: the shifts by what they are named from. every: what was measured, by shift.
    """

    scheduler: str
    steps: str
    named: dict[str, float]
    every: dict[float, dict[str, float]]

    def between(self, of: str, measure: str = "mean") -> float:
        """Interpolate a measure at a named shift, in logarithms."""
        values = [row[measure] for row in self.every.values()]
        x = np.log(list(self.every))
        return float(np.exp(np.interp(np.log(self.named[of]), x, np.log(values))))

    @property
    def best(self) -> float:
        """The best shift."""
        return min(self.every, key=lambda x: self.every[x]["mean"])


def _flow(results: Path) -> Iterator[Scheduled]:
    named = read_json(results / f"{FLOW}.json").get(NAMED)
    judged = read_json(results.parent.parent / "diffusers_pipelines/results/shifts.json")
    if not named or not judged:
        return
    for steps, rows in judged["judged"].items():
        for scheduler, sampler in SCHEDULERS.items():
            start = f"{scheduler}, shift "
            every = {float(x[len(start) :]): y for x, y in rows.items() if x.startswith(start)}
            shifts = {name: known[sampler][steps] for name, known in named.items()}
            yield Scheduled(scheduler, steps, shifts, every)


def _flow_table(results: Path) -> list[str]:
    found = list(_flow(results))
    if not found:
        return []
    rows = [
        [one.scheduler, one.steps, *(f"{x['mean']:.2f}" for x in one.every.values()),
         *(f"{one.between(name):.2f} ({shift:.2f})" for name, shift in one.named.items())]
        for one in found
    ]  # fmt: skip
    shifts = [f"{x:g}" for x in found[0].every]
    head = ["scheduler", "S", *shifts, *(f"named, {name}" for name in found[0].named)]
    return table(head, rows, f"{FLOW_TITLE}: mean squared distance by shift (in brackets)")


def claims(results: Path) -> Iterator[Claim]:
    """Make the claims: near the best, better than the customary, and the fall with S."""
    for case, title in TITLES.items():
        rows, command = read(results, case), EXPERIMENT.command(case)
        if not rows:
            yield not_run(f"{title}: the named shift is as good as the best of the grid", command)
        for sampler, words in SAMPLERS.items():
            own = [row for row in rows if row.sampler == sampler]
            if own:
                start = f"{title}, {words}: "
                yield Claim(start + _NEAR_BEST, *_near_best(own), command)
                for name, whose in CUSTOMARY.items():
                    claim = f"{start}the named shift beats {name} ({whose}) at every S"
                    yield Claim(claim, *_beats(own, name), command)
                yield Claim(start + _FALLS, *_falls(own), command)
    yield from _flow_claims(results)


_NEAR_BEST = (
    f"the named shift is at most {100 * NEAR:.0f} % above the best of the grid at every S "
    "(mean squared distance to the fine solution)"
)
_FALLS = f"the best shift falls with S by the factor of the named ones, to {100 * SAME_FALL:.0f} %"


def _near_best(rows: list[Row]) -> tuple[str, str]:
    ratios = [row.over(row.best()) for row in rows]
    verdicts = [Estimate(1 + NEAR - x.mean, x.error, x.seeds).verdict() for x in ratios]
    measured = "; ".join(
        f"S = {row.steps}: {row.shifts[NAMED]:.2f} against {row.best()}, "
        f"{100 * (x.mean - 1):+.0f} ± {100 * x.error:.0f} %"
        for row, x in zip(rows, ratios, strict=True)
    )
    return all_hold(verdicts), measured


def _beats(rows: list[Row], name: str) -> tuple[str, str]:
    ratios = [row.over(name) for row in rows]
    verdicts = [Estimate(1 - x.mean, x.error, x.seeds).verdict() for x in ratios]
    measured = (f"S = {row.steps}: {x}" for row, x in zip(rows, ratios, strict=True))
    return all_hold(verdicts), "distance over its: " + "; ".join(measured)


def _falls(rows: list[Row]) -> tuple[str, str]:
    first, last = rows[0], rows[-1]
    found = estimate([first.optimum(seed) / last.optimum(seed) for seed in first.seeds])
    named = first.shifts[NAMED] / last.shifts[NAMED]
    off = estimate([abs(first.optimum(x) / last.optimum(x) / named - 1) for x in first.seeds])
    measured = f"from S = {first.steps} to {last.steps} by {found}, named {named:.2f}"
    return Estimate(SAME_FALL - off.mean, off.error, off.seeds).verdict(), measured


def _flow_claims(results: Path) -> Iterator[Claim]:
    found, command = list(_flow(results)), EXPERIMENT.command(FLOW)
    for name in (ALL, WITHIN):
        claim = (
            f"{FLOW_TITLE}: the shift that the spectrum ({name}) names is at most "
            f"{100 * NEAR:.0f} % above the best of five"
        )
        if not found:
            yield not_run(claim, command)
            continue
        gaps = [one.between(name) / one.every[one.best]["mean"] - 1 for one in found]
        measured = "; ".join(
            f"{one.scheduler}, S = {one.steps}: {one.named[name]:.2f} against {one.best:g}, "
            f"{100 * gap:+.0f} %"
            for one, gap in zip(found, gaps, strict=True)
        )
        yield Claim(claim, verdict(max(gaps) <= NEAR), measured, command)
