"""Samples that a prior is made of: read, checked, and split into a training and a held-out part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from specjax.spectra import estimate

LEAST = 2
"""Samples in each part: a covariance needs two."""


class Parts(NamedTuple):
    """Samples in the network's units, in random order.

    Attributes:
      training: [N, ...]. held_out: [M, ...], or None where nothing is kept aside.
      source: what is known of both.
    """

    training: np.ndarray
    held_out: np.ndarray | None
    source: dict[str, Any]

    def about(self, part: str, **facts: Any) -> dict[str, Any]:
        """The provenance of a prior of one part."""
        rows = self.training if part != "held out" else self.held_out
        assert rows is not None
        return {**self.source, "part": part, "samples": len(rows), **facts}

    @property
    def of_training(self) -> str:
        """The name of the training part."""
        return "all" if self.held_out is None else "training"

    def judged(self) -> tuple[np.ndarray, np.ndarray]:
        """Samples to fit with and samples to choose hyper-parameters by.

        The training and the held-out part; where nothing is kept aside the two halves of all, of
        which the prior is then made with what was chosen.
        """
        if self.held_out is not None:
            return self.training, self.held_out
        half = len(self.training) // 2
        if half < LEAST:
            raise ValueError(
                f"{len(self.training)} samples: choosing hyper-parameters needs {2 * LEAST}"
            )
        return self.training[half:], self.training[:half]


def parts_of(
    x: Any,
    *,
    held_out: float,
    seed: int,
    data_range: tuple[float, float] | None,
    source: Mapping[str, Any] | None,
) -> Parts:
    """Samples split at random.

    Args:
      x: [N, ...] or an iterable of batches; integers need ``data_range``, mapped to [-1, 1].
      held_out: the fraction kept aside; 0 keeps none. seed: of the split.

    Raises:
      ValueError: for what is no fraction, parts of fewer than two samples, and what
        :func:`specjax.spectra.estimate.pieces` refuses.
    """
    if isinstance(held_out, bool) or not (
        isinstance(held_out, int | float | np.number) and 0 <= held_out < 1
    ):
        raise ValueError(f"held_out = {held_out!r}: give a fraction from 0 to below 1")
    rows = read(x, data_range)
    aside = round(held_out * len(rows))
    if held_out and not LEAST <= aside <= len(rows) - LEAST:
        raise ValueError(
            f"held_out = {held_out!r} of {len(rows)} samples is {aside}: each part needs {LEAST}, "
            "give another fraction, 0 (none), or more samples"
        )
    order = np.random.default_rng(seed).permutation(len(rows))
    known = {
        "data_range": None if data_range is None else [float(end) for end in data_range],
        "held_out": float(held_out), "seed": int(seed), **(source or {}),
    }  # fmt: skip
    return Parts(rows[order[aside:]], rows[order[:aside]] if aside else None, known)


def read(x: Any, data_range: tuple[float, float] | None) -> np.ndarray:
    """All samples [N, ...] in the network's units: float64 if they are, else float32."""
    dtype = np.float64 if getattr(x, "dtype", None) == np.float64 else np.float32
    pieces = (piece.astype(dtype) for piece in estimate.pieces(x, data_range))
    if not estimate.is_array(x):
        return np.concatenate(list(pieces))
    rows, start = np.empty(x.shape, dtype), 0
    for piece in pieces:
        rows[start : start + len(piece)] = piece
        start += len(piece)
    return rows
