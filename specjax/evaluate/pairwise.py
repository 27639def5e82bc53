"""Samples as vectors [n, d], and products of many of them in blocks.

What compares all pairs never holds them all: a block is at most ``BLOCK`` rows by ``BLOCK`` rows
in float64 (32 MiB), so that 50,000 samples of 3,072 numbers against 10,000 take their own memory
and little more. The arithmetic is 2 n m d operations: that pair takes 3e12, a minute or two on
two cores; a set with itself takes half of that, since only the upper blocks are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from specjax._core import checks

BLOCK = 2048
"""Rows of a block."""

Block = tuple[slice, slice, np.ndarray]
"""Which rows of a, which of b, and a number for each pair of them."""


class NotFiniteError(ValueError):
    """Samples with NaN or infinite values."""


def vectors(name: str, x: Any, least: int = 2) -> np.ndarray:
    """Samples [n, ...] as floats [n, d], not copied where they are floats.

    Raises:
      ValueError: for fewer than ``least`` samples, NaN or infinite values
        (:class:`NotFiniteError`), other than numbers.
    """
    x = np.asarray(x)
    if x.ndim < 1 or x.dtype.kind not in "fiub":
        raise ValueError(f"{name} has shape {x.shape} and dtype {x.dtype}: give numbers [n, ...]")
    if len(x) < least:
        raise ValueError(f"{name} has {len(x)} sample(s): give at least {least}")
    x = x.reshape(len(x), -1)
    x = x if x.dtype in (np.float32, np.float64) else x.astype(np.float64)
    if not np.isfinite(x).all():
        bad = np.flatnonzero(~np.isfinite(x).all(1))
        raise NotFiniteError(
            f"{name} has NaN or infinite values in {bad.size:,} of {len(x):,} samples (the first "
            f"is number {bad[0]}): a sampler diverged, or the file is damaged"
        )
    return x


def pair(a: Any, b: Any, least: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of samples as vectors of the same length.

    Raises:
      ValueError: for what :func:`vectors` refuses, and for samples of different shapes.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape[1:] != b.shape[1:]:
        raise ValueError(
            f"a has samples of shape {a.shape[1:]}, b of shape {b.shape[1:]}: give the same shape"
        )
    return vectors("a", a, least), vectors("b", b, least)


def check_neighbours(k: int, *sets: np.ndarray) -> None:
    """Refuse a number of neighbours that a set does not have."""
    checks.whole_number("k", k)
    fewest = min(len(x) for x in sets)
    if k >= fewest:
        raise ValueError(f"k = {k} neighbours among {fewest} samples: give more samples")


def inner_products(a: np.ndarray, b: np.ndarray | None = None) -> Iterator[Block]:
    """Blocks of ``a b^T`` in float64; without ``b`` the upper blocks of ``a a^T``, diagonal too."""
    other = a if b is None else b
    for i in _parts(len(a)):
        left = a[i].astype(np.float64)
        for j in _parts(len(other)):
            if b is not None or j.start >= i.start:
                yield i, j, left @ other[j].astype(np.float64).T


def squared_distances(a: np.ndarray, b: np.ndarray | None = None) -> Iterator[Block]:
    """Blocks of ``|a_i - b_j|^2``, as :func:`inner_products` gives them; zero from i to itself."""
    square_a = _squares(a)
    square_b = square_a if b is None else _squares(b)
    for i, j, block in inner_products(a, b):
        block *= -2
        block += square_a[i, None]
        block += square_b[None, j]
        np.maximum(block, 0, out=block)
        if b is None and i == j:
            np.fill_diagonal(block, 0)
        yield i, j, block


def _parts(n: int) -> Iterator[slice]:
    return (slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK))


def _squares(x: np.ndarray) -> np.ndarray:
    return np.concatenate([(x[i].astype(np.float64) ** 2).sum(1) for i in _parts(len(x))])
