"""What has been found, over seeds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.common import read_json
from experiments.estimates import Estimate, differences, estimate
from experiments.ideal_denoiser.config import CONFIG, REFERENCES, Size, networks

HERE = Path(__file__).parent
IDEAL, PROBED = "ideal", "probed"
Case = tuple[str, str]
"""A sampler and its S."""


@dataclass(frozen=True)
class Found:
    """A denoiser: its documents, one a seed; all numbers are over the seeds."""

    name: str
    words: str
    seeds: tuple[dict[str, Any], ...]

    @property
    def cases(self) -> list[Case]:
        """Those that all seeds have."""
        first = [(a, s) for a, by in self.seeds[0]["samplers"].items() for s in by]
        return [(a, s) for a, s in first if all(s in x["samplers"].get(a, {}) for x in self.seeds)]

    def each(self, case: Case, schedule: str) -> list[dict[str, Any]]:
        """What was measured along a schedule, seed by seed."""
        return [one["samplers"][case[0]][case[1]][schedule] for one in self.seeds]

    def over(self, case: Case, schedule: str, what: str) -> Estimate:
        """Of a number."""
        return estimate([float(x[what]) for x in self.each(case, schedule)])

    def bands(self, case: Case, schedule: str, by: str | None = None) -> list[Estimate]:
        """Measured power of bands in dB, or as it was predicted."""
        known = [x if by is None else x[by] for x in self.each(case, schedule)]
        return [estimate(list(x)) for x in np.array([one["decibel"] for one in known]).T]

    def away(self, case: Case, schedule: str) -> list[Estimate]:
        """Measured less ideally predicted power of bands in dB; errors are those of this gap."""
        gaps = [np.subtract(x["decibel"], x[IDEAL]["decibel"]) for x in self.each(case, schedule)]
        return [estimate(list(x)) for x in np.array(gaps).T]

    def gap(self, cases: list[Case], by: str) -> dict[int, float]:
        """Measured less predicted power of each seed, RMS over bands, mean over all else."""
        return {
            one["seed"]: float(np.mean([
                _rms(x, by) for a, s in cases for x in one["samplers"][a][s].values()
            ]))
            for one in self.seeds
        }  # fmt: skip

    def frechet(self, case: Case, schedule: str) -> dict[int, float]:
        """The Fréchet distance of each seed; all schedules have the same noise."""
        return {
            one["seed"]: float(x["frechet"])
            for one, x in zip(self.seeds, self.each(case, schedule), strict=True)
        }

    def gain(self, case: Case, mine: str, other: str) -> Estimate:
        """By how much the Fréchet distance is smaller, from the same noise."""
        return differences(self.frechet(case, mine), self.frechet(case, other))

    def fact(self, what: str) -> str:
        """One of its facts; "-" where it has none."""
        known = [one["facts"][what] for one in self.seeds if what in one["facts"]]
        return str(estimate(known)) if known else "-"

    def share(self, what: str) -> list[Estimate]:
        """Of the response, at each level, in per cent of the ideal denoiser's error."""
        known = np.array([one["response"][what] for one in self.seeds])
        return [estimate(list(100 * x)) for x in known.T]


def _rms(one: dict[str, Any], by: str) -> float:
    away = np.subtract(one["decibel"], one[by]["decibel"])
    return float(np.sqrt(np.mean(away**2)))


def names() -> dict[str, str]:
    """All denoisers, references first, and their words."""
    return {**REFERENCES, **{size.name: size.words for size in networks(CONFIG)}}


def found_of(results: Path = HERE / "results") -> dict[str, Found]:
    """Those that have been run for something, by name; others than the config's last."""
    there = sorted({path.stem.rpartition("-")[0] for path in results.glob("*.json")})
    found = {}
    for name in dict.fromkeys([*(x for x in names() if x in there), *there]):
        seeds = tuple(read_json(x) for x in sorted(results.glob(f"{name}-[0-9]*.json"))
                      if x.stem.rpartition("-")[0] == name)  # fmt: skip
        one = Found(name, names().get(name, name), seeds)
        if one.cases:
            found[name] = one
    return found


def sizes_of(found: dict[str, Found]) -> dict[Size, Found]:
    """The networks, narrow ones and short trainings first."""
    known = {}
    for name, one in found.items():
        parts = name.split("-")
        if parts[0] == "width":
            known[Size(int(parts[1]), int(parts[3]))] = one
    return dict(sorted(known.items(), key=lambda item: (item[0].width, item[0].updates)))
