"""The tables and claims of high frequencies.

Closed forms have no error bars; where both errors are below SMALL nothing is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from experiments.bands import frequencies
from experiments.estimates import Estimate, estimate, estimates
from experiments.experiment import NOT_YET
from experiments.high_frequencies.run import (
    DATASETS,
    EVERY,
    EXPERIMENT,
    FINE,
    KL,
    NETWORK,
    SAMPLERS,
    W2,
)
from experiments.session import read_all, read_json
from experiments.summary import Claim, not_run, table, verdict

GRID = (8, 8)
SHOWN = 10
"""The S whose bands are all in a table, if it has been run."""

EXACT = 1e-8
"""Of the data's variance: a W2 below it counts as that."""

SMALL = 0.01
"""dB, below which nobody needs to be better."""

LITTLE = "p = 0.25"
WITHIN = 0.5
"""dB, to which the prediction of a band should be right on a network."""

Document = dict[str, Any]


def read(data: str, results: Path) -> Document:
    """Read the document of a dataset; empty where it has not been run."""
    return read_json(results / f"{data.removeprefix('tfds:')}.json")


def read_seeds(results: Path) -> list[Document]:
    """Read the documents of the network's seeds."""
    return read_all(results, f"{NETWORK}-*.json")


def over(seeds: list[Document], sampler: str, steps: str, name: str, what: str) -> list[Estimate]:
    """Estimate [bands], or one number, of what was measured of a schedule."""
    known = [one["samplers"][sampler][steps][name][what] for one in seeds]
    return estimates(np.atleast_2d(np.array(known).T).T)


def shared(seeds: list[Document]) -> list[tuple[str, str]]:
    """Give pairs of sampler and S that all seeds have."""
    pairs = [(a, s) for a, by in seeds[0]["samplers"].items() for s in by] if seeds else []
    return [(a, s) for a, s in pairs if all(s in x["samplers"].get(a, {}) for x in seeds)]


def shown(by: Document, wanted: int = SHOWN) -> str:
    """Give that S, or the last that has been run."""
    return str(wanted) if str(wanted) in by else list(by)[-1]


def tables(results: Path) -> list[str]:
    """Make all tables."""
    lines: list[str] = []
    for data, words in DATASETS.items():
        found = read(data, results)
        lines += [f"### {words}", ""]
        if not found.get("samplers"):
            lines += [f"{NOT_YET}: `{EXPERIMENT.command(data)}`", ""]
            continue
        there = [x for x in SAMPLERS if x in found["samplers"]]
        for part in (_summary, _bands):
            for sampler in there:
                lines += part(found, sampler)
    seeds = read_seeds(results)
    lines += ["### A UNet of 0.69 M parameters trained on the digits", ""]
    if not shared(seeds):
        return [*lines, f"{NOT_YET}: `{EXPERIMENT.command(NETWORK)}`"]
    return [*lines, f"{len(seeds)} seeds of the noise.", "", *_network(seeds)]


def _summary(found: Document, sampler: str) -> list[str]:
    by = found["samplers"][sampler]
    exact = EXACT * float(np.dot(found["bands"]["variance"], found["bands"]["eigenvalues"]))
    best = {steps: max(min(x["w2"] for x in one.values()), exact) for steps, one in by.items()}

    def cell(one: Document, least: float) -> str:
        low, high = one["decibel"][1], one["decibel"][-1]
        return f"{one['rms']:.2f} ({low:+.2f}, {high:+.2f}); {max(one['w2'] / least, 1.0):.3g}"

    rows = [
        [name, *(cell(one[name], best[steps]) for steps, one in by.items())]
        for name in next(iter(by.values()))
    ]
    return table(["", *(f"S = {steps}" for steps in by)], rows, sampler)


def _bands(found: Document, sampler: str) -> list[str]:
    steps = shown(found["samplers"][sampler])
    rows = [
        [name, *(f"{x:+.2f}" for x in one["decibel"]), f"{middle(one['logsnr']):+.2f}"]
        for name, one in found["samplers"][sampler][steps].items()
    ]
    heads = [f"{f:.3f}" for f in found["bands"]["frequency"]]
    title = f"{sampler}, S = {steps}: power of each band over the data's, dB"
    return table(["", *heads, "logsnr at half of the steps"], rows, title)


def middle(logsnr: list[float]) -> float:
    """Give the level at half of the steps: the higher, the more steps are spent on clean ones."""
    return float(np.interp(0.5, np.linspace(0, 1, len(logsnr) + 1)[:-1], logsnr))


