"""``specjax train``: a network on data, to a folder that ``sample`` and ``evaluate`` take."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from specjax import data as datasets
from specjax._core import checks
from specjax._core.checks import UserError
from specjax.cli.console import print_json, progress, status
from specjax.cli.data import Reading, skipped
from specjax.cli.processes import Processes
from specjax.files.forward_noise import ISOTROPIC, ForwardNoise
from specjax.nn.config import (
    KeepingConfig,
    LossConfig,
    ModelConfig,
    NoiseConfig,
    OptimiserConfig,
    TrainConfig,
)

if TYPE_CHECKING:
    from specjax.nn.run import Run


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
        if self.corrupt is None and self.corrupt_std is not None:
            raise UserError(
                f"corrupt_std = {self.corrupt_std!r} is that of --corrupt: give the band, too"
            )
        if self.corrupt is not None:
            datasets.corrupted(np.zeros((1, 64, 64)), self.corrupt, self._std)

    def of(self, data: datasets.Dataset, config: TrainConfig) -> datasets.Dataset:
        """The data with the noise, in a basis in which the forward noise can leave it out."""
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
    """Train a network on data. Started again, it goes on where it was ended."""

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
        """Data, then training; then where it ended."""
        config = TrainConfig(
            model=self.model, noise=self.noise, forward=self.forward, loss=self.loss,
            optimiser=self.optimiser, keeping=self.keeping, seed=self.reading.seed,
        )  # fmt: skip
        config.check()
        self.corrupting.check()
        checks.whole_number("model_devices", self.model_devices)
        self.processes.join()
        import jax

        from specjax.nn.monitor import read_metrics
        from specjax.nn.sharding import mesh_of
        from specjax.nn.training import train

        with status(f"opening {self.data}"):
            opened = self.corrupting.of(datasets.open(self.data, self.reading), config)
        mesh = mesh_of(self.model_devices)
        with progress("training", "steps", long=True) as update:
            run = train(opened, self.out, config, mesh=mesh, progress=update)
        if jax.process_index():  # the first process tells
            return
        if opened.skipped:
            print(f"specjax: {skipped(opened, self.reading.limit)}", file=sys.stderr)
        self._tell(run, config, read_metrics(run.folder))

    def _tell(self, run: Run, config: TrainConfig, lines: list[dict[str, Any]]) -> None:
        """Where it ended, and what the terms took."""
        from specjax.nn.monitor import term_shares

        known = {line["step"]: line.get("validation_loss") for line in lines}
        loss, weights = known.get(run.step), config.loss.weights
        costs = term_shares(lines, config.loss)
        if self.json:
            print_json(
                {
                    "run": self.out,
                    "steps": config.optimiser.steps,
                    "best_step": run.step,
                    "validation_loss": loss,
                    "noise": ISOTROPIC if run.noise is None else run.noise.name,
                    "terms": {
                        name: {"weight": weights[name], "share_of_step_time": costs[name]}
                        for name in weights
                    },
                }
            )
            return
        under = "" if run.noise is None else f" under {run.noise.name} noise"
        print(
            f"trained {config.optimiser.steps:,} steps{under}, best at {run.step:,} "
            f"(validation loss {'unknown' if loss is None else f'{loss:.4g}'}): {self.out}"
        )
        if costs:
            told = (
                f"{name} {'unknown' if share is None else f'{100 * share:.2g} %'}"
                for name, share in costs.items()
            )
            print(f"of a step's time, the terms took: {', '.join(told)}")
