"""Batches of samples from any Python iterable: a generator, a list of arrays, a data loader."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError


def is_batches(spec: Any) -> bool:
    """Tell whether an argument is an iterable of arrays, or a callable that returns one."""
    if isinstance(spec, str | bytes | Mapping | np.generic):
        return False
    if isinstance(spec, Sequence):
        return bool(spec) and hasattr(spec[0], "shape") and hasattr(spec[0], "dtype")
    return isinstance(spec, Iterable) or callable(spec)


class Batches:
    """The batches of an iterable, whose first one is read at once to learn shape and dtype.

    Every ``iter`` is a new pass where the iterable allows it: a generator gives one pass; a list,
    a data loader or a callable that returns an iterable gives any number.
    """

    def __init__(self, spec: Iterable[Any] | Callable[[], Iterable[Any]], limit: int | None):
        self._spec, self._limit = spec, limit
        batches = self._new_pass()
        first = next(batches, None)
        if first is None:
            raise UserError("data has no batches: give at least two samples")
        self.sample_shape, self.sample_dtype = first.shape[1:], first.dtype
        self._first_pass: Iterator[np.ndarray] | None = chain([first], batches)

    def __iter__(self) -> Iterator[np.ndarray]:
        batches, self._first_pass = self._first_pass, None
        if batches is None and isinstance(self._spec, Iterator):
            raise UserError(
                "data are batches that have been read and cannot be read again: give a list of "
                "them, or a callable that returns them anew"
            )
        return self._limited(batches or self._new_pass())

    def _new_pass(self) -> Iterator[np.ndarray]:
        made = self._spec() if callable(self._spec) else self._spec
        if not isinstance(made, Iterable):
            raise UserError(
                f"data is a callable that returned {type(made).__name__}: let it return batches"
            )
        return map(_checked_batch, made)

    def _limited(self, batches: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        left = self._limit
        for batch in batches:
            if batch.dtype.kind != self.sample_dtype.kind:
                before = self.sample_dtype
                raise UserError(f"a batch has dtype {batch.dtype}, those before {before}")
            yield batch if left is None else batch[:left]
            left = None if left is None else left - len(batch)
            if left is not None and left <= 0:
                return


def _checked_batch(batch: Any) -> np.ndarray:
    if not hasattr(batch, "shape"):
        raise UserError(
            f"a batch is a {type(batch).__name__}: give arrays [n, ...] of real numbers, such as "
            "(batch[0] for batch in loader)"
        )
    array = np.asarray(checks.unmasked("a batch", batch))
    if array.ndim < 2:
        raise UserError(f"a batch has shape {array.shape}: give [n, ...], one row a sample")
    return array
