"""A network that was trained here: pieces of clothing, 28x28 (Fashion-MNIST)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

import specjax as sx
from experiments import methods
from experiments.data import open_dataset
from specjax.evaluate.classifier_features import ClassifierFeatures
from specjax.evaluate.subsample import random_subsample

DATA = "tfds:fashion_mnist"
Measure = Callable[[np.ndarray, np.ndarray], float]


def network(work: Path, width: int, updates: int) -> sx.nn.Run:
    """Open the network, or train it.

    Raises:
      AbsentError: if the dataset is not on this machine.
    """
    return methods.train(
        open_dataset(f"{DATA}:train"), work / "network-clothing", width=width, updates=updates,
        model={"multipliers": (1, 2, 4), "attention": (7,)}, optimiser={"flip": True},
    )  # fmt: skip


def held_out(count: int) -> np.ndarray:
    """Choose images [count, 28, 28, 1] in [-1, 1] that nothing was trained on."""
    dataset = open_dataset(f"{DATA}:test")
    return random_subsample(dataset.samples, dataset.data_range, size=count)


def measures(work: Path, updates: int) -> dict[str, Measure]:
    """Return the Fréchet distance of features of a classifier of the pieces, as a measure."""
    features = methods.features(open_dataset(f"{DATA}:train"), work / "features.npz", updates)
    return {"features": features_distance(features)}


def features_distance(features: ClassifierFeatures) -> Measure:
    """Return the Fréchet distance (squared) of features; those of the reference are kept."""
    kept: list[np.ndarray] = []

    def measure(samples: np.ndarray, reference: np.ndarray) -> float:
        if not kept or kept[0] is not reference:
            kept[:] = reference, features(reference)
        return float(sx.evaluate.frechet(features(samples), kept[1]))

    return measure
