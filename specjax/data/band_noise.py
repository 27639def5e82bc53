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
from specjax._core.checks import UserError
from specjax.data.dataset import Dataset
from specjax.noise.bases import radius
from specjax.noise.families import noise_spectrum
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.spectra import estimate


def corrupted(
    data: Any,
    band: Sequence[float],
    std: float,
    *,
    seed: int = 0,
    basis: str = "fourier",
    spatial: int | None = None,
) -> Any:
    """Add Gaussian noise in a band of radial frequencies to every sample.

    The noise of sample i is a function of (seed, i), and of the shard where there is one.

    Args:
      data: a :class:`Dataset`, or an array [N, ...] in the network's units.
      band: [low, high) of the radial frequency from 0 to 1, as of a noise spectrum.
      std: root mean square of what is added, over the numbers of a sample, in the network's units.
      seed: of the noise.
      basis: "fourier" or "cosine", as of :class:`specjax.NoiseSpectrum`.
      spatial: the number of axes that have frequencies, as of the same.

    Returns:
      An array, for an array; for a dataset one that is read batch by batch, float32 in the
      network's units. There ``source["corruption"]`` has the arguments, and
      ``source["data_range"]`` stays that of the data: -1 and 1 stand for what they stood for.

    Raises:
      UserError: for a band that is reversed or has no frequency of these samples, a std that is
        not above 0, samples of a shape without frequencies, integers that are no dataset.

    Example:
      >>> noisy = corrupted(sx.data.open("digits"), (0.4, 0.6), 0.5)
      >>> noisy.source["corruption"]["band"]
      [0.4, 0.6]
    """
    dataset = isinstance(data, Dataset)
    samples = None if dataset else np.asarray(data)
    shape = tuple(data.source["shape"]) if samples is None else samples.shape[1:]
    noise = _band_noise(band, shape, basis, spatial)
    std, seed = checks.positive("std", std), checks.whole_number("seed", seed, 0)
    if samples is not None:
        return _with_noise(samples, None, noise, std, (seed, 0), 0).astype(samples.dtype)
    arguments = {
        "band": [float(end) for end in band], "std": std, "seed": seed, "basis": noise.basis,
        "spatial": noise.spatial,
    }  # fmt: skip
    known = {"corruption": arguments, "dtype": "float32"}
    source: Any = ChainMap(known, data.source)  # the data's own may still grow
    reader = _NoisyReader(data, shape, noise, std, seed)
    return replace(data, samples=reader, data_range=None, source=source, labels=None)


def _band_noise(
    band: Any, shape: tuple[int, ...], basis: str, spatial: int | None
) -> NoiseSpectrum:
    """Return noise that is in a band alone, of mean variance 1."""
    checks.one_of("basis", basis, ("fourier", "cosine"))
    ends = np.ravel(np.asarray(band, np.float64))
    if ends.shape != (2,) or not 0 <= ends[0] < ends[1] <= 1:
        raise UserError(
            f"band = {tuple(np.ravel(band).tolist())}: give two radial frequencies, low before "
            "high, from 0 to 1, such as 0.4 0.6"
        )
    low, high = (float(end) for end in ends)
    options: dict[str, Any] = {"basis": basis, "spatial": spatial}
    r = radius(basis, shape, spatial)
    if not ((r >= low) & ((r < high) | ((r <= high) & (high >= 1)))).any():
        raise UserError(f"band = {(low, high)}: samples of shape {shape} have no frequency in it")
    empty = (high, high + 1)
    return noise_spectrum(
        "two_band", shape, low=(low, high), high=empty, gains=(1.0, 0.0), **options
    )


def _with_noise(
    samples: np.ndarray,
    data_range: tuple[float, float] | None,
    noise: NoiseSpectrum,
    std: float,
    stream: tuple[int, int],
    first: int,
) -> np.ndarray:
    """Return samples [n, *shape] from number ``first`` on with their noise, in network units."""
    clean = estimate.in_units(samples, data_range)
    numbers = range(first, first + len(clean))
    white = [np.random.default_rng([*stream, i]).standard_normal(clean.shape[1:]) for i in numbers]
    return clean + std * np.asarray(noise.color(np.reshape(white, clean.shape)))


class _NoisyReader:
    """Batches of a dataset with noise; what else is known of them is the dataset's."""

    def __init__(
        self, dataset: Dataset, shape: tuple[int, ...], noise: NoiseSpectrum, std: float, seed: int
    ) -> None:
        shard = int((dataset.source.get("shard") or [0])[0])
        self._dataset, self._noise, self._std, self._stream = dataset, noise, std, (seed, shard)
        self.sample_shape, self.sample_dtype = shape, np.dtype(np.float32)
        self.classes, self.expected_samples = dataset.classes, dataset.expected_samples

    def __iter__(self) -> Iterator[np.ndarray]:
        return (batch for batch, _ in self.labelled())

    def labelled(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Yield batches with the classes of their samples."""
        first, data_range = 0, self._dataset.data_range
        for batch, labels in self._dataset.labelled():
            noisy = _with_noise(batch, data_range, self._noise, self._std, self._stream, first)
            yield noisy.astype(np.float32), labels
            first += len(batch)

    def __getattr__(self, name: str) -> Any:
        """Look up what the dataset's own reader has learned of its files."""
        if name in ("skipped", "statistics", "fingerprint"):
            return getattr(self._dataset.samples, name)
        raise AttributeError(name)
