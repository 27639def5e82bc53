"""The tables and claims of fits with a denoiser's error.

The heuristics that schedules are compared with are those of experiments/trained_networks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

from experiments.erring_denoiser.run import (
    EXPERIMENT,
    IDEAL,
    PART,
    PROBED,
    PROBED_ERROR,
    ROW,
    USUAL,
)
from experiments.estimates import Estimate, differences, estimate
from experiments.experiment import NOT_YET
from experiments.session import read_all
from experiments.summary import Claim, not_run, table
from experiments.trained_networks import comparison
from experiments.trained_networks.comparison import MEASURES, Distances, Point
from experiments.trained_networks.config import HEURISTICS, ROWS
from experiments.trained_networks.summary import DROP, at_steps, percent, verdict_at

EFFECT = 0.02
"""What is less is no difference: DDIM's schedules hardly change, but on the same noise they do."""

RIVAL = "best heuristic"
COLUMNS = EXPERIMENT.config.columns


class Results(NamedTuple):
    """Distances of schedules and of the heuristics, and what losses predict of the latter."""

    own: Distances
    heuristics: Distances
    predicted: dict[int, dict[str, dict[str, dict[str, float]]]]

    @property
    def steps(self) -> list[int]:
        """The S that have been run."""
        return list(self.own)

    @property
    def samplers(self) -> list[str]:
        """The samplers that have been run."""
        there = {name.split()[0] for columns in self.own.values() for name in columns}
        return [x for x in EXPERIMENT.config.samplers if x in there]

    def column(self, sampler: str, name: str, steps: int, measure: str) -> Point | None:
        """Give a schedule in S steps."""
        return comparison.point(self.own, steps, f"{sampler} {name}", measure)

    def rival(self, sampler: str, steps: int, measure: str) -> Point | None:
        """Give the best heuristic of the sampler in at most as many calls."""
        mine = self.column(sampler, COLUMNS[0], steps, measure)
        known = comparison.best(self.heuristics, sampler, measure)
        before = [x for x in known if mine and x.calls <= mine.calls]
        return before[-1] if before else None

    def below(
        self, sampler: str, name: str, other: str | None, steps: int, measure: str = "features"
    ) -> Estimate | None:
        """Give the share by which a schedule is below another, or the best heuristic with None."""
        mine = self.column(sampler, name, steps, measure)
        rival = (
            self.rival(sampler, steps, measure)
            if other is None
            else self.column(sampler, other, steps, measure)
        )
        return comparison.below(mine, [rival]) if mine and rival else None

    def order(self, sampler: str, name: str, steps: int) -> dict[int, float]:
        """Give Spearman's correlation of loss and measurement of the heuristics, by seed."""
        losses = self.predicted.get(steps, {}).get(sampler, {}).get(name)
        columns = self.heuristics.get(steps, {})
        known = [x for name in HEURISTICS if (x := columns.get(f"{sampler} {name}"))]
        if losses is None or len(known) < len(HEURISTICS):
            return {}
        seeds = set.intersection(*(set(x) for x in known))
        predicted = [losses[x] for x in HEURISTICS]
        return {
            seed: float(spearmanr(predicted, [x[seed]["features"] for x in known]).statistic)
            for seed in sorted(seeds)
        }

    def mean_order(self, sampler: str, name: str) -> dict[int, float]:
        """Give the mean of the correlations over S, by seed."""
        every = [x for s in self.steps if (x := self.order(sampler, name, s))]
        seeds = set.intersection(*map(set, every)) if every else set()
        return {seed: float(np.mean([x[seed] for x in every])) for seed in sorted(seeds)}


def read(results: Path) -> Results:
    """Read what has been run, beside the results of experiments/trained_networks."""
    others = results.parent.parent / "trained_networks" / "results"
    return Results(
        comparison.read(ROW, results),
        comparison.read(ROW, others),
        {one["steps"]: one["predicted"] for one in read_all(results, f"{ROW}-*-*.json")},
    )


