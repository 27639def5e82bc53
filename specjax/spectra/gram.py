"""Spectra of fewer samples than dimensions, by the Gram matrix of the samples.

The deviations D [n, d] of n samples span at most n - 1 directions. The eigenvalues of the
covariance ``D^T D / (n - 1)`` there are those of ``D D^T / (n - 1)``, and its eigenvectors are
``D^T u / sqrt((n - 1) lambda)``: O(n^2 d) operations in place of O(d^3), O(n d) numbers in place of
O(d^2). The other directions have the eigenvalue 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from specjax.spectra import estimate
from specjax.spectra.basis import ReflectedBasis

_RESOLVED = 1e-10
"""The least eigenvalue, relative to the largest, whose direction a Gram matrix resolves."""


def few_or_all(
    pieces: Iterator[np.ndarray], data_range: tuple[float, float] | None
) -> tuple[np.ndarray | None, Iterator[np.ndarray]]:
    """Read samples until there are as many as dimensions.

    Returns:
      All samples [n, ...] in the network's units where they are fewer, else None; the pieces as
      they were, those that were read first.
    """
    held, count = [], 0
    for piece in pieces:
        held.append(piece)
        count += len(piece)
        if count >= piece[0].size:
            break
    else:
        known = [estimate.in_units(x, data_range if x.dtype == np.uint8 else None) for x in held]
        return np.concatenate(known), iter(())
    return None, itertools.chain(_handed_over(held), pieces)


def _handed_over(held: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield pieces, each let go once it is used."""
    while held:
        yield held.pop(0)


def gram_spectrum(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, ReflectedBasis]:
    """Return eigenvalues [d], mean coefficients [d] and basis of n < d samples [n, ...]."""
    flat = x.reshape(len(x), -1)
    n, d = flat.shape
    mean = estimate.centre_of(flat)
    deviations = flat - mean
    found, vectors = estimate.eigendecompose(deviations @ deviations.T / (n - 1))
    kept = found > _RESOLVED * found[0]
    vectors = deviations.T @ (vectors[:, kept] / np.sqrt((n - 1) * np.where(kept, found, 1)[kept]))
    basis = ReflectedBasis.containing(vectors, x.shape[1:])
    eigenvalues = np.zeros(d)
    eigenvalues[: vectors.shape[1]] = found[kept]
    return eigenvalues, np.asarray(basis.project(mean.reshape(x.shape[1:]))), basis