def _network(seeds: list[Document]) -> list[str]:
    heads = ["", *(f"{f:.3f}" for f in frequencies(GRID)), "RMS", "Fréchet"]
    fine = [one[FINE] for one in seeds]
    bands = estimates([one["decibel"] for one in fine])
    rest = [estimate([one[x] for one in fine]) for x in ("rms", "frechet")]
    last = [FINE, *(f"{x.mean:+.2f} ± {x.error:.2f}" for x in bands), *rest]
    lines = []
    for sampler, steps in shared(seeds):
        rows = []
        for name in seeds[0]["samplers"][sampler][steps]:
            real, ideal, rms, frechet = (
                over(seeds, sampler, steps, name, x)
                for x in ("decibel", "predicted", "rms", "frechet")
            )
            cells = [
                f"{a.mean:+.2f} ± {a.error:.2f} ({b.mean:+.2f})"
                for a, b in zip(real, ideal, strict=True)
            ]
            rows.append([name, *cells, rms[0], frechet[0]])
        title = f"{sampler}, S = {steps}: bands, dB over the data's, measured (predicted)"
        lines += table(heads, [*rows, last], title)
    return lines


def claims(results: Path) -> Iterator[Claim]:
    """Make all claims; a line for what has not been run."""
    for data, words in DATASETS.items():
        found = read(data, results)
        if found.get("samplers"):
            yield from _of_data(data, found)
        else:
            claim = f"{words}: losses that weigh frequencies"
            yield not_run(claim, EXPERIMENT.command(data))
    seeds = read_seeds(results)
    if not shared(seeds):
        yield not_run("UNet on digits: bands as predicted", EXPERIMENT.command(NETWORK))
    for sampler, steps in shared(seeds):
        yield from _of_network(seeds, sampler, steps)


def _high(one: Document) -> float:
    return float(one["decibel"][-1])


def _rms(one: Document) -> float:
    return float(one["rms"])


def _of_data(data: str, found: Document) -> Iterator[Claim]:
    command = EXPERIMENT.command(data)
    for sampler in [x for x in SAMPLERS if x in found["samplers"]]:
        by, where = found["samplers"][sampler], f"{DATASETS[data]}, {sampler}"
        for mine, claim, error in (
            (EVERY, "`relative` makes the highest band better than W2 does", _high),
            (EVERY, "`relative` makes the mean band (RMS) better than W2 does", _rms),
            (LITTLE, "weights lambda^-0.25 make the mean band (RMS) better than W2 does", _rms),
        ):
            held, text = _compared(by, mine, error)
            if held:
                yield Claim(f"{where}: {claim}", verdict(all(held)), text, command)
    by = found["samplers"].get("ddim", {})
    if by:  # in theory, for small errors, KL and `relative` weigh an error of log std alike
        levels = {s: [one[x]["logsnr"] for x in (KL, EVERY)] for s, one in by.items()}
        gaps = {s: np.abs(np.subtract(*pair)).max() for s, pair in levels.items()}
        text = "; ".join(f"S = {steps}: {gap:.2g}" for steps, gap in gaps.items())
        yield Claim(
            f"{DATASETS[data]}, ddim: the schedules of KL and `relative` approach each other",
            verdict(bool(np.all(np.diff(list(gaps.values())) < 0))),
            f"largest gap of logsnr: {text}",
            command,
        )


def _compared(
    by: Document, mine: str, error: Callable[[Document], float]
) -> tuple[list[bool], str]:
    """Tell at which S an error is below that of W2, without S where both are SMALL."""
    held, words = [], []
    for steps, one in by.items():
        a, b = error(one[mine]), error(one[W2])
        if max(abs(a), abs(b)) > SMALL:
            held.append(abs(a) < abs(b))
            words.append(f"S = {steps}: {a:.2f} against {b:.2f}")
    return held, "; ".join(words) + " dB"


def _of_network(seeds: list[Document], sampler: str, steps: str) -> Iterator[Claim]:
    where = f"UNet on digits, {sampler}, S = {steps}"
    command = EXPERIMENT.command(NETWORK)
    mine, other = (over(seeds, sampler, steps, x, "decibel")[-1] for x in (EVERY, W2))
    pairs = [one["samplers"][sampler][steps] for one in seeds]
    gain = estimate([abs(_high(one[W2])) - abs(_high(one[EVERY])) for one in pairs])
    claim = f"{where}: `relative` makes the highest band better than W2 does"
    text = f"{mine} against {other} dB, nearer by {gain} from the same noise"
    yield Claim(claim, gain.verdict(), text, command)
    gaps = []
    for name in pairs[0]:
        real, ideal = (over(seeds, sampler, steps, name, x) for x in ("decibel", "predicted"))
        away = [a.mean - b.mean for a, b in zip(real, ideal, strict=True)]
        k = int(np.abs(away).argmax())
        text = f"{away[k]:+.2f} ± {real[k].error:.2f} dB ({name}, band {k})"
        gaps.append((abs(away[k]), text))
    most, text = max(gaps)
    claim = f"{where}: the Gaussian predicts every band within {WITHIN} dB"
    yield Claim(claim, verdict(most <= WITHIN), f"largest gap {text}", command)
