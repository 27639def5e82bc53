"""A dataset as one array with random access, which training needs.

Arrays and ``.npy`` files are that already. What is read batch by batch (folders, TFDS sets,
iterables) is read once: into memory where it fits, else into a ``.npy`` file that is memory-mapped
and used again by the next run.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from specjax import files
from specjax.data.dataset import Dataset
from specjax.spectra import estimate

MEMORY_BYTES = 4 * 2**30
"""Samples up to this size are kept in memory, in their stored dtype (while they are put together
they take twice that)."""

CACHE_FORMAT = 1


class Collected(NamedTuple):
    """All samples of a dataset, in the order of its batches.

    Attributes:
      samples: [N, *shape] in the stored dtype and units; see :func:`rescaled`.
      labels: int32 [N], and classes: the name of each; both None without classes.
    """

    samples: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...] | None


def collect(
    dataset: Dataset,
    *,
    cache: str | os.PathLike[str] | None = None,
    memory_limit: int | None = None,
    progress: estimate.Progress | None = None,
) -> Collected:
    """All samples of a dataset at once, with their labels.

    Args:
      cache: a ``.npy`` file for samples that exceed the memory limit; what is known about them
        goes beside it (``.about.npz``). One that is whole and of the same source (names, sizes
        and times of the files, options) is used instead of reading again.
      memory_limit: bytes that may be kept in memory; by default :data:`MEMORY_BYTES`.
      progress: called with the samples read so far, and their number if it is known.

    Raises:
      ValueError: for samples beyond the limit without a cache; for a cache that cannot be
        written; for samples of different shapes; for what reading them raises.

    Example:
      >>> collect(sx.data.open("digits")).labels[:4]
      array([0, 1, 2, 3], dtype=int32)
    """
    samples = dataset.samples
    if estimate.is_array(samples):
        return Collected(np.asanyarray(samples), dataset.labels, dataset.classes)
    path = None if cache is None else _checked(cache)
    if path is not None and (found := _reused(dataset, path)) is not None:
        return found
    limit = MEMORY_BYTES if memory_limit is None else memory_limit
    held: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    batches = _batches(dataset, labels, progress)
    size = 0
    for batch in batches:
        held.append(batch)
        size += batch.nbytes
        if size > limit:
            if path is None:
                raise ValueError(
                    f"{dataset.name} takes more than {limit / 2**30:.3g} GiB, the most that is "
                    "kept in memory: give a file for a cache, a higher limit, or fewer samples"
                )
            return _written(dataset, path, held, batches, labels)
    return Collected(np.concatenate(held), _joined(labels), dataset.classes)


def rescaled(rows: Any, data_range: tuple[float, float] | None) -> np.ndarray:
    """Samples in the network's units, float32: ``data_range`` mapped to [-1, 1].

    The definition is that of the spectrum (:func:`specjax.spectra.estimate.in_units`), rounded
    once.

    Raises:
      ValueError: for NaN or infinite values, values outside the range, integers without one.

    Example:
      >>> rescaled(np.array([[0, 255]], np.uint8), (0, 255))
      array([[-1.,  1.]], dtype=float32)
    """
    return estimate.in_units(np.asarray(rows), data_range).astype(np.float32)


def _batches(
    dataset: Dataset, labels: list[np.ndarray], progress: estimate.Progress | None
) -> Iterator[np.ndarray]:
    """Batches of one shape and dtype, whose labels are appended to ``labels``."""
    expected = getattr(dataset.samples, "expected_samples", None)
    shape, dtype = dataset.samples.sample_shape, dataset.samples.sample_dtype
    count = 0
    for batch, numbers in dataset.labelled():
        if batch.shape[1:] != tuple(shape):
            raise ValueError(
                f"a batch has samples of shape {batch.shape[1:]}, the first of {tuple(shape)}"
            )
        if numbers is not None:
            labels.append(numbers)
        count += len(batch)
        yield batch.astype(dtype, copy=False)
        if progress:
            progress(count, expected)


def _joined(labels: list[np.ndarray]) -> np.ndarray | None:
    return np.concatenate(labels) if labels else None


def _checked(cache: str | os.PathLike[str]) -> Path:
    path = files.check_folder(cache)
    if path.suffix != ".npy":
        raise ValueError(f"cache = {str(path)!r}: give it a name that ends in .npy")
    return path


def _about(path: Path) -> Path:
    return path.with_suffix(".about.npz")


def _written(
    dataset: Dataset,
    path: Path,
    held: list[np.ndarray],
    batches: Iterator[np.ndarray],
    labels: list[np.ndarray],
) -> Collected:
    """What was read and what is left to read, in the cache."""
    with contextlib.suppress(OSError):
        _about(path).unlink(missing_ok=True)  # a half-renewed cache must not be taken for whole
    with files.atomically(path) as temporary, open(temporary, "wb") as file:
        _write(file, held, batches)
    samples: np.ndarray = np.lib.format.open_memmap(path, mode="r")
    found = {"samples": len(samples), "skipped": dataset.skipped}
    _write_about(dataset, _about(path), labels, found)
    return Collected(samples, _joined(labels), dataset.classes)


def _write(file: BinaryIO, held: list[np.ndarray], batches: Iterator[np.ndarray]) -> None:
    """An array whose length is known at the end: NumPy's header leaves room for it."""
    first, count = held[0], 0
    start = _write_header(file, first, 0)
    while held:
        count += len(held[0])
        file.write(np.ascontiguousarray(held.pop(0)).data)
    for batch in batches:
        count += len(batch)
        file.write(np.ascontiguousarray(batch).data)
    file.seek(0)
    if _write_header(file, first, count) != start:
        raise AssertionError("NumPy's header has grown")  # it reserves 21 digits for the length
    file.flush()


