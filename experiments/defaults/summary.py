"""The tables and claims of defaults: geometric means of squared distances to fine solutions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from experiments.defaults.run import (
    AUTO,
    CASES,
    EXPERIMENT,
    FAMILY,
    USUAL,
    column,
    samplers_of,
)
from experiments.experiment import NOT_YET
from experiments.session import read_json
from experiments.summary import NO, YES, Claim, not_run, table

_ONE_STEP = ("ddim", "heun")
"""Samplers that do not lean on answers of past steps."""


def default_of(sampler: str) -> str:
    """Name the column of what a fit of a sampler does without options."""
    return column("w2", 0.0 if sampler in _ONE_STEP else USUAL)


class Results(NamedTuple):
    """What has been run of a case: values by sampler, S and column."""

    network: dict[str, Any]
    samplers: dict[str, dict[int, dict[str, dict[str, Any]]]]

    def ratios(self, name: str | None, other: str, samplers: Any) -> dict[tuple[str, int], float]:
        """Give a column over another one, by sampler and S; None is the default."""
        return {
            (x, s): found[name or default_of(x)]["geometric_mean"] / found[other]["geometric_mean"]
            for x in samplers
            for s, found in self.samplers[x].items()
        }

    @property
    def multistep(self) -> list[str]:
        """The samplers that lean on past answers."""
        return [x for x in self.samplers if x not in _ONE_STEP]


def read(results: Path, case: str) -> Results | None:
    """Read what has been run of a case."""
    files = {x: read_json(results / f"{case}-{x}.json") for x in samplers_of(case)}
    known = {x: one for x, one in files.items() if one}
    if not known:
        return None
    samplers = {x: {int(s): y for s, y in one["steps"].items()} for x, one in known.items()}
    return Results(next(iter(known.values()))["network"], samplers)


def tables(results: Path) -> list[str]:
    """Make a table for each case."""
    lines: list[str] = []
    for case, title in CASES.items():
        found = read(results, case)
        if found is None:
            lines += [f"{title}: {NOT_YET}.", ""]
            continue
        heads = [(x, s) for x, steps in found.samplers.items() for s in steps]
        first = next(iter(next(iter(found.samplers.values())).values()))
        names = dict.fromkeys(
            [*first, *(n for x in found.samplers.values() for n in x[heads[0][1]])]
        )
        rows = [[n, *(_cell(found.samplers[x][s].get(n)) for x, s in heads)] for n in names]
        about = found.network
        lines += table(["", *(f"{x}, S = {s}" for x, s in heads)], rows, title)
        lines += [
            f"{about['samples']:,} samples of {about['dimension']:,} numbers give the spectrum; "
            f"the mean's square is {about['mean_over_variance']:.3g} times the variance.", "",
        ]  # fmt: skip
    return lines


def _cell(one: dict[str, Any] | None) -> str:
    if one is None:
        return "-"
    family = f" ({one['family']})" if "family" in one else ""
    return f"{one['geometric_mean']:.3g}{family}"


def claims(results: Path) -> Iterator[Claim]:
    """Make the claims of each case; a line where it has not been run."""
    for case, title in CASES.items():
        found, command = read(results, case), EXPERIMENT.command(case)
        if found is None:
            yield not_run(f"{title}: fits by default beat the best family", command)
            continue
        every, ideal = [*found.samplers], column("w2", 0.0)
        for samplers, name, other, text in (
            (found.multistep, column("w2", USUAL), ideal, "fitted with a denoiser's error of 0.1, "
             "samplers that lean on past answers are nearer to the fine solution than without"),
            (every, None, FAMILY, "fits by default are nearer than the best family"),
            (every, None, column("kl", USUAL), "fits of W2 are nearer than those of KL"),
        ):  # fmt: skip
            ratios = found.ratios(name, other, samplers)
            yield Claim(f"{title}: {text}", _verdict(ratios), _measured(ratios), command)
        auto = {
            (x, s): found.samplers[x][s][name]["geometric_mean"]
            / found.samplers[x][s][default_of(x)]["geometric_mean"]
            for x in every
            for s in found.samplers[x]
            for name in found.samplers[x][s]
            if AUTO in name and "family" not in name
            if column("w2", 0.0 if x == "ddim" else USUAL) == default_of(x)
        }
        text = "the noisy end that the spectrum advises is nearer than the network's own"
        yield Claim(f"{title}: {text}", _verdict(auto), _measured(auto), command)


def _verdict(ratios: dict[tuple[str, int], float]) -> str:
    won = sum(x < 1 for x in ratios.values())
    if won in (0, len(ratios)):
        return YES if won else NO
    return f"in {won} of {len(ratios)}"


def _measured(ratios: dict[tuple[str, int], float]) -> str:
    """List the ratios of geometric means, below 1 where the claim holds."""
    words = (f"{x} {s}: {ratio:.2f}" for (x, s), ratio in ratios.items())
    return "ratio at S: " + "; ".join(words)
