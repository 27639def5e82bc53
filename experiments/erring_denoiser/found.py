"""What was measured, beside the heuristics of experiments/trained_networks."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

from experiments.common import read_json
from experiments.erring_denoiser.config import CONFIG, ROW
from experiments.estimates import Estimate
from experiments.trained_networks import curves
from experiments.trained_networks.config import HEURISTICS
from experiments.trained_networks.curves import Found, Point, below, best, point

HERE = Path(__file__).parent


class Results(NamedTuple):
    """Columns of schedules, those of the heuristics, and what losses predict of the latter."""

    own: Found
    heuristics: Found
    predicted: dict[int, dict[str, dict[str, dict[str, float]]]]

    @property
    def steps(self) -> list[int]:
        """S that have been run."""
        return list(self.own)

    @property
    def samplers(self) -> list[str]:
        """Those that have been run."""
        there = {name.split()[0] for columns in self.own.values() for name in columns}
        return [x for x in CONFIG.samplers if x in there]

    def column(self, sampler: str, name: str, steps: int, measure: str) -> Point | None:
        """A schedule in S steps."""
        return point(self.own, steps, f"{sampler} {name}", measure)

    def rival(self, sampler: str, steps: int, measure: str) -> Point | None:
        """The best heuristic of the sampler in at most as many calls."""
        mine = self.column(sampler, CONFIG.columns[0], steps, measure)
        known = best(self.heuristics, sampler, measure)
        before = [x for x in known if mine and x.calls <= mine.calls]
        return before[-1] if before else None

    def below(
        self, sampler: str, name: str, other: str | None, steps: int, measure: str = "features"
    ) -> Estimate | None:
        """By what share a schedule is below another, or below the best heuristic with None."""
        mine = self.column(sampler, name, steps, measure)
        rival = (
            self.rival(sampler, steps, measure)
            if other is None
            else self.column(sampler, other, steps, measure)
        )
        return below(mine, [rival]) if mine and rival else None

    def order(self, sampler: str, name: str, steps: int) -> dict[int, float]:
        """Spearman's correlation of a loss with what is measured, over the heuristics, by seed."""
        losses = self.predicted.get(steps, {}).get(sampler, {}).get(name)
        columns = self.heuristics.get(steps, {})
        there = [columns.get(f"{sampler} {x}") for x in HEURISTICS]
        if losses is None or not all(there):
            return {}
        known = [x for x in there if x]
        seeds = set.intersection(*(set(x) for x in known))
        predicted = [losses[x] for x in HEURISTICS]
        return {
            seed: float(spearmanr(predicted, [x[seed]["features"] for x in known]).statistic)
            for seed in sorted(seeds)
        }

    def mean_order(self, sampler: str, name: str) -> dict[int, float]:
        """The mean over S, by seed."""
        every = [x for s in self.steps if (x := self.order(sampler, name, s))]
        seeds = set.intersection(*map(set, every)) if every else set()
        return {seed: float(np.mean([x[seed] for x in every])) for seed in sorted(seeds)}


def results_of(results: Path = HERE / "results", others: Path | None = None) -> Results:
    """What has been run; ``others`` has the results of experiments/trained_networks."""
    documents = [read_json(path) for path in sorted(results.glob(f"{ROW}-*-*.json"))]
    return Results(
        curves.found_of(ROW, results),
        curves.found_of(ROW, others or curves.HERE / "results"),
        {one["steps"]: one["predicted"] for one in documents},
    )
