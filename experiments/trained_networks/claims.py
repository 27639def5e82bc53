"""The claims under test: ``python -m experiments.trained_networks.claims``.

Writes this experiment's lines of the table in ``experiments/README.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from experiments.common import between
from experiments.estimates import Estimate
from experiments.registry import NOT_YET
from experiments.trained_networks.config import ROWS
from experiments.trained_networks.curves import (
    HERE,
    Fewer,
    Found,
    below,
    best,
    contenders,
    fewer,
    found_of,
    point,
)
from experiments.trained_networks.tables import COMMAND, GROUPS, percent

README = HERE.parent / "README.md"
MARKS = ("<!-- trained_networks -->", "<!-- end of trained_networks -->")
DROP, FEWER = 0.123, 1.8
"""At equal calls, and at equal quality: the figures of the claims."""


def verdict(known: Mapping[int, Estimate | Fewer], least: float) -> str:
    """Yes where it is at every S; where it is at some, which; no where it is surely at none."""
    found = {s: x.verdict(least) for s, x in known.items()}
    above = [str(s) for s, x in found.items() if x == "yes"]
    if len(above) == len(found):
        return "yes"
    if above:
        return f"at S = {', '.join(above)}"
    return "**no**" if set(found.values()) == {"**no**"} else "**not clear**"


def _lines(row: str, found: Found) -> Iterator[str]:
    for sampler in GROUPS:
        frontier = best(found, sampler, "features")
        whose = "any sampler" if sampler is None else sampler
        for name in contenders(sampler):
            every = ((s, point(found, s, name, "features")) for s in found if s)
            known = {s: one for s, one in every if one}
            title = f"{ROWS[row].title}: {name}"
            shares = {s: x for s, one in known.items() if (x := below(one, frontier))}
            if shares:
                claim = (
                    f"{title} has a feature-Fréchet distance {100 * DROP:.1f} % below the best "
                    f"heuristic of {whose} in at most as many calls"
                )
                told = {s: f"{percent(x)} %" for s, x in shares.items()}
                yield _line(row, claim, verdict(shares, DROP), told)
            calls = {s: x for s, one in known.items() if (x := fewer(one, frontier))}
            if calls:
                claim = (
                    f"{title} takes {FEWER:g} times fewer calls than the best heuristic of "
                    f"{whose} at the same feature-Fréchet distance"
                )
                yield _line(row, claim, verdict(calls, FEWER), calls)


def _line(row: str, claim: str, holds: str, told: Mapping[int, object]) -> str:
    numbers = "; ".join(f"S = {s}: {x}" for s, x in told.items())
    return f"| {claim} | {holds} | {numbers} | {COMMAND.format(row)} |"


def lines_of(results: Path = HERE / "results") -> list[str]:
    """Two lines for every row, sampler and contender."""
    lines = []
    for row, about in ROWS.items():
        found = found_of(row, results)
        known = list(_lines(row, found))
        missing = f"{about.title}: schedules of the spectrum and plans beat the best heuristic"
        lines += known or [f"| {missing} | {NOT_YET} | - | {COMMAND.format(row)} |"]
    return lines


def main(results: Path = HERE / "results", readme: Path = README) -> None:
    """Write the lines between the marks."""
    between(MARKS, lines_of(results), readme)


if __name__ == "__main__":
    main()
