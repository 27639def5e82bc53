"""A run: the folder that ``specjax train`` writes, read again and ready to be sampled.

``run.json`` holds the facts of the run, ``spectrum.npz`` the spectrum of its data; the checkpoints
are beside them (:mod:`specjax.nn.checkpoints`).
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from specjax import files
from specjax._core.checks import UserError
from specjax._core.shown import Brief
from specjax.files.schema import check_fields
from specjax.nn.checkpoints import open_checkpoints
from specjax.nn.config import TrainConfig
from specjax.nn.denoiser import Labelled, NetworkDenoiser, untrained
from specjax.noise.families import noise_of_document
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.noise.whitening import effective
from specjax.sampling.guidance import Guided, guided
from specjax.spectra.spectrum import Spectrum

RUN = "run.json"
SPECTRUM = "spectrum.npz"
VERSION = 3

_PLAIN = ("content", "shape", "class_names", "source", "sigma_data", "versions")
"""Fields of a run that are plain values in its file."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class RunInfo(Brief):
    """The facts of a run that its checkpoints share.

    Attributes:
      config: that of the training.
      content: a fingerprint of the samples.
      shape: that of one sample as the data have it.
      class_names: empty without labels.
      spectrum: that of the data.
      source: where the data come from.
      sigma_data: their root mean square.
      versions: those of the packages that trained it.
      noise: that of the forward process, which samples start from
        (``generate(..., noise=run.noise)``); None for white noise.
    """

    config: TrainConfig
    content: str
    shape: tuple[int, ...]
    class_names: tuple[str, ...]
    spectrum: Spectrum
    source: Mapping[str, Any]
    sigma_data: float
    versions: Mapping[str, str]
    noise: NoiseSpectrum | None = None

    @functools.cached_property
    def effective(self) -> Spectrum:
        """The spectrum under the run's noise, which schedules and probes of the network need."""
        return effective(self.spectrum, self.noise)

    @property
    def classes(self) -> int:
        """The number of classes; 0 without labels."""
        return len(self.class_names)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Run(RunInfo):
    """A run with the parameters of one of its checkpoints; see :class:`RunInfo` for the rest.

    Attributes:
      folder: the run's.
      step: the checkpoint's.
      network: the denoiser; its parameters are an average over the training.
    """

    folder: Path
    step: int
    network: NetworkDenoiser | Guided

    def denoiser(self, labels: Any = None) -> NetworkDenoiser | Guided | Labelled:
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

    def guided(self, weight: Any, interval: tuple[float, float] | None = None) -> Run:
        """Return the run with a guided denoiser, see :func:`specjax.guided`.

        Args:
          weight: one number, or one for each call.
          interval: in sigma / alpha.

        Raises:
          UserError: for a network that knows no classes or was never without them.
        """
        if not self.classes or not self.config.optimiser.drop_label:
            raise UserError(
                f"guidance: {self.folder} was trained without labels, or never without them: train "
                "with --conditional and a --drop-label above 0"
            )
        network = guided(
            self.network, weight=weight, null=np.int32(self.classes), interval=interval
        )
        return replace(self, network=network)


def open_run(path: str | os.PathLike[str], checkpoint: int | str | None = None) -> Run:
    """Open the folder of a run at one of its checkpoints.

    Args:
      path: the folder given to ``specjax train``.
      checkpoint: "best" (the least validation loss, the default), "last" or a number.

    Raises:
      UserError: for a folder that is no run, a checkpoint that does not exist, is damaged, or of
        another version.
    """
    folder = Path(path)
    info = read_run(folder)
    network = untrained(info)
    with open_checkpoints(folder, read_only=True) as checkpoints:
        chosen = checkpoints.chosen("best" if checkpoint is None else checkpoint)
        params = jax.tree.map(jnp.asarray, checkpoints.restore_ema(chosen, network.params))
    known = {name: getattr(info, name) for name in RunInfo.__dataclass_fields__}
    return Run(**known, folder=folder, step=chosen, network=network.with_params(params))


def is_run(folder: Path) -> bool:
    """Return whether a folder is that of a run."""
    return (folder / RUN).is_file()


def write_run(folder: Path, run: RunInfo) -> None:
    """Write the facts of a run; ``run.json``, which makes a folder a run, comes last.

    Raises:
      UserError: if the folder cannot be written to.
    """
    files.save(folder / SPECTRUM, run.spectrum)
    header = {
        "config": run.config.to_dict(),
        "content": run.content,
        "shape": run.shape,
        "class_names": run.class_names,
        "source": run.source,
        "sigma_data": run.sigma_data,
        "noise": None if run.noise is None else run.noise.document(),
    }
    files.write(folder / RUN, "run", VERSION, header, {}, container="json")


def read_run(folder: Path) -> RunInfo:
    """Read the facts of a run.

    Raises:
      UserError: if the folder is none of a run, or a file is damaged or of another version.
    """
    path = folder / RUN
    if not is_run(folder):
        raise UserError(
            f"{folder} is not the folder of a run (no {RUN} in it): train one by "
            f"'specjax train DATA --out {folder}'"
        )
    header = files.read(path, {"run": VERSION}).header
    spectrum = files.load(folder / SPECTRUM)
    if not isinstance(spectrum, Spectrum):
        raise UserError(f"{folder / SPECTRUM} is not a spectrum")
    with files.decoding(path, "run"):
        check_fields(RunInfo, header, _PLAIN)
        shape = tuple(header["shape"])
        if spectrum.dimension != math.prod(shape):
            raise ValueError(f"shape is {shape}, its spectrum has {spectrum.dimension:,} numbers")
        return RunInfo(
            config=TrainConfig.from_dict(header["config"]),
            shape=shape,
            class_names=tuple(header["class_names"]),
            spectrum=spectrum,
            noise=_noise(header["noise"], spectrum),
            **{name: header[name] for name in ("content", "source", "sigma_data", "versions")},
        )


def _noise(document: Mapping[str, Any] | None, spectrum: Spectrum) -> NoiseSpectrum | None:
    """The noise of a run; in the data's own basis it gets that of their spectrum."""
    if document is None:
        return None
    return noise_of_document(document, spectrum.basis if document["basis"] == "data" else None)
