"""Spectra by three estimates and of halves, kept in the working folder."""

from __future__ import annotations

import functools
import time
import tracemalloc
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import specjax as sx
from experiments.real_spectra.config import Config
from experiments.real_spectra.halves import halves_of
from experiments.real_spectra.sources import Samples, samples_of
from specjax.spectra.power_law import directions_for, ranked

ESTIMATES = ("full", "shift-invariant", "low-rank")
_POINTS = 160
_SHARES = (0.9, 0.99)


@functools.lru_cache(maxsize=1)
def _read(name: str, window: int, most: int | None) -> Samples:
    return samples_of(name, window, most)


@dataclass(frozen=True)
class Subject:
    """A dataset, sound in windows of a length; its spectra are kept in ``work``."""

    name: str
    window: int
    config: Config
    work: Path

    @property
    def title(self) -> str:
        """The name of its results."""
        plain = self.window == self.config.window
        return self.name if plain else f"{self.name}@{self.window}"

    def samples(self) -> Samples:
        """Read once, as long as no other is read."""
        return _read(self.name, self.window, self.config.most)

    def estimate(self, method: str, rank: int | None = None) -> tuple[sx.Spectrum, dict[str, Any]]:
        """A spectrum by one of ESTIMATES, and what it took beside the reading and the samples."""
        data = self.samples()
        tracemalloc.start()
        began = time.perf_counter(), time.process_time()
        try:
            found = _estimate(data, method, rank or self.config.rank)
            memory = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        return found, {
            "seconds": round(time.perf_counter() - began[0], 3),
            "cpu_seconds": round(time.process_time() - began[1], 3),
            "mebibytes": round(memory / 2**20, 1),
        }

    def spectrum(self, method: str = "full") -> sx.Spectrum:
        """One of ESTIMATES, kept."""
        return self.kept(method, lambda: self.estimate(method)[0])

    def half(self, split: int, side: int) -> sx.Spectrum:
        """The full estimate of a half, kept."""

        def make() -> sx.Spectrum:
            data = self.samples()
            x = data.x[halves_of(data.part, split)[side]]
            return sx.Spectrum.from_samples(x, data_range=data.data_range)

        return self.kept(f"half-{split}-{side}", make)

    def kept(self, what: str, make: Any) -> sx.Spectrum:
        """From the working folder, or made and put there, without its basis."""
        limit = "" if self.config.most is None else f"-{self.config.most}"
        path = self.work / f"{self.name}-{self.window}{limit}-{what}.npz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            sx.save(path, replace(make(), basis=None))
        found = sx.load(path)
        assert isinstance(found, sx.Spectrum)
        return found


def _estimate(data: Samples, method: str, rank: int) -> sx.Spectrum:
    given: dict[str, Any] = {"data_range": data.data_range, "source": data.source}
    if method == "full":
        return sx.Spectrum.from_samples(data.x, **given)
    if method == "low-rank":
        return sx.Spectrum.from_samples(data.x, method=method, rank=rank, **given)
    return sx.Spectrum.from_samples(data.x, method=method, **given)


def facts_of(spectrum: sx.Spectrum) -> dict[str, Any]:
    """Slope, total variance, squared norm of the mean, and the eigenvalues thinned for a plot."""
    law, (order, first, counts) = sx.power_law_fit(spectrum), ranked(spectrum)
    eigenvalues = np.asarray(spectrum.eigenvalues, np.float64)
    last = first[-1] + counts[-1] - 1
    wanted = np.geomspace(1, last, _POINTS)
    shown = np.unique(np.searchsorted(first, wanted, side="right") - 1)
    return {
        "exponent": law.exponent,
        "exponent_error": law.standard_error,
        "r_squared": law.r_squared,
        "variance": float(np.asarray(spectrum.weights) @ eigenvalues),
        "mean_power": float(np.sum(spectrum.mean_power)),
        "positive": float(counts.sum()),
        "directions": {str(x): directions_for(spectrum, x) for x in _SHARES},
        "rank": (first + (counts - 1) / 2)[shown].tolist(),
        "eigenvalue": eigenvalues[order][shown].tolist(),
    }
