"""A dataset: samples, their units, their provenance."""

from __future__ import annotations

import math
import os
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from specjax.data.labels import numbered
from specjax.data.options import Options, share
from specjax.spectra import estimate
from specjax.spectra.moments import Moments
from specjax.spectra.spectrum import Spectrum

if TYPE_CHECKING:
    from jax.sharding import Mesh

DEFAULT_RANGES = {"uint8": (0.0, 255.0), "bool": (0.0, 1.0)}
"""Ranges that need not be given, because the dtype leaves no doubt."""

_DENSE_MATRICES = 3
"""[d, d] that are held at once: the products, the covariance, its eigenvectors."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples with what is known about them.

    Attributes:
      name: a built-in name, the name of a file, folder or TFDS set, "array" or "batches".
      samples: an array [N, ...] (often memory-mapped) or an iterable of such batches, which for
        folders and TFDS sets are read anew at every pass.
      data_range: (low, high) of the samples, mapped to [-1, 1]; None for floats that are in the
        network's units already.
      source: provenance as plain numbers and strings: name, samples (their number), shape of
        one, data_range, and what the kind of set adds (file, sha256, seed, versions). Of a folder
        the numbers of samples and of skipped files are known once it has been read.
      labels: the class of each row of an array, int32 [N]; None without classes, and where
        samples are read batch by batch, as the labels are then (:meth:`labelled`).
      classes: the name of each class, in the order of the numbers; None without.
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

    def labelled(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Batches [n, ...] in the stored units, each with the classes of its rows, int32 [n].

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
        for batch in estimate.batches(self.samples)[0]:
            yield batch, None if self.labels is None else self.labels[start : start + len(batch)]
            start += len(batch)

    def with_labels(self, values: Any) -> Dataset:
        """The same array of samples with a class for each row.

        Args:
          values: [N] whole numbers or names; their sorted distinct values are the classes.

        Raises:
          ValueError: for samples that are no array, another number of labels, labels of another
            kind.

        Example:
          >>> sx.data.open(np.eye(3)).with_labels(["b", "a", "b"]).classes
          ('a', 'b')
        """
        if not estimate.is_array(self.samples):
            raise ValueError(f"{self.name} is read batch by batch: labels [N] need an array")
        found, classes = numbered("labels", values, len(self.samples))
        return replace(self, labels=found, classes=classes)

    def spectrum(
        self,
        *,
        method: str = "exact",
        shrinkage: float | str = 0.0,
        spatial: int | None = None,
        rank: int | None = None,
        power_iterations: int = 4,
        seed: int = 0,
        mesh: Mesh | None = None,
        precision: str | None = None,
        progress: estimate.Progress | None = None,
    ) -> Spectrum:
        """The spectrum of the samples; arguments as in :meth:`Spectrum.from_samples`.

        Raises:
          ValueError: for values outside ``data_range``, NaN or infinite values, a constant
            dataset, fewer than two samples; for an exact covariance beyond the memory; for what
            is wrong with files that are first read here (mixed sizes or rates, no good file,
            with ``strict`` the first bad one).

        Example:
          >>> Dataset("array", np.array([[1.0], [-1.0]]), None, {}).spectrum().eigenvalues
          array([2.])
        """
        if method == "exact":
            _check_memory(self.source.get("shape", ()))
        return Spectrum.from_samples(
            self.samples,
            method=method,
            data_range=self.data_range,
            shrinkage=shrinkage,
            spatial=spatial,
            rank=rank,
            power_iterations=power_iterations,
            seed=seed,
            mesh=mesh,
            precision=precision,
            progress=progress,
            source=self.source,
        )

    def moments(
        self,
        *,
        mesh: Mesh | None = None,
        precision: str | None = None,
        progress: estimate.Progress | None = None,
    ) -> Moments:
        """The moments of the samples, to be merged with those of other shards.

        Arguments and errors as in :meth:`Moments.from_samples`.

        Example:
          >>> shards = [sx.data.open("digits", shard=(i, 2)).moments() for i in range(2)]
          >>> shards[0].merge(shards[1]).count
          1797
        """
        return Moments.from_samples(
            self.samples,
            data_range=self.data_range,
            mesh=mesh,
            precision=precision,
            progress=progress,
        )


def _check_memory(shape: Sequence[int]) -> None:
    """Refuse, before anything is read, a covariance that the machine cannot hold."""
    if not hasattr(os, "sysconf"):
        return
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    d = math.prod(shape)
    needed = _DENSE_MATRICES * 8 * d**2
    if needed > memory:
        raise ValueError(
            f"samples have {d:,} numbers, whose exact covariance takes {needed / 2**30:,.0f} GiB "
            f"of {memory / 2**30:,.0f} GiB: give method = 'shift-invariant', or 'low-rank' with a "
            "rank (--method, --rank), or smaller samples (of images: --size)"
        )


def of_array(
    name: str,
    samples: Any,
    opts: Options,
    *,
    label: str,
    source: Mapping[str, Any],
    data_range: tuple[float, float] | None = None,
    labels: Any = None,
) -> Dataset:
    """A dataset of rows of an array, once its form and dtype are checked.

    ``label`` is what errors call the array, ``data_range`` its own range, ``labels`` are [N].
    """
    _check_form(label, samples)
    numbers, classes = None, None
    if labels is not None:
        numbers, classes = numbered(f"the labels of {label}", labels, len(samples))
    for part in _parts(len(samples), opts):
        samples, numbers = samples[part], None if numbers is None else numbers[part]
    count, *shape = (int(n) for n in samples.shape)
    known = {"samples": count, "shape": shape}
    dtype = samples.dtype
    made = _described(name, samples, dtype, opts, label, data_range, {**known, **source})
    return replace(made, labels=numbers, classes=classes)


def _parts(count: int, opts: Options) -> Iterator[slice]:
    """The slices that make up what shard and limit leave, one after the other."""
    if opts.shard is not None:
        yield share(count, opts.shard, "samples")
    if opts.limit is not None:
        yield slice(opts.limit)


def of_reader(
    name: str,
    reader: Any,
    opts: Options,
    *,
    source: Mapping[str, Any],
    data_range: tuple[float, float] | None = None,
) -> Dataset:
    """A dataset of batches that a reader yields, which knows ``sample_shape`` and ``sample_dtype``.

    What it has ``found``, if anything, is part of the provenance, as it changes. One with
    ``classes`` also has ``labelled()``, batches with their labels.
    """
    known = {"shape": [int(n) for n in reader.sample_shape]}
    dtype = reader.sample_dtype
    made = _described(name, reader, dtype, opts, name, data_range, {**known, **source})
    source = ChainMap(getattr(reader, "found", {}), dict(made.source))
    return replace(made, source=source, classes=getattr(reader, "classes", None))


def _described(
    name: str,
    samples: Any,
    dtype: Any,
    opts: Options,
    label: str,
    own_range: tuple[float, float] | None,
    source: Mapping[str, Any],
) -> Dataset:
    given = own_range if opts.data_range is None else opts.data_range
    data_range = range_for(label, dtype, given)
    known: dict[str, Any] = {
        "name": name,
        "dtype": str(dtype),
        "data_range": None if data_range is None else list(data_range),
    }
    if opts.limit is not None:
        known["limit"] = int(opts.limit)
    if opts.shard is not None:
        known["shard"] = [int(n) for n in opts.shard]
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
