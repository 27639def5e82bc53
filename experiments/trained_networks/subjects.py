"""A row's data, network and features."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import specjax as sx
from experiments.learned_plans import config as learned_plans
from experiments.learned_plans import subjects as shared
from experiments.real_spectra.sources import AbsentError, folder
from experiments.trained_networks.config import ROWS, Config, Row
from specjax.evaluate.classifier_features import ClassifierFeatures, open_features, save_features
from specjax.evaluate.subsample import random_subsample

Moments = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Subject:
    """What is sampled and judged.

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
    def real(self) -> dict[str, Moments]:
        """Of the data: mean and covariance of features and of pixels."""
        return {
            "features": moments_of(self.features(self.data)), "pixels": moments_of(self.data),
        }  # fmt: skip


def opened(row: Row, config: Config) -> sx.data.Dataset:
    """The dataset of a row.

    Raises:
      AbsentError: where it is not on this machine.
    """
    options = {**row.options, **({"limit": config.most} if config.most else {})}
    if row.data in sx.data.BUILTIN:
        return sx.data.open(row.data, **options)
    prepared = row.data.startswith("tfds:")
    root = folder() / "tfds" if prepared else folder()
    place = root / row.data.removeprefix("tfds:")
    if not place.is_dir():
        raise AbsentError(f"no {place}: set SPECJAX_DATA to the folder of the datasets")
    if prepared:
        return sx.data.open(row.data, data_dir=root, **options)
    return sx.data.open(place, **options)


def subject_of(name: str, config: Config, work: Path) -> Subject:
    """All of a row, trained where it is not there yet."""
    row = ROWS[name]
    dataset = opened(row, config)
    data = random_subsample(dataset.samples, dataset.data_range, size=10_000)
    run = _network(name, row, dataset, config, work)
    prior = sx.priors.Network(run.denoiser(), run.shape, run.spectrum, source=run.source)
    return Subject(name, data, run, prior, _features(name, row, dataset, config, work))


def _network(
    name: str, row: Row, dataset: sx.data.Dataset, config: Config, work: Path
) -> sx.nn.Run:
    """That of the digits is the one of experiments/learned_plans, whose plans are learned on it."""
    if name == "digits" and config.updates is None:
        folder_ = work.parent / "learned_plans"
        return shared.network(folder_, learned_plans.CONFIG, lambda done, most, text: None)
    default = sx.nn.TrainConfig()
    model = replace(
        default.model, width=config.width or row.width, multipliers=row.multipliers,
        attention=row.attention,
    )  # fmt: skip
    optimiser = replace(
        default.optimiser, steps=config.updates or row.updates, batch=row.batch, flip=row.flip
    )
    keeping = replace(default.keeping, samples_every=0)
    training = replace(default, model=model, optimiser=optimiser, keeping=keeping)
    return sx.nn.train(dataset, work / f"network-{name}", training)


def _features(
    name: str, row: Row, dataset: sx.data.Dataset, config: Config, work: Path
) -> ClassifierFeatures:
    from specjax.evaluate.classifier_training import TrainOptions, train_features

    path = work / f"features-{name}.npz"
    if not path.exists():
        options = TrainOptions(steps=config.features or row.features)
        save_features(path, train_features(dataset, sx.data.collect(dataset), options))
    return open_features(path)


def moments_of(x: np.ndarray) -> Moments:
    """Mean [d] and covariance [d, d] of samples [n, ...]."""
    flat = np.asarray(x, np.float64).reshape(len(x), -1)
    return flat.mean(0), np.cov(flat.T)


def distances(subject: Subject, samples: np.ndarray) -> dict[str, Any]:
    """To the data: Fréchet of features and of pixels, squared, and the spectrum in dB."""
    made = {"features": moments_of(subject.features(samples)), "pixels": moments_of(samples)}
    return {
        **{x: sx.evaluate.frechet_of_moments(*made[x], *subject.real[x]) for x in made},
        "spectrum_db": sx.evaluate.band_power(samples, subject.data).rms,
    }
