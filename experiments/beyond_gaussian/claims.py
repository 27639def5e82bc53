"""The claims under test: ``python -m experiments.beyond_gaussian.claims``.

Writes this experiment's lines of the table in ``experiments/README.md``: in each family, does what
is made from the spectrum beat the best heuristic, and where does that end?
"""

from __future__ import annotations

from pathlib import Path

from experiments.beyond_gaussian.config import FAMILIES, PLANS
from experiments.beyond_gaussian.ratios import (
    HERE,
    Ratio,
    candidates,
    level,
    ratio,
    seeds_of,
)
from experiments.beyond_gaussian.tables import command
from experiments.common import between
from experiments.registry import NOT_YET

README = HERE.parent / "README.md"
MARKS = ("<!-- beyond_gaussian -->", "<!-- end of beyond_gaussian -->")
_WORDS = {1: "", 0: " (not clear)", -1: " (worse)"}


def _verdict(found: dict[str, Ratio]) -> str:
    signs = [one.verdict for one in found.values()]
    if min(signs) < 0:
        return "**no**"
    return "yes" if min(signs) > 0 else "**not clear**"


def _line(title: str, column: str, measure: str, found: dict[str, Ratio]) -> str:
    whom = "the plan learned on" if column in PLANS else column
    if column in PLANS:
        whom += " the Gaussian" if column == PLANS[0] else " the prior itself"
    claim = f"{title}: {whom} beats the best heuristic on every one ({measure}, all S together)"
    text = "; ".join(f"{level(name)}: {x}{_WORDS[x.verdict]}" for name, x in found.items())
    names = FAMILIES[title]
    return f"| {claim} | {_verdict(found)} | ratio {text} | `{command(names)}` |"


def lines_of(results: Path = HERE / "results") -> list[str]:
    """A line for each family and sampler, and for the plans."""
    lines = []
    for title, names in FAMILIES.items():
        there = {name: seeds_of(name, results) for name in names}
        there = {name: seeds for name, seeds in there.items() if seeds}
        for column, measure in candidates():
            pairs = {name: ratio(seeds, column, measure) for name, seeds in there.items()}
            found = {name: x for name, x in pairs.items() if x is not None}
            if found:
                lines.append(_line(title, column, measure, found))
        if not there:
            claim = f"{title}: schedules of the spectrum beat the best heuristic"
            lines.append(f"| {claim} | {NOT_YET} | - | `{command(names)}` |")
    return lines


def main(results: Path = HERE / "results", readme: Path = README) -> None:
    """Write the lines between the marks."""
    between(MARKS, lines_of(results), readme)


if __name__ == "__main__":
    main()
