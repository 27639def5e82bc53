"""The claims under test: ``python -m experiments.beyond_gaussian.claims``.

Writes this experiment's lines of the table in ``experiments/README.md``: in each family, does what
is made from the spectrum beat the best heuristic, and where does that end?
"""

from __future__ import annotations

from pathlib import Path

from experiments.beyond_gaussian.config import FAMILIES, PLANS
from experiments.beyond_gaussian.ratios import (
    BETTER,
    HERE,
    WORSE,
    Ratio,
    candidates,
    expected,
    level,
    pooled,
    ratio,
    seeds_of,
)
from experiments.beyond_gaussian.tables import command
from experiments.common import between
from experiments.registry import NOT_YET

README = HERE.parent / "README.md"
MARKS = ("<!-- beyond_gaussian -->", "<!-- end of beyond_gaussian -->")
_UNCLEAR = "**not clear**"
_WORDS = {BETTER: "", WORSE: " (worse)", _UNCLEAR: " (not clear)"}


def _verdict(found: dict[str, Ratio], wanted: tuple[str, ...]) -> str:
    """One that is worse is enough for no; yes needs all that are wanted."""
    verdicts = [one.verdict for one in found.values()]
    if WORSE in verdicts:
        return WORSE
    whole = set(found) == set(wanted) and set(verdicts) == {BETTER}
    return BETTER if whole else _UNCLEAR


def _claim(title: str, column: str, measure: str, steps: list[str]) -> str:
    whom = "the plan learned on" if column in PLANS else column
    if column in PLANS:
        whom += " the Gaussian" if column == PLANS[0] else " the prior itself"
    wanted = expected(title, column)
    where = "every one" if len(wanted) > 1 else level(wanted[0], title)
    over = ", ".join(steps)
    return f"{title}: {whom} beats the best heuristic on {where} ({measure}, S = {over} together)"


def _line(title: str, column: str, measure: str, there: dict[str, list]) -> str | None:
    """None where nothing of it has been run."""
    wanted = expected(title, column)
    steps = pooled(title, next(iter(there.values())))
    pairs = {x: ratio(there[x], column, measure, steps) for x in wanted if x in there}
    found = {name: x for name, x in pairs.items() if x is not None}
    if not found:
        return None
    each = [f"{level(name, title)}: {x}{_WORDS[x.verdict]}" for name, x in found.items()]
    each += [f"{level(name, title)}: {NOT_YET}" for name in wanted if name not in found]
    cells = (
        _claim(title, column, measure, steps), _verdict(found, wanted),
        f"ratio {'; '.join(each)}", f"`{command(FAMILIES[title])}`",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def lines_of(results: Path = HERE / "results") -> list[str]:
    """A line for each family and sampler, and for the plans."""
    lines = []
    for title, names in FAMILIES.items():
        known = {name: seeds_of(name, results) for name in names}
        there = {name: seeds for name, seeds in known.items() if seeds}
        if there:
            found = [_line(title, *one, there) for one in candidates()]
            lines += [x for x in found if x is not None]
        else:
            claim = f"{title}: schedules of the spectrum beat the best heuristic"
            lines.append(f"| {claim} | {NOT_YET} | - | `{command(names)}` |")
    return lines


def main(results: Path = HERE / "results", readme: Path = README) -> None:
    """Write the lines between the marks."""
    between(MARKS, lines_of(results), readme)


if __name__ == "__main__":
    main()
