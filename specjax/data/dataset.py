"""A dataset: samples, their units, their provenance."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax._core.shown import Brief
from specjax.data.labels import encode_labels
from specjax.data.options import Options, shard_slice
from specjax.spectra import estimate
from specjax.spectra.moments import Moments
from specjax.spectra.spectrum import Spectrum
from specjax.spectra.stationary import grid_axes

RANGE_OF_DTYPE = {"uint8": (0.0, 255.0), "bool": (0.0, 1.0)}
"""The ranges of dtypes that leave no doubt."""

_DENSE_MATRICES = 3
"""Matrices [d, d] that are held at once: the products, the covariance, its eigenvectors."""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset(Brief):
    """Samples with what is known about them.

    Attributes:
      name: a built-in name, the name of a file, folder or TFDS set, "array" or "batches".
      samples: an array [N, ...] (often memory-mapped) or an iterable of such batches, which for
        folders and TFDS sets are read anew at every pass.
      data_range: (low, high) of the samples, mapped to [-1, 1]; None for floats that are in the
        network's units already.
      source: provenance as plain numbers and strings: name, samples (their number), shape of one
        sample, data_range, and what the kind of data adds (file, sha256, seed, versions). The
        numbers of samples and of skipped files of a folder are known once it has been read.
      labels: int32 [N], the class of each sample of an array; None without classes, and where
        samples are read batch by batch, together with their labels (:meth:`labelled`).
      classes: the name of each class, in the order of the numbers; None without classes.
    """

    name: str
    samples: Any
    data_range: tuple[float, float] | None
    source: Mapping[str, Any]
    labels: np.ndarray | None = None
    classes: tuple[str, ...] | None = None

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """(file, reason) of the bad files of a folder that the latest pass left out."""
        return list(getattr(self.samples, "skipped", ()))

    @property
    def expected_samples(self) -> int | None:
        """The number of samples, None while only reading tells."""
        if estimate.is_array(self.samples):
            return len(self.samples)
        return getattr(self.samples, "expected_samples", None)

    def batches(self) -> Iterator[np.ndarray]:
        """Yield batches [n, ...] in the stored units.

        Example:
          >>> next(sx.data.open("digits", limit=9).batches()).shape
          (9, 8, 8)
        """
        return estimate.batches(self.samples)[0]

    def labelled(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Yield batches [n, ...] in the stored units and the classes of their samples, int32 [n].

        The second is None where the dataset has no classes.

        Example:
          >>> batch, labels = next(sx.data.open("digits").labelled())
          >>> labels[:4]
          array([0, 1, 2, 3], dtype=int32)
        """
        if self.classes is not None and self.labels is None:
            yield from self.samples.labelled()
            return
        start = 0
        for batch in self.batches():
            yield batch, None if self.labels is None else self.labels[start : start + len(batch)]
            start += len(batch)

    def with_labels(self, values: Any) -> Dataset:
        """Return the same array of samples with a class for each of them.

        Args:
          values: [N] whole numbers or names; their sorted distinct values are the classes.

        Raises:
          UserError: for samples that are no array, another number of labels, labels of another
            kind.

        Example:
          >>> sx.data.open(np.eye(3)).with_labels(["b", "a", "b"]).classes
          ('a', 'b')
        """
        if not estimate.is_array(self.samples):
            raise UserError(f"labels: {self.name} is read batch by batch: labels need an array")
        labels, classes = encode_labels("labels", values, len(self.samples))
        return replace(self, labels=labels, classes=classes)

    def spectrum(self, *, method: str = "exact", **options: Any) -> Spectrum:
        """Estimate the spectrum of the samples.

        Args:
          method: "exact", "shift-invariant" or "low-rank", see :meth:`Spectrum.from_samples`.
          options: others of :meth:`Spectrum.from_samples`: shrinkage, spatial, rank, progress, ...

        Raises:
          UserError: for values outside ``data_range``, NaN or infinite values, a constant
            dataset, fewer than two samples; for an exact covariance beyond the memory; for what
            is wrong with files that are first read here (mixed sizes or rates, no good file,
            with ``strict`` the first bad one).

        Example:
          >>> Dataset("array", np.array([[1.0], [-1.0]]), None, {}).spectrum().eigenvalues
          array([2.])
        """
        if options.get("layout") is not None:
            grid_axes(tuple(self.source["shape"]), layout=options["layout"])
        if method == "exact":
            _check_memory(self.source.get("shape", ()), self.expected_samples)
        return Spectrum.from_samples(
            self.samples, method=method, data_range=self.data_range, source=self.source, **options
        )

    def moments(self, **options: Any) -> Moments:
        """Compute the moments of the samples, to be merged with those of other shards.

        Args:
          options: those of :meth:`Moments.from_samples`, whose errors it raises.

        Example:
          >>> shards = [sx.data.open("digits", shard=(i, 2)).moments() for i in range(2)]
          >>> shards[0].merge(shards[1]).count
          1797
        """
        return Moments.from_samples(self.samples, data_range=self.data_range, **options)


