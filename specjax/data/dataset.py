"""A dataset: samples, their units, their provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from specjax import estimate
from specjax.spectrum import Spectrum

DEFAULT_RANGES = {"uint8": (0.0, 255.0), "bool": (0.0, 1.0)}
"""Ranges that need not be given, because the dtype leaves no doubt."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples with what is known about them.

    Attributes:
      name: a built-in name, a file's name, or "array".
      samples: an array [N, ...] (often memory-mapped) or an iterable of such batches.
      data_range: (low, high) of the samples, mapped to [-1, 1]; None for floats that are in the
        network's units already.
      source: provenance as plain numbers and strings: name, samples (their number), shape of
        one, data_range, and what the kind of set adds (file, sha256, seed, versions).
    """

    name: str
    samples: Any
    data_range: tuple[float, float] | None
    source: Mapping[str, Any]

    def spectrum(
        self,
        *,
        method: str = "exact",
        shrinkage: float | str = 0.0,
        spatial: int | None = None,
        progress: estimate.Progress | None = None,
    ) -> Spectrum:
        """The spectrum of the samples; arguments as in :meth:`Spectrum.from_samples`.

        Raises:
          ValueError: for values outside ``data_range``, NaN or infinite values, a constant
            dataset, fewer than two samples.

        Example:
          >>> Dataset("array", np.array([[1.0], [-1.0]]), None, {}).spectrum().eigenvalues
          array([2.])
        """
        return Spectrum.from_samples(
            self.samples,
            method=method,
            data_range=self.data_range,
            shrinkage=shrinkage,
            spatial=spatial,
            progress=progress,
            source=self.source,
        )


def dataset(
    name: str,
    samples: Any,
    *,
    label: str,
    data_range: tuple[float, float] | None,
    limit: int | None,
    source: Mapping[str, Any],
) -> Dataset:
    """A dataset of the first ``limit`` rows of an array, once its form and dtype are checked.

    ``label`` is what errors call the array.
    """
    _check_form(label, samples)
    data_range = range_for(label, samples.dtype, data_range)
    samples = samples if limit is None else samples[:limit]
    known = {
        "name": name,
        "samples": int(samples.shape[0]),
        "shape": [int(n) for n in samples.shape[1:]],
        "dtype": str(samples.dtype),
        "data_range": None if data_range is None else list(data_range),
    }
    return Dataset(name, samples, data_range, {**known, **source})


def _check_form(label: str, samples: Any) -> None:
    shape = tuple(samples.shape)
    if len(shape) < 2:
        raise ValueError(f"{label} has shape {shape}: give [N, ...], one row a sample")
    if 0 in shape:
        raise ValueError(f"{label} is empty, of shape {shape}: give at least two samples")


def range_for(
    label: str, dtype: Any, given: tuple[float, float] | None
) -> tuple[float, float] | None:
    """The range of samples of a dtype: the given one, or the dtype's own; None for floats."""
    named, kind = str(dtype), np.dtype(dtype).kind
    if kind not in "biuf":
        raise ValueError(f"{label} has dtype {named}: give real floats or integers")
    if given is not None:
        return estimate.check_range(given)
    if kind in "iub" and named not in DEFAULT_RANGES:
        raise ValueError(
            f"{label} has dtype {named}: integers other than uint8 need data_range=(low, high) "
            "(--data-range LOW HIGH), the values that stand for -1 and 1"
        )
    return DEFAULT_RANGES.get(named)
