"""The tables and claims of shifts that a spectrum names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.estimates import Estimate, differences, estimate
from experiments.experiment import NOT_YET
from experiments.session import read_all, read_json
from experiments.shift.run import DIGITS, EXPERIMENT, FLOW, NAMED, SAMPLERS
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

    def excess(self, measure: str = "mean") -> Estimate:
        """Estimate by what part the named shift is above the best one."""
        mine, other = self.values(NAMED, measure), self.values(self.best(measure), measure)
        return estimate([mine[seed] / other[seed] - 1 for seed in mine])

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


def _flow(results: Path) -> Iterator[tuple[str, str, float, dict[float, dict[str, float]]]]:
    """Give scheduler, S, named shift, and what was measured by shift, of the flow transformer."""
    named = read_json(results / f"{FLOW}.json").get(NAMED)
    judged = read_json(results.parent.parent / "diffusers_pipelines/results/shifts.json")
    if not named or not judged:
        return
    for steps, rows in judged["judged"].items():
        for scheduler, sampler in SCHEDULERS.items():
            start = f"{scheduler}, shift "
            every = {float(x[len(start) :]): y for x, y in rows.items() if x.startswith(start)}
            yield scheduler, steps, named[sampler][steps], every


def _between(every: dict[float, dict[str, float]], shift: float, measure: str) -> float:
    """Interpolate a measure at a shift, in logarithms."""
    values = [row[measure] for row in every.values()]
    return float(np.exp(np.interp(np.log(shift), np.log(list(every)), np.log(values))))


def _flow_table(results: Path) -> list[str]:
    rows = [
        [scheduler, steps, f"{named:.2f}", f"{_between(every, named, 'mean'):.2f}",
         *(f"{row['mean']:.2f}" for row in every.values()),
         f"{_between(every, named, 'frechet to fine'):.2f}",
         f"{min(row['frechet to fine'] for row in every.values()):.2f}"]
        for scheduler, steps, named, every in _flow(results)
    ]  # fmt: skip
    if not rows:
        return []
    shifts = [f"{x:g}" for x in next(_flow(results))[3]]
    head = ["scheduler", "S", "named", "interpolated there", *shifts, "Fréchet, named",
            "Fréchet, best"]  # fmt: skip
    return table(head, rows, FLOW_TITLE)


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
                yield Claim(start + _BEATS, *_beats(own), command)
                yield Claim(start + _FALLS, *_falls(own), command)
    yield from _flow_claims(results)


_NEAR_BEST = (
    f"the named shift is at most {100 * NEAR:.0f} % above the best of the grid at every S "
    "(mean squared distance to the fine solution)"
)
_BEATS = "the named shift beats no shift, Flux's 1.65 and SD3's 3 at every S"
_FALLS = f"the best shift falls with S by the factor of the named ones, to {100 * SAME_FALL:.0f} %"


def _near_best(rows: list[Row]) -> tuple[str, str]:
    gaps = [row.excess() for row in rows]
    verdicts = [Estimate(NEAR - x.mean, x.error, x.seeds).verdict() for x in gaps]
    measured = "; ".join(
        f"S = {row.steps}: {row.shifts[NAMED]:.2f} against {row.best()}, {100 * x.mean:+.0f} "
        f"± {100 * x.error:.0f} %"
        for row, x in zip(rows, gaps, strict=True)
    )
    return all_hold(verdicts), measured


def _beats(rows: list[Row]) -> tuple[str, str]:
    verdicts, measured = [], []
    for row in rows:
        best = min(CUSTOMARY, key=lambda name, row=row: row.of(name).mean)
        verdicts.append(differences(row.values(NAMED), row.values(best)).verdict())
        measured.append(f"S = {row.steps}: {row.of(NAMED)} against {row.of(best)} ({best})")
    return all_hold(verdicts), "; ".join(measured)


def _falls(rows: list[Row]) -> tuple[str, str]:
    first, last = rows[0], rows[-1]
    found = estimate([first.optimum(seed) / last.optimum(seed) for seed in first.seeds])
    named = first.shifts[NAMED] / last.shifts[NAMED]
    off = estimate([abs(first.optimum(x) / last.optimum(x) / named - 1) for x in first.seeds])
    measured = f"from S = {first.steps} to {last.steps} by {found}, named {named:.2f}"
    return Estimate(SAME_FALL - off.mean, off.error, off.seeds).verdict(), measured


def _flow_claims(results: Path) -> Iterator[Claim]:
    found, command = list(_flow(results)), EXPERIMENT.command(FLOW)
    claim = f"{FLOW_TITLE}: the named shift is at most {100 * NEAR:.0f} % above the best of five"
    if not found:
        yield not_run(claim, command)
        return
    gaps = {
        (scheduler, steps): (
            named, min(every, key=lambda x, every=every: every[x]["mean"]),
            _between(every, named, "mean") / min(row["mean"] for row in every.values()) - 1,
        )
        for scheduler, steps, named, every in found
    }  # fmt: skip
    measured = "; ".join(
        f"{scheduler}, S = {steps}: {named:.2f} against {best:g}, {100 * gap:+.0f} %"
        for (scheduler, steps), (named, best, gap) in gaps.items()
    )
    yield Claim(claim, verdict(max(x[2] for x in gaps.values()) <= NEAR), measured, command)
