"""Samples to fit a prior to: read, checked, split into a training and a held-out part."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np

from specjax._core.checks import UserError
from specjax.spectra import estimate

MIN_SAMPLES = 2
"""The fewest samples in each part: a covariance needs two."""

P = TypeVar("P")


@runtime_checkable
class DatasetLike(Protocol):
    """The protocol that a prior asks of a dataset, such as one by :func:`specjax.data.open`.

    Attributes:
      data_range: (low, high) of the samples, mapped to [-1, 1]; None for network units.
      source: provenance as plain numbers and strings.
    """

    data_range: tuple[float, float] | None
    source: Mapping[str, Any]

    def batches(self) -> Iterator[np.ndarray]:
        """Yield batches [n, ...] in the stored units."""


class Split(NamedTuple):
    """Samples in the network's units, in random order.

    Attributes:
      training: [N, ...]. held_out: [M, ...], or None where nothing is held out.
      source: the provenance of both.
    """

    training: np.ndarray
    held_out: np.ndarray | None
    source: dict[str, Any]

    def fit(self, fit: Callable[[np.ndarray, dict[str, Any], P | None], P]) -> P:
        """Return the prior of the training part, which carries that of the held-out part.

        Args:
          fit: ``(samples, source, held_out)`` to a prior, called for each of the parts.
        """
        held_out, part = None, "all"
        if self.held_out is not None:
            about = {**self.source, "part": "held out", "samples": len(self.held_out)}
            held_out, part = fit(self.held_out, about, None), "training"
        about = {**self.source, "part": part, "samples": len(self.training)}
        return fit(self.training, about, held_out)

    def for_selection(self) -> tuple[np.ndarray, np.ndarray]:
        """Return samples to fit with, and samples to choose hyper-parameters by.

        They are the training and the held-out part, or two halves where nothing is held out; the
        prior is then made of all, with what was chosen.
        """
        if self.held_out is not None:
            return self.training, self.held_out
        half = len(self.training) // 2
        if half < MIN_SAMPLES:
            raise UserError(
                f"{len(self.training)} samples: choosing hyper-parameters needs {2 * MIN_SAMPLES}"
            )
        return self.training[half:], self.training[:half]


def split_samples(
    x: Any,
    *,
    held_out: float = 0.5,
    seed: int = 0,
    data_range: tuple[float, float] | None = None,
    source: Mapping[str, Any] | None = None,
) -> Split:
    """Split samples at random; arguments as in :func:`specjax.priors.prior_of`."""
    if isinstance(held_out, bool) or not (
        isinstance(held_out, int | float | np.number) and 0 <= held_out < 1
    ):
        raise UserError(f"held_out = {held_out!r}: give a fraction from 0 to below 1")
    samples = read_samples(x, data_range)
    aside = round(held_out * len(samples))
    if held_out and not MIN_SAMPLES <= aside <= len(samples) - MIN_SAMPLES:
        raise UserError(
            f"held_out = {held_out!r} of {len(samples)} samples is {aside}: each part needs "
            f"{MIN_SAMPLES}, give another fraction, 0 (none), or more samples"
        )
    order = np.random.default_rng(seed).permutation(len(samples))
    known = {
        "data_range": None if data_range is None else [float(end) for end in data_range],
        "held_out": float(held_out), "seed": int(seed), **(source or {}),
    }  # fmt: skip
    return Split(samples[order[aside:]], samples[order[:aside]] if aside else None, known)


def read_samples(x: Any, data_range: tuple[float, float] | None) -> np.ndarray:
    """Read all samples [N, ...] in the network's units: float64 if they are, else float32."""
    stored = getattr(x, "dtype", None)
    if not estimate.is_array(x) and isinstance(x, Iterable):
        batches = iter(x)
        first = list(itertools.islice(batches, 1))
        stored = getattr(first[0], "dtype", None) if first else None
        x = itertools.chain(first, batches)
    dtype = np.float64 if stored == np.float64 else np.float32
    pieces = (piece.astype(dtype) for piece in estimate.pieces(x, data_range))
    if not estimate.is_array(x):
        return np.concatenate(list(pieces))
    samples, start = np.empty(x.shape, dtype), 0
    for piece in pieces:
        samples[start : start + len(piece)] = piece
        start += len(piece)
    return samples
