"""The claims under test: ``python -m experiments.intermediate_steps.claims``.

Writes this experiment's lines of the table in ``experiments/README.md``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from experiments.common import between
from experiments.estimates import differences, estimate
from experiments.intermediate_steps.config import DENOISERS, SAMPLERS
from experiments.intermediate_steps.tables import (
    HERE,
    calls_of,
    distances_of,
    seeds_of,
    stopped_of,
)

README = HERE.parent / "README.md"
MARKS = ("<!-- intermediate_steps -->", "<!-- end of intermediate_steps -->")


def _line(name: str, sampler: str, claim: str, verdict: str, text: str) -> str:
    command = f"`python -m experiments.intermediate_steps.run --denoisers {name}`"
    return f"| {DENOISERS[name]}, {sampler}: {claim} | {verdict} | {text} | {command} |"


def _first(name: str, sampler: str, seeds: list[dict[str, Any]]) -> list[str]:
    """Order and calls of formation; the constant (the mean's power) is left out."""
    frequency, ideal, real = calls_of(seeds)
    measured = np.array([x.mean for x in real])[1:]
    rank = float(spearmanr(frequency[1:], measured).statistic)
    gap = float(np.abs(measured - ideal[1:]).max())
    order = "low frequencies are formed before high ones"
    near = "the prediction of the call is right within one call"
    verdicts = ["yes" if holds else "**no**" for holds in (rank > 0.9, gap <= 1)]
    return [
        _line(name, sampler, order, verdicts[0], f"rank correlation {rank:.2f}"),
        _line(name, sampler, near, verdicts[1], f"largest gap {gap:.2f} calls"),
    ]


def _better(mine: list[float], other: list[float]) -> str:
    """Is mine the smaller? Values by seed, which begin from the same noise."""
    return differences(dict(enumerate(mine)), dict(enumerate(other))).verdict()


def _rules(name: str, sampler: str, seeds: list[dict[str, Any]]) -> list[str]:
    found, stopped, lines = distances_of(seeds), stopped_of(seeds), []
    for steps, by in found.items():
        rule, fixed = (estimate(by[x]) for x in ("placed by what was watched", "spectral"))
        verdict = _better(by["placed by what was watched"], by["spectral"])
        claim = f"S = {steps}: levels placed by the watched formation beat the spectral schedule"
        lines.append(_line(name, sampler, claim, verdict, f"{rule} against {fixed}"))
        if steps < len(stopped):
            early = estimate(stopped[steps - 1])
            claim = f"S = {steps}: a longer run, stopped, beats the schedule of so many calls"
            text = f"{early} against {fixed}"
            verdict = _better(stopped[steps - 1], by["spectral"])
            lines.append(_line(name, sampler, claim, verdict, text))
    return lines


def lines_of(results: Path = HERE / "results") -> list[str]:
    """All claims of what has been run."""
    lines = []
    for name in DENOISERS:
        for sampler in SAMPLERS:
            seeds = seeds_of(name, sampler, results)
            if seeds:
                lines += [*_first(name, sampler, seeds), *_rules(name, sampler, seeds)]
            else:
                claim = "formation of frequencies, and rules made from it"
                lines.append(_line(name, sampler, claim, "not yet run", "-"))
    return lines


def main(results: Path = HERE / "results", readme: Path = README) -> None:
    """Write the lines between the marks."""
    between(MARKS, lines_of(results), readme)


if __name__ == "__main__":
    main()
