"""A dataset, or a random subset of it, as one array.

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
from specjax._core import checks
from specjax._core.checks import UserError
from specjax.data.dataset import Dataset
from specjax.spectra import estimate

MEMORY_BYTES = 4 * 2**30
"""Samples up to this size are kept in memory, in their stored dtype; joining the batches takes
twice as much for a moment."""

CACHE_FORMAT = 1
ABOUT_SUFFIX = ".about.npz"


class Collected(NamedTuple):
    """All samples of a dataset, in the order of its batches.

    Attributes:
      samples: [N, *shape] in the stored dtype and units; see :func:`rescaled`.
      labels: int32 [N]; None without classes.
      classes: the name of each; None without classes.
    """

    samples: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...] | None


class Drawn(NamedTuple):
    """Some samples of a dataset, in its order.

    Attributes:
      samples: [n, *shape] in the network's units, float32.
      labels: int32 [n]; None without classes.
      total: how many samples the dataset has.
    """

    samples: np.ndarray
    labels: np.ndarray | None
    total: int


def rescaled(samples: Any, data_range: tuple[float, float] | None) -> np.ndarray:
    """Map samples [N, ...] to the network's units, float32: ``data_range`` becomes [-1, 1].

    The map is that of the spectrum (:func:`specjax.spectra.estimate.in_units`), rounded once.

    Raises:
      UserError: for NaN or infinite values, values outside the range, integers without one.

    Example:
      >>> rescaled(np.array([[0, 255]], np.uint8), (0, 255))
      array([[-1.,  1.]], dtype=float32)
    """
    return estimate.in_units(np.asarray(checks.unmasked("samples", samples)), data_range).astype(
        np.float32
    )


def drawn(
    dataset: Dataset, n: int, *, seed: int = 0, progress: estimate.Progress | None = None
) -> Drawn:
    """Draw ``n`` samples of a dataset without replacement (all of fewer), with their labels.

    Every sample gets a random number, and those with the n smallest are taken; so neither their
    count nor their order need be known. Of an array only these are read. Batches are read in one
    pass, of which a batch and at most 3 n samples are held.

    Args:
      dataset: from :func:`specjax.data.open`.
      n: samples to draw.
      seed: of the choice, which is the same for an array and for batches.
      progress: called with the samples read so far, and their number if it is known.

    Raises:
      UserError: for samples outside the data's range or NaN among those that are drawn; for
        batches of different shapes; for what reading them raises.

    Example:
      >>> subset = drawn(sx.data.open("digits"), 5)
      >>> subset.samples.shape, subset.total
      ((5, 8, 8), 1797)
    """
    n, rng = checks.whole_number("n", n), np.random.default_rng(seed)
    if estimate.is_array(dataset.samples):
        total = len(dataset.samples)
        chosen = _smallest(rng.random(total), n)
        labels = None if dataset.labels is None else dataset.labels[chosen]
        return Drawn(rescaled(dataset.samples[chosen], dataset.data_range), labels, total)
    total, held = 0, list[list[np.ndarray]]()  # held: [ranks, samples, labels if there are some]
    for batch, numbers in _checked_batches(dataset, progress):
        total += len(batch)
        ranks = rng.random(len(batch))
        chosen = _smallest(ranks, n)
        columns = (ranks, batch) if numbers is None else (ranks, batch, numbers)
        held.append([column[chosen] for column in columns])
        if sum(len(part[0]) for part in held) > 2 * n:
            held = [_thinned(held, n)]
    _, samples, *rest = _thinned(held, n)
    return Drawn(rescaled(samples, dataset.data_range), rest[0] if rest else None, total)


def _smallest(ranks: np.ndarray, n: int) -> np.ndarray:
    """Return the indices of the n smallest, in order."""
    if len(ranks) <= n:
        return np.arange(len(ranks))
    return np.sort(np.argpartition(ranks, n - 1)[:n])


def _thinned(held: list[list[np.ndarray]], n: int) -> list[np.ndarray]:
    """Join columns whose first one has ranks, and keep the entries of the n smallest."""
    columns = [np.concatenate(column) for column in zip(*held, strict=True)]
    chosen = _smallest(columns[0], n)
    return [column[chosen] for column in columns]


def _checked_batches(
    dataset: Dataset, progress: estimate.Progress | None
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Yield batches of one shape and dtype with their labels."""
    shape, dtype = tuple(dataset.samples.sample_shape), dataset.samples.sample_dtype
    count = 0
    for batch, labels in dataset.labelled():
        if batch.shape[1:] != shape:
            raise UserError(f"a batch has samples of shape {batch.shape[1:]}, the first of {shape}")
        count += len(batch)
        yield batch.astype(dtype, copy=False), labels
        if progress:
            progress(count, dataset.expected_samples)


