"""Where the samples come from, and what of them is independent of the rest."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import specjax as sx
from experiments.real_spectra.config import DATASETS, SOUNDS


class AbsentError(Exception):
    """The dataset is not here; the text says why and what to do."""


@dataclass(frozen=True)
class Samples:
    """Samples [N, ...] in stored units, the part [N] that each belongs to, their provenance."""

    x: np.ndarray
    part: np.ndarray
    data_range: tuple[float, float] | None
    source: dict[str, Any]


def folder() -> Path:
    """Of the prepared sets and of sound: SPECJAX_DATA, or shared/data beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "../shared/data"
    return Path(os.environ.get("SPECJAX_DATA", beside))


def samples_of(name: str, window: int, most: int | None = None, **options: Any) -> Samples:
    """The samples of a dataset in DATASETS.

    Args:
      window: of sound. most: samples, the table's if None. options: of ``sx.data.open``.

    Raises:
      AbsentError: where they, or a library that reads them, are not here.
    """
    most = DATASETS[name].most if most is None else most
    try:
        if name in SOUNDS:
            return _sound(name, window, most, options)
        if name in sx.data.BUILTIN:
            return _images(sx.data.open(name, limit=most, **options))
        place: dict[str, Any] = {"data_dir": str(_existing(folder() / "tfds", name).parent)}
        return _images(sx.data.open(f"tfds:{name}", limit=most, **place, **options))
    except ValueError as error:
        raise AbsentError(str(error)) from None


def _existing(root: Path, name: str) -> Path:
    if not (root / name).is_dir():
        raise AbsentError(f"no {name} in {root}: set SPECJAX_DATA to the folder of the datasets")
    return root / name


def _images(data: sx.data.Dataset) -> Samples:
    x = np.concatenate([batch for batch, _ in data.labelled()])
    return Samples(x, np.arange(len(x)), data.data_range, dict(data.source))


def _sound(name: str, window: int, most: int | None, options: dict[str, Any]) -> Samples:
    """Windows, in parts of one recording each; about ``most`` of them, evenly from all."""
    root = _existing(folder(), name)
    parts = min(DATASETS[name].recordings, len(list(root.glob("*.wav"))))
    opened = [
        sx.data.open(root, window=window, shard=(i, parts), **options) for i in range(parts)
    ]  # fmt: skip
    windows = [np.concatenate(list(one.samples)) for one in opened]
    part = np.repeat(np.arange(parts), [len(x) for x in windows])
    whole = sx.data.open(root, window=window, **options)
    kept = slice(None, None, max(1, len(part) // (most or len(part))))
    return Samples(np.concatenate(windows)[kept], part[kept], whole.data_range, dict(whole.source))
