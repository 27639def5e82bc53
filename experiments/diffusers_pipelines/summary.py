"""The tables and claims of plans through pipelines of diffusers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from experiments.diffusers_pipelines.configs import EPS, FLOW, ZERO_SNR
from experiments.diffusers_pipelines.run import EXPERIMENT, FLOW_LONGER
from experiments.estimates import Estimate, differences, estimate
from experiments.session import read_all
from experiments.summary import Claim, not_run, seeds_line, table

MEASURES = {
    "mean": "mean distance",
    "geometric mean": "geometric mean",
    "median": "median",
    "frechet": "Fréchet distance to held-out images",
    "frechet to fine": "Fréchet distance to fine samples",
}
TITLES = {
    EPS: "A UNet that predicts eps, DDPM's grid",
    ZERO_SNR: "A UNet that predicts v, zero terminal SNR",
    FLOW: "A flow transformer, guided",
    FLOW_LONGER: "A flow transformer, guided, more steps",
}
NAMES = {"plans": "learned plan", "guided": "plan with learned weights"}

MINE, THEIRS = 6, 10
"""Calls of the network that are compared: those of a learned plan, and of the best scheduler."""


class Case(NamedTuple):
    """The seeds of a kind."""

    seeds: list[dict[str, Any]]

    def plans(self) -> list[tuple[str, str]]:
        """Give the kinds and steps of the learned plans, those with weights of their own last."""
        return [(x, steps) for x in ("plans", "guided") for steps in self.seeds[0].get(x, ())]

    def plan(self, plan: tuple[str, str], measure: str) -> dict[int, float]:
        """Give what was measured of a plan, seed by seed."""
        kind, steps = plan
        return {x["seed"]: x[kind][steps]["judged"][measure] for x in self.seeds}

    def rivals(self) -> list[tuple[str, str]]:
        """Give the steps and names of diffusers' schedulers."""
        return [(steps, name) for steps, known in self.seeds[0]["rivals"].items() for name in known]

    def rival(self, steps: str, name: str, measure: str) -> dict[int, float]:
        """Give what was measured of a scheduler, seed by seed."""
        return {x["seed"]: x["rivals"][steps][name][measure] for x in self.seeds}

    def best(self, calls: float, measure: str) -> str:
        """Name the scheduler with so many calls that is the best by its mean over seeds."""
        known = {
            name: estimate(list(self.rival(steps, name, measure).values())).mean
            for steps, name in self.with_calls(calls)
        }
        return min(known, key=known.__getitem__)

    def with_calls(self, calls: float) -> list[tuple[str, str]]:
        """Give those of the schedulers that make so many calls of the network."""
        return [x for x in self.rivals() if set(self.rival(*x, "calls").values()) == {calls}]

    def row(self, values: Any) -> list[Estimate]:
        """Estimate all measures, of ``values(measure)``."""
        return [estimate(list(values(measure).values())) for measure in MEASURES]


def read(kind: str, results: Path) -> Case | None:
    """Read the complete results of a kind; None without any."""
    seeds = [x for x in read_all(results, f"{kind}-*.json") if x.get("complete", True)]
    return Case(seeds) if seeds else None


def tables(results: Path) -> list[str]:
    """Make a table of each kind that has been run."""
    lines: list[str] = []
    for kind, title in TITLES.items():
        known = read(kind, results)
        if known is not None:
            lines += [*table(_HEAD, _rows(known), title, 3), *seeds_line(len(known.seeds))]
    return lines or ["Not yet run."]


_HEAD = ["sampler", "steps", "network calls", *MEASURES.values()]


def _rows(case: Case) -> Iterator[list[Any]]:
    fine = estimate([x["fine"]["frechet"] for x in case.seeds])
    yield ["fine solution", case.seeds[0]["config"]["fine"], "-", *3 * ["-"], fine, "-"]
    for plan in case.plans():
        calls = estimate(list(case.plan(plan, "calls").values())).mean
        values = case.row(lambda measure, plan=plan: case.plan(plan, measure))
        yield [f"**{NAMES[plan[0]]}**", plan[1].split(" ")[0], f"{calls:g}", *values]
    for steps, name in case.rivals():
        calls = estimate(list(case.rival(steps, name, "calls").values())).mean
        values = case.row(lambda measure, at=(steps, name): case.rival(*at, measure))
        yield [name, steps, f"{calls:g}", *values]


def claims(results: Path) -> Iterator[Claim]:
    """Make the claims of every kind, run or not."""
    for kind, title in TITLES.items():
        case, command = read(kind, results), EXPERIMENT.command(kind)
        if case is None:
            yield not_run(f"{title}: learned plans beat diffusers' schedulers", command)
            continue
        for plan in case.plans():
            mine = estimate(list(case.plan(plan, "calls").values())).mean
            for theirs in sorted({mine, mine * THEIRS / MINE}):
                if case.with_calls(theirs):
                    yield from _compared(case, title, plan, mine, theirs, command)


def _compared(
    case: Case, title: str, plan: tuple[str, str], mine: float, theirs: float, command: str
) -> Iterator[Claim]:
    """Compare a plan with the best scheduler of so many calls, by each measure."""
    for measure, head in MEASURES.items():
        best = case.best(theirs, measure)
        at = next(steps for steps, name in case.with_calls(theirs) if name == best)
        own, other = case.plan(plan, measure), case.rival(at, best, measure)
        told = [estimate(list(values.values())) for values in (own, other)]
        yield Claim(
            f"{title}: the {NAMES[plan[0]]} in {mine:g} network calls has a lower {head} than the "
            f"best of diffusers' schedulers in {theirs:g}",
            differences(own, other).verdict(),
            f"{told[0]} against {told[1]} ({best})",
            command,
        )
