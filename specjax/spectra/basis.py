"""Orthonormal bases: from samples to coefficients in the eigenbasis, and back.

A basis is an isometry of real vectors: variances and distances are the same on both sides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import jax
import numpy as np

from specjax._core.arrays import Array, namespace, value


class Basis(Protocol):
    """What a spectrum needs of its basis."""

    @property
    def shape(self) -> tuple[int, ...]:
        """That of one sample."""

    def project(self, x: Array) -> Array:
        """Samples [..., *shape] to coefficients [..., d]."""

    def lift(self, c: Array) -> Array:
        """Coefficients [..., d] to samples [..., *shape]."""


@value(data=["vectors"], static=["shape"])
@dataclass(frozen=True, eq=False)
class DenseBasis:
    """Eigenvectors as the columns of a matrix [d, d] over flattened samples."""

    vectors: Array
    shape: tuple[int, ...]

    def project(self, x: Array) -> Array:
        """``U^T x``."""
        flat = x.reshape(*x.shape[: x.ndim - len(self.shape)], -1)
        return _product(flat, self.vectors)

    def lift(self, c: Array) -> Array:
        """``U c``."""
        return _product(c, self.vectors.T).reshape(*c.shape[:-1], *self.shape)


def _product(a: Array, b: Array) -> Array:
    if namespace(a, b) is np:
        return a @ b
    return jax.numpy.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


@value(data=["vectors"], static=["shape", "spatial"])
@dataclass(frozen=True, eq=False)
class FourierBasis:
    """Fourier modes times a unitary matrix over channels at each frequency.

    Attributes:
      vectors: complex [prod(grid), C, C]; columns are the channels' eigenvectors. At the mirrored
        frequency they are conjugate.
      shape: of one sample, ``grid`` (the first ``spatial`` axes) and then at most one of channels.
      spatial: 1 for signals, 2 for images.

    With ``c(k)`` the coefficient of the orthonormal FFT, the real coefficient is
    ``Re c(k) - Im c(k)`` (the Hartley transform), which keeps all variances.
    """

    vectors: Array
    shape: tuple[int, ...]
    spatial: int

    @property
    def grid(self) -> tuple[int, ...]:
        """The sizes of the shifted axes."""
        return self.shape[: self.spatial]

    def project(self, x: Array) -> Array:
        """FFT, channels to their eigenvectors, Hartley packing."""
        xp, lead = namespace(x, self.vectors), x.shape[: x.ndim - len(self.shape)]
        x = x.reshape(*lead, *self.grid, -1)
        axes = tuple(range(len(lead), len(lead) + self.spatial))
        freq = xp.fft.fftn(x, axes=axes, norm="ortho").reshape(*lead, *self.vectors.shape[:2])
        c = xp.einsum("...fc,fce->...fe", freq, self.vectors.conj())
        return (c.real - c.imag).reshape(*lead, -1)

    def lift(self, c: Array) -> Array:
        """The inverse of :meth:`project`."""
        xp, lead = namespace(c, self.vectors), c.shape[:-1]
        y = c.reshape(*lead, *self.vectors.shape[:2])
        mirrored = y[..., mirror(self.grid), :]
        freq = (y + mirrored) / 2 + 1j * (mirrored - y) / 2
        freq = xp.einsum("...fe,fce->...fc", freq, self.vectors)
        freq = freq.reshape(*lead, *self.grid, -1)
        axes = tuple(range(len(lead), len(lead) + self.spatial))
        return xp.fft.ifftn(freq, axes=axes, norm="ortho").real.reshape(*lead, *self.shape)


def mirror(grid: tuple[int, ...]) -> np.ndarray:
    """Flat index of the frequency -k for every frequency k of a grid."""
    index = np.arange(math.prod(grid)).reshape(grid)
    for axis in range(len(grid)):
        index = np.roll(np.flip(index, axis), 1, axis)
    return index.ravel()
