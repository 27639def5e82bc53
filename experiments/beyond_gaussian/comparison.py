"""One number a prior: what a schedule's distance is over that of the best heuristic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.beyond_gaussian.config import (
    FAMILIES,
    HEURISTICS,
    PLANS,
    SAMPLERS,
    SPECTRAL,
    SUBJECTS,
)
from experiments.common import read_json
from experiments.estimates import Estimate, estimate

HERE = Path(__file__).parent
MEASURES = {
    "squared": "squared distance to the fine solution",
    "to_fine": "Fréchet distance to the fine solutions",
    "frechet": "Fréchet distance to the data",
    "energy": "energy distance to the data",
}
FLOOR = 1e-7
"""Distances below it are taken for it: they are the fine solution's own error. Its 512 steps are
4e-8 (squared) from the exact solution of the Gaussian, single precision adds as much again, and
whatever is exact but for that is at 7.5e-8."""

BETTER, WORSE = "yes", "**no**"
"""The verdicts on "is it better than the best heuristic?" that are clear."""

Found = dict[str, Any]


class Ratio(NamedTuple):
    """A ratio, its standard error, and the verdict. Below 1 the schedule is better.

    Attributes:
      verdict: BETTER, WORSE or not clear, by Student's interval of the mean logarithm.
      bound: whether the distance was clipped at FLOOR, so that the ratio is at most this.
    """

    mean: float
    error: float
    verdict: str
    bound: bool

    def __str__(self) -> str:
        error = "" if np.isnan(self.error) else f" ± {self.error:.2g}"
        return f"{'<= ' if self.bound else ''}{self.mean:.3g}{error}"


def seeds_of(name: str, results: Path = HERE / "results") -> list[Found]:
    """The documents of a subject's seeds that are complete."""
    found = [read_json(path) for path in sorted(results.glob(f"{name}-[0-9]*.json"))]
    found = [one for one in found if one["subject"] == name]
    return [one for one in found if len(one["steps"]) == len(one["config"]["steps"])]


def measured_by(sampler: str) -> str:
    """Where steps have noise of their own there is no solution from the same noise."""
    return "to_fine" if sampler == "ddpm" else "squared"


def values(seeds: list[Found], steps: str, column: str, measure: str) -> np.ndarray:
    """A measure [seeds] of a column; NaN where it is not finite or not there."""
    found = [one["steps"][steps].get(column, {}).get(measure) for one in seeds]
    return np.array([np.nan if x is None else x for x in found], np.float64)


def best_heuristic(
    seeds: list[Found], steps: str, samplers: tuple[str, ...], measure: str
) -> tuple[str, np.ndarray]:
    """The one with the smallest mean over seeds, and its values."""
    columns = [f"{sampler} {name}" for sampler in samplers for name in HEURISTICS]
    known = {x: values(seeds, steps, x, measure) for x in columns}
    finite = {x: v for x, v in known.items() if np.isfinite(v).all()}
    first = min(finite, key=lambda x: float(finite[x].mean()))
    return first, finite[first]


def rivals(column: str) -> tuple[str, ...]:
    """Samplers whose heuristics a column is compared with: its own, a plan with both ODE ones."""
    return ("ddim", "dpmpp_2m") if column in PLANS else (column.split()[0],)


def pooled(title: str, seeds: list[Found]) -> list[str]:
    """The S that a family's number is the mean over: those that its plans are learned for."""
    learned = [set(SUBJECTS[x].learned) for x in FAMILIES[title] if SUBJECTS[x].learned]
    there = list(seeds[0]["steps"])
    return [s for s in there if int(s) in set.intersection(*learned)] or there


def ratio(seeds: list[Found], column: str, measure: str, steps: Sequence[str]) -> Ratio | None:
    """Of a column over the best heuristic, the geometric mean over S; None without the column.

    The best heuristic of each S is chosen by its mean over seeds, which is in its favour.
    """
    samplers = tuple(x for x in rivals(column) if x in seeds[0]["config"]["samplers"])
    if not samplers or any(column not in seeds[0]["steps"][s] for s in steps):
        return None
    mine = np.array([values(seeds, s, column, measure) for s in steps])
    theirs = np.array([best_heuristic(seeds, s, samplers, measure)[1] for s in steps])
    if not np.isfinite(mine).all():
        return None
    logs = np.log(np.maximum(mine, FLOOR) / np.maximum(theirs, FLOOR)).mean(0)
    found, less = estimate(list(logs)), estimate(list(-logs))
    mean = float(np.exp(found.mean))
    return Ratio(mean, mean * found.error, less.verdict(), bool((mine < FLOOR).any()))


def candidates() -> list[tuple[str, str]]:
    """Columns that are compared, and the measure: every sampler along the learned W2, and plans."""
    found = [(f"{sampler} {SPECTRAL[-1]}", measured_by(sampler)) for sampler in SAMPLERS]
    return found + [(plan, "squared") for plan in PLANS]


def expected(title: str, column: str) -> tuple[str, ...]:
    """The subjects of a family that a column is made for."""
    names = FAMILIES[title]
    if column in PLANS:
        names = tuple(x for x in names if SUBJECTS[x].learned)
    if column == PLANS[1]:
        names = tuple(x for x in names if SUBJECTS[x].kind != "gaussian")
    return names


def distance_from_gaussian(seeds: list[Found]) -> Estimate:
    """The negentropy in nats: exactly 0 of the Gaussian, else by draws of each seed."""
    if SUBJECTS[seeds[0]["subject"]].kind == "gaussian":
        return Estimate(0.0, float("nan"), len(seeds))
    return estimate([float(one["negentropy"]) for one in seeds])


def level(name: str, title: str) -> str:
    """What is varied of a subject in a family, in words."""
    subject = SUBJECTS[name]
    several = title.endswith("components") and subject.kind == "mixture"
    return f"{subject.components} components" if several else subject.level
