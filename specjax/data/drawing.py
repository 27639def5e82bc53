"""A random part of a dataset in memory, whatever its size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from specjax._core import checks
from specjax.data.arrays import rescaled
from specjax.data.dataset import Dataset
from specjax.spectra import estimate


class Drawn(NamedTuple):
    """Some samples of a dataset, in its order.

    Attributes:
      samples: [n, *shape] in the network's units, float32.
      labels: int32 [n]; None without classes. total: how many samples the dataset has.
    """

    samples: np.ndarray
    labels: np.ndarray | None
    total: int


def drawn(
    dataset: Dataset, n: int, *, seed: int = 0, progress: estimate.Progress | None = None
) -> Drawn:
    """``n`` samples of a dataset without return, or all of fewer, with their labels.

    Each is drawn with the same chance: those with the smallest of as many random numbers, so that
    neither their number nor their order need be known. Of an array only those are read; batches
    are read in one pass, of which a batch and at most 3 n samples are held, twice that at times.

    Args:
      n: samples to draw. seed: of the choice, which is the same for an array and for batches.
      progress: called with the samples read so far, and their number if it is known.

    Raises:
      ValueError: for samples outside the data's range or NaN among those that are drawn; for
        batches of different shapes; for what reading them raises.

    Example:
      >>> found = drawn(sx.data.open("digits"), 5)
      >>> found.samples.shape, found.total
      ((5, 8, 8), 1797)
    """
    n, rng = checks.whole_number("n", n), np.random.default_rng(seed)
    if estimate.is_array(dataset.samples):
        total = len(dataset.samples)
        rows = _least(rng.random(total), n)
        labels = None if dataset.labels is None else dataset.labels[rows]
        return Drawn(rescaled(dataset.samples[rows], dataset.data_range), labels, total)
    total, held = 0, _Held(n)
    for batch, numbers in dataset.labelled():
        _check_shape(batch, dataset.samples.sample_shape)
        total += len(batch)
        held.add(batch, numbers, rng.random(len(batch)))
        if progress:
            progress(total, getattr(dataset.samples, "expected_samples", None))
    samples, labels = held.least()
    return Drawn(rescaled(samples, dataset.data_range), labels, total)


def _check_shape(batch: np.ndarray, shape: tuple[int, ...]) -> None:
    if batch.shape[1:] != tuple(shape):
        raise ValueError(
            f"a batch has samples of shape {batch.shape[1:]}, the first of {tuple(shape)}"
        )


def _least(ranks: np.ndarray, n: int) -> np.ndarray:
    """The places of the n smallest, in order."""
    if len(ranks) <= n:
        return np.arange(len(ranks))
    return np.sort(np.argpartition(ranks, n - 1)[:n])


class _Held:
    """Samples, labels and ranks that may still be among the n smallest."""

    def __init__(self, n: int) -> None:
        self.n, self.parts = n, list[tuple[np.ndarray, ...]]()

    def add(self, batch: np.ndarray, labels: np.ndarray | None, ranks: np.ndarray) -> None:
        """Those of a batch; all are thinned out whenever they are twice as many as needed."""
        mine = _least(ranks, self.n)
        self.parts.append(tuple(x[mine] for x in (ranks, batch, labels) if x is not None))
        if sum(len(part[0]) for part in self.parts) > 2 * self.n:
            self.parts = [tuple(self._thinned())]

    def _thinned(self) -> Iterator[np.ndarray]:
        columns = [np.concatenate(column) for column in zip(*self.parts, strict=True)]
        rows = _least(columns[0], self.n)
        return (x[rows] for x in columns)

    def least(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Samples and labels of the n smallest ranks."""
        _, samples, *labels = self._thinned()
        return samples, labels[0] if labels else None
