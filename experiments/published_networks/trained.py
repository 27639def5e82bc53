"""Networks trained here: pieces of clothing, 28x28, and spoken digits, 400 samples long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import specjax as sx
from experiments import methods
from experiments.data import open_dataset
from experiments.trained_networks.config import Config as TrainedConfig
from experiments.trained_networks.network import open_network
from specjax.evaluate.classifier_features import ClassifierFeatures
from specjax.evaluate.subsample import random_subsample

Measure = Callable[[np.ndarray, np.ndarray], float]


class Trained(NamedTuple):
    """A network, and what its samples are judged by.

    Attributes:
      denoiser: the network.
      data: [N, *shape] in its units, which samples are to be like.
      measures: the Fréchet distance of the features of a classifier, by its name.
    """

    denoiser: sx.nn.Run
    data: np.ndarray
    measures: dict[str, Measure]


def clothing(work: Path, config: Any) -> Trained:
    """Open the UNet of Fashion-MNIST, or train it; its data are images that were kept aside.

    Raises:
      AbsentError: if the dataset is not on this machine.
    """
    known, kept = (open_dataset(f"tfds:fashion_mnist:{x}") for x in ("train", "test"))
    network = methods.train(
        known, work / "network-clothing", width=config.width, updates=config.updates,
        model={"multipliers": (1, 2, 4), "attention": (7,)}, optimiser={"flip": True},
    )  # fmt: skip
    features = methods.features(known, work / "features.npz", config.features)
    held_out = random_subsample(kept.samples, kept.data_range, size=config.known)
    return Trained(network, held_out, {"features": features_distance(features)})


def spoken(work: Path, config: Any) -> Trained:
    """Open the 1-D UNet of experiments/trained_networks, or train it; its data are its own.

    Raises:
      AbsentError: if the recordings are not on this machine.
    """
    found = open_network("spoken_digits", TrainedConfig(), work.parent / "trained_networks")
    data = random_subsample(found.data, None, size=config.known)
    return Trained(found.run, data, {"features": features_distance(found.features)})


NETWORKS: dict[str, Callable[[Path, Any], Trained]] = {"clothing": clothing, "spoken": spoken}
"""What opens a network, in the folder of an experiment and with its config, by case."""


def features_distance(features: ClassifierFeatures) -> Measure:
    """Return the Fréchet distance (squared) of features; those of the reference are kept."""
    kept: list[np.ndarray] = []

    def measure(samples: np.ndarray, reference: np.ndarray) -> float:
        if not kept or kept[0] is not reference:
            kept[:] = reference, features(reference)
        return float(sx.evaluate.frechet(features(samples), kept[1]))

    return measure
