"""Covariances of samples: exact, in one pass over batches; and shift-invariant, by FFT.

Everything accumulates in float64 on the host, with the mean removed by Chan's merging.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import eigh

from specjax._values import Array
from specjax.basis import DenseBasis, FourierBasis, mirror

Progress = Callable[[int, int | None], None]
"""Called with the samples read so far and their total, None while it is unknown."""

_CHUNK_BYTES = 64 * 2**20


@dataclass
class Moments:
    """Count, mean [...] and summed products of deviations of the samples seen so far."""

    count: int
    mean: np.ndarray
    products: np.ndarray

    def add(self, other: Moments, outer: Callable[[np.ndarray], np.ndarray]) -> None:
        """Merge (Chan et al. 1979): exact, and safe where the mean is far from zero."""
        total = self.count + other.count
        gap = other.mean - self.mean
        self.products += other.products + outer(gap) * (self.count * other.count / total)
        self.mean = self.mean + gap * (other.count / total)
        self.count = total


def check_range(data_range: Any) -> tuple[float, float]:
    """The two ends (low, high) of the samples as floats, with low < high."""
    try:
        low, high = (float(end) for end in data_range)
    except (TypeError, ValueError):
        low = high = math.nan
    if not -math.inf < low < high < math.inf:
        raise ValueError(f"data_range = {data_range!r}: give (low, high) with low < high")
    return low, high


@dataclass(frozen=True, eq=False)
class InUnits:
    """An array whose rows are mapped from ``data_range`` to [-1, 1] when they are read.

    So a memory-mapped array of any size becomes float64 a batch at a time.
    """

    samples: Any
    data_range: tuple[float, float]
    dtype = np.dtype(np.float64)

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the samples."""
        return tuple(self.samples.shape)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: Any) -> np.ndarray:
        return _mapped(np.asarray(self.samples[index]), self.data_range)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[...], dtype)


def _mapped(x: np.ndarray, data_range: tuple[float, float]) -> np.ndarray:
    low, high = data_range
    if x.size and (x.min() < low or x.max() > high):
        raise ValueError(
            f"samples from {x.min()} to {x.max()} are outside data_range = {data_range!r}"
        )
    return np.asarray(x, np.float64) * (2 / (high - low)) - (high + low) / (high - low)


def in_units(x: Any, data_range: tuple[float, float] | None) -> Any:
    """Samples in the network's units: ``data_range`` (low, high) is mapped to [-1, 1].

    Without it samples are taken as they are. Arrays are mapped when their rows are read, an
    iterable of batches batch by batch; values outside the range raise ValueError then.
    """
    if data_range is None:
        return x
    data_range = check_range(data_range)
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        return InUnits(x, data_range)
    return (_mapped(np.asarray(batch), data_range) for batch in x)


