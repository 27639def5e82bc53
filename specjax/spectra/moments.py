"""Moments of samples: what shards, hosts and devices add up before a covariance is diagonalised.

Sums run about a fixed centre (the middle of the range of integers, else the mean of the first
piece), so a mean far from zero costs no digits; what the centre misses is taken off at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from specjax._core.checks import UserError
from specjax.spectra import device_sums, estimate

if TYPE_CHECKING:
    from jax.sharding import Mesh

_EXACT_ROWS = 1024
"""Rows whose products, at most 2^14 each, add up to at most 2^24: exactly, in float32."""

_MIDDLE = 128.0
_GATHERED_BYTES = 64 * 2**20


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and summed products of deviations of samples with d numbers each.

    Attributes:
      count: n, the number of samples.
      mean: [d], in the network's units, float64 on the host.
      products: [d, d], ``sum (x - mean) (x - mean)^T``; the covariance times n - 1.
      shape: shape of one sample.
      precision: how the sums were made, in words.

    Shards of a dataset may be read anywhere: their moments are merged exactly.

    Example:
      >>> x = np.arange(12.0).reshape(6, 2) ** 2
      >>> both = Moments.from_samples(x[:4]).merge(Moments.from_samples(x[4:]))
      >>> np.allclose(both.covariance, np.cov(x.T))
      True
    """

    count: int
    mean: np.ndarray
    products: np.ndarray
    shape: tuple[int, ...]
    precision: str = "float64"

    @classmethod
    def from_samples(
        cls,
        x: Any,
        *,
        data_range: tuple[float, float] | None = None,
        mesh: Mesh | None = None,
        precision: str | None = None,
        progress: estimate.Progress | None = None,
    ) -> Moments:
        """Sum samples in one pass over an array [N, ...] or an iterable of batches.

        Args:
          x: samples; uint8 with a ``data_range`` is summed exactly.
          data_range: (low, high) of the samples, mapped to [-1, 1]; integers need it.
          mesh: devices of this process over which the rows are laid; the host's BLAS without one.
          precision: on a mesh "float64" or "split" (exact products of 8-bit slices, for hardware
            without float64); by default "split" on TPUs, "float64" elsewhere.
          progress: called with (samples read, total or None).

        Raises:
          UserError: for fewer than two samples, NaN or infinite values, integers without or
            outside their range, a mesh with other processes' devices.
        """
        chosen = device_sums.choose(mesh, precision)
        pieces = estimate.pieces(x, data_range, progress, integers=chosen != "float64")
        return cls.from_pieces(pieces, data_range=data_range, mesh=mesh, chosen=chosen)

    @classmethod
    def from_pieces(
        cls,
        pieces: Iterable[np.ndarray],
        *,
        data_range: tuple[float, float] | None = None,
        mesh: Mesh | None = None,
        chosen: str = "float64",
    ) -> Moments:
        """Sum checked pieces (:func:`specjax.spectra.estimate.pieces`).

        Args:
          pieces: samples [n, ...], in the network's units unless they are integers.
          data_range: of integers.
          mesh: see :meth:`from_samples`.
          chosen: the precision, as :func:`specjax.spectra.device_sums.choose` gives it.
        """
        centred = _Centred(pieces)
        if mesh is None:
            count, total, products = _host_sums(centred)
        else:
            count, total, products = device_sums.sums(centred, mesh, chosen)
        for row in range(0, len(total), _EXACT_ROWS):  # in blocks, to need no second matrix
            rows = slice(row, row + _EXACT_ROWS)
            products[rows] -= np.outer(total[rows], total / count)
        mean = centred.centre + total / count
        words = "exact sums of float32 slices (split)" if chosen == "split" else "float64"
        if centred.integers:
            assert data_range is not None
            scale, offset = estimate.to_units(data_range)
            mean, words = mean * scale + offset, "exact (integers)"
            products *= scale**2
        return cls(count, mean, products, centred.shape, words)

    @property
    def covariance(self) -> np.ndarray:
        """The unbiased covariance [d, d], a fresh array."""
        return self.products / (self.count - 1)

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both sets of samples (Chan et al. 1979), exact for any means.

        Args:
          other: the moments of other samples of the same shape.

        Raises:
          UserError: if the samples have other shapes.
        """
        if self.shape != other.shape:
            raise UserError(
                f"moments of samples of shape {self.shape} and {other.shape}: they must be alike"
            )
        total = self.count + other.count
        gap = other.mean - self.mean
        products = np.outer(gap * (self.count * other.count / total), gap)
        products += self.products
        products += other.products
        both = dict.fromkeys((self.precision, other.precision))
        mean = self.mean + gap * (other.count / total)
        return Moments(total, mean, products, self.shape, " and ".join(both))

    def over_processes(self) -> Moments:
        """Return the moments of all processes of ``jax.distributed``, the same on each of them.

        Every process must call it, with samples of one shape. With one process it is ``self``.
        """
        if jax.process_count() == 1:
            return self
        count = _gather(np.array([self.count], np.int64))
        means = _gather(self.mean)
        total = int(count.sum())
        mean = (count / total * means).sum(0)
        gaps = means - mean
        products = (gaps * count).T @ gaps
        rows = max(1, _GATHERED_BYTES // (8 * self.mean.size * len(count)))
        for row in range(0, self.mean.size, rows):
            products[row : row + rows] += _gather(self.products[row : row + rows]).sum(0)
        return Moments(total, mean, products, self.shape, self.precision)


def _gather(array: np.ndarray) -> np.ndarray:
    """Stack an 8-byte array of every process: [P, ...].

    The bits travel as integers, so hardware without float64 keeps them.
    """
    from jax.experimental.multihost_utils import process_allgather

    bits = np.ascontiguousarray(array).view(np.uint32)
    return np.ascontiguousarray(process_allgather(bits)).view(array.dtype)


class _Centred:
    """Flat pieces about a centre, with the kind of samples that the first piece showed."""

    shape: tuple[int, ...] = ()
    centre: Any = None
    integers: bool = False

    def __init__(self, pieces: Iterable[np.ndarray]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[np.ndarray]:
        for piece in self._pieces:
            flat = piece.reshape(len(piece), -1)
            if self.centre is None:
                self.shape = piece.shape[1:]
                self.integers = piece.dtype == np.uint8
                self.centre = _MIDDLE if self.integers else estimate.centre_of(flat)
            if self.integers != (piece.dtype == np.uint8):
                raise UserError(
                    f"a batch has dtype {piece.dtype}, those before another kind: give all "
                    "batches as integers or all as floats"
                )
            yield np.subtract(flat, self.centre, dtype=np.float32 if self.integers else None)


def _host_sums(pieces: Iterable[np.ndarray]) -> tuple[int, np.ndarray, np.ndarray]:
    """Return count, sum [d] and sum of products [d, d], by symmetric rank-k updates in place."""
    from scipy.linalg import blas

    count, total, products = 0, np.zeros(0), np.zeros((0, 0))
    for piece in pieces:
        if count == 0:
            d = piece.shape[1]
            total, products = np.zeros(d), np.zeros((d, d), order="F")
            block = np.zeros((d, d), np.float32, order="F") if piece.dtype == np.float32 else None
        count += len(piece)
        total += piece.sum(0, dtype=np.float64)
        if block is None:
            products = blas.dsyrk(1.0, piece.T, beta=1.0, c=products, overwrite_c=True)
            continue
        for row in range(0, len(piece), _EXACT_ROWS):
            rows = piece[row : row + _EXACT_ROWS].T
            products += blas.ssyrk(1.0, rows, beta=0.0, c=block, overwrite_c=True)
    lower = products.T  # BLAS filled this triangle
    for row in range(len(lower) - 1):
        lower[row, row + 1 :] = lower[row + 1 :, row]
    return count, total, lower
