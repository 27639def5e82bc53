"""The spectra of a dataset by three estimates and of random halves, kept in the working folder.

Halves tell how sure a number is. Drawn without replacement, a half's mean has the variance
``s^2/(n/2) (1 - 1/2) = s^2/n`` about that of all n: the spread over halves is the standard error of
a number of all the data (the jackknife that deletes half: Shao and Wu 1989). The parts of sound
are whole recordings.
"""

from __future__ import annotations

import functools
import time
import tracemalloc
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import specjax as sx
from experiments.data import AbsentError, folder, open_dataset
from specjax.spectra.power_law import directions_for, ranked

ESTIMATES = ("full", "shift-invariant", "low-rank")
_POINTS = 160  # eigenvalues that a picture shows
_SHARES = (0.9, 0.99)


@dataclass(frozen=True)
class Samples:
    """Samples [N, ...] in stored units, the part [N] that each belongs to, their provenance."""

    x: np.ndarray
    part: np.ndarray
    data_range: tuple[float, float] | None
    source: dict[str, Any]


@functools.lru_cache(maxsize=1)
def _read(name: str, window: int, most: int | None, recordings: int) -> Samples:
    return samples_of(name, window, most, recordings)


def samples_of(
    name: str, window: int, most: int | None, recordings: int, **options: Any
) -> Samples:
    """Read a dataset.

    Args:
      window: of sound. most: samples, about that many evenly from all recordings of sound.
      recordings: the independent parts of sound, 0 for images. options: of ``sx.data.open``.

    Raises:
      AbsentError: if it, or a library that reads it, is not on this machine.
    """
    try:
        if recordings:
            return _sound(name, window, most, recordings, options)
        data = open_dataset(name, limit=most, **options)
        x = np.concatenate([batch for batch, _ in data.labelled()])
        return Samples(x, np.arange(len(x)), data.data_range, dict(data.source))
    except ValueError as error:
        raise AbsentError(str(error)) from None


def _sound(
    name: str, window: int, most: int | None, recordings: int, options: dict[str, Any]
) -> Samples:
    """Read windows, in parts of one recording each."""
    whole = open_dataset(name, window=window, **options)
    parts = min(recordings, len(list((folder() / name).glob("*.wav"))))
    opened = [
        open_dataset(name, window=window, shard=(i, parts), **options) for i in range(parts)
    ]  # fmt: skip
    windows = [np.concatenate(list(one.samples)) for one in opened]
    part = np.repeat(np.arange(parts), [len(x) for x in windows])
    kept = slice(None, None, max(1, len(part) // (most or len(part))))
    return Samples(np.concatenate(windows)[kept], part[kept], whole.data_range, dict(whole.source))


@dataclass(frozen=True)
class SpectraOf:
    """The spectra of a dataset, of sound in windows of a length.

    Attributes:
      name: of its results. data: as ``open_dataset`` takes it. window: of sound.
      config: of the experiment. work: where spectra are kept. most, recordings: see
        :func:`samples_of`.
    """

    name: str
    data: str
    window: int
    config: Any
    work: Path
    most: int | None
    recordings: int

    @property
    def title(self) -> str:
        """The name of its results, with a window that is not the usual one."""
        plain = self.window == self.config.window
        return self.name if plain else f"{self.name}@{self.window}"

    def samples(self, **options: Any) -> Samples:
        """Read the samples, once as long as no others are read; with options in other units."""
        if options:
            return samples_of(self.data, self.window, self.most, self.recordings, **options)
        return _read(self.data, self.window, self.most, self.recordings)

    def estimate(self, method: str, rank: int | None = None) -> tuple[sx.Spectrum, dict[str, Any]]:
        """Make one of ESTIMATES; give what it took beside the reading and the samples."""
        data = self.samples()
        options: dict[str, Any] = {} if method == "full" else {"method": method}
        if method == "low-rank":
            options["rank"] = rank or self.config.rank
        tracemalloc.start()
        began = time.perf_counter(), time.process_time()
        try:
            found = sx.Spectrum.from_samples(
                data.x, data_range=data.data_range, source=data.source, **options
            )
            memory = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        return found, {
            "seconds": round(time.perf_counter() - began[0], 3),
            "cpu_seconds": round(time.process_time() - began[1], 3),
            "mebibytes": round(memory / 2**20, 1),
        }

    def spectrum(self, method: str = "full") -> sx.Spectrum:
        """Give one of ESTIMATES, kept."""
        return self.kept(method, lambda: self.estimate(method)[0])

    def half(self, split: int, side: int) -> sx.Spectrum:
        """Give the full estimate of a half, kept."""

        def make() -> sx.Spectrum:
            data = self.samples()
            x = data.x[halves_of(data.part, split)[side]]
            return sx.Spectrum.from_samples(x, data_range=data.data_range)

        return self.kept(f"half-{split}-{side}", make)

    def kept(self, what: str, make: Any) -> sx.Spectrum:
        """Load a spectrum from the working folder, or make it and put it there without basis."""
        limit = "" if self.config.most is None else f"-{self.config.most}"
        path = self.work / f"{self.name}-{self.window}{limit}-{what}.npz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            sx.save(path, replace(make(), basis=None))
        found = sx.load(path)
        assert isinstance(found, sx.Spectrum)
        return found


def halves_of(part: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Tell which samples [N] are in the first and in the second random half of the parts."""
    names = np.unique(part)
    chosen = np.random.default_rng(seed).permutation(names)[: (names.size + 1) // 2]
    first = np.isin(part, chosen)
    return first, ~first


def half_error(values: Any, axis: int = 0) -> np.ndarray:
    """Give the standard error of a number of all the data from those of the halves of all splits.

    Both halves of a split mirror each other where the number is a mean, so that deviations are
    taken from the mean of all and their mean square is that of independent splits.
    """
    return np.std(np.asarray(values, np.float64), axis=axis)


def facts_of(spectrum: sx.Spectrum) -> dict[str, Any]:
    """Give slope, variance, power of the mean, and the eigenvalues thinned for a picture."""
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
