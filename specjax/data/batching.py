"""Batches of bounded size, and threads that decode them in order.

Datasets are not read by grain. It asks for one record at a time: 20,000 records of CIFAR-10 took
2.7 s here and 8 to 11 s by ``MapDataset``, on two cores. It has no place for the names of bad files
or for sound files that give many samples, and folders of images would need an extra. Training
reads ahead, see :mod:`specjax.nn`.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

BATCH_BYTES = 16 * 2**20
"""A batch is of at most this size, unless one sample is larger."""

_PIXELS_FOR_THREADS = 128 * 128
"""Smaller images are decoded mostly under Python's lock: there two threads halve the speed."""

_MAX_THREADS = 8

T = TypeVar("T")
R = TypeVar("R")


def decoding_threads(pixels: int) -> int:
    """Return the number of threads that decode images of so many pixels the fastest."""
    return 1 if pixels < _PIXELS_FOR_THREADS else min(_MAX_THREADS, os.cpu_count() or 1)


@contextlib.contextmanager
def ordered_map(threads: int) -> Iterator[Callable[[Callable[[T], R], Iterable[T]], Iterator[R]]]:
    """Provide ``map``, or the ordered ``map`` of a pool of threads."""
    if threads == 1:
        yield map
    else:
        with ThreadPoolExecutor(threads) as pool:
            yield pool.map


@contextlib.contextmanager
def muted_warnings() -> Iterator[None]:
    """Mute what libraries remark about single files. Never hold this across a ``yield``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def batch_length(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Return how many samples of a shape fill a batch."""
    return max(1, BATCH_BYTES // max(1, int(np.prod(shape)) * dtype.itemsize))


def rebatched(arrays: Iterable[np.ndarray], limit: int | None) -> Iterator[np.ndarray]:
    """Cut the first ``limit`` samples of consecutive arrays [n, ...] into full batches."""
    waiting: list[np.ndarray] = []
    length = count = 0
    for array in arrays:
        array = array if limit is None else array[: limit - count]
        waiting.append(array)
        length, count = length + len(array), count + len(array)
        size = batch_length(array.shape[1:], array.dtype)
        if length >= size:
            joined = np.concatenate(waiting)
            full = length // size * size
            yield from (joined[i : i + size] for i in range(0, full, size))
            waiting, length = [joined[full:]], length - full
        if count == limit:
            break
    if length:
        yield np.concatenate(waiting)
