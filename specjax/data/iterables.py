"""Batches of samples from any Python iterable: a generator, a list of arrays, a data loader."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

_REMEDY = "give arrays [n, ...] of real numbers, such as (batch[0] for batch in loader)"


def is_batches(spec: Any) -> bool:
    """Whether what the user gave is an iterable of arrays, or a callable that returns one."""
    if isinstance(spec, str | bytes | Mapping | np.generic):
        return False
    if isinstance(spec, Sequence):
        return bool(spec) and hasattr(spec[0], "shape") and hasattr(spec[0], "dtype")
    return isinstance(spec, Iterable) or callable(spec)


class Batches:
    """Batches of an iterable, the first of which is looked at when it is opened.

    Every ``iter`` is a new pass where the iterable allows it: a generator gives one pass, a list,
    a data loader or a callable that returns an iterable any number.

    Attributes:
      sample_shape, sample_dtype: of one sample.
    """

    def __init__(self, spec: Iterable[Any] | Callable[[], Iterable[Any]], limit: int | None):
        self._spec, self._limit = spec, limit
        batches = self._start()
        first = next(batches, None)
        if first is None:
            raise ValueError("data has no batches: give at least two samples")
        self.sample_shape, self.sample_dtype = first.shape[1:], first.dtype
        self._opened: Iterator[np.ndarray] | None = chain([first], batches)
        self._once = isinstance(spec, Iterator)

    def __iter__(self) -> Iterator[np.ndarray]:
        batches, self._opened = self._opened, None
        if batches is None and self._once:
            raise ValueError(
                "data are batches that have been read and cannot be read again: give a list of "
                "them, or a callable that returns them anew"
            )
        return self._limited(batches or self._start())

    def _start(self) -> Iterator[np.ndarray]:
        made = self._spec() if callable(self._spec) else self._spec
        if not isinstance(made, Iterable):
            raise ValueError(
                f"data is a callable that returned {type(made).__name__}: let it return batches"
            )
        return map(_as_array, made)

    def _limited(self, batches: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        left = self._limit
        for batch in batches:
            if batch.dtype.kind != self.sample_dtype.kind:
                before = self.sample_dtype
                raise ValueError(f"a batch has dtype {batch.dtype}, those before {before}")
            yield batch if left is None else batch[:left]
            left = None if left is None else left - len(batch)
            if left is not None and left <= 0:
                return


def _as_array(batch: Any) -> np.ndarray:
    if not hasattr(batch, "shape"):
        raise ValueError(f"a batch is a {type(batch).__name__}: {_REMEDY}")
    array = np.asarray(batch)
    if array.ndim < 2:
        raise ValueError(f"a batch has shape {array.shape}: give [n, ...], one row a sample")
    return array
