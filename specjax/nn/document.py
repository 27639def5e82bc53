"""``run.json``: what a run is, beside its checkpoints."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from specjax import files
from specjax.data.in_memory import Collected
from specjax.nn.config import TrainConfig, differences
from specjax.noise.families import noise_of_document
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.spectra.spectrum import Spectrum

RUN_FORMAT = 2
"""2 has noise with a spectrum; a run with white noise is still written as 1."""

_NAME = "run.json"
_ROWS = 1024


@dataclass(frozen=True, eq=False)
class RunDocument:
    """What a checkpoint needs to be used.

    Attributes:
      config: of the training. source: of the data, see :class:`specjax.data.Dataset`.
      content: a fingerprint of the samples.
      shape: of one sample as the data have it. classes: names, empty without labels.
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

    def json(self) -> dict[str, Any]:
        """As plain JSON with a checksum."""
        document = {
            "format": "specjax.run",
            "format_version": 1 if self.noise is None else RUN_FORMAT,
            "config": files.plain(self.config.document()),
            "data": files.plain(dict(self.source)),
            "content": self.content,
            "shape": list(self.shape),
            "classes": list(self.classes),
            "sigma_data": self.sigma_data,
            "versions": dict(self.versions),
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        if self.noise is not None:
            document["noise"] = files.plain(dict(self.noise))
        return {**document, "checksum": files.checksum(document)}

    def forward_noise(self, spectrum: Spectrum) -> NoiseSpectrum | None:
        """The noise of the forward process, None where it is white.

        Args:
          spectrum: of the data, in whose eigenbasis the noise may be.

        Raises:
          ValueError: if it has other weights than were written.
        """
        return None if self.noise is None else noise_of(self.noise, spectrum)

    def check_same(self, config: TrainConfig, content: str, folder: Path) -> None:
        """Refuse to go on with another configuration or with other data."""
        other = differences(self.config, config)
        if other:
            raise ValueError(
                f"{folder} holds a run of another configuration: {', '.join(other)}; give the "
                "same options to go on with it, or another --out"
            )
        if content != self.content:
            raise ValueError(
                f"{folder} holds a run on other data ({self.source.get('name')}): give the same "
                "data to go on with it, or another --out"
            )


def noise_of(document: Mapping[str, Any], spectrum: Spectrum) -> NoiseSpectrum:
    """The noise of a document; that in the data's own basis gets it from their spectrum."""
    own = spectrum.basis if document["basis"] == "data" else None
    return noise_of_document(document, own)


def content_of(data: Collected, data_range: Any) -> str:
    """A fingerprint: the form, the range, many of the rows, the labels and their names."""
    samples = data.samples
    rows = np.unique(np.linspace(0, len(samples) - 1, _ROWS).astype(int))
    digest = hashlib.sha256(f"{samples.shape} {samples.dtype} {data_range}".encode())
    digest.update(np.ascontiguousarray(samples[rows]).tobytes())
    if data.labels is not None:
        digest.update(repr(data.classes).encode() + np.asarray(data.labels, "<i4").tobytes())
    return digest.hexdigest()


def write_document(folder: Path, document: RunDocument) -> None:
    """Into the folder of the run."""
    text = json.dumps(document.json(), indent=1, allow_nan=False)
    files.write_atomically(folder / _NAME, (text + "\n").encode())


def has_document(folder: Path) -> bool:
    """Whether a folder is that of a run."""
    return (folder / _NAME).is_file()


def read_document(folder: Path) -> RunDocument:
    """The document of a run.

    Raises:
      ValueError: if the folder is none of a run, or the document is damaged or of another version.
    """
    if not has_document(folder):
        raise ValueError(
            f"{folder} is not the folder of a run (no {_NAME} in it): train one by "
            f"'specjax train DATA --out {folder}'"
        )
    path = folder / _NAME
    try:
        document = json.loads(files.read_bytes(path))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return document_of(document, path)


def document_of(document: Any, path: Any) -> RunDocument:
    """What :meth:`RunDocument.json` made, once it is known to be whole and of this version."""
    if not isinstance(document, dict) or document.get("format") != "specjax.run":
        raise ValueError(f"{path} is not of a specjax run (no 'format' in it)")
    files.check_version(path, document.get("format_version"), RUN_FORMAT)
    if document.get("checksum") != files.checksum(document):
        raise ValueError(f"{path} is damaged: its checksum does not match its content")
    try:
        return RunDocument(
            config=TrainConfig.of_document(document["config"]),
            source=document["data"],
            content=document["content"],
            shape=tuple(document["shape"]),
            classes=tuple(document["classes"]),
            sigma_data=document["sigma_data"],
            versions=document["versions"],
            noise=document.get("noise"),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} lacks a field of a run: {error}") from error
