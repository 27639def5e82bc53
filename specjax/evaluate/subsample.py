"""Random subsamples of datasets: all samples in memory, or a random part of very many.

:func:`specjax.data.collect` keeps every sample, in its stored units, for training; what is compared
pairwise is a part that fits, in the network's units.
"""

from __future__ import annotations

import heapq
import math
from typing import Any

import numpy as np

from specjax.data import Dataset
from specjax.spectra import estimate

MAX_SAMPLES = 50_000
"""Samples of a dataset that are kept at most: five times the default n."""

MAX_BYTES = 2 * 2**30
"""Bytes that they take at most, unless the n that is asked for needs more (twice that while
reading)."""


def subsample_dataset(
    dataset: Dataset,
    n: int | None = None,
    *,
    seed: int = 0,
    progress: estimate.Progress | None = None,
) -> np.ndarray:
    """Load a dataset, or of very many samples a random part that is enough for n against n others.

    See :func:`random_subsample`.
    """
    fitting = MAX_BYTES // (4 * max(1, math.prod(dataset.source["shape"])))
    size = max(2 * (n or 2), min(MAX_SAMPLES, fitting))
    return random_subsample(
        dataset.samples, dataset.data_range, size=size, seed=seed, progress=progress
    )


def random_subsample(
    samples: Any,
    data_range: tuple[float, float] | None = None,
    *,
    size: int,
    seed: int = 0,
    progress: estimate.Progress | None = None,
) -> np.ndarray:
    """Load up to ``size`` samples [n, *shape] as float32 in the network's units, in one pass.

    Every sample gets a random rank, and those with the lowest ranks are kept, in their order
    (reservoir sampling): neither the number of samples nor their order need be known.

    Args:
      samples: an array [N, ...] or batches, as :attr:`Dataset.samples`. data_range: theirs.
      size: samples to keep. seed: of the choice. progress: called with (samples read, total).

    Raises:
      UserError: for fewer than two samples, NaN, values outside ``data_range``.

    Example:
      >>> random_subsample(np.array([[0], [255]], np.uint8), (0, 255), size=10)
      array([[-1.],
             [ 1.]], dtype=float32)
    """
    rng, number = np.random.default_rng(seed), 0
    kept: list[tuple[float, int, np.ndarray]] = []  # a heap of (-rank, number, sample)
    for piece in estimate.pieces(samples, data_range, progress):
        for rank, sample in zip(rng.random(len(piece)).tolist(), piece, strict=True):
            if len(kept) < size:
                heapq.heappush(kept, (-rank, number, sample.astype(np.float32)))
            elif -rank > kept[0][0]:
                heapq.heapreplace(kept, (-rank, number, sample.astype(np.float32)))
            number += 1
    return np.stack([sample for _, _, sample in sorted(kept, key=lambda item: item[1])])
