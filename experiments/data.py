"""The data of experiments: digits, patches, and sets from the folder SPECJAX_DATA."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

import specjax as sx
from specjax.data.builtin import cut_patches

LIKELY = "likely"
"""The kernel width under which the held-out half is most likely, beside numbers."""

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


class AbsentError(Exception):
    """A dataset is not on this machine; the text says why and what to do."""


def folder() -> Path:
    """Give the folder of prepared sets and of sound: SPECJAX_DATA, or shared/data beside here."""
    beside = Path(__file__).resolve().parents[1] / "../shared/data"
    return Path(os.environ.get("SPECJAX_DATA", beside))


def open_dataset(name: str, **options: Any) -> sx.data.Dataset:
    """Open a built-in set, a prepared TFDS set ("tfds:NAME[:SPLIT]"), or a folder of sound.

    Raises:
      AbsentError: if it is not on this machine.
    """
    if name in sx.data.BUILTIN:
        return sx.data.open(name, **options)
    prepared = name.startswith("tfds:")
    root = folder() / "tfds" if prepared else folder()
    place = root / name.removeprefix("tfds:").split(":")[0]
    if not place.is_dir():
        raise AbsentError(f"no {place}: set SPECJAX_DATA to the folder of the datasets")
    if prepared:
        return sx.data.open(name, data_dir=str(root), **options)
    return sx.data.open(place, **options)


def digits() -> np.ndarray:
    """Load the digits [N, 8, 8] in [-1, 1]."""
    samples = sx.data.collect(sx.data.open("digits")).samples
    return (np.asarray(samples, np.float32) / 8 - 1).reshape(-1, 8, 8)


def patches(count: int = 3000) -> np.ndarray:
    """Cut grey patches [count, 8, 8] in [-1, 1] from the photographs of the built-in patches."""
    from sklearn.datasets import load_sample_images

    grey = [(photo @ np.array(_LUMA))[..., None] for photo in load_sample_images().images]
    return (cut_patches(grey, count, 8, seed=0)[..., 0] / 127.5 - 1).astype(np.float32)


def exact_denoiser(samples: np.ndarray, width: float | str, seed: int) -> sx.priors.Empirical:
    """Make the exact denoiser of one half of the samples; that of the other is ``held_out``."""
    known = None if width == LIKELY else float(width)
    return sx.priors.Empirical.from_samples(samples, known, seed=seed)