def tables(results: Path) -> list[str]:
    """Make all tables."""
    found = read(results)
    if not found.own:
        return [f"{NOT_YET}: `{EXPERIMENT.command()}`"]

    def value(measure: str, sampler: str, name: str, steps: int) -> str:
        if name == RIVAL:
            known = found.rival(sampler, steps, measure)
            return f"{known.estimate} ({known.name.split()[1]})" if known else "-"
        one = found.column(sampler, name, steps, measure)
        return str(one.estimate) if one else "-"

    def share(other: str | None, sampler: str, name: str, steps: int) -> str:
        return percent(found.below(sampler, name, other, steps))

    def order(sampler: str, name: str, steps: int) -> str:
        known = found.order(sampler, name, steps)
        return str(estimate([*known.values()])) if known else "-"

    lines = [_unconverged(found), ""]
    for measure, words in MEASURES.items():
        lines += _table(words, found, partial(value, measure))
    for other, words in (
        (None, "the best heuristic"),
        (IDEAL, "the schedule of the ideal denoiser"),
        (PROBED, "the schedule of the probed denoiser"),
    ):
        lines += _table(
            f"Fréchet distance of features: % below {words}", found, partial(share, other)
        )
    title = "Spearman's correlation of the loss of the heuristics with what is measured of them"
    return [*lines, *_table(title, found, order)]


def _table(title: str, found: Results, cell: Callable[[str, str, int], str]) -> list[str]:
    heads = [(a, s) for a in found.samplers for s in found.steps]
    rows = [[name, *(cell(a, name, s) for a, s in heads)] for name in (*COLUMNS, RIVAL)]
    kept = [row for row in rows if set(row[1:]) != {"-"}]
    return table(["", *(f"{a}, S = {s}" for a, s in heads)], kept, title)


def _unconverged(found: Results) -> str:
    counts = []
    for name in COLUMNS:
        every = [
            next(iter(seeds.values()))["converged"]  # a fit depends on no seed
            for a in found.samplers
            for s in found.steps
            if (seeds := found.own[s].get(f"{a} {name}"))
        ]
        counts.append(f"{name}: {sum(not x for x in every)} of {len(every)}")
    return f"Fits that ended before their tolerance: {'; '.join(counts)}."


def claims(results: Path) -> Iterator[Claim]:
    """Make all claims; a line where nothing has been run."""
    found, whose, command = read(results), ROWS[ROW].title, EXPERIMENT.command()
    if not found.own:
        claim = f"{whose}, fitted with a denoiser's error, schedules are better"
        yield not_run(claim, command)
    for sampler in found.samplers:
        start = f"{whose}, {sampler}: the schedule fitted with the denoiser's error {PART:g}"
        lower = f"has a feature-Fréchet distance {100 * EFFECT:g} % below that"
        for name, other, least, claim in (
            (USUAL, IDEAL, EFFECT, f"{start} {lower} without"),
            (USUAL, None, 0.0, f"{start} beats the best heuristic of the sampler"),
            (USUAL, None, DROP, f"{start} is {100 * DROP:.1f} % below the best heuristic"),
            (PROBED_ERROR, PROBED, EFFECT, f"{start} and the probed gain {lower} with the gain"),
        ):
            known = {s: x for s in found.steps if (x := found.below(sampler, name, other, s))}
            if known:
                words = at_steps({s: f"{percent(x)} %" for s, x in known.items()})
                yield Claim(claim, verdict_at(known, least), words, command)
        with_error, without = (found.mean_order(sampler, name) for name in (USUAL, IDEAL))
        if with_error:
            gain = differences(without, with_error)
            both = [estimate([*x.values()]) for x in (with_error, without)]
            yield Claim(
                f"{whose}, {sampler}: the loss with the denoiser's error {PART:g} orders the six "
                "heuristics more as they are measured than the loss without (Spearman, mean over "
                "S)",
                gain.verdict(),
                f"{both[0]} against {both[1]}, higher by {gain}",
                command,
            )