def _write_header(file: BinaryIO, like: np.ndarray, count: int) -> int:
    """The header of ``count`` rows like those; where it ends."""
    descr = np.lib.format.dtype_to_descr(like.dtype)
    about = {"descr": descr, "fortran_order": False, "shape": (count, *like.shape[1:])}
    np.lib.format.write_array_header_1_0(file, about)
    return file.tell()


def _write_about(
    dataset: Dataset,
    path: Path,
    labels: list[np.ndarray],
    found: dict[str, Any],
) -> None:
    """What identifies the source, the labels, and what was found; nothing if it has no identity."""
    source = _identity(dataset)
    if source is None:
        return
    about = {"format": CACHE_FORMAT, "source": source, "found": found}
    with files.atomically(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, about=json.dumps(about), labels=np.concatenate([*labels, np.zeros(0, "i4")]))


def _identity(dataset: Dataset) -> dict[str, Any] | None:
    """What must be the same for a cache to be of this dataset; None for what has no identity."""
    fingerprint = getattr(dataset.samples, "fingerprint", None)
    if fingerprint is None:
        return None
    known = {k: v for k, v in dataset.source.items() if k not in ("samples", "skipped")}
    classes = None if dataset.classes is None else list(dataset.classes)
    return files.plain({"known": known, "files": fingerprint, "classes": classes})


def _reused(dataset: Dataset, path: Path) -> Collected | None:
    """The cache, if it is whole and of this dataset."""
    source = _identity(dataset)
    try:
        with np.load(_about(path)) as archive:
            about, labels = json.loads(str(archive["about"])), archive["labels"]
        samples: np.ndarray = np.lib.format.open_memmap(path, mode="r")
        found, known = about["found"], about["format"] == CACHE_FORMAT and about["source"] == source
    except Exception:  # none, or damaged, which can show anywhere in its parser: read again
        return None
    if source is None or not known or len(samples) != found["samples"]:
        return None
    _tell(dataset.samples, found)
    return Collected(samples, labels if dataset.classes else None, dataset.classes)


def _tell(reader: Any, found: dict[str, Any]) -> None:
    """Let a reader of files know what an earlier pass over them has found."""
    if hasattr(reader, "found"):
        reader.skipped = [(name, reason) for name, reason in found["skipped"]]
        reader.found.update(samples=found["samples"], skipped=len(found["skipped"]))
