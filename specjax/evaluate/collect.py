"""Samples of a dataset in memory: all, or a random part of many."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from specjax import estimate

MOST_ROWS = 50_000
"""Data that are kept at most, five times the n that is taken of plenty."""

MOST_BYTES = 2 * 2**30
"""What they take at most, unless the n that is asked for needs more."""


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
    rng, kept, ranks, waiting = np.random.default_rng(seed), [], [], 0
    for piece in estimate.pieces(samples, data_range, progress):
        kept.append(piece.astype(np.float32))
        ranks.append(rng.random(len(piece)))
        waiting += len(piece)
        if waiting > 2 * most:
            kept, ranks = _least(kept, ranks, most)
            waiting = most
    return _least(kept, ranks, most)[0][0]


def _least(
    kept: list[np.ndarray], ranks: list[np.ndarray], most: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The samples with the smallest ranks, in order; as lists of one array."""
    every, of = np.concatenate(kept), np.concatenate(ranks)
    if len(of) <= most:
        return [every], [of]
    chosen = np.sort(np.argpartition(of, most - 1)[:most])
    return [every[chosen]], [of[chosen]]
