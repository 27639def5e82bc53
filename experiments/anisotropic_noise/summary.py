"""The tables of the README: ``python -m experiments.anisotropic_noise.tables``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.anisotropic_noise.config import DATASETS, VARIANTS
from experiments.common import between, read_json
from experiments.estimates import Estimate, estimate
from experiments.registry import NOT_YET

HERE = Path(__file__).parent
MARKS = ("<!-- tables: written by tables.py -->", "<!-- end of tables -->")
_MEASURES = {
    "frechet": "Fréchet (pixels)",
    "outside": "Fréchet outside of the band",
    "feature_frechet": "Fréchet (features)",
    "spectrum_db": "spectrum, RMS dB",
}


class Found(NamedTuple):
    """A variant: plan -> measure -> estimate over seeds, and each seed; decibels of bands."""

    name: str
    noise: str
    judged: dict[str, dict[str, Estimate]]
    seeds: dict[str, dict[str, dict[int, float]]]
    bands: dict[str, dict[str, np.ndarray]]


def found_of(data: str, results: Path = HERE / "results") -> list[Found]:
    """The variants that have been run on a dataset."""
    seeds = [read_json(x) for x in sorted(results.glob(f"{data.replace('tfds:', '')}-*.json"))]
    return list(_found(seeds))


def _found(seeds: list[dict]) -> Iterator[Found]:
    for name in VARIANTS:
        runs = {x["seed"]: x["variants"][name] for x in seeds if name in x["variants"]}
        if not runs:
            continue
        judged, each, bands = {}, {}, {}
        first_run = next(iter(runs.values()))
        for plan, first in first_run["judged"].items():
            known = [one["judged"][plan] for one in runs.values()]
            measures = [m for m in _MEASURES if m in first]
            each[plan] = {m: {s: x["judged"][plan][m] for s, x in runs.items()} for m in measures}
            judged[plan] = {m: estimate(list(each[plan][m].values())) for m in measures}
            bands[plan] = {
                x: np.mean([one[x] for one in known], axis=0)
                for x in ("frequency", "decibel", "predicted_decibel")
            }
        yield Found(name, first_run["noise"] or "isotropic", judged, each, bands)


def _table(found: list[Found], plan: str) -> list[str]:
    measures = [m for m in _MEASURES if m in found[0].judged[plan]]
    seeds = found[0].judged[plan][measures[0]].seeds
    lines = [
        f"#### {plan}, {seeds} seed{'s' * (seeds > 1)}", "",
        "| variant | noise | " + " | ".join(_MEASURES[m] for m in measures) + " |",
        "|---|---|" + "---|" * len(measures),
    ]  # fmt: skip
    for one in found:
        cells = " | ".join(str(one.judged[plan][m]) for m in measures)
        lines.append(f"| {one.name} | {one.noise} | {cells} |")
    return [*lines, ""]


def _bands(found: list[Found], plan: str) -> list[str]:
    frequency = found[0].bands[plan]["frequency"]
    lines = [
        f"#### {plan}: power of bands over that of the clean data, dB: measured (predicted)", "",
        "| variant | " + " | ".join(f"{f:.3f}" for f in frequency) + " |",
        "|---|" + "---|" * len(frequency),
    ]  # fmt: skip
    for one in found:
        pairs = zip(one.bands[plan]["decibel"], one.bands[plan]["predicted_decibel"], strict=True)
        cells = " | ".join(f"{a:+.2f} ({b:+.2f})" for a, b in pairs)
        lines.append(f"| {one.name} | {cells} |")
    return [*lines, ""]


def lines_of(results: Path = HERE / "results") -> list[str]:
    """All tables."""
    lines = []
    for data, words in DATASETS.items():
        found = found_of(data, results)
        lines += ["", f"### {words}", ""]
        if not found:
            lines += [f"{NOT_YET}: `python -m experiments.anisotropic_noise.run --data {data}`", ""]
            continue
        for plan in found[0].judged:
            lines += _table(found, plan)
        for plan in found[0].judged:
            lines += _bands(found, plan)
    return lines


def main(results: Path = HERE / "results", readme: Path = HERE / "README.md") -> None:
    """Write them between the marks of the README."""
    between(MARKS, lines_of(results), readme)


if __name__ == "__main__":
    main()
