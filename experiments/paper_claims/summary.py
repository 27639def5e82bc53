"""The tables and claims of the paper's figures on published networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.estimates import Estimate, estimate
from experiments.experiment import NOT_YET
from experiments.paper_claims.run import EXPERIMENT, LEARNED, MEASURES
from experiments.session import read_all
from experiments.summary import Claim, not_run, seeds_line, table
from experiments.trained_networks.summary import (
    DROP,
    FEWER,
    at_steps,
    lower_by,
    percent,
    verdict_at,
)

TITLES = {"hsc": "galaxies of HSC, 32x32", "ztf": "galaxies of ZTF, 32x32"}

Found = dict[int, dict[str, list[float]]]
"""S -> schedule -> the values of the seeds."""


def read(case: str, measure: str, results: Path) -> Found:
    """Read a measure of the complete results of a network."""
    found: Found = {}
    for document in documents(case, results):
        for steps, schedules in document["steps"].items():
            for name, values in schedules.items():
                found.setdefault(int(steps), {}).setdefault(name, []).append(values[measure])
    return dict(sorted(found.items()))


def documents(case: str, results: Path) -> list[dict[str, Any]]:
    """Read the complete results of a network."""
    return [x for x in read_all(results, f"{case}-*.json") if x.get("complete", True)]


def best(found: Found, steps: int) -> str:
    """Name the family that is best in S steps by its mean over seeds."""
    means = {x: estimate(y).mean for x, y in found[steps].items() if x not in LEARNED}
    return min(means, key=means.__getitem__)


def below(found: Found, steps: int, name: str) -> Estimate:
    """Estimate the part by which a schedule is below the best family in as many steps."""
    pairs = zip(found[steps][name], found[steps][best(found, steps)], strict=True)
    return estimate([1 - mine / other for mine, other in pairs])


def gain_at_fewer(found: Found, steps: int, name: str) -> Estimate | None:
    """Estimate how far a schedule is below the best family in 1.8 times as many steps.

    None where no family was judged in so many.
    """
    more = round(FEWER * steps)
    if more not in found:
        return None
    pairs = zip(found[steps][name], found[more][best(found, more)], strict=True)
    return estimate([other - mine for mine, other in pairs])


def tables(results: Path) -> list[str]:
    """Make a table of each network and measure."""
    lines: list[str] = []
    for case, title in TITLES.items():
        known = documents(case, results)
        for measure, words in MEASURES.items() if known else ():
            found = read(case, measure, results)
            names = list(next(iter(found.values())))
            rows = [[x, *(estimate(every[x]) for every in found.values())] for x in names]
            fine = estimate([one["fine"][measure] for one in known])
            rows.append(["fine solution", *[fine] * len(found)])
            rows.append(["best family", *(best(found, steps) for steps in found)])
            rows += [
                [f"{x}, % below it", *(percent(below(found, steps, x)) for steps in found)]
                for x in LEARNED
            ]
            lines += table(["", *(f"S = {x}" for x in found)], rows, f"{title}: {words}", 3)
        lines += seeds_line(len(known)) if known else []
    return lines or [f"{NOT_YET}: `{EXPERIMENT.command()}`", ""]


def claims(results: Path) -> Iterator[Claim]:
    """Make two lines for each network, measure and loss."""
    for case, title in TITLES.items():
        command = EXPERIMENT.command(case)
        if not documents(case, results):
            yield not_run(f"{title}, DDIM: schedules of the spectrum beat the best family", command)
            continue
        for measure, words in MEASURES.items():
            found = read(case, measure, results)
            for name in LEARNED:
                yield from _of_schedule(found, name, f"{title}, DDIM, {name}", words, command)


def _of_schedule(
    found: Found, name: str, title: str, words: str, command: str
) -> Iterator[Claim]:  # fmt: skip
    shares = {steps: below(found, steps, name) for steps in found}
    claim = f"{title}: {words} is {100 * DROP:.1f} % below that of the best family in as many steps"
    yield Claim(claim, verdict_at(shares, DROP), lower_by(shares), command)
    every = {steps: gain_at_fewer(found, steps, name) for steps in found}
    gains = {steps: x for steps, x in every.items() if x is not None}
    told = {
        steps: f"{estimate(found[steps][name])} against "
        f"{estimate(found[round(FEWER * steps)][best(found, round(FEWER * steps))])}"
        for steps in gains
    }
    claim = f"{title}: {words} is below that of the best family in {FEWER:g} times as many steps"
    yield Claim(claim, verdict_at(gains, 0.0), at_steps(told), command)
