"""Samples as checked pieces in the network's units, and what estimators of a covariance share.

Samples are an array [N, ...], a memory-mapped one among them, or an iterable of such batches. They
become float64 in the network's units a piece at a time, so a dataset never has to fit in memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError

Progress = Callable[[int, int | None], None]
"""Called with the samples read so far and their total, None while it is unknown."""

COLLECTED_BYTES = 2**30
"""The most that samples given as batches may take where an estimator needs all at once."""

SHRINKAGE_ESTIMATORS = ("ledoit-wolf", "oas")

_CHUNK_BYTES = 64 * 2**20


def check_range(data_range: Any) -> tuple[float, float]:
    """Return the two ends (low, high) of the samples as floats, with low < high."""
    try:
        low, high = (float(end) for end in data_range)
    except (TypeError, ValueError):
        low = high = math.nan
    if not -checks.MOST_SAMPLE <= low < high <= checks.MOST_SAMPLE:
        raise UserError(
            f"data_range = {data_range!r}: give (low, high) with low < high, none beyond "
            f"{checks.MOST_SAMPLE:.0e}"
        )
    return low, high


def to_units(data_range: tuple[float, float]) -> tuple[float, float]:
    """Return ``scale`` and ``offset``: ``scale x + offset`` maps ``data_range`` to [-1, 1]."""
    low, high = data_range
    return 2 / (high - low), -(high + low) / (high - low)


def check_units(
    learned: Mapping[str, Any] | None,
    used: Mapping[str, Any] | None,
    *,
    schedule: str = "the schedule",
    data: str = "the spectrum",
) -> None:
    """Refuse a schedule on data in other units than those of the data it was learned on.

    Noise levels are relative to the data's scale. Samples with a ``data_range``, whichever, are in
    [-1, 1] units; samples without one are in their own. Where the units are unknown (a ``source``
    without ``data_range``: plain levels, a power law) everything is accepted.

    Args:
      learned: ``source`` of a fit, None where it is unknown.
      used: ``source`` of the spectrum or dataset on which the schedule is used.
      schedule: name of the schedule in the error.
      data: name of the data in the error.

    Raises:
      UserError: if one is in [-1, 1] units and the other in the units of its samples.

    Example:
      >>> spectrum = sx.data.open("digits").spectrum()  # data_range = (0, 16)
      >>> check_units({"data_range": [0, 255]}, spectrum.source)
    """
    sources = (learned or {}, used or {})
    if not all("data_range" in source for source in sources):
        return
    before, now = (source["data_range"] is not None for source in sources)
    if before == now:
        return
    words = {True: "mapped to [-1, 1]", False: "in the units of its samples"}
    remedy = "make the spectrum" if before else "learn the schedule"
    raise UserError(
        f"{schedule} was learned on data {words[before]}, {data} is {words[now]}: {remedy} again "
        "with data_range (--data-range), or give the schedule's sigmas as a list"
    )


def check_same_data(
    before: Mapping[str, Any],
    shape: Sequence[int],
    now: Mapping[str, Any],
    *,
    first: str,
    second: str,
) -> None:
    """Refuse data of another shape, in other units or, of the same samples, in another range.

    Args:
      before: ``source`` of what is known, with samples of ``shape``: a run, or samples.
      now: ``source`` of the data that it meets. first, second: what errors call the two.

    Raises:
      UserError: if they cannot be compared.
    """
    if tuple(shape) != tuple(now["shape"]):
        raise UserError(
            f"samples of {first} have shape {tuple(shape)}, those of {second} "
            f"{tuple(now['shape'])}: give data of the same shape, or read them so (--size, "
            "--colour, --window)"
        )
    if "data_range" not in before:
        return
    old, new = before["data_range"], now["data_range"]
    if (old is None) != (new is None):
        words = ("in the units of their own", "read without --data-range")
        if old is not None:
            words = ("in [-1, 1]", "give --data-range")
        raise UserError(f"samples of {first} are {words[0]}, those of {second} not: {words[1]}")
    same = all(before.get(key) in (None, now.get(key)) for key in ("name", "dtype"))
    if old is not None and same and "name" in before and tuple(old) != tuple(new):
        low, high = old
        raise UserError(
            f"{first} is of {before['name']} with data_range = ({low:g}, {high:g}), {second} is "
            f"read with ({new[0]:g}, {new[1]:g}): give --data-range {low:g} {high:g}"
        )


def is_array(x: Any) -> bool:
    """Return whether samples are an array rather than batches."""
    return hasattr(x, "shape") and hasattr(x, "dtype")


def check_repeatable(name: str, x: Any) -> None:
    """Refuse samples that can be read only once, such as a generator."""
    if not is_array(x) and isinstance(x, Iterator):
        raise UserError(
            f"{name} reads the samples several times, and {type(x).__name__} can be read only "
            "once: give an array, a list of batches or an object whose iter() starts again"
        )


def batches(x: Any) -> tuple[Iterator[np.ndarray], int | None]:
    """Return batches of samples, and the number of samples (None if unknown)."""
    if is_array(x):
        if not x.shape:
            raise UserError("samples have shape (): give [N, ...], one row a sample")
        rows = _rows(x.shape[1:])
        x = checks.unmasked("samples", x)
        return (np.asarray(x[i : i + rows]) for i in range(0, len(x), rows)), len(x)
    if not isinstance(x, Iterable):
        raise UserError(f"samples of type {type(x).__name__}: give an array [N, ...] or batches")
    read = (np.asarray(checks.unmasked("a batch", batch)) for batch in x)
    return read, getattr(x, "expected_samples", None)


def _rows(shape: tuple[int, ...]) -> int:
    """Return how many samples of a shape make a piece."""
    return max(1, _CHUNK_BYTES // (8 * max(1, math.prod(shape))))


def pieces(
    x: Any,
    data_range: tuple[float, float] | None = None,
    progress: Progress | None = None,
    *,
    integers: bool = False,
) -> Iterator[np.ndarray]:
    """Yield checked samples [n, ...] in bounded pieces of float64, in the network's units.

    Args:
      x: samples, an array [N, ...] or batches.
      data_range: (low, high) of the samples, mapped to [-1, 1].
      progress: called when a piece has been used.
      integers: whether uint8 samples with a range stay as they are.

    Raises:
      UserError: for fewer than two samples, NaN or infinite values, other shapes, integers
        without or outside their range.
    """
    data_range = None if data_range is None else check_range(data_range)
    source, expected = batches(x)
    count, shape = 0, None
    for batch in source:
        if batch.ndim < 2:
            raise UserError(f"samples have shape {batch.shape}: give [N, ...], one row a sample")
        if shape is not None and len(batch) and batch.shape[1:] != shape:
            raise UserError(f"a batch has samples of shape {batch.shape[1:]}, those before {shape}")
        rows = _rows(batch.shape[1:])
        for piece in (batch[i : i + rows] for i in range(0, len(batch), rows)):
            if integers and data_range and piece.dtype == np.uint8:
                yield _in_range(piece, data_range)
            else:
                yield in_units(piece, data_range)
            count, shape = count + len(piece), batch.shape[1:]
            if progress:
                progress(count, expected)
    if count == 0:
        raise UserError("the dataset is empty: give at least two samples")
    if count < 2:
        raise UserError("the dataset has one sample: a covariance needs at least two")


def _in_range(x: np.ndarray, data_range: tuple[float, float]) -> np.ndarray:
    low, high = data_range
    if x.size and (x.min() < low or x.max() > high):
        raise UserError(
            f"samples from {x.min()} to {x.max()} are outside data_range = {data_range!r}"
        )
    return x


def in_units(batch: np.ndarray, data_range: tuple[float, float] | None) -> np.ndarray:
    """Return samples as float64 in the network's units; refuse values not finite or in range."""
    if data_range is not None:
        scale, offset = to_units(data_range)
        batch = np.asarray(_in_range(batch, data_range), np.float64) * scale + offset
    elif not np.issubdtype(batch.dtype, np.floating):
        raise UserError(
            f"samples have dtype {batch.dtype}: give floats in the network's units, or integers "
            "with their data_range, such as data_range=(0, 255)"
        )
    batch = batch.astype(np.float64, copy=False)
    if batch.size and not -checks.MOST_SAMPLE <= batch.min() <= batch.max() <= checks.MOST_SAMPLE:
        wild = ~(np.abs(batch.reshape(len(batch), -1)) <= checks.MOST_SAMPLE).all(1)
        raise UserError(
            f"{wild.sum()} sample(s) have NaN, infinite values or numbers beyond "
            f"{checks.MOST_SAMPLE:.0e} (the first is number {wild.argmax()} of its batch): remove "
            "them"
        )
    return batch


