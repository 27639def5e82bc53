"""The rank of a low-rank estimate, and the units of the data."""

from __future__ import annotations

from typing import Any

import specjax as sx
from experiments.real_spectra.config import Config, Regime
from experiments.real_spectra.schedules import cost, learn
from experiments.real_spectra.sources import samples_of
from experiments.real_spectra.spectra import Subject


def ranks(subject: Subject, config: Config) -> dict[str, Any]:
    """What a schedule of a low-rank estimate costs on the full spectrum, rank by rank."""
    full, found = subject.spectrum(), {}
    regimes = [x for x in config.regimes if x.steps == config.ablated]
    best = {x: learn(full, x, config.floor).value for x in regimes}
    for rank in config.ranks:
        if rank >= full.dimension:
            continue
        low, facts = subject.estimate("low-rank", rank)
        levels = {x: learn(low, x, config.floor).schedule.logsnr for x in regimes}
        ratio = {str(x): cost(full, levels[x], x, config.floor) / best[x] for x in regimes}
        found[str(rank)] = {**facts, "ratio": ratio}
    return found


WITHOUT = {
    "digits": ("0 to 16, as they are stored", {}),
    "spoken_digits": ("16-bit numbers over 32,768, no file divided by its peak",
                      {"normalise": "none"}),
}  # fmt: skip
"""Datasets in other units than [-1, 1]: what those are, options of ``sx.data.open``."""


def units(subject: Subject, config: Config) -> dict[str, Any]:
    """A schedule learned in other units: what says no, and what it would cost."""
    words, options = WITHOUT[subject.name]
    data = samples_of(subject.name, config.window, config.most, **options)
    plain, source = data.x, {**data.source, "data_range": None}
    other = sx.Spectrum.from_samples(plain.astype("float32"), source=source)
    own = subject.spectrum()
    return {
        "units": words,
        "refusal": _refusal(other, own),
        "ratio": {str(x): _wrong(other, own, x, config) for x in config.regimes},
    }


def _refusal(learned: sx.Spectrum, used: sx.Spectrum) -> str | None:
    try:
        sx.check_units(learned.source, used.source)
    except ValueError as error:
        return str(error)
    return None


def _wrong(other: sx.Spectrum, own: sx.Spectrum, regime: Regime, config: Config) -> float:
    levels = learn(other, regime, config.floor).schedule.logsnr
    return cost(own, levels, regime, config.floor) / learn(own, regime, config.floor).value
