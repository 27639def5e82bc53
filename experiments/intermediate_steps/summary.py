"""The tables and claims of intermediate steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from experiments.estimates import Estimate, differences, estimate, estimates
from experiments.experiment import NOT_YET
from experiments.intermediate_steps.run import DENOISERS, EXPERIMENT, SAMPLERS, WATCHED
from experiments.intermediate_steps.trajectory import formation_call
from experiments.session import read_all
from experiments.summary import Claim, not_run, seeds_line, table, verdict

Seeds = list[dict[str, Any]]


def read(name: str, sampler: str, results: Path) -> Seeds:
    """Read what has been run of a denoiser, seed by seed."""
    found = [one["samplers"] for one in read_all(results, f"{name}-*.json")]
    return [one[sampler] for one in found if sampler in one]


def calls_of(seeds: Seeds) -> tuple[np.ndarray, np.ndarray, list[Estimate]]:
    """Give frequencies [bands], and the calls at which half is formed, predicted and measured."""
    watched = [one["watched"] for one in seeds]
    calls = [formation_call(np.array(one["measured"])) for one in watched]
    ideal = formation_call(np.array(watched[0]["predicted"]))
    return np.array(watched[0]["frequency"]), ideal, estimates(calls)


def stopped_of(seeds: Seeds) -> list[list[float]]:
    """Give the Fréchet distance of the estimates after each call, seed by seed."""
    every = (one["watched"]["stopped_frechet"] for one in seeds)
    return [list(x) for x in zip(*every, strict=True)]


def distances_of(seeds: Seeds) -> dict[int, dict[str, list[float]]]:
    """Give distances by steps and schedule, seed by seed."""
    first = seeds[0]["compared"]["steps"]
    return {
        int(s): {label: [one["compared"]["steps"][s][label] for one in seeds] for label in first[s]}
        for s in first
    }


def tables(results: Path) -> list[str]:
    """Make all tables."""
    lines: list[str] = []
    for name, words in DENOISERS.items():
        for sampler in SAMPLERS:
            seeds = read(name, sampler, results)
            lines += [f"### {words}: {sampler}", ""]
            if seeds:
                lines += [*seeds_line(len(seeds)), *_calls(seeds), *_distances(seeds)]
            else:
                lines += [f"{NOT_YET}: `{EXPERIMENT.command(name)}`", ""]
    return lines


def _calls(seeds: Seeds) -> list[str]:
    frequency, ideal, real = calls_of(seeds)
    head = ["call at which half of the standard deviation is formed"]
    rows = [["predicted", *(f"{x:.2f}" for x in ideal)], ["measured", *real]]
    return table([*head, *(f"{f:.2f}" for f in frequency)], rows)


def _distances(seeds: Seeds) -> list[str]:
    found, stopped = distances_of(seeds), stopped_of(seeds)
    rows: list[list[Any]] = [
        [label, *(estimate(found[s][label]) for s in found)] for label in next(iter(found.values()))
    ]
    cells = [estimate(stopped[s - 1]) if s <= len(stopped) else "-" for s in found]
    rows.append([f"spectral of {len(stopped)} calls, stopped", *cells])
    fine = estimate([one["compared"]["fine"] for one in seeds])
    rows.append(["fine solution", fine, *[""] * (len(found) - 1)])
    return table(["Fréchet distance at equal calls", *(f"S = {s}" for s in found)], rows)


def claims(results: Path) -> Iterator[Claim]:
    """Make all claims of what has been run."""
    for name, words in DENOISERS.items():
        for sampler in SAMPLERS:
            seeds, where = read(name, sampler, results), f"{words}, {sampler}"
            command = EXPERIMENT.command(name)
            if seeds:
                yield from _formation(where, command, seeds)
                yield from _rules(where, command, seeds)
            else:
                claim = f"{where}: formation of frequencies, and rules made from it"
                yield not_run(claim, command)


def _formation(where: str, command: str, seeds: Seeds) -> Iterator[Claim]:
    """Judge order and calls of formation; the constant (the mean's power) is left out."""
    frequency, ideal, real = calls_of(seeds)
    measured = np.array([x.mean for x in real])[1:]
    rank = float(spearmanr(frequency[1:], measured).statistic)
    gap = float(np.abs(measured - ideal[1:]).max())
    order = f"{where}: low frequencies are formed before high ones"
    near = f"{where}: the prediction of the call is right within one call"
    yield Claim(order, verdict(rank > 0.9), f"rank correlation {rank:.2f}", command)
    yield Claim(near, verdict(gap <= 1), f"largest gap {gap:.2f} calls", command)


def _rules(where: str, command: str, seeds: Seeds) -> Iterator[Claim]:
    """Judge rules by seed: all begin from the same noise."""
    stopped = stopped_of(seeds)
    for steps, by in distances_of(seeds).items():
        claims = {"levels placed by the watched formation beat the spectral schedule": by[WATCHED]}
        if steps < len(stopped):
            claim = "a longer run, stopped, beats the schedule of so many calls"
            claims[claim] = stopped[steps - 1]
        fixed = by["spectral"]
        for claim, mine in claims.items():
            gain = differences(dict(enumerate(mine)), dict(enumerate(fixed)))
            text = f"{estimate(mine)} against {estimate(fixed)}"
            yield Claim(f"{where}: S = {steps}: {claim}", gain.verdict(), text, command)
