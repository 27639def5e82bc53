"""The claims under test and what was measured: ``python -m experiments.learned_plans.claims``.

Writes this experiment's lines of the table in ``experiments/README.md``.
"""

from __future__ import annotations

from pathlib import Path

from experiments.common import between, read_json
from experiments.estimates import differences, estimate
from experiments.learned_plans.config import ROWS
from experiments.learned_plans.judging import FINE
from experiments.learned_plans.tables import HERE, Judged, judged

README = HERE.parent / "README.md"
MARKS = ("<!-- learned_plans -->", "<!-- end of learned_plans -->")
PROJECT = README.parent.parent / "README.md"
PLANS = (
    "<!-- learned plans: written by experiments/learned_plans/claims.py -->",
    "<!-- end of learned plans -->",
)
COMMAND = "`python -m experiments.learned_plans.run --rows {}`"
LIMITS = {"digits": 5.0, "network": 180.0}
"""Seconds in which a plan of 5 calls should be learned."""


def plans_of(one: Judged) -> dict[str, str]:
    """The plans learned for the denoiser that judges, what they are called first.

    The first is that of ``sx.learn``'s default objective. It was the distance to the teacher alone
    when this was run; the tenth of the transfer loss came after.
    """
    if one.row == "network":
        return {"the learned plan": "network"}
    return {
        "the learned plan": f"empirical + gaussian @ {one.width}",
        "the plan learned by the teacher alone": f"empirical @ {one.width}",
    }


def default_of(one: Judged) -> str:
    """The plan of the default objective."""
    return next(iter(plans_of(one).values()))


def _best(one: Judged, sampler: str = "") -> str:
    return next(name for name in one.heuristics if name.startswith(sampler))


def _line(claim: str, verdict: str, text: str, row: str) -> str:
    return f"| {claim} | {verdict} | {text} | {COMMAND.format(row)} |"


def _verdict(one: Judged, plan: str, other: Judged, rival: str) -> str:
    """Is a plan nearer than its rival? From the same noise of each seed."""
    return differences(one.seeds(plan), other.seeds(rival)).verdict()


def lines_of(results: Path = HERE / "results") -> list[str]:
    """The claims of every row that has been judged."""
    every = list(judged(results))
    found = []
    for one in every:
        best, other = _best(one), one.of(_best(one))
        for words, plan in plans_of(one).items():
            mine = one.of(plan)
            found.append(_line(
                f"{one.title}: {words} beats every heuristic", _verdict(one, plan, one, best),
                f"{mine}; best heuristic ({best}) {other}; fine {one.of(FINE)}", one.row,
            ))  # fmt: skip
        found += [*_fewer(one, every), _ladder(one)]
    return found + _times(results)


def _ladder(one: Judged) -> str:
    """Whether plans learned elsewhere carry over."""
    best = one.of(_best(one))
    plans = [x for x in one.columns if x not in one.heuristics and x != FINE]
    verdicts = {x: _verdict(one, x, one, _best(one)) for x in plans}
    worse = [f"{x} {one.of(x)}" for x in plans if one.of(x).mean > best.mean]
    claim = f"{one.title}: plans learned on any other rung or width beat every heuristic, too"
    text = f"best heuristic {best}; worse: {', '.join(worse) or 'none'}"
    return _line(claim, _all(list(verdicts.values())), text, one.row)


def _all(verdicts: list[str]) -> str:
    """Of a claim that is about all of them."""
    return next((x for x in ("**no**", "**not clear**") if x in verdicts), "yes")


def _fewer(one: Judged, every: list[Judged]) -> list[str]:
    """5 calls against DPM-Solver++(2M)'s best at 8."""
    more = [x for x in every if (x.row, x.width, x.steps) == (one.row, one.width, 8)]
    if one.steps != 5 or not more:
        return []
    rival = _best(more[0], "dpmpp_2m")
    other, lines = more[0].of(rival), []
    for words, plan in plans_of(one).items():
        mine, than = one.of(plan), "DPM-Solver++(2M) along its best schedule at 8"
        claim, text = f"{one.title}: {words} is better than {than}", f"{mine}; {rival}"
        verdict = _verdict(one, plan, more[0], rival)
        lines.append(_line(claim, verdict, f"{text} at 8: {other}", one.row))
    return lines


def _times(results: Path) -> list[str]:
    known, found = read_json(results / "timing.json"), []
    for row, most in LIMITS.items():
        seconds = [one["seconds"] for one in known.get(row, [])]
        if seconds:
            later = estimate(seconds[1:] or seconds)
            compiled = f" (first, with compilation: {seconds[0]:.1f} s)" if seconds[1:] else ""
            claim = f"{ROWS[row]}: S = {known['steps']} is learned in {most:.0f} s on 2 cores"
            text = f"{later} s{compiled}"
            line = _line(claim, "yes" if later.mean <= most else "**no**", text, row)
            found.append(line.replace(f"run --rows {row}", "timing"))
    return found


SUBJECTS = {
    ("digits", "likely"): "exact denoiser of the other half of the digits",
    ("patches", "likely"): "that of 8x8 patches of photographs",
    ("network", "network"): "a UNet trained on the digits, plans through it",
}
"""Rows of the table in the project's README, by row and width."""


def summary_of(results: Path) -> list[str]:
    """The table in the project's README: the default plan beside the best heuristic."""
    lines = [
        "",
        "| judged by | best heuristic, 5 calls | plan, 5 calls | best heuristic, 8 calls | plan, 8 "
        "calls | fine solution |",
        "|---|---|---|---|---|---|",
    ]
    every = {(one.row, one.width, one.steps): one for one in judged(results)}
    for (row, width), words in SUBJECTS.items():
        pair = [every[row, width, steps] for steps in (5, 8)]
        cells = [str(one.of(name)) for one in pair for name in (_best(one), default_of(one))]
        lines.append(f"| {words} | {' | '.join([*cells, str(pair[1].of(FINE))])} |")
    return [*lines, ""]


def main(results: Path = HERE / "results", readme: Path = README, project: Path = PROJECT) -> None:
    """Write the lines between the marks."""
    between(PLANS, summary_of(results), project)
    between(MARKS, lines_of(results), readme)


if __name__ == "__main__":
    main()
