"""The data and the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

import specjax as sx
from experiments.learned_plans.config import LIKELY, Config
from specjax.data.builtin import cut_patches

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def samples_of(row: str, config: Config) -> np.ndarray:
    """The data [N, 8, 8] of a row in [-1, 1]."""
    return _patches(config.patches) if row == "patches" else _digits()


def _digits() -> np.ndarray:
    found = sx.data.collect(sx.data.open("digits")).samples
    return (np.asarray(found, np.float32) / 8 - 1).reshape(-1, 8, 8)


def _patches(count: int) -> np.ndarray:
    """From the same photographs as the built-in patches, at uniform places."""
    from sklearn.datasets import load_sample_images

    grey = [(photo @ np.array(_LUMA))[..., None] for photo in load_sample_images().images]
    return (cut_patches(grey, count, 8, seed=0)[..., 0] / 127.5 - 1).astype(np.float32)


def exact(row: str, width: float | str, seed: int, config: Config) -> sx.priors.Empirical:
    """The exact denoiser of one half; that of the other is its ``held_out``."""
    known = None if width == LIKELY else float(width)
    return sx.priors.Empirical.from_samples(samples_of(row, config), known, seed=seed)


def network(work: Path, config: Config, progress: Callable[[int, int, str], None]) -> sx.nn.Run:
    """The run in the folder, trained as ``specjax train digits`` does where there is none."""
    default = sx.nn.TrainConfig()
    training = replace(
        default,
        model=replace(default.model, width=config.width),
        optimiser=replace(default.optimiser, steps=config.updates),
        keeping=replace(default.keeping, samples_every=0),
    )
    return sx.nn.train(sx.data.open("digits"), work / "network", training, progress=progress)
