"""Samples of a dataset in memory: all, or a random part of many."""

from __future__ import annotations

import heapq
import math
from typing import Any

import numpy as np

from specjax.spectra import estimate

MOST_ROWS = 50_000
"""Data that are kept at most, five times the n that is taken of plenty."""

MOST_BYTES = 2 * 2**30
"""What they take at most, unless the n that is asked for needs more; twice that while reading."""


def rows_kept(shape: tuple[int, ...], n: int | None = None) -> int:
    """How many samples of a shape are kept: for n against n disjoint ones, twice n at least."""
    fits = MOST_BYTES // (4 * max(1, math.prod(shape)))
    return max(2 * (n or 2), min(MOST_ROWS, fits))


def collect(
    samples: Any,
    data_range: tuple[float, float] | None = None,
    *,
    most: int,
    seed: int = 0,
    progress: estimate.Progress | None = None,
) -> np.ndarray:
    """Samples [n, *shape] as float32 in the network's units, in one pass and in their order.

    Of more than ``most`` each is kept with the same chance: those with the smallest of as many
    random numbers, so that neither their number nor their order need be known.

    Args:
      samples: an array [N, ...] or batches, as :attr:`Dataset.samples`. data_range: theirs.
      most: samples to keep. seed: of the choice. progress: called with (samples read, total).

    Raises:
      ValueError: for fewer than two samples, NaN, values outside ``data_range``.

    Example:
      >>> collect(np.array([[0], [255]], np.uint8), (0, 255), most=10)
      array([[-1.], [ 1.]], dtype=float32)
    """
    rng, least = np.random.default_rng(seed), _Least(most)
    for piece in estimate.pieces(samples, data_range, progress):
        least.add(piece, rng.random(len(piece)))
    return least.in_order()


class _Least:
    """The samples with the smallest ranks so far, each in memory once."""

    def __init__(self, most: int) -> None:
        self.most, self.read = most, 0
        self.rows: list[np.ndarray] = []  # views of what was copied from each piece
        self.numbers: list[int] = []  # of the samples in the rows
        self.heap: list[tuple[float, int]] = []  # (-rank, row): the largest rank first

    def add(self, piece: np.ndarray, ranks: np.ndarray) -> None:
        """Samples [n, *shape] and their ranks [n]."""
        room = min(self.most - len(self.rows), len(piece))
        if room:
            self._fill(piece[:room], ranks[:room])
        for i in np.flatnonzero(ranks[room:] < -self.heap[0][0]) + room:
            if ranks[i] < -self.heap[0][0]:  # the largest may have gone since
                _, row = self.heap[0]
                self.rows[row][...], self.numbers[row] = piece[i], self.read + int(i)
                heapq.heapreplace(self.heap, (-float(ranks[i]), row))
        self.read += len(piece)

    def _fill(self, piece: np.ndarray, ranks: np.ndarray) -> None:
        for i, row in enumerate(piece.astype(np.float32)):
            heapq.heappush(self.heap, (-float(ranks[i]), len(self.rows)))
            self.rows.append(row)
            self.numbers.append(self.read + i)

    def in_order(self) -> np.ndarray:
        """The samples, as they came."""
        return np.stack([self.rows[row] for row in np.argsort(self.numbers)])
