"""The tables and claims of training levels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.estimates import differences, estimate
from experiments.experiment import NOT_YET
from experiments.level_distribution.run import EDM, EXPERIMENT, Config
from experiments.session import read_all
from experiments.summary import Claim, not_run, table

_WORDS = "1,797 digits, 8x8"


def read(results: Path) -> dict[str, dict[str, dict[int, float]]]:
    """Read the distances by variant, plan and seed."""
    found: dict[str, dict[str, dict[int, float]]] = {}
    for document in read_all(results, "digits-*.json"):
        variants: dict[str, Any] = document["variants"]
        for name, one in variants.items():
            for plan, value in one["frechet"].items():
                found.setdefault(name, {}).setdefault(plan, {})[document["seed"]] = value
    return found


def tables(results: Path) -> list[str]:
    """Make the table of Fréchet distances."""
    found = read(results)
    if not found:
        return [f"{NOT_YET}: `{EXPERIMENT.command()}`", ""]
    plans = list(next(iter(found.values())))
    rows = [
        [name, *(estimate(list(found[name][plan].values())) for plan in plans)]
        for name in Config.variants
        if name in found
    ]
    return table(["training levels", *plans], rows, f"{_WORDS}: Fréchet distance in pixels")


def claims(results: Path) -> Iterator[Claim]:
    """Make a line for each variant and sampler."""
    found, command = read(results), EXPERIMENT.command()
    if EDM not in found:
        yield not_run(f"{_WORDS}: advised training levels are better than EDM's", command)
        return
    for name in Config.variants:
        if name == EDM or name not in found:
            continue
        for plan, values in found[name].items():
            gain = differences(values, found[EDM][plan])
            mine, other = (estimate(list(found[x][plan].values())) for x in (name, EDM))
            text = (
                f"{mine} against {other}, lower by {gain} with the same seed ({gain.seeds} seeds)"
            )
            claim = f"{_WORDS}, {plan}: {name} is better than EDM's default (Fréchet in pixels)"
            yield Claim(claim, gain.verdict(), text, command)