def batches(x: Any) -> tuple[Iterator[np.ndarray], int | None]:
    """Batches of samples and their number (None if unknown) from an array or an iterable."""
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        if not x.shape:
            raise ValueError("samples have shape (): give [N, ...], one row a sample")
        rows = max(1, _CHUNK_BYTES // (8 * max(1, math.prod(x.shape[1:]))))
        return (np.asarray(x[i : i + rows]) for i in range(0, len(x), rows)), len(x)
    if not isinstance(x, Iterable):
        raise ValueError(f"samples of type {type(x).__name__}: give an array [N, ...] or batches")
    return (np.asarray(batch) for batch in x), None


def accumulate(
    x: Any,
    moments_of: Callable[[np.ndarray], Moments],
    outer: Callable[[np.ndarray], np.ndarray],
    progress: Progress | None,
) -> tuple[Moments, tuple[int, ...]]:
    """Moments of all samples, and the shape of one."""
    source, expected = batches(x)
    total: Moments | None = None
    shape: tuple[int, ...] = ()
    for batch in source:
        batch = _checked(batch, shape if total else None)
        if len(batch) == 0:
            continue
        shape = batch.shape[1:]
        part = moments_of(batch)
        if total is None:
            total = part
        else:
            total.add(part, outer)
        if progress:
            progress(total.count, expected)
    if total is None:
        raise ValueError("the dataset is empty: give at least two samples")
    if total.count < 2:
        raise ValueError("the dataset has one sample: a covariance needs at least two")
    return total, shape


def _checked(batch: np.ndarray, shape: tuple[int, ...] | None) -> np.ndarray:
    if batch.ndim < 2:
        raise ValueError(f"samples have shape {batch.shape}: give [N, ...], one row a sample")
    if shape is not None and batch.shape[1:] != shape:
        raise ValueError(f"a batch has samples of shape {batch.shape[1:]}, those before {shape}")
    if not np.issubdtype(batch.dtype, np.floating):
        raise ValueError(
            f"samples have dtype {batch.dtype}: give floats in the network's units, or integers "
            "with their data_range, such as data_range=(0, 255)"
        )
    batch = batch.astype(np.float64)
    if not np.isfinite(batch).all():
        bad = np.flatnonzero(~np.isfinite(batch.reshape(len(batch), -1)).all(1))
        raise ValueError(
            f"{bad.size} sample(s) have NaN or infinite values (the first is number {bad[0]} of "
            "its batch): remove them"
        )
    return batch


def _centred(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Deviations from the mean, and the mean; exact where all samples are the same."""
    away = batch - batch[0]
    offset = away.mean(0)
    return away - offset, batch[0] + offset


def exact(
    x: Any, *, progress: Progress | None = None
) -> tuple[np.ndarray, np.ndarray, DenseBasis, int]:
    """Eigenvalues [d] (falling), mean coefficients [d], basis and sample count of [N, ...]."""

    def outer(v: np.ndarray) -> np.ndarray:
        return np.outer(v, v)

    def moments_of(batch: np.ndarray) -> Moments:
        centred, mean = _centred(batch.reshape(len(batch), -1))
        return Moments(len(batch), mean, centred.T @ centred)

    moments, shape = accumulate(x, moments_of, outer, progress)
    eigenvalues, vectors = eigendecompose(moments.products / (moments.count - 1))
    basis = DenseBasis(vectors, shape)
    return eigenvalues, vectors.T @ moments.mean, basis, moments.count


def eigendecompose(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (falling, rounding errors set to 0) and eigenvectors of a covariance [d, d].

    Raises:
      ValueError: if it is not symmetric or has an eigenvalue below zero by more than rounding.
    """
    scale = float(np.abs(covariance).max(initial=0.0))
    if not np.isfinite(scale):
        raise ValueError("the covariance has NaN or infinite entries")
    if np.abs(covariance - covariance.T).max(initial=0.0) > 1e-6 * scale:
        raise ValueError("the covariance is not symmetric")
    eigenvalues, vectors = eigh(covariance, driver="evd", check_finite=False)
    return clip_rounding(eigenvalues[::-1]), vectors[:, ::-1]


def clip_rounding(eigenvalues: np.ndarray) -> np.ndarray:
    """Set to zero what is zero up to rounding; refuse what is truly negative."""
    top = float(np.abs(eigenvalues).max(initial=0.0))
    tolerance = top * eigenvalues.size * np.finfo(np.float64).eps
    worst = float(eigenvalues.min(initial=0.0))
    if worst < -1e-6 * top:
        raise ValueError(
            f"the covariance has a negative eigenvalue, {worst:.3g}: it is not a covariance"
        )
    return np.where(eigenvalues > tolerance, eigenvalues, 0.0)


def shift_invariant(
    x: Any, *, spatial: int | None = None, progress: Progress | None = None
) -> tuple[np.ndarray, np.ndarray, FourierBasis, int]:
    """The covariance averaged over shifts: power at each frequency, channels diagonalised there.

    Args:
      x: [N, L], [N, H, W] or [N, H, W, C]; with ``spatial`` given also [N, L, C].
      spatial: number of shifted axes; by default all of one- and two-dimensional samples, two of
        three-dimensional ones.

    Returns:
      As :func:`exact`, in the order of the frequencies. O(d log d) per sample.
    """

    def by_frequency(flat: np.ndarray) -> np.ndarray:
        """Cross-channel products at each frequency, [F, C, C], of [F, n, C]."""
        return np.matmul(flat.transpose(0, 2, 1), flat.conj())

    def moments_of(batch: np.ndarray) -> Moments:
        centred, mean = _centred(batch)
        freq = _frequencies(centred, spatial)
        return Moments(len(batch), mean, by_frequency(freq.transpose(1, 0, 2)))

    def outer(gap: np.ndarray) -> np.ndarray:
        return by_frequency(_frequencies(gap[None], spatial).transpose(1, 0, 2))

    moments, shape = accumulate(x, moments_of, outer, progress)
    grid = shape[: _spatial_axes(shape, spatial)]
    eigenvalues, vectors = np.linalg.eigh(_symmetric(moments.products / (moments.count - 1), grid))
    flipped = mirror(grid)
    second = np.flatnonzero(np.arange(flipped.size) > flipped)
    vectors[second] = vectors[flipped[second]].conj()
    basis = FourierBasis(vectors, shape, len(grid))
    mean = np.asarray(basis.project(moments.mean))
    return clip_rounding(eigenvalues.ravel()), mean, basis, moments.count


def _spatial_axes(shape: tuple[int, ...], spatial: int | None) -> int:
    axes = min(len(shape), 2) if spatial is None else spatial
    if axes not in (1, 2) or len(shape) not in (axes, axes + 1):
        raise ValueError(
            f"samples of shape {shape} with spatial = {spatial}: the shift-invariant form takes "
            "[L], [H, W] or [H, W, C], or [L, C] with spatial=1"
        )
    return axes


def _frequencies(x: np.ndarray, spatial: int | None) -> np.ndarray:
    """Orthonormal FFT [n, F, C] of samples [n, *grid(, C)]."""
    axes = _spatial_axes(x.shape[1:], spatial)
    x = x.reshape(*x.shape[: 1 + axes], -1)
    freq = np.fft.fftn(x, axes=tuple(range(1, 1 + axes)), norm="ortho")
    return freq.reshape(len(x), -1, x.shape[-1])


def _symmetric(products: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """Exactly Hermitian, conjugate at mirrored frequencies, real at self-mirrored ones."""
    products = (products + products.conj().transpose(0, 2, 1)) / 2
    return (products + products[mirror(grid)].conj()) / 2


def shrinkage_of(x: Array, method: float | str) -> float:
    """The weight of the scaled identity: a number in [0, 1], "ledoit-wolf" or "oas".

    The estimators are scikit-learn's (Ledoit and Wolf 2004; Chen et al. 2010).
    """
    if isinstance(method, str) and method in ("ledoit-wolf", "oas"):
        if not (hasattr(x, "shape") and hasattr(x, "dtype")):
            raise ValueError(f"shrinkage = {method!r} needs an array of samples, not batches")
        from sklearn.covariance import ledoit_wolf_shrinkage, oas

        flat = np.asarray(x, np.float64).reshape(len(x), -1)
        return float(ledoit_wolf_shrinkage(flat) if method == "ledoit-wolf" else oas(flat)[1])
    if isinstance(method, str) or not 0 <= method <= 1:
        raise ValueError(
            f"shrinkage = {method!r}: give a weight from 0 to 1, 'ledoit-wolf' or 'oas'"
        )
    return float(method)