def _check_memory(shape: Sequence[int], samples: int | None) -> None:
    """Refuse, before anything is read, a covariance that the machine cannot hold.

    Of fewer samples than dimensions the Gram matrix is taken, which needs the samples alone.
    """
    d, memory = math.prod(shape), checks.machine_memory()
    needed = _DENSE_MATRICES * 8 * d * min(d, samples or d)
    if needed > memory:
        raise UserError(
            f"samples have {d:,} numbers, whose exact covariance takes {needed / 2**30:,.0f} GiB "
            f"of {memory / 2**30:,.0f} GiB: give method = 'shift-invariant', or 'low-rank' with a "
            "rank (--method, --rank), or smaller samples (of images: --size)"
        )


def dataset_of_array(
    name: str, samples: Any, options: Options, *, label: str, labels: Any = None, **known: Any
) -> Dataset:
    """Make a dataset of an array [N, ...], once its shape and dtype are checked.

    Args:
      label: what errors call the array. labels: [N] of any kind. known: as in :func:`describe`.
    """
    samples = checks.unmasked(label, samples)
    shape = tuple(int(n) for n in samples.shape)
    if len(shape) < 2:
        raise UserError(f"{label} has shape {shape}: give [N, ...], one row a sample")
    if 0 in shape:
        raise UserError(f"{label} is empty, of shape {shape}: give at least two samples")
    numbers, classes = None, None
    if labels is not None:
        numbers, classes = encode_labels(f"the labels of {label}", labels, len(samples))
    if options.shard is not None or options.limit is not None:
        kept = range(shape[0])[shard_slice(shape[0], options.shard, "samples")][: options.limit]
        part = slice(kept.start, kept.stop)
        samples, numbers = samples[part], None if numbers is None else numbers[part]
    data_range, source = describe(name, shape[1:], samples.dtype, options, label=label, **known)
    return Dataset(name, samples, data_range, {"samples": len(samples), **source}, numbers, classes)


def dataset_of_reader(name: str, reader: Any, options: Options, **known: Any) -> Dataset:
    """Make a dataset of an iterable of batches that knows its ``sample_shape``, ``sample_dtype``.

    Its ``statistics``, if it has some, are part of the provenance, as they change. One with
    ``classes`` also has ``labelled()``, batches with their labels. For known see :func:`describe`.
    """
    data_range, source = describe(
        name, reader.sample_shape, reader.sample_dtype, options, label=name, **known
    )
    provenance = ChainMap(getattr(reader, "statistics", {}), source)
    classes = getattr(reader, "classes", None)
    return Dataset(name, reader, data_range, provenance, classes=classes)


def describe(
    name: str,
    shape: Sequence[int],
    dtype: Any,
    options: Options,
    *,
    label: str,
    source: Mapping[str, Any],
    data_range: tuple[float, float] | None = None,
) -> tuple[tuple[float, float] | None, dict[str, Any]]:
    """Return the range of samples, and a provenance that says how they were read.

    Args:
      source: what else is known. data_range: the samples' own, where none is given by an option.
    """
    given = data_range if options.data_range is None else options.data_range
    data_range = _range_of(label, dtype, given)
    known: dict[str, Any] = {
        "name": name, "dtype": str(dtype), "shape": [int(n) for n in shape],
        "data_range": None if data_range is None else list(data_range),
    }  # fmt: skip
    if options.limit is not None:
        known["limit"] = int(options.limit)
    if options.shard is not None:
        known["shard"] = [int(n) for n in options.shard]
    return data_range, {**known, **source}


def _range_of(
    label: str, dtype: Any, given: tuple[float, float] | None
) -> tuple[float, float] | None:
    """Return the range of samples of a dtype: the given one, the dtype's own, None for floats."""
    kind = np.dtype(dtype).kind
    if kind not in "biuf":
        raise UserError(f"{label} has dtype {dtype}: give real floats or integers")
    if given is not None:
        return estimate.check_range(given)
    if kind in "iub" and str(dtype) not in RANGE_OF_DTYPE:
        raise UserError(
            f"{label} has dtype {dtype}: integers other than uint8 need data_range=(low, high) "
            "(--data-range LOW HIGH), the values that stand for -1 and 1"
        )
    return RANGE_OF_DTYPE.get(str(dtype))
