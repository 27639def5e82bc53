"""The tables of the README, from the results: ``python -m experiments.high_frequencies.tables``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from experiments.common import between, read_json
from experiments.estimates import Estimate, estimate
from experiments.high_frequencies.config import DATASETS, NETWORK, SAMPLERS
from experiments.high_frequencies.network import FINE
from experiments.registry import NOT_YET

HERE = Path(__file__).parent
MARKS = ("<!-- tables: written by tables.py -->", "<!-- end of tables -->")
SHOWN = 10
"""The S whose bands are all in a table, if it has been run."""

EXACT = 1e-8
"""Of the data's variance: a W2 below it counts as that."""

Found = dict[str, Any]


def found_of(data: str, results: Path = HERE / "results") -> Found:
    """The document of a dataset; empty where it has not been run."""
    return read_json(results / f"{data.removeprefix('tfds:')}.json")


def command(row: str) -> str:
    """What runs a row."""
    return f"python -m experiments.high_frequencies.run --rows {row}"


def middle(logsnr: list[float]) -> float:
    """The level at half of the steps: the higher it is, the more steps are spent on clean ones."""
    return float(np.interp(0.5, np.linspace(0, 1, len(logsnr) + 1)[:-1], logsnr))


def _summary(found: Found, sampler: str) -> list[str]:
    by = found["samplers"][sampler]
    exact = EXACT * float(np.dot(found["bands"]["variance"], found["bands"]["eigenvalues"]))
    best = {steps: max(min(x["w2"] for x in one.values()), exact) for steps, one in by.items()}
    lines = [
        f"#### {sampler}", "",
        "| | " + " | ".join(f"S = {steps}" for steps in by) + " |", "|---|" + "---|" * len(by),
    ]  # fmt: skip
    for name in next(iter(by.values())):
        cells = " | ".join(_cell(one[name], best[steps]) for steps, one in by.items())
        lines.append(f"| {name} | {cells} |")
    return [*lines, ""]


def _cell(one: Found, best: float) -> str:
    low, high = one["decibel"][1], one["decibel"][-1]
    over = max(one["w2"] / best, 1.0)
    return f"{one['rms']:.2f} ({low:+.2f}, {high:+.2f}); {over:.3g}"


def shown(by: Found, wanted: int = SHOWN) -> str:
    """That S, or the last that has been run."""
    return str(wanted) if str(wanted) in by else list(by)[-1]


def _bands(found: Found, sampler: str) -> list[str]:
    steps = shown(found["samplers"][sampler])
    frequency = found["bands"]["frequency"]
    lines = [
        f"#### {sampler}, S = {steps}: power of each band over the data's, dB", "",
        "| | " + " | ".join(f"{f:.3f}" for f in frequency) + " | logsnr at half of the steps |",
        "|---|" + "---|" * (len(frequency) + 1),
    ]  # fmt: skip
    for name, one in found["samplers"][sampler][steps].items():
        cells = " | ".join(f"{x:+.2f}" for x in one["decibel"])
        lines.append(f"| {name} | {cells} | {middle(one['logsnr']):+.2f} |")
    return [*lines, ""]


def seeds_of(results: Path = HERE / "results") -> list[Found]:
    """The documents of the network's seeds."""
    return [read_json(path) for path in sorted(results.glob(f"{NETWORK}-*.json"))]


def over(seeds: list[Found], sampler: str, steps: str, name: str, what: str) -> list[Estimate]:
    """Estimates [bands], or one, of what was measured of a schedule."""
    known = [one["samplers"][sampler][steps][name][what] for one in seeds]
    return [estimate(list(x)) for x in np.atleast_2d(np.array(known).T)]


def shared(seeds: list[Found]) -> list[tuple[str, str]]:
    """Pairs of sampler and S that all seeds have."""
    pairs = [(a, s) for a, by in seeds[0]["samplers"].items() for s in by] if seeds else []
    return [(a, s) for a, s in pairs if all(s in x["samplers"].get(a, {}) for x in seeds)]


def _network(seeds: list[Found], frequency: list[float]) -> list[str]:
    lines = []
    for sampler, steps in shared(seeds):
        lines += [
            f"#### {sampler}, S = {steps}: bands, dB over the data's, measured (predicted)",
            "",
            "| | " + " | ".join(f"{f:.3f}" for f in frequency) + " | RMS | Fréchet |",
            "|---|" + "---|" * (len(frequency) + 2),
        ]
        for name in seeds[0]["samplers"][sampler][steps]:
            real, ideal, rms, frechet = (
                over(seeds, sampler, steps, name, x)
                for x in ("decibel", "predicted", "rms", "frechet")
            )
            cells = " | ".join(
                f"{a.mean:+.2f} ± {a.error:.2f} ({b.mean:+.2f})"
                for a, b in zip(real, ideal, strict=True)
            )
            lines.append(f"| {name} | {cells} | {rms[0]} | {frechet[0]} |")
        lines += [_fine(seeds), ""]
    return lines


def _fine(seeds: list[Found]) -> str:
    known = [one[FINE] for one in seeds]
    bands = [estimate(list(x)) for x in np.array([one["decibel"] for one in known]).T]
    rest = [estimate([one[x] for one in known]) for x in ("rms", "frechet")]
    cells = " | ".join(f"{x.mean:+.2f} ± {x.error:.2f}" for x in bands)
    return f"| {FINE} | {cells} | {rest[0]} | {rest[1]} |"


def lines_of(results: Path = HERE / "results") -> list[str]:
    """All tables."""
    lines = [""]
    for data, words in DATASETS.items():
        found = found_of(data, results)
        lines += [f"### {words}", ""]
        if not found.get("samplers"):
            lines += [f"{NOT_YET}: `{command(data)}`", ""]
            continue
        there = [x for x in SAMPLERS if x in found["samplers"]]
        for sampler in there:
            lines += _summary(found, sampler)
        for sampler in there:
            lines += _bands(found, sampler)
    seeds = seeds_of(results)
    lines += ["### A UNet of 0.69 M parameters trained on the digits", ""]
    if not shared(seeds):
        return [*lines, f"{NOT_YET}: `{command(NETWORK)}`", ""]
    return [*lines, f"{len(seeds)} seeds of the noise.", "", *_network(seeds, frequencies())]


def frequencies() -> list[float]:
    """The frequencies of the bands of 8x8 images."""
    from experiments.high_frequencies.spectra import BANDS, frequency_bands

    return [float(x) for x in frequency_bands((8, 8), BANDS)[1]]


def main(results: Path = HERE / "results", readme: Path = HERE / "README.md") -> None:
    """Write the tables between the marks of the README."""
    between(MARKS, lines_of(results), readme)


if __name__ == "__main__":
    main()
