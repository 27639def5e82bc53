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
    """The protocol of a spectrum's basis."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""

    def project(self, x: Array) -> Array:
        """Return the coefficients [..., d] of samples [..., *shape]."""

    def lift(self, c: Array) -> Array:
        """Return the samples [..., *shape] of coefficients [..., d]."""


@value(data=["vectors"], static=["shape"])
@dataclass(frozen=True, eq=False)
class DenseBasis:
    """Eigenvectors as the columns of a matrix [d, d] over flattened samples."""

    vectors: Array
    shape: tuple[int, ...]

    def project(self, x: Array) -> Array:
        """Compute ``U^T x``."""
        return matmul(x.reshape(*x.shape[: x.ndim - len(self.shape)], -1), self.vectors)

    def lift(self, c: Array) -> Array:
        """Compute ``U c``."""
        return matmul(c, self.vectors.T).reshape(*c.shape[:-1], *self.shape)


def matmul(a: Array, b: Array) -> Array:
    """Multiply matrices in the precision of their dtype, also where hardware rounds to bfloat16."""
    if namespace(a, b) is np:
        return a @ b
    return jax.numpy.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


@value(data=["vectors", "factor"], static=["shape"])
@dataclass(frozen=True, eq=False)
class ReflectedBasis:
    """An orthonormal basis of d directions whose first m were given, in O(m d) numbers.

    It is a product of m Householder reflections, ``Q = I - W T W^T`` (Schreiber and Van Loan 1989).

    Attributes:
      vectors: W [d, m].
      factor: T [m, m], upper triangular.
      shape: shape of one sample.
    """

    vectors: Array
    factor: Array
    shape: tuple[int, ...]

    @classmethod
    def containing(cls, columns: np.ndarray, shape: tuple[int, ...]) -> ReflectedBasis:
        """Return the basis whose first directions are orthonormal columns [d, m], up to signs."""
        from scipy.linalg import qr, solve_triangular

        (packed, tau), _ = qr(columns, mode="raw", check_finite=False)
        vectors = np.tril(packed, -1)
        np.fill_diagonal(vectors, 1.0)
        vectors[:, tau == 0] = 0  # these reflect nothing
        inverse = np.triu(vectors.T @ vectors, 1) + np.diag(1 / np.where(tau == 0, 1, tau))
        return cls(vectors, solve_triangular(inverse, np.eye(len(tau))), shape)

    def project(self, x: Array) -> Array:
        """Compute ``Q^T x``."""
        x = x.reshape(*x.shape[: x.ndim - len(self.shape)], -1)
        return x - matmul(matmul(matmul(x, self.vectors), self.factor), self.vectors.T)

    def lift(self, c: Array) -> Array:
        """Compute ``Q c``."""
        x = c - matmul(matmul(matmul(c, self.vectors), self.factor.T), self.vectors.T)
        return x.reshape(*c.shape[:-1], *self.shape)


@value(data=["vectors"], static=["shape", "spatial", "channel_axis"])
@dataclass(frozen=True, eq=False)
class FourierBasis:
    """Fourier modes times a unitary matrix over channels at each frequency.

    With ``c(k)`` the coefficient of the orthonormal FFT, the real coefficient is
    ``y(k) = Re c(k) - Im c(k)`` (the Hartley transform), which keeps all variances. Samples are
    real, so ``c(-k)`` is the conjugate of ``c(k)`` and ``y(-k) = Re c(k) + Im c(k)``: both parts
    come back from a frequency and its mirror.

    Attributes:
      vectors: complex [prod(grid), C, C]; columns are the channels' eigenvectors. At the mirrored
        frequency they are conjugate.
      shape: shape of one sample: ``spatial`` axes of a grid, and at most one axis of channels.
      spatial: 1 for signals, 2 for images, 3 for videos and volumes.
      channel_axis: the axis of channels; None for the last one, if there is one more than the grid.
    """

    vectors: Array
    shape: tuple[int, ...]
    spatial: int
    channel_axis: int | None = None

    @property
    def grid(self) -> tuple[int, ...]:
        """The sizes of the shifted axes."""
        return tuple(n for i, n in enumerate(self.shape) if i != self.channel_axis)[: self.spatial]

    def project(self, x: Array) -> Array:
        """Transform by FFT, turn channels to their eigenvectors, pack as Hartley coefficients."""
        xp, lead = namespace(x, self.vectors), x.shape[: x.ndim - len(self.shape)]
        if self.channel_axis is not None:
            x = xp.moveaxis(x, len(lead) + self.channel_axis, -1)
        x = x.reshape(*lead, *self.grid, -1)
        axes = tuple(range(len(lead), len(lead) + self.spatial))
        freq = xp.fft.fftn(x, axes=axes, norm="ortho").reshape(*lead, *self.vectors.shape[:2])
        c = xp.einsum("...fc,fce->...fe", freq, self.vectors.conj())
        return (c.real - c.imag).reshape(*lead, -1)

    def lift(self, c: Array) -> Array:
        """Invert :meth:`project`."""
        xp, lead = namespace(c, self.vectors), c.shape[:-1]
        y = c.reshape(*lead, *self.vectors.shape[:2])
        mirrored = y[..., mirror(self.grid), :]
        freq = (y + mirrored) / 2 + 1j * (mirrored - y) / 2
        freq = xp.einsum("...fe,fce->...fc", freq, self.vectors)
        freq = freq.reshape(*lead, *self.grid, -1)
        axes = tuple(range(len(lead), len(lead) + self.spatial))
        x = xp.fft.ifftn(freq, axes=axes, norm="ortho").real
        if self.channel_axis is not None:
            x = xp.moveaxis(x, -1, len(lead) + self.channel_axis)
        return x.reshape(*lead, *self.shape)


def mirror(grid: tuple[int, ...]) -> np.ndarray:
    """Return the flat index of the frequency -k for every frequency k of a grid."""
    index = np.arange(math.prod(grid)).reshape(grid)
    for axis in range(len(grid)):
        index = np.roll(np.flip(index, axis), 1, axis)
    return index.ravel()