def centre_of(batch: np.ndarray) -> np.ndarray:
    """Compute the mean of a batch; it is exact where all samples are the same."""
    return batch[0] + (batch - batch[0]).mean(0)


def collected(x: Any, data_range: tuple[float, float] | None) -> np.ndarray:
    """Collect all samples [N, ...] in a float64 array; batches only up to ``COLLECTED_BYTES``."""
    parts, size = [], 0
    for piece in pieces(x, data_range):
        size += piece.nbytes
        if size > COLLECTED_BYTES and not is_array(x):
            raise UserError(
                f"shrinkage by an estimator needs all samples at once, and they exceed "
                f"{COLLECTED_BYTES / 2**30:g} GiB in float64: give a weight from 0 to 1"
            )
        parts.append(piece.copy())
    return np.concatenate(parts)


def eigendecompose(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues (falling, rounding errors set to 0) and eigenvectors of a covariance.

    The covariance [d, d] must be symmetric, in C order, and is overwritten: two d x d work arrays
    beside it are all that LAPACK's divide and conquer takes.

    Raises:
      UserError: if it has an eigenvalue below zero by more than rounding.
    """
    from scipy.linalg import eigh

    if not np.isfinite(covariance).all():
        raise UserError("the covariance has NaN or infinite entries")
    eigenvalues, vectors = eigh(covariance.T, driver="evd", check_finite=False, overwrite_a=True)
    return clip_rounding(eigenvalues[::-1]), vectors[:, ::-1]


def clip_rounding(eigenvalues: np.ndarray) -> np.ndarray:
    """Set to zero what is zero up to rounding; refuse what is truly negative."""
    top = float(np.abs(eigenvalues).max(initial=0.0))
    tolerance = top * eigenvalues.size * np.finfo(np.float64).eps
    worst = float(eigenvalues.min(initial=0.0))
    if worst < -1e-6 * top:
        raise UserError(
            f"the covariance has a negative eigenvalue, {worst:.3g}: it is not a covariance"
        )
    return np.where(eigenvalues > tolerance, eigenvalues, 0.0)


def shrinkage_of(x: np.ndarray | None, method: float | str) -> float:
    """Return the weight of the scaled identity: the given one, or an estimator's from samples.

    The estimators are scikit-learn's (Ledoit and Wolf 2004; Chen et al. 2010).
    """
    if isinstance(method, str) and method in SHRINKAGE_ESTIMATORS:
        if x is None:
            raise UserError(f"shrinkage = {method!r} needs samples: give a weight from 0 to 1")
        from sklearn.covariance import ledoit_wolf_shrinkage, oas

        flat = x.reshape(len(x), -1)
        return float(ledoit_wolf_shrinkage(flat) if method == "ledoit-wolf" else oas(flat)[1])
    if isinstance(method, str) or not 0 <= method <= 1:
        raise UserError(
            f"shrinkage = {method!r}: give a weight from 0 to 1, 'ledoit-wolf' or 'oas'"
        )
    return float(method)


def shrunk(eigenvalues: np.ndarray, weight: float, counts: np.ndarray | None = None) -> np.ndarray:
    """Mix eigenvalues with their mean: those of a covariance shrunk to a scaled identity."""
    if not eigenvalues.any():
        raise UserError("the dataset is constant: all its samples are the same")
    return (1 - weight) * eigenvalues + weight * np.average(eigenvalues, weights=counts)
