"""The transforms in which noise has independent parts, and their frequencies.

All are orthonormal and real from end to end. The radial frequency r is
``sqrt(mean over axes of (f_i / f_Nyquist)^2)``: 0 for a constant, 1 for the finest checkerboard.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from specjax._core.arrays import Array, namespace
from specjax.spectra.basis import matmul
from specjax.spectra.stationary import spatial_axes


class NoiseBasis(NamedTuple):
    """A row of the table; ``frequencies(n)`` [n] are f / f_Nyquist of an axis of n numbers."""

    frequencies: Callable[[int], np.ndarray] | None
    summary: str


BASES = {
    "fourier": NoiseBasis(
        lambda n: 2 * np.abs(np.fft.fftfreq(n)), "discrete Fourier transform: stationary noise"
    ),
    "cosine": NoiseBasis(lambda n: np.arange(n) / n, "DCT-II: the same without wrapping at edges"),
    "data": NoiseBasis(None, "eigenbasis of the data's covariance"),
}


def grid_of(shape: tuple[int, ...], spatial: int | None) -> tuple[int, ...]:
    """Return the axes of a sample that have frequencies, the first one to three."""
    return shape[: spatial_axes(shape, spatial)]


def radius(basis: str, shape: tuple[int, ...], spatial: int | None = None) -> np.ndarray:
    """Return the radial frequency of each direction [*grid].

    In the data's own basis it is the rank [d]: 0 for the largest eigenvalue, 1 for the smallest.
    """
    frequencies = BASES[basis].frequencies
    if frequencies is None:
        d = math.prod(shape)
        return np.arange(d) / max(d - 1, 1)
    axes = np.meshgrid(*(frequencies(n) for n in grid_of(shape, spatial)), indexing="ij")
    return np.sqrt(np.mean(np.square(axes), axis=0))


def transformed(basis: str, weights: Array, x: Array, axes: int, channels: int) -> Array:
    """Compute ``F^T diag(weights) F x``.

    Args:
      basis: "fourier" or "cosine".
      weights: [*grid] or [*grid, C].
      x: [..., *grid], or [..., *grid, C] where ``channels`` is 1.
      axes: number of axes of the grid.
      channels: number of axes behind them, 0 or 1.
    """
    if weights.ndim < axes + channels:
        weights = weights[..., None]
    first = x.ndim - axes - channels
    multiply = _by_fft if basis == "fourier" else _by_cosines
    return multiply(weights, x, tuple(range(first, first + axes))).astype(x.dtype)


def _by_fft(weights: Array, x: Array, axes: tuple[int, ...]) -> Array:
    """Multiply by the real FFT: no imaginary part is dropped, for odd and even sizes."""
    xp = namespace(weights, x)
    sizes = tuple(x.shape[axis] for axis in axes)
    half = xp.take(weights, np.arange(sizes[-1] // 2 + 1), axis=len(axes) - 1)
    return xp.fft.irfftn(half * xp.fft.rfftn(x, axes=axes), s=sizes, axes=axes)


def _by_cosines(weights: Array, x: Array, axes: tuple[int, ...]) -> Array:
    """Multiply by a matrix for each axis: as fast as an FFT at these sizes, its adjoint exact."""
    xp = namespace(x)

    def along(axis: int, matrix: np.ndarray, x: Array) -> Array:
        turned = matmul(xp.moveaxis(x, axis, -1), xp.asarray(matrix, x.dtype).T)
        return xp.moveaxis(turned, -1, axis)

    for axis in axes:
        x = along(axis, _dct(x.shape[axis]), x)
    x = weights * x
    for axis in axes:
        x = along(axis, _dct(x.shape[axis]).T, x)
    return x


def _dct(n: int) -> np.ndarray:
    """Return the orthonormal DCT-II [n, n]; rows are frequencies."""
    rows = np.cos(np.pi * np.outer(np.arange(n), np.arange(n) + 0.5) / n) * math.sqrt(2 / n)
    rows[0] /= math.sqrt(2)
    return rows
