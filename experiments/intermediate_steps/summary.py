"""The tables of the README: ``python -m experiments.intermediate_steps.tables``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from experiments.common import between, read_json
from experiments.estimates import Estimate, estimate
from experiments.intermediate_steps.config import DENOISERS, SAMPLERS
from experiments.intermediate_steps.trajectory import formation_call

HERE = Path(__file__).parent
MARKS = ("<!-- tables: written by tables.py -->", "<!-- end of tables -->")


def seeds_of(name: str, sampler: str, results: Path = HERE / "results") -> list[dict[str, Any]]:
    """What has been run of a denoiser, seed by seed."""
    found = [read_json(path)["samplers"] for path in sorted(results.glob(f"{name}-*.json"))]
    return [one[sampler] for one in found if sampler in one]


def calls_of(seeds: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray, list[Estimate]]:
    """Frequencies [bands], the calls predicted, and those measured, at which half is formed."""
    watched = [one["watched"] for one in seeds]
    calls = [formation_call(np.array(one["measured"])) for one in watched]
    found = [estimate(list(x)) for x in zip(*calls, strict=True)]
    ideal = formation_call(np.array(watched[0]["predicted"]))
    return np.array(watched[0]["frequency"]), ideal, found


def stopped_of(seeds: list[dict[str, Any]]) -> list[list[float]]:
    """Fréchet distance of the estimates after each call, seed by seed."""
    every = (one["watched"]["stopped_frechet"] for one in seeds)
    return [list(x) for x in zip(*every, strict=True)]


def distances_of(seeds: list[dict[str, Any]]) -> dict[int, dict[str, list[float]]]:
    """By steps and schedule, seed by seed."""
    first = seeds[0]["compared"]["steps"]
    return {
        int(s): {label: [one["compared"]["steps"][s][label] for one in seeds] for label in first[s]}
        for s in first
    }


def fine_of(seeds: list[dict[str, Any]]) -> Estimate:
    """Of the fine solutions."""
    return estimate([one["compared"]["fine"] for one in seeds])


def _calls(seeds: list[dict[str, Any]]) -> list[str]:
    frequency, ideal, real = calls_of(seeds)
    return [
        "| call at which half of the standard deviation is formed | "
        + " | ".join(f"{f:.2f}" for f in frequency) + " |",
        "|---|" + "---|" * len(frequency),
        "| predicted | " + " | ".join(f"{x:.2f}" for x in ideal) + " |",
        "| measured | " + " | ".join(map(str, real)) + " |",
        "",
    ]  # fmt: skip


def _distances(seeds: list[dict[str, Any]]) -> list[str]:
    found, stopped = distances_of(seeds), stopped_of(seeds)
    labels = list(next(iter(found.values())))
    lines = ["| Fréchet distance at equal calls | " + " | ".join(f"S = {s}" for s in found) + " |"]
    lines.append("|---|" + "---|" * len(found))
    for label in labels:
        lines.append(
            f"| {label} | " + " | ".join(str(estimate(found[s][label])) for s in found) + " |"
        )
    cells = [str(estimate(stopped[s - 1])) if s <= len(stopped) else "-" for s in found]
    lines.append(f"| spectral of {len(stopped)} calls, stopped | " + " | ".join(cells) + " |")
    return [*lines, f"| fine solution | {fine_of(seeds)} |" + " |" * (len(found) - 1), ""]


def lines_of(results: Path = HERE / "results") -> list[str]:
    """All tables."""
    lines: list[str] = []
    for name, words in DENOISERS.items():
        for sampler in SAMPLERS:
            seeds = seeds_of(name, sampler, results)
            lines += ["", f"### {words}: {sampler}", ""]
            if not seeds:
                command = f"python -m experiments.intermediate_steps.run --denoisers {name}"
                lines += [f"not yet run: `{command}`", ""]
                continue
            lines += [f"{len(seeds)} seed{'s' * (len(seeds) > 1)}.", ""]
            lines += [*_calls(seeds), *_distances(seeds)]
    return lines


def main(results: Path = HERE / "results", readme: Path = HERE / "README.md") -> None:
    """Write them between the marks of the README."""
    between(MARKS, lines_of(results), readme)


if __name__ == "__main__":
    main()
