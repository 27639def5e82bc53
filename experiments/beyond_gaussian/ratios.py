"""One number a prior: what a schedule's distance is over that of the best heuristic."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.beyond_gaussian.config import HEURISTICS, PLANS, SAMPLERS, SPECTRAL, SUBJECTS
from experiments.common import read_json

HERE = Path(__file__).parent
MEASURES = {
    "squared": "squared distance to the fine solution",
    "frechet": "Fréchet distance to the data",
    "energy": "energy distance to the data",
}
Found = dict[str, Any]


class Ratio(NamedTuple):
    """A ratio, its standard error, and how many seeds. Below 1 the schedule is better."""

    mean: float
    error: float
    seeds: int

    def __str__(self) -> str:
        error = "" if np.isnan(self.error) else f" ± {self.error:.2g}"
        return f"{self.mean:.3g}{error}"

    @property
    def verdict(self) -> int:
        """1 where it is better than the best heuristic by two standard errors, -1 worse, or 0."""
        clear = abs(self.mean - 1) > 2 * self.error
        return int(np.sign(1 - self.mean)) if clear else 0


def seeds_of(name: str, results: Path = HERE / "results") -> list[Found]:
    """The documents of a subject's seeds that are complete."""
    found = [read_json(path) for path in sorted(results.glob(f"{name}-[0-9]*.json"))]
    found = [one for one in found if one["subject"] == name]
    return [one for one in found if len(one["steps"]) == len(one["config"]["steps"])]


def measured_by(sampler: str) -> str:
    """Where steps have noise of their own there is no solution from the same noise."""
    return "frechet" if sampler == "ddpm" else "squared"


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


def ratio(seeds: list[Found], column: str, measure: str, steps: str | None = None) -> Ratio | None:
    """Of a column over the best heuristic: at S, or the geometric mean over all S.

    The best heuristic of each S is chosen by its mean over seeds, which is in its favour.
    """
    chosen = [steps] if steps else list(seeds[0]["steps"])
    there = [s for s in chosen if column in seeds[0]["steps"][s]]
    samplers = tuple(x for x in rivals(column) if x in seeds[0]["config"]["samplers"])
    if not there or not samplers:
        return None
    logs = np.mean([
        np.log(values(seeds, s, column, measure))
        - np.log(best_heuristic(seeds, s, samplers, measure)[1]) for s in there
    ], axis=0)  # fmt: skip
    if not np.isfinite(logs).all():
        return None
    n = len(logs)
    mean = float(np.exp(logs.mean()))
    error = mean * float(logs.std(ddof=1)) / np.sqrt(n) if n > 1 else float("nan")
    return Ratio(mean, error, n)


def candidates() -> list[tuple[str, str]]:
    """Columns that are compared, and the measure: every sampler along the learned W2, and plans."""
    found = [(f"{sampler} {SPECTRAL[-1]}", measured_by(sampler)) for sampler in SAMPLERS]
    return found + [(plan, "squared") for plan in PLANS]


def distance_from_gaussian(seeds: list[Found]) -> Ratio:
    """The negentropy in nats."""
    x = np.array([one["negentropy"] for one in seeds])
    error = float(x.std(ddof=1)) / np.sqrt(len(x)) if len(x) > 1 else float("nan")
    return Ratio(float(x.mean()), error, len(x))


def level(name: str) -> str:
    """What is varied of a subject, in words."""
    return SUBJECTS[name].level
