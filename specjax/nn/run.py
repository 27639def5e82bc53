"""A trained network: what ``specjax train`` leaves, ready to be sampled."""

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

from specjax import files
from specjax.nn.checkpoints import Checkpoints
from specjax.nn.config import TrainConfig
from specjax.nn.document import read_document
from specjax.nn.network import network_of
from specjax.nn.targets import Labelled, NetworkDenoiser
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.noise.whitening import effective
from specjax.spectra.spectrum import Spectrum

SPECTRUM = "spectrum.npz"


@dataclass(frozen=True, eq=False)
class Run:
    """A run with the parameters of one of its checkpoints.

    Attributes:
      folder: where it is. step: of the checkpoint. config: of the training.
      shape: of one sample as the data have it. class_names: empty without labels.
      spectrum, source: of the data. versions: of the packages that trained it.
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
        """The spectrum under the run's noise, which schedules and probes of it need."""
        return effective(self.spectrum, self.noise)

    @property
    def classes(self) -> int:
        """How many classes it can be asked for; 0 without labels."""
        return len(self.class_names)

    def denoiser(self, labels: Any = None) -> NetworkDenoiser | Labelled:
        """``denoise(x, alpha, sigma) -> x0`` on x [n, *shape]; a pytree.

        Args:
          labels: [n] or [] of a conditional network; without them the class is not told, and can
            be given as a fourth argument.

        Raises:
          ValueError: for labels that it has not learned.
        """
        if labels is None:
            return self.network
        found = np.asarray(labels)
        if not self.classes:
            raise ValueError(
                f"{self.folder} was trained without labels: leave them out, or train with "
                "--conditional"
            )
        whole = np.issubdtype(found.dtype, np.integer)
        if not whole or found.min() < 0 or found.max() >= self.classes:
            raise ValueError(f"labels = {labels!r}: give numbers from 0 to {self.classes - 1}")
        return Labelled(self.network, found.astype(np.int32))


def open_run(path: str | os.PathLike[str], step: int | str | None = None) -> Run:
    """A run, with one of its checkpoints.

    Args:
      path: the folder given to ``specjax train``. step: "best" (the least validation loss, the
        default), "last" or the number of a checkpoint.

    Raises:
      ValueError: for a folder that is no run, a checkpoint that is not there, damaged, or of
        another version.
    """
    folder = Path(path)
    document = read_document(folder)
    spectrum = files.load(folder / SPECTRUM)
    if not isinstance(spectrum, Spectrum):
        raise ValueError(f"{folder / SPECTRUM} is not a spectrum")
    with Checkpoints(folder, read_only=True) as checkpoints:
        chosen = checkpoints.chosen("best" if step is None else step)
        network = network_of(document)
        ema = checkpoints.restore_ema(chosen, network.form)
    return Run(
        folder=folder,
        step=chosen,
        config=document.config,
        shape=document.shape,
        class_names=document.classes,
        spectrum=spectrum,
        source=document.source,
        versions=document.versions,
        network=network.denoiser(jax.tree.map(jnp.asarray, ema)),
        noise=document.forward_noise(spectrum),
    )
