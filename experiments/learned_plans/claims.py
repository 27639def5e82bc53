"""The claims under test and what was measured: ``python -m experiments.learned_plans.claims``.

Writes this experiment's lines of the table in ``experiments/README.md``.
"""

from __future__ import annotations

from pathlib import Path

from experiments.common import between, read_json
from experiments.estimates import Estimate, estimate
from experiments.learned_plans.config import ROWS
from experiments.learned_plans.judging import FINE
from experiments.learned_plans.tables import HERE, Judged, judged

README = HERE.parent / "README.md"
MARKS = ("<!-- learned_plans -->", "<!-- end of learned_plans -->")
COMMAND = "`python -m experiments.learned_plans.run --rows {}`"
LIMITS = {"digits": 5.0, "network": 180.0}
"""Seconds in which a plan of 5 calls should be learned."""


def default_of(one: Judged) -> str:
    """The plan that ``sx.learn`` gives for the denoiser that judges: named before any result."""
    return "network" if one.row == "network" else f"empirical @ {one.width}"


def _best(one: Judged, sampler: str = "") -> str:
    return next(name for name in one.heuristics if name.startswith(sampler))


def _line(claim: str, holds: bool, text: str, row: str) -> str:
    return f"| {claim} | {'yes' if holds else '**no**'} | {text} | {COMMAND.format(row)} |"


def _within(a: Estimate, b: Estimate) -> bool:
    return a.mean <= b.mean


def lines_of(results: Path) -> list[str]:
    """The claims of every row that has been judged."""
    every = list(judged(results))
    found = []
    for one in every:
        plan, best = default_of(one), _best(one)
        mine, other = one.of(plan), one.of(best)
        found.append(_line(
            f"{one.title}: the learned plan beats every heuristic", _within(mine, other),
            f"{mine}; best heuristic ({best}) {other}; fine {one.of(FINE)}", one.row,
        ))  # fmt: skip
        found += [*_fewer(one, every), _ladder(one)]
    return found + _times(results)


def _ladder(one: Judged) -> str:
    """Whether plans learned elsewhere carry over."""
    best = one.of(_best(one))
    plans = [x for x in one.columns if x not in one.heuristics and x != FINE]
    worse = [f"{x} {one.of(x)}" for x in plans if not _within(one.of(x), best)]
    claim = f"{one.title}: plans learned on any other rung or width beat every heuristic, too"
    text = f"best heuristic {best}; worse: {', '.join(worse) or 'none'}"
    return _line(claim, not worse, text, one.row)


def _fewer(one: Judged, every: list[Judged]) -> list[str]:
    """5 calls against DPM-Solver++(2M)'s best at 8."""
    more = [x for x in every if (x.row, x.width, x.steps) == (one.row, one.width, 8)]
    if one.steps != 5 or not more:
        return []
    rival = _best(more[0], "dpmpp_2m")
    mine, other = one.of(default_of(one)), more[0].of(rival)
    claim = f"{one.title}: at least as good as DPM-Solver++(2M) along its best schedule at 8"
    return [_line(claim, _within(mine, other), f"{mine}; {rival} at 8: {other}", one.row)]


def _times(results: Path) -> list[str]:
    known, found = read_json(results / "timing.json"), []
    for row, most in LIMITS.items():
        seconds = [one["seconds"] for one in known.get(row, [])]
        if seconds:
            later = estimate(seconds[1:] or seconds)
            compiled = f" (first, with compilation: {seconds[0]:.1f} s)" if seconds[1:] else ""
            claim = f"{ROWS[row]}: S = {known['steps']} is learned in {most:.0f} s on 2 cores"
            text = f"{later} s{compiled}"
            line = _line(claim, later.mean <= most, text, row)
            found.append(line.replace(f"run --rows {row}", "timing"))
    return found


def main(results: Path = HERE / "results", readme: Path = README) -> None:
    """Write the lines between the marks."""
    between(MARKS, lines_of(results), readme)


if __name__ == "__main__":
    main()
