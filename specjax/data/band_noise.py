"""Data with noise in one band of frequencies, for experiments.

Forward noise that leaves this band out (``--noise-omit``) never asks a network for it: selective
omission (2510.09660, section 3). What is learned is measured against the data as they were.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from specjax._core import checks
from specjax.data.dataset import Dataset
from specjax.noise.bases import radius
from specjax.noise.families import noise_spectrum
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.spectra import estimate

_BASES = ("fourier", "cosine")


def corrupted(
    data: Any,
    band: Sequence[float],
    std: float,
    *,
    seed: int = 0,
    basis: str = "fourier",
    spatial: int | None = None,
) -> Any:
    """The same data with Gaussian noise in a band of radial frequencies added to every sample.

    The noise of sample i is a function of (seed, i), and of the shard where there is one.

    Args:
      data: a :class:`Dataset`, or an array [N, ...] in the network's units.
      band: [low, high) of the radial frequency from 0 to 1, as of a noise spectrum.
      std: root mean square of what is added, over the numbers of a sample, in the network's units.
      basis, spatial: as of :class:`specjax.noise.noise_spectrum.NoiseSpectrum`; "fourier" or
      "cosine".

    Returns:
      An array, for an array; for a dataset one that is read batch by batch, float32 in the
      network's units. There ``source["corruption"]`` has the arguments, and
      ``source["data_range"]`` stays that of the data: -1 and 1 stand for what they stood for.

    Raises:
      ValueError: for a band that is reversed or has no frequency of these samples, a std that is
        not above 0, samples of a shape without frequencies, integers that are no dataset.

    Example:
      >>> found = corrupted(sx.data.open("digits"), (0.4, 0.6), 0.5)
      >>> found.source["corruption"]["band"]
      [0.4, 0.6]
    """
    options: dict[str, Any] = {"band": band, "std": std, "basis": basis, "spatial": spatial}
    if isinstance(data, Dataset):
        added = _Added(tuple(data.source["shape"]), seed, _shard(data), **options)
        known = {"corruption": added.document(), "dtype": "float32"}
        source: Any = ChainMap(known, data.source)  # type: ignore[arg-type]  # may still grow
        return replace(
            data, samples=_Reader(data, added), data_range=None, source=source, labels=None
        )
    samples = np.asarray(data)
    added = _Added(samples.shape[1:], seed, 0, **options)
    return added.to(samples, None, 0).astype(samples.dtype)


def _shard(data: Dataset) -> int:
    return int((data.source.get("shard") or [0])[0])


class _Added:
    """What is added to samples [n, *shape]."""

    def __init__(
        self, shape: tuple[int, ...], seed: int, shard: int, *, band: Any, std: float,
        basis: str, spatial: int | None,
    ) -> None:  # fmt: skip
        checks.one_of("basis", basis, _BASES)
        checks.positive("std", std)
        self.shape, self.band, self.std, self.shard = shape, _checked(band), float(std), shard
        self.seed = checks.whole_number("seed", seed, 0)
        self.noise = _noise_of(self.band, shape, basis, spatial)

    def document(self) -> dict[str, Any]:
        """The arguments, as plain JSON."""
        return {
            "band": list(self.band), "std": self.std, "seed": int(self.seed),
            "basis": self.noise.basis, "spatial": self.noise.spatial,
        }  # fmt: skip

    def to(self, rows: np.ndarray, data_range: Any, first: int) -> np.ndarray:
        """Samples [n, *shape] from number ``first`` on, with the noise, in the network's units."""
        clean = estimate.in_units(rows, data_range)
        white = np.stack([self._white(first + i) for i in range(len(rows))]) if len(rows) else clean
        return clean + self.std * np.asarray(self.noise.color(white))

    def _white(self, number: int) -> np.ndarray:
        return np.random.default_rng([self.seed, self.shard, number]).standard_normal(self.shape)


def _checked(band: Any) -> tuple[float, float]:
    found = np.ravel(np.asarray(band, np.float64))
    if found.shape != (2,) or not 0 <= found[0] < found[1] <= 1:
        raise ValueError(
            f"band = {tuple(np.ravel(band).tolist())}: give two radial frequencies, low before "
            "high, from 0 to 1, such as 0.4 0.6"
        )
    return float(found[0]), float(found[1])


def _noise_of(
    band: tuple[float, float], shape: tuple[int, ...], basis: str, spatial: int | None
) -> NoiseSpectrum:
    """The noise of a band alone, of the mean variance 1."""
    place: dict[str, Any] = {"basis": basis, "spatial": spatial}
    r, (low, high) = radius(basis, shape, spatial), band
    if not ((r >= low) & ((r < high) | ((r <= high) & (high >= 1)))).any():
        raise ValueError(f"band = {band}: samples of shape {shape} have no frequency in it")
    nothing = (high, high + 1)
    return noise_spectrum("two_band", shape, low=band, high=nothing, gains=(1.0, 0.0), **place)


class _Reader:
    """Batches of a dataset, each with its noise; what else is known of them is the dataset's."""

    def __init__(self, dataset: Dataset, added: _Added) -> None:
        self._dataset, self._added = dataset, added
        self.sample_shape, self.sample_dtype = added.shape, np.dtype(np.float32)
        self.classes = dataset.classes
        self.expected_samples = _count(dataset.samples)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (batch for batch, _ in self.labelled())

    def labelled(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Batches with the classes of their rows."""
        first = 0
        for batch, labels in self._dataset.labelled():
            noisy = self._added.to(batch, self._dataset.data_range, first)
            yield noisy.astype(np.float32), labels
            first += len(batch)

    def __getattr__(self, name: str) -> Any:
        """Files that were skipped, what was found, the fingerprint of the files."""
        if name in ("skipped", "found", "fingerprint"):
            return getattr(self._dataset.samples, name)
        raise AttributeError(name)


def _count(samples: Any) -> int | None:
    if estimate.is_array(samples):
        return len(samples)
    return getattr(samples, "expected_samples", None)
