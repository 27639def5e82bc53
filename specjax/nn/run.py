"""A trained network: the folder that ``specjax train`` wrote, ready to be sampled."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core.checks import UserError
from specjax.nn.checkpoints import open_checkpoints
from specjax.nn.config import TrainConfig
from specjax.nn.denoiser import Labelled, NetworkDenoiser, untrained
from specjax.nn.run_file import read_run
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.noise.whitening import effective
from specjax.spectra.spectrum import Spectrum


@dataclass(frozen=True, eq=False)
class Run:
    """A run with the parameters of one of its checkpoints.

    Attributes:
      folder: the run's. step: the checkpoint's. config: that of the training.
      shape: that of one sample as the data have it. class_names: empty without labels.
      spectrum, source: those of the data. versions: of the packages that trained it.
      network: the denoiser; its parameters are an average over the training.
      noise: that of the forward process it learned, which its samples start from
        (``generate(..., noise=run.noise)``); None for white noise.
    """

    folder: Path
    step: int
    config: TrainConfig
    shape: tuple[int, ...]
    class_names: tuple[str, ...]
    spectrum: Spectrum
    source: Mapping[str, Any]
    versions: Mapping[str, str]
    network: NetworkDenoiser
    noise: NoiseSpectrum | None = None

    @functools.cached_property
    def effective(self) -> Spectrum:
        """The spectrum under the run's noise, which schedules and probes of the network need."""
        return effective(self.spectrum, self.noise)

    @property
    def classes(self) -> int:
        """The number of classes; 0 without labels."""
        return len(self.class_names)

    def denoiser(self, labels: Any = None) -> NetworkDenoiser | Labelled:
        """Return ``denoise(x, alpha, sigma) -> x0`` on x [n, *shape]; a pytree.

        Args:
          labels: [n] or [], the classes, for a conditional network. Without them the class is
            withheld, and can be given as a fourth argument.

        Raises:
          UserError: for labels that it has not learned.
        """
        if labels is None:
            return self.network
        numbers = np.asarray(labels)
        if not self.classes:
            raise UserError(
                f"{self.folder} was trained without labels: leave them out, or train with "
                "--conditional"
            )
        whole = np.issubdtype(numbers.dtype, np.integer)
        if not whole or numbers.min() < 0 or numbers.max() >= self.classes:
            raise UserError(f"labels = {labels!r}: give numbers from 0 to {self.classes - 1}")
        return Labelled(self.network, numbers.astype(np.int32))


def open_run(path: str | os.PathLike[str], step: int | str | None = None) -> Run:
    """Open the folder of a run at one of its checkpoints.

    Args:
      path: the folder given to ``specjax train``. step: "best" (the least validation loss, the
        default), "last" or the number of a checkpoint.

    Raises:
      UserError: for a folder that is no run, a checkpoint that does not exist, is damaged, or of
        another version.
    """
    folder = Path(path)
    info, spectrum = read_run(folder)
    network = untrained(info)
    with open_checkpoints(folder, read_only=True) as checkpoints:
        chosen = checkpoints.chosen("best" if step is None else step)
        params = checkpoints.restore_ema(chosen, network.params)
    return Run(
        folder=folder,
        step=chosen,
        config=info.config,
        shape=info.shape,
        class_names=info.classes,
        spectrum=spectrum,
        source=info.source,
        versions=info.versions,
        network=network.with_params(jax.tree.map(jnp.asarray, params)),
        noise=info.forward_noise(spectrum),
    )
