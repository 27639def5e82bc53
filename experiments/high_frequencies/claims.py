"""The claims under test: ``python -m experiments.high_frequencies.claims``.

Writes this experiment's lines of the table in ``experiments/README.md``. Closed forms have no
error bars; where both errors are below SMALL nothing is compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from experiments.common import between
from experiments.estimates import Estimate, estimate
from experiments.high_frequencies.config import DATASETS, EVERY, KL, NETWORK, SAMPLERS, W2
from experiments.high_frequencies.tables import (
    HERE,
    Found,
    command,
    found_of,
    over,
    seeds_of,
    shared,
)
from experiments.registry import NOT_YET

README = HERE.parent / "README.md"
MARKS = ("<!-- high_frequencies -->", "<!-- end of high_frequencies -->")
SMALL = 0.01
"""dB, below which nobody needs to be better."""

LITTLE = "p = 0.25"

WITHIN = 0.5
"""dB, to which the prediction of a band should be right on a network."""


def _line(claim: str, verdict: str, text: str, row: str) -> str:
    return f"| {claim} | {verdict} | {text} | `{command(row)}` |"


def _verdict(held: list[bool]) -> str:
    return "yes" if all(held) else "**no**"


def _compared(by: Found, mine: str, other: str, of: Any) -> tuple[list[bool], str]:
    """At which S an error is smaller, and both errors in words; without S where both are SMALL."""
    held, words = [], []
    for steps, one in by.items():
        a, b = of(one[mine]), of(one[other])
        if max(abs(a), abs(b)) > SMALL:
            held.append(abs(a) < abs(b))
            words.append(f"S = {steps}: {a:.2f} against {b:.2f}")
    return held, "; ".join(words) + " dB"


def _high(one: Found) -> float:
    return float(one["decibel"][-1])


def _rms(one: Found) -> float:
    return float(one["rms"])


def _of_data(data: str, found: Found) -> list[str]:
    lines = []
    for sampler in [x for x in SAMPLERS if x in found["samplers"]]:
        by, where = found["samplers"][sampler], f"{DATASETS[data]}, {sampler}"
        for mine, claim, of in (
            (EVERY, "`relative` makes the highest band better than W2 does", _high),
            (EVERY, "`relative` makes the mean band (RMS) better than W2 does", _rms),
            (LITTLE, "weights lambda^-0.25 make the mean band (RMS) better than W2 does", _rms),
        ):
            held, text = _compared(by, mine, W2, of)
            if held:
                lines.append(_line(f"{where}: {claim}", _verdict(held), text, data))
    return [*lines, *_same(data, found)]


def _same(data: str, found: Found) -> list[str]:
    """Theory: for small errors KL and `relative` weigh an error of log std alike."""
    by = found["samplers"].get("ddim", {})
    gaps = {
        steps: np.abs(np.subtract(one[KL]["logsnr"], one[EVERY]["logsnr"])).max()
        for steps, one in by.items()
    }
    held = bool(np.all(np.diff(list(gaps.values())) < 0))
    text = "; ".join(f"S = {steps}: {gap:.2g}" for steps, gap in gaps.items())
    claim = f"{DATASETS[data]}, ddim: the schedules of KL and `relative` approach each other"
    return [_line(claim, _verdict([held]), f"largest gap of logsnr: {text}", data)] if gaps else []


def _of_network(seeds: list[Found]) -> list[str]:
    lines = []
    for sampler, steps in shared(seeds):
        where = f"UNet on digits, {sampler}, S = {steps}"
        mine, other = (over(seeds, sampler, steps, x, "decibel")[-1] for x in (EVERY, W2))
        gain = _gain(seeds, sampler, steps)
        claim = f"{where}: `relative` makes the highest band better than W2 does"
        text = f"{mine} against {other} dB, nearer by {gain} from the same noise"
        lines.append(_line(claim, gain.verdict(), text, NETWORK))
        lines.append(_predicted(seeds, sampler, steps, where))
    return lines


def _gain(seeds: list[Found], sampler: str, steps: str) -> Estimate:
    """By how much the highest band is nearer to 0 dB, seed by seed: all start from one noise."""
    pairs = [one["samplers"][sampler][steps] for one in seeds]
    return estimate([abs(_high(one[W2])) - abs(_high(one[EVERY])) for one in pairs])


def _predicted(seeds: list[Found], sampler: str, steps: str, where: str) -> str:
    worst = []
    for name in seeds[0]["samplers"][sampler][steps]:
        real, ideal = (over(seeds, sampler, steps, name, x) for x in ("decibel", "predicted"))
        gaps = [a.mean - b.mean for a, b in zip(real, ideal, strict=True)]
        k = int(np.abs(gaps).argmax())
        worst.append((abs(gaps[k]), f"{gaps[k]:+.2f} ± {real[k].error:.2f} dB ({name}, band {k})"))
    most, text = max(worst)
    claim = f"{where}: the Gaussian predicts every band within {WITHIN} dB"
    return _line(claim, _verdict([most <= WITHIN]), f"largest gap {text}", NETWORK)


def lines_of(results: Path = HERE / "results") -> list[str]:
    """All claims; a line for what has not been run."""
    lines = []
    for data, words in DATASETS.items():
        found = found_of(data, results)
        if found.get("samplers"):
            lines += _of_data(data, found)
        else:
            lines.append(_line(f"{words}: losses that weigh frequencies", NOT_YET, "-", data))
    seeds = seeds_of(results)
    if not shared(seeds):
        return [*lines, _line("UNet on digits: bands as predicted", NOT_YET, "-", NETWORK)]
    return lines + _of_network(seeds)


def main(results: Path = HERE / "results", readme: Path = README) -> None:
    """Write the lines between the marks."""
    between(MARKS, lines_of(results), readme)


if __name__ == "__main__":
    main()
