"""What readers of many pieces share: threads that keep the order, batches of bounded size."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

BATCH_BYTES = 16 * 2**20
"""Batches are of at most that size, as long as one sample is."""

_MANY_PIXELS = 128 * 128
"""Below it decoding is mostly Python's, and threads that wait for each other halve its speed."""

_MOST_THREADS = 8

T = TypeVar("T")
R = TypeVar("R")


def threads_for(pixels: int) -> int:
    """How many threads decode images of that many pixels the fastest."""
    return 1 if pixels < _MANY_PIXELS else min(_MOST_THREADS, os.cpu_count() or 1)


@contextlib.contextmanager
def mapper(threads: int) -> Iterator[Callable[[Callable[[T], R], Iterable[T]], Iterator[R]]]:
    """``map``, or the ordered ``map`` of a pool of threads."""
    if threads == 1:
        yield map
    else:
        with ThreadPoolExecutor(threads) as pool:
            yield pool.map


@contextlib.contextmanager
def no_warnings() -> Iterator[None]:
    """What libraries remark about single files is no news to the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def rows_in_batch(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Samples of that shape in a batch."""
    return max(1, BATCH_BYTES // max(1, int(np.prod(shape)) * dtype.itemsize))


def batched(arrays: Iterable[np.ndarray], limit: int | None) -> Iterator[np.ndarray]:
    """The first ``limit`` rows of arrays [n, ...] one after another, in batches."""
    held: list[np.ndarray] = []
    waiting = count = 0
    for array in arrays:
        array = array if limit is None else array[: limit - count]
        held.append(array)
        waiting, count = waiting + len(array), count + len(array)
        rows = rows_in_batch(array.shape[1:], array.dtype)
        if waiting >= rows:
            together = np.concatenate(held)
            full = waiting // rows * rows
            yield from (together[i : i + rows] for i in range(0, full, rows))
            held, waiting = [together[full:]], waiting - full
        if count == limit:
            break
    if waiting:
        yield np.concatenate(held)
