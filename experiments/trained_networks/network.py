"""A row's data, network and features."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import specjax as sx
from experiments import methods
from experiments.data import open_dataset
from experiments.learned_plans.run import Config as SharedConfig
from experiments.trained_networks.config import ROWS, Config
from specjax.evaluate.classifier_features import ClassifierFeatures
from specjax.evaluate.subsample import random_subsample

Moments = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class TrainedNetwork:
    """A network and what its samples are judged by.

    Attributes:
      data: [N, *shape] in the network's units. prior: the network as a denoiser, with the spectrum
        of its data. features: a classifier's.
    """

    row: str
    data: np.ndarray
    run: sx.nn.Run
    prior: sx.priors.Network
    features: ClassifierFeatures

    @functools.cached_property
    def moments(self) -> dict[str, Moments]:
        """Mean and covariance of the data's features and pixels."""
        return {"features": moments_of(self.features(self.data)), "pixels": moments_of(self.data)}

    def distances(self, samples: np.ndarray) -> dict[str, Any]:
        """Give Fréchet distances of features and of pixels, squared, and the spectrum in dB."""
        made = {"features": moments_of(self.features(samples)), "pixels": moments_of(samples)}
        return {
            **{x: sx.evaluate.frechet_of_moments(*made[x], *self.moments[x]) for x in made},
            "spectrum_db": sx.evaluate.band_power(samples, self.data).rms,
        }


def moments_of(x: np.ndarray) -> Moments:
    """Give the mean [d] and the covariance [d, d] of samples [n, ...]."""
    flat = np.asarray(x, np.float64).reshape(len(x), -1)
    return flat.mean(0), np.cov(flat.T)


def open_network(name: str, config: Config, work: Path) -> TrainedNetwork:
    """Open all of a row, trained where it is not there yet.

    Raises:
      AbsentError: if the dataset is not on this machine.
    """
    row = ROWS[name]
    limit = {"limit": config.most} if config.most else {}
    dataset = open_dataset(row.data, **{**row.options, **limit})
    data = random_subsample(dataset.samples, dataset.data_range, size=10_000)
    run = _run(name, dataset, config, work)
    prior = sx.priors.Network(run.denoiser(), run.shape, run.spectrum, source=run.source)
    path = work / f"features-{name}.npz"
    features = methods.features(dataset, path, config.features or row.features)
    return TrainedNetwork(name, data, run, prior, features)


def _run(name: str, dataset: sx.data.Dataset, config: Config, work: Path) -> sx.nn.Run:
    """Open the network; that of the digits is experiments/learned_plans', with its plans."""
    row = ROWS[name]
    if name == "digits" and config.updates is None:
        shared = work.parent / "learned_plans"
        return methods.digits_network(shared, SharedConfig.width, SharedConfig.updates)
    return methods.train(
        dataset, work / f"network-{name}",
        width=config.width or row.width, updates=config.updates or row.updates,
        model={"multipliers": row.multipliers, "attention": row.attention},
        optimiser={"batch": row.batch, "flip": row.flip},
    )  # fmt: skip
