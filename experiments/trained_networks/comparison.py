"""Distances over denoiser calls, and what is compared at equal calls and at equal quality."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.estimates import Estimate, estimate
from experiments.session import read_all
from experiments.summary import NO, NOT_CLEAR, YES
from experiments.trained_networks.config import HEURISTICS, RUNGS, SAMPLERS, SPECTRAL, plan_name

MEASURES = {
    "features": "Fréchet distance of features",
    "pixels": "Fréchet distance in pixels",
    "spectrum_db": "power of bands, RMS in dB",
}
PLANS = tuple(map(plan_name, RUNGS))


class Point(NamedTuple):
    """A column in so many calls: its name, and its value by seed."""

    calls: int
    name: str
    values: dict[int, float]

    @property
    def estimate(self) -> Estimate:
        """Mean and error over the seeds."""
        return estimate(list(self.values.values()))


Distances = dict[int, dict[str, dict[int, dict[str, float]]]]
"""S -> column -> seed -> measure -> value; the fine solution is at S = 0."""


def read(row: str, results: Path) -> Distances:
    """Read what has been run of a row."""
    found: Distances = {}
    for document in read_all(results, f"{row}-*-*.json"):
        columns = found.setdefault(document["steps"] or 0, {})
        for name, values in document["columns"].items():
            columns.setdefault(name, {})[document["seed"]] = values
    return dict(sorted(found.items()))


def point(found: Distances, steps: int, name: str, measure: str) -> Point | None:
    """Give a column in S steps, if it was judged."""
    seeds = found.get(steps, {}).get(name)
    if not seeds:
        return None
    calls = int(next(iter(seeds.values()))["calls"])
    return Point(calls, name, {seed: one[measure] for seed, one in seeds.items()})


def points(found: Distances, names: list[str], measure: str) -> list[Point]:
    """Give all that was judged of these columns, by rising calls."""
    every = (point(found, steps, name, measure) for steps in found for name in names)
    return sorted((one for one in every if one), key=lambda one: one.calls)


def rivals(sampler: str | None) -> list[str]:
    """Name the heuristics of a sampler, of all with None."""
    samplers = SAMPLERS if sampler is None else (sampler,)
    return [f"{one} {name}" for one in samplers for name in HEURISTICS]


def best(found: Distances, sampler: str | None, measure: str) -> list[Point]:
    """Give for each count of calls the best heuristic of at most as many, by its mean."""
    frontier: dict[int, Point] = {}
    leader: Point | None = None
    for one in points(found, rivals(sampler), measure):
        if leader is None or one.estimate.mean < leader.estimate.mean:
            leader = one
        frontier[one.calls] = leader._replace(calls=one.calls)
    return list(frontier.values())


def contenders(sampler: str | None) -> list[str]:
    """Name what is compared with the heuristics of a sampler; the plans with those of all."""
    return list(PLANS) if sampler is None else [f"{sampler} {name}" for name in SPECTRAL]


def below(one: Point, frontier: list[Point]) -> Estimate | None:
    """Give the share by which a column is below the best heuristic of at most as many calls.

    Means over the seeds that both have, whose samples begin from the same noise.
    """
    known = [x for x in frontier if x.calls <= one.calls]
    if not known:
        return None
    shared = [seed for seed in one.values if seed in known[-1].values]
    return estimate([1 - one.values[x] / known[-1].values[x] for x in shared]) if shared else None


class Fewer(NamedTuple):
    """The calls that the best heuristic needs for the same quality, over those of a column.

    Where the curve of the heuristics ends before that quality, for some seed, there is a bound
    alone: "> " where the heuristics never become so good, "< " where they never were so bad.
    """

    ratio: Estimate
    bound: str

    def __str__(self) -> str:
        return f"{self.bound}{self.ratio.mean:.2g}" if self.bound else str(self.ratio)

    def verdict(self, least: float) -> str:
        """Judge as :meth:`Estimate.verdict` does; a bound decides where it can."""
        if not self.bound:
            return self.ratio.verdict(least)
        if self.bound == "> " and self.ratio.mean >= least:
            return YES
        return NO if self.bound == "< " and self.ratio.mean < least else NOT_CLEAR


def fewer(one: Point, frontier: list[Point]) -> Fewer | None:
    """Say how many times fewer calls a column takes, with heuristics between their calls.

    Between two counts of calls the logarithm of the distance is a straight line over that of the
    calls. Only seeds that all of the curve has are taken.
    """
    seeds = [s for s in one.values if all(s in x.values for x in frontier)]
    if len(frontier) < 2 or not seeds:
        return None
    found = {}
    for seed in seeds:
        curve = np.log(np.array([(x.calls, x.values[seed]) for x in frontier]))
        found[seed] = _crossing(curve, float(np.log(one.values[seed])))
    ratios = [float(np.exp(x)) / one.calls for x, _ in found.values()]
    for bound, worst in (("> ", min), ("< ", max)):
        if any(x == bound for _, x in found.values()):
            return Fewer(Estimate(worst(ratios), float("nan"), len(seeds)), bound)
    return Fewer(estimate(ratios), "")


def _crossing(curve: np.ndarray, value: float) -> tuple[float, str]:
    """Find where a curve [n, 2] first falls to a value, or a bound."""
    x, y = curve.T
    y = np.minimum.accumulate(y)
    if value > y[0]:
        return float(x[0]), "< "
    if value < y[-1]:
        return float(x[-1]), "> "
    after = int(np.argmax(y <= value))
    if after == 0:
        return float(x[0]), ""
    share = (y[after - 1] - value) / (y[after - 1] - y[after])
    return float(x[after - 1] + share * (x[after] - x[after - 1])), ""
