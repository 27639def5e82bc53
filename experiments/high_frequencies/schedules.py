"""Every schedule of a spectrum, and what it makes of each band in closed form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import specjax as sx
from experiments.high_frequencies.config import ENDS, HEURISTICS, KL, TARGETS
from experiments.high_frequencies.spectra import bands_of, weighted


def learned(spectrum: sx.Spectrum, target: str, sampler: str, steps: int) -> sx.FitResult:
    """The schedule that is learned for a target."""
    options: dict[str, Any] = {"sampler": sampler, "alpha_bar_range": ENDS}
    if target == KL:
        return sx.fit(spectrum, steps, loss="kl", **options)
    return sx.fit(weighted(spectrum, TARGETS[target]), steps, loss="w2", **options)


def schedules_of(
    spectrum: sx.Spectrum, sampler: str, steps: int
) -> Iterator[tuple[str, sx.NoiseSchedule, dict[str, Any]]]:
    """Those that are learned, with the facts of it, and the heuristics pinned to the same ends."""
    for target in TARGETS:
        found = learned(spectrum, target, sampler, steps)
        facts = {"converged": bool(found.converged), "objective": float(found.value)}
        yield target, found.schedule, facts
    for name in HEURISTICS:
        yield name, sx.family(name, steps, alpha_bar_range=ENDS), {}


def judged(
    spectrum: sx.Spectrum, schedule: sx.NoiseSchedule, sampler: str
) -> dict[str, float | list[float]]:
    """Levels, the power of bands in dB, its root mean square over bands, and three losses."""
    variance = np.asarray(sx.transfer(sx.plan(sampler, schedule), spectrum).variance)
    decibel = bands_of(spectrum).decibel(variance, np.asarray(spectrum.eigenvalues))
    losses = {
        name: float(sx.loss(spectrum, schedule, sampler=sampler, loss=name))
        for name in ("w2", "kl", "relative")
    }
    return {
        "logsnr": [round(float(x), 5) for x in np.asarray(schedule.logsnr)[:-1]],
        "decibel": [round(float(x), 6) for x in decibel],
        "rms": float(np.sqrt(np.mean(decibel**2))),
        **losses,
    }
