"""The tables and claims of noise with a spectrum."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.anisotropic_noise.run import DATASETS, EXPERIMENT, VARIANTS, stem_of
from experiments.estimates import Estimate, differences, estimate
from experiments.experiment import NOT_YET
from experiments.session import read_all
from experiments.summary import Claim, not_run, table

MEASURES = {
    "frechet": "Fréchet (pixels)",
    "outside": "Fréchet outside of the band",
    "feature_frechet": "Fréchet (features)",
    "spectrum_db": "spectrum, RMS dB",
}
CLAIMS = {
    "power law, -0.06": ("isotropic", "noise (r + 0.01)^-0.06 is better than isotropic"),
    "power law, learned with the schedule": (
        "isotropic", "the exponent learned with the schedule is better than isotropic",
    ),
    "corrupted data, band omitted": (
        "corrupted data, isotropic",
        "trained on data corrupted in a band, noise without it is nearer to clean data",
    ),
}  # fmt: skip
"""What variants are compared with, and the claims."""

CLAIMED = {"frechet": "Fréchet in pixels", "outside": "Fréchet outside of the band"}


class Measured(NamedTuple):
    """A variant: plan -> measure -> value by seed, and the decibels of bands by plan."""

    name: str
    noise: str
    seeds: dict[str, dict[str, dict[int, float]]]
    bands: dict[str, dict[str, np.ndarray]]

    def estimate(self, plan: str, measure: str) -> Estimate:
        """Estimate a measure over seeds."""
        return estimate(list(self.seeds[plan][measure].values()))


def read(data: str, results: Path) -> list[Measured]:
    """Read the variants that have been run on a dataset."""
    documents = read_all(results, f"{stem_of(data)}-*.json")
    found = []
    for name in VARIANTS:
        runs = {x["seed"]: x["variants"][name] for x in documents if name in x["variants"]}
        if runs:
            found.append(_measured(name, runs))
    return found


def _measured(name: str, runs: dict[int, Any]) -> Measured:
    first, seeds, bands = next(iter(runs.values())), {}, {}
    for plan, one in first["judged"].items():
        measures = [m for m in MEASURES if m in one]
        seeds[plan] = {m: {s: x["judged"][plan][m] for s, x in runs.items()} for m in measures}
        bands[plan] = {
            what: np.mean([x["judged"][plan][what] for x in runs.values()], axis=0)
            for what in ("frequency", "decibel", "predicted_decibel")
        }
    return Measured(name, first["noise"] or "isotropic", seeds, bands)


def tables(results: Path) -> list[str]:
    """Make all tables."""
    lines = []
    for data, words in DATASETS.items():
        found = read(data, results)
        lines += [f"### {words}", ""]
        if not found:
            lines += [f"{NOT_YET}: `{EXPERIMENT.command(data)}`", ""]
            continue
        for part in (_distances, _bands):
            for plan in found[0].seeds:
                lines += part(found, plan)
    return lines


def _distances(found: list[Measured], plan: str) -> list[str]:
    measures = [m for m in MEASURES if m in found[0].seeds[plan]]
    seeds = found[0].estimate(plan, measures[0]).seeds
    rows = [[one.name, one.noise, *(one.estimate(plan, m) for m in measures)] for one in found]
    title = f"{plan}, {seeds} seed{'s' * (seeds > 1)}"
    return table(["variant", "noise", *(MEASURES[m] for m in measures)], rows, title)


def _bands(found: list[Measured], plan: str) -> list[str]:
    rows = []
    for one in found:
        bands = one.bands[plan]
        pairs = zip(bands["decibel"], bands["predicted_decibel"], strict=True)
        rows.append([one.name, *(f"{a:+.2f} ({b:+.2f})" for a, b in pairs)])
    heads = [f"{f:.3f}" for f in found[0].bands[plan]["frequency"]]
    title = f"{plan}: power of bands over that of the clean data, dB: measured (predicted)"
    return table(["variant", *heads], rows, title)


def claims(results: Path) -> Iterator[Claim]:
    """Make a line for each claim, dataset and sampler."""
    for data, words in DATASETS.items():
        found = {one.name: one for one in read(data, results)}
        if not found:
            claim = f"{words}: noise with a spectrum is better"
            yield not_run(claim, EXPERIMENT.command(data))
        for name, (other, claim) in CLAIMS.items():
            if name in found and other in found:
                for plan in found[name].seeds:
                    for measure in CLAIMED if "band" in name else ("frechet",):
                        pair = (found[name], found[other])
                        yield _claim(f"{words}, {plan}: {claim}", plan, measure, pair, data)


def _claim(
    claim: str, plan: str, measure: str, pair: tuple[Measured, Measured], data: str
) -> Claim:
    mine, other = (one.estimate(plan, measure) for one in pair)
    gain = differences(*(one.seeds[plan][measure] for one in pair))
    text = f"{mine} against {other}, lower by {gain} with the same seed ({gain.seeds} seeds)"
    command = EXPERIMENT.command(data)
    return Claim(f"{claim} ({CLAIMED[measure]})", gain.verdict(), text, command)
