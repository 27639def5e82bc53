"""``specjax train`` and ``specjax train-features``: networks on data, and classifiers of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import tyro

from specjax import data as datasets
from specjax._core.checks import UserError
from specjax._core.extras import import_extra
from specjax.cli.console import print_json, progress
from specjax.cli.data import Reading, remark_on_skipped
from specjax.cli.outputs import Writing
from specjax.cli.processes import Processes
from specjax.evaluate.classifier_options import TrainOptions
from specjax.files.forward_noise import ForwardNoise
from specjax.nn.config import (
    KeepingConfig,
    LossConfig,
    ModelConfig,
    NoiseConfig,
    OptimiserConfig,
    TrainConfig,
)


@dataclass(frozen=True, kw_only=True)
class Corrupting:
    """Noise that is added to the data, for experiments."""

    corrupt: tuple[float, float] | None = None
    """LOW HIGH: noise of this band of radial frequencies from 0 to 1 is added to the samples (see
    --noise-omit)"""
    corrupt_std: float | None = None
    """its standard deviation, in the network's units (by default 0.5)"""

    def check(self) -> None:
        """Refuse what can be refused before the data are read."""
        if self.corrupt is not None:
            datasets.corrupted(np.zeros((1, 64, 64)), self.corrupt, self._std)
        elif self.corrupt_std is not None:
            raise UserError(f"corrupt_std = {self.corrupt_std} without corrupt: give the band, too")

    def corrupted(self, data: datasets.Dataset, config: TrainConfig) -> datasets.Dataset:
        """Return the data with the noise, in a basis in which the forward noise can omit it."""
        if self.corrupt is None:
            return data
        basis = config.forward.noise_basis
        return datasets.corrupted(
            data, self.corrupt, self._std, seed=config.seed, spatial=config.model.spatial,
            basis="fourier" if basis == "data" else basis,
        )  # fmt: skip

    @property
    def _std(self) -> float:
        return 0.5 if self.corrupt_std is None else self.corrupt_std


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a network on data. A run that was interrupted goes on where it ended."""

    data: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="DATA")]] = tyro.MISSING
    """built-in set (digits, patches), tfds:NAME[/CONFIG][:SPLIT], .npy/.npz file of samples
    [N, ...], or folder of images or of sound"""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = tyro.MISSING
    """the folder of the run"""
    reading: Reading = field(default_factory=Reading)
    corrupting: Corrupting = field(default_factory=Corrupting)
    model: ModelConfig = field(default_factory=ModelConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    forward: ForwardNoise = field(default_factory=ForwardNoise)
    loss: LossConfig = field(default_factory=LossConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    keeping: KeepingConfig = field(default_factory=KeepingConfig)
    processes: Processes = field(default_factory=Processes)
    model_devices: int = 1
    """over how many devices the parameters are spread; samples are spread over all"""
    json: bool = False
    """print JSON instead of a line"""

    def run(self) -> None:
        """Open the data, train, and print where the training ended."""
        config = TrainConfig(
            model=self.model, noise=self.noise, forward=self.forward, loss=self.loss,
            optimiser=self.optimiser, keeping=self.keeping, seed=self.reading.seed,
        )  # fmt: skip
        config.check()
        self.corrupting.check()
        import_extra("flax.nnx", "train", "training a network")
        self.processes.join()
        import jax

        from specjax.nn.sharding import mesh_of
        from specjax.nn.training import train
        from specjax.report.runs import print_training, training_facts

        mesh = mesh_of(self.model_devices)
        opened = self.corrupting.corrupted(self.reading.open(self.data), config)
        with progress("training", "updates", long=True, first="compiling") as update:
            run = train(opened, self.out, config, mesh=mesh, progress=update)
        if jax.process_index() == 0:
            remark_on_skipped(opened, self.reading)
            facts = training_facts(run, self.out, config)
            print_json(facts) if self.json else print_training(facts)


@dataclass(frozen=True, kw_only=True)
class TrainFeatures(Writing):
    """Train a classifier of a labelled set, for Fréchet distances on its features."""

    data: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="DATA")]] = tyro.MISSING
    """digits, tfds:NAME[/CONFIG][:SPLIT], .npz file with labels, or folder of images or of sound
    with a subfolder for each class"""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "features.npz"
    """the file to write (.npz), or a folder for it"""
    reading: Reading = field(default_factory=Reading)
    training: TrainOptions = field(default_factory=TrainOptions)
    cache: str | None = None
    """a .npy file for samples that exceed the memory"""
    json: bool = False
    """print JSON instead of a line"""

    def run(self) -> None:
        """Read the data, train the classifier, and write its features."""
        from specjax.evaluate.classifier_features import features_path, save_features
        from specjax.evaluate.classifier_training import check_labelled, train_features
        from specjax.report.runs import print_features

        out = features_path(self.out)
        out = out if out.parent.is_dir() else out.parent
        self.check_outputs({"out": out, "cache": self._new_cache()})
        opened = self.reading.open(self.data)
        check_labelled(opened)
        self.training.check(tuple(opened.source["shape"]))
        with progress("reading", "samples", long=True) as update:
            collected = datasets.collect(opened, cache=self.cache, progress=update)
        remark_on_skipped(opened, self.reading)
        with progress("training", "updates", long=True, first="compiling") as update:
            features = train_features(
                opened, collected, self.training, seed=self.reading.seed, progress=update
            )
        written = str(save_features(self.out, features))
        if self.json:
            about = {"features": written, "distance": features.distance_name}
            print_json({**about, **features.source})
        else:
            print_features(features, written)

    def _new_cache(self) -> str | None:
        """Return the file of the cache, unless there is one, which is read if it is of the data."""
        return None if self.cache is None or datasets.is_cache(self.cache) else self.cache
