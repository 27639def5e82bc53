"""The tables of the README, from the results: ``python -m experiments.erring_denoiser.tables``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from experiments.common import between
from experiments.erring_denoiser.config import CONFIG, IDEAL, PROBED
from experiments.erring_denoiser.found import HERE, Results, results_of
from experiments.estimates import estimate
from experiments.registry import NOT_YET
from experiments.trained_networks.curves import MEASURES
from experiments.trained_networks.tables import percent

MARKS = ("<!-- tables: written by tables.py -->", "<!-- end of tables -->")
COMMAND = "`python -m experiments.erring_denoiser.run`"
RIVAL = "best heuristic"


def _table(title: str, found: Results, cell: Callable[[str, str, int], str]) -> list[str]:
    heads = [(a, s) for a in found.samplers for s in found.steps]
    lines = [f"#### {title}", "", "| | " + " | ".join(f"{a}, S = {s}" for a, s in heads) + " |"]
    lines.append("|---|" + "---|" * len(heads))
    for name in (*CONFIG.columns, RIVAL):
        cells = [cell(a, name, s) for a, s in heads]
        if set(cells) != {"-"}:
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def _value(found: Results, measure: str) -> Callable[[str, str, int], str]:
    def cell(sampler: str, name: str, steps: int) -> str:
        if name == RIVAL:
            known = found.rival(sampler, steps, measure)
            return f"{known.estimate} ({known.name.split()[1]})" if known else "-"
        one = found.column(sampler, name, steps, measure)
        return str(one.estimate) if one else "-"

    return cell


def _unconverged(found: Results) -> str:
    told = []
    for name in CONFIG.columns:
        every = [
            next(iter(seeds.values()))["converged"]  # a fit knows no seed
            for a in found.samplers
            for s in found.steps
            if (seeds := found.own[s].get(f"{a} {name}"))
        ]
        told.append(f"{name}: {sum(not x for x in every)} of {len(every)}")
    return f"Fits that ended before their tolerance: {'; '.join(told)}."


def lines_of(results: Path = HERE / "results") -> list[str]:
    """All tables."""
    found = results_of(results)
    if not found.own:
        return ["", f"{NOT_YET}: {COMMAND}", ""]
    lines = ["", _unconverged(found), ""]
    for measure, words in MEASURES.items():
        lines += _table(words, found, _value(found, measure))
    for other, words in (
        (None, "the best heuristic"),
        (IDEAL, "the schedule of the ideal denoiser"),
        (PROBED, "the schedule of the probed denoiser"),
    ):

        def share(sampler: str, name: str, steps: int, other: str | None = other) -> str:
            return percent(found.below(sampler, name, other, steps))

        lines += _table(f"Fréchet distance of features: % below {words}", found, share)

    def order(sampler: str, name: str, steps: int) -> str:
        known = found.order(sampler, name, steps)
        return str(estimate([*known.values()])) if known else "-"

    title = "Spearman's correlation of the loss of the heuristics with what is measured of them"
    return [*lines, *_table(title, found, order)]


def main(results: Path = HERE / "results", readme: Path = HERE / "README.md") -> None:
    """Write them between the marks of the README."""
    between(MARKS, lines_of(results), readme)


if __name__ == "__main__":
    main()
