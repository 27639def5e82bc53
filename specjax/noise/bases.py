"""The transforms in which noise has independent parts, and their frequencies.

All are orthonormal and real from end to end. The radial frequency r is
``sqrt(mean over axes of (f_i / f_Nyquist)^2)``: 0 for a constant, 1 for the finest checkerboard.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from specjax._core.arrays import Array, namespace
from specjax._core.checks import UserError


class NoiseBasis(NamedTuple):
    """A row of the table; ``frequencies(n)`` [n] are f / f_Nyquist of an axis of n numbers."""

    frequencies: Callable[[int], np.ndarray] | None
    summary: str


def _fourier(n: int) -> np.ndarray:
    return 2 * np.abs(np.fft.fftfreq(n))


def _cosine(n: int) -> np.ndarray:
    return np.arange(n) / n


BASES = {
    "fourier": NoiseBasis(_fourier, "discrete Fourier transform: noise that knows no place"),
    "cosine": NoiseBasis(_cosine, "DCT-II: the same without a wrap around the edges"),
    "data": NoiseBasis(None, "eigenbasis of the data's covariance"),
}


def grid_of(shape: tuple[int, ...], spatial: int | None) -> tuple[int, ...]:
    """The axes of a sample that have frequencies: the first one or two.

    Raises:
      UserError: for a shape that is no signal or image with at most one axis of channels.
    """
    axes = min(len(shape), 2) if spatial is None else spatial
    if axes not in (1, 2) or len(shape) not in (axes, axes + 1) or min(shape, default=0) < 1:
        raise UserError(
            f"samples of shape {shape} with spatial = {spatial}: noise has frequencies in [L], "
            "[H, W] or [H, W, C], or [L, C] with spatial = 1"
        )
    return shape[:axes]


def radius(basis: str, shape: tuple[int, ...], spatial: int | None = None) -> np.ndarray:
    """The radial frequency of each direction: [*grid], or [d] for the data's own basis.

    There it is the rank, 0 for the largest eigenvalue and 1 for the smallest.
    """
    frequencies = BASES[basis].frequencies
    if frequencies is None:
        d = math.prod(shape)
        return np.arange(d) / max(d - 1, 1)
    axes = np.meshgrid(*(frequencies(n) for n in grid_of(shape, spatial)), indexing="ij")
    return np.sqrt(np.mean(np.square(axes), axis=0))


def mirrored(weights: np.ndarray, axes: int) -> np.ndarray:
    """The weights at -k for every k of the first ``axes`` axes."""
    for axis in range(axes):
        weights = np.roll(np.flip(weights, axis), 1, axis)
    return weights


def transformed(basis: str, weights: Array, x: Array, axes: int, channels: int) -> Array:
    """``F^T diag(weights) F x``.

    Args:
      weights: [*grid] or [*grid, C]. x: [..., *grid], or [..., *grid, C] where ``channels`` is 1.
      axes: of the grid.
    """
    if weights.ndim < axes + channels:
        weights = weights[..., None]
    first = x.ndim - axes - channels
    along = _by_fft if basis == "fourier" else _by_cosines
    return along(weights, x, tuple(range(first, first + axes))).astype(x.dtype)


def _by_fft(weights: Array, x: Array, axes: tuple[int, ...]) -> Array:
    """By the real FFT, whose result has no imaginary part to drop, for odd and even sizes."""
    xp = namespace(weights, x)
    sizes = tuple(x.shape[axis] for axis in axes)
    half = xp.take(weights, np.arange(sizes[-1] // 2 + 1), axis=len(axes) - 1)
    return xp.fft.irfftn(half * xp.fft.rfftn(x, axes=axes), s=sizes, axes=axes)


def _by_cosines(weights: Array, x: Array, axes: tuple[int, ...]) -> Array:
    """By a matrix for each axis: as fast as an FFT at these sizes, and exact in its adjoint."""
    for axis in axes:
        x = _along(_dct(x.shape[axis]), x, axis)
    x = weights * x
    for axis in axes:
        x = _along(_dct(x.shape[axis]).T, x, axis)
    return x


def _along(matrix: np.ndarray, x: Array, axis: int) -> Array:
    xp = namespace(x)
    own, moved = xp.asarray(matrix, x.dtype), xp.moveaxis(x, axis, -1)
    if xp is np:
        return np.moveaxis(moved @ own.T, -1, axis)
    out = jax.numpy.matmul(moved, own.T, precision=jax.lax.Precision.HIGHEST)
    return xp.moveaxis(out, -1, axis)


def _dct(n: int) -> np.ndarray:
    """The orthonormal DCT-II [n, n]; rows are frequencies."""
    rows = np.cos(np.pi * np.outer(np.arange(n), np.arange(n) + 0.5) / n) * math.sqrt(2 / n)
    rows[0] /= math.sqrt(2)
    return rows
