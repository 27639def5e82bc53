"""The files that say what a run is: ``run.json`` and the spectrum of its data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from specjax._core.checks import UserError
from specjax.data.arrays import Collected
from specjax.files import codec as files
from specjax.files.documents import checked_document, made_now, text_of
from specjax.nn.config import TrainConfig, differences
from specjax.noise.families import noise_of_document
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.spectra.spectrum import Spectrum

RUN = "run.json"
SPECTRUM = "spectrum.npz"
KIND, VERSION = "specjax.run", 3

_FINGERPRINTED = 1024
"""Samples whose numbers are part of the fingerprint."""


@dataclass(frozen=True, eq=False)
class RunInfo:
    """What a run is: all that its checkpoints need to be used, but for the spectrum.

    Attributes:
      config: of the training. source: of the data, see :class:`specjax.data.Dataset`.
      content: a fingerprint of the samples.
      shape: that of one sample as the data have it. classes: names, empty without labels.
      sigma_data: root mean square of the data. versions: of the packages.
      noise: that of the forward process, as :meth:`NoiseSpectrum.document` writes it; None for
        white noise.
    """

    config: TrainConfig
    source: Mapping[str, Any]
    content: str
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    sigma_data: float
    versions: Mapping[str, str]
    noise: Mapping[str, Any] | None = None

    def forward_noise(self, spectrum: Spectrum) -> NoiseSpectrum | None:
        """Return the noise of the forward process, None where it is white.

        Args:
          spectrum: that of the data, whose eigenbasis the noise may be in.

        Raises:
          UserError: if it has other weights than were written.
        """
        if self.noise is None:
            return None
        return noise_of_document(
            self.noise, spectrum.basis if self.noise["basis"] == "data" else None
        )

    def check_same(self, config: TrainConfig, content: str, folder: Path) -> None:
        """Refuse to resume with another configuration or with other data (``UserError``)."""
        other = differences(self.config, config)
        if other:
            raise UserError(
                f"{folder} holds a run of another configuration: {', '.join(other)}; give the "
                "same options to resume it, or another --out"
            )
        if content != self.content:
            raise UserError(
                f"{folder} holds a run on other data ({self.source.get('name')}): give the same "
                "data to resume it, or another --out"
            )


def fingerprint(data: Collected, data_range: Any) -> str:
    """Return a fingerprint of samples: shape, range, many of the rows, labels and their names."""
    samples = data.samples
    rows = np.unique(np.linspace(0, len(samples) - 1, _FINGERPRINTED).astype(int))
    digest = hashlib.sha256(f"{samples.shape} {samples.dtype} {data_range}".encode())
    digest.update(np.ascontiguousarray(samples[rows]).tobytes())
    if data.labels is not None:
        digest.update(repr(data.classes).encode() + np.asarray(data.labels, "<i4").tobytes())
    return digest.hexdigest()


def is_run(folder: Path) -> bool:
    """Return whether a folder is that of a run."""
    return (folder / RUN).is_file()


def write_run(folder: Path, run: RunInfo, spectrum: Spectrum) -> None:
    """Write what a run is; ``run.json``, which makes a folder a run, comes last.

    Raises:
      UserError: if the folder cannot be written to.
    """
    files.save(folder / SPECTRUM, spectrum)
    header = {"format": KIND, "format_version": VERSION, **made_now()}
    content = files.plain({**vars(run), "config": run.config.to_dict()})
    files.write_atomically(folder / RUN, text_of({**header, **content}))


def read_run(folder: Path) -> tuple[RunInfo, Spectrum]:
    """Read what a run is, and the spectrum of its data.

    Raises:
      UserError: if the folder is none of a run, or a file is damaged or of another version.
    """
    if not is_run(folder):
        raise UserError(
            f"{folder} is not the folder of a run (no {RUN} in it): train one by "
            f"'specjax train DATA --out {folder}'"
        )
    document = checked_document(files.read(folder / RUN), folder / RUN, {KIND: VERSION})
    try:
        values = {name: document[name] for name in RunInfo.__dataclass_fields__}
        values["config"] = TrainConfig.from_dict(values["config"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{folder / RUN} lacks a field of a run: {error}") from error
    spectrum = files.load(folder / SPECTRUM)
    if not isinstance(spectrum, Spectrum):
        raise UserError(f"{folder / SPECTRUM} is not a spectrum")
    shapes = {name: tuple(values[name]) for name in ("shape", "classes")}
    return RunInfo(**{**values, **shapes}), spectrum