def collect(
    dataset: Dataset,
    *,
    cache: str | os.PathLike[str] | None = None,
    memory_limit: int | None = None,
    progress: estimate.Progress | None = None,
) -> Collected:
    """Read all samples of a dataset, with their labels, for random access.

    Args:
      dataset: from :func:`specjax.data.open`.
      cache: a ``.npy`` file for samples that exceed the memory limit; their labels and source go
        beside it (``.about.npz``). A whole cache of the same source (names, sizes and times of the
        files, options) is used instead of reading again.
      memory_limit: bytes that may be kept in memory; by default :data:`MEMORY_BYTES`.
      progress: called with the samples read so far, and their number if it is known.

    Raises:
      UserError: for samples beyond the limit without a cache; for a cache that cannot be
        written; for samples of different shapes; for what reading them raises.

    Example:
      >>> collect(sx.data.open("digits")).labels[:4]
      array([0, 1, 2, 3], dtype=int32)
    """
    path = None if cache is None else _check_cache(cache)
    if estimate.is_array(dataset.samples):
        return Collected(np.asanyarray(dataset.samples), dataset.labels, dataset.classes)
    if path is not None and (reused := _read_cache(dataset, path)) is not None:
        return reused
    limit = MEMORY_BYTES if memory_limit is None else memory_limit
    held: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    size = 0
    batches = _checked_batches(dataset, progress)
    for batch, numbers in batches:
        held.append(batch)
        size += batch.nbytes
        if numbers is not None:
            labels.append(numbers)
        if size > limit and path is None:
            raise UserError(
                f"{dataset.name} takes more than {limit / 2**30:.3g} GiB, the most that is kept "
                "in memory: give a cache (a .npy file), a higher memory_limit, or fewer samples"
            )
        if size > limit and path is not None:
            samples = _write_cache(dataset, path, held, batches, labels)
            break
    else:
        samples = np.concatenate(held)
    return Collected(samples, np.concatenate(labels) if labels else None, dataset.classes)


def is_cache(path: str | os.PathLike[str]) -> bool:
    """Tell whether the file ``path`` is a cache that :func:`collect` wrote, of whatever data."""
    return Path(path).with_suffix(ABOUT_SUFFIX).is_file()


def _check_cache(cache: str | os.PathLike[str]) -> Path:
    path = files.check_output(cache)
    if path.suffix != ".npy":
        raise UserError(f"cache = {str(path)!r}: give it a name that ends in .npy")
    return path


def _write_cache(
    dataset: Dataset,
    path: Path,
    held: list[np.ndarray],
    batches: Iterator[tuple[np.ndarray, np.ndarray | None]],
    labels: list[np.ndarray],
) -> np.ndarray:
    """Write what is held and what is left to read; return it memory-mapped.

    The number of samples is known at the end. NumPy's header reserves 21 digits for it, so that
    it can be written again in the same place.
    """
    about = path.with_suffix(ABOUT_SUFFIX)
    with contextlib.suppress(OSError):
        about.unlink(missing_ok=True)  # a half-renewed cache must not be taken for whole
    with files.atomically(path) as temporary, open(temporary, "wb") as file:
        first, count = held[0], 0
        _write_header(file, first, 0)
        while held:  # each is let go once it is written
            count += len(held[0])
            file.write(np.ascontiguousarray(held.pop(0)).data)
        for batch, numbers in batches:
            count += len(batch)
            file.write(np.ascontiguousarray(batch).data)
            if numbers is not None:
                labels.append(numbers)
        file.seek(0)
        _write_header(file, first, count)
    identity = _identity(dataset)
    if identity is not None:
        statistics = {"samples": count, "skipped": dataset.skipped}
        header = {"format": CACHE_FORMAT, "source": identity, "statistics": statistics}
        numbers = np.concatenate([*labels, np.zeros(0, "i4")])
        with files.atomically(about) as temporary, open(temporary, "wb") as file:
            np.savez(file, about=json.dumps(header), labels=numbers)
    return np.lib.format.open_memmap(path, mode="r")


def _write_header(file: BinaryIO, like: np.ndarray, count: int) -> None:
    """Write the .npy header of ``count`` samples like those."""
    descr = np.lib.format.dtype_to_descr(like.dtype)
    header = {"descr": descr, "fortran_order": False, "shape": (count, *like.shape[1:])}
    np.lib.format.write_array_header_1_0(file, header)


def _identity(dataset: Dataset) -> dict[str, Any] | None:
    """Return what a cache of this dataset must agree in; None if nothing identifies the data."""
    fingerprint = getattr(dataset.samples, "fingerprint", None)
    if fingerprint is None:
        return None
    known = {k: v for k, v in dataset.source.items() if k not in ("samples", "skipped")}
    classes = None if dataset.classes is None else list(dataset.classes)
    return files.plain({"known": known, "files": fingerprint, "classes": classes})


def _read_cache(dataset: Dataset, path: Path) -> Collected | None:
    """Return the cache, if it is whole and of this dataset."""
    identity = _identity(dataset)
    try:
        with (
            files.open_input(path.with_suffix(ABOUT_SUFFIX)) as file,
            files.open_archive(file) as archive,
        ):
            about, labels = files.json_of(str(archive["about"])), archive["labels"]
        samples: np.ndarray = np.lib.format.open_memmap(path, mode="r")
        statistics = about["statistics"]
        same = about["format"] == CACHE_FORMAT and about["source"] == identity
    except Exception:  # it is missing or damaged, which can show anywhere in the parser
        return None
    if identity is None or not same or len(samples) != statistics["samples"]:
        return None
    reader = dataset.samples
    if hasattr(reader, "statistics"):  # of a folder: what an earlier pass has learned of its files
        reader.skipped = [(name, reason) for name, reason in statistics["skipped"]]
        reader.statistics.update(samples=len(samples), skipped=len(reader.skipped))
    return Collected(samples, labels if dataset.classes else None, dataset.classes)
