"""Features of a classifier that the project trained itself, and the files that keep it.

A Fréchet distance on them is called "feature Fréchet (classifier trained on NAME)". It has the
units of that classifier's activations: numbers of two classifiers cannot be compared.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from specjax import files
from specjax.evaluate.grid import on_grid

if TYPE_CHECKING:
    from specjax.evaluate.grid import Form

FORMAT = "specjax.features"
FORMAT_VERSION = 1

FILE = "features.npz"
"""What the file is called where a folder is given."""

_BATCH = 256
_LARGEST_MEAN = 3.0
"""Mean magnitude above which data cannot be in [-1, 1]."""


@dataclass(frozen=True, eq=False)
class ClassifierFeatures:
    """The layer before the classes of a classifier that was trained on a labelled dataset.

    They are :class:`specjax.evaluate.Features`.

    Attributes:
      form: of the network. parameters: nested by names, float32.
      source: provenance: data (its Dataset.source), classes (names), accuracy (on held-out
        samples), options, seed, versions.
    """

    form: Form
    parameters: Any
    source: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What they are, in words."""
        return f"classifier trained on {self.source['data']['name']}"

    @property
    def distance_name(self) -> str:
        """What the Fréchet distance on them is called, always."""
        return f"feature Fréchet ({self.name})"

    @property
    def is_inception(self) -> bool:
        """Whether that distance is the FID: never."""
        return False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return self.form.shape

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return tuple(self.source["classes"])

    def __call__(self, samples: Any) -> np.ndarray:
        """Features [n, f] (float32) of samples [n, *shape] in [-1, 1].

        Values beyond [-1, 1], which generated samples can have, are taken as they are, however
        far: whether data are in these units is for :meth:`check_units` to say.

        Raises:
          ValueError: for samples of another shape, or not finite.
        """
        return self._run(samples)[0]

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Refuse samples of another shape.

        Raises:
          ValueError: for those.
        """
        if tuple(shape) != self.shape:
            raise ValueError(
                f"samples have shape {tuple(shape)}: the features ({self.name}) take {self.shape}"
            )

    def check_units(self, data: Any) -> None:
        """Refuse data [n, *shape] that cannot be in [-1, 1]; generated samples may diverge.

        Raises:
          ValueError: for a mean magnitude above 3.
        """
        size = float(np.abs(np.asarray(data)).mean(dtype=np.float64))
        if size > _LARGEST_MEAN:
            raise ValueError(f"data have a mean magnitude of {size:.3g}: give units of [-1, 1]")

    def probabilities(self, samples: Any) -> np.ndarray:
        """The chance of each class [n, classes], arguments and errors as for the features."""
        odds = self._run(samples)[1].astype(np.float64)
        odds = np.exp(odds - odds.max(1, keepdims=True))
        return odds / odds.sum(1, keepdims=True)

    def accuracy(self, samples: Any, labels: Any) -> float:
        """The share of samples whose likeliest class is their label [n].

        For samples of a conditional network: how many can be recognised as what was asked for.
        """
        chances, wanted = self.probabilities(samples), np.asarray(labels)
        if wanted.shape != (len(chances),):
            raise ValueError(
                f"labels has shape {wanted.shape}: give [{len(chances)}], one a sample"
            )
        return float((chances.argmax(1) == wanted).mean())

    def _run(self, samples: Any) -> tuple[np.ndarray, np.ndarray]:
        """Features and log-odds, a batch of one size after another: compiled once."""
        rows = on_grid(_checked(samples, self.shape), self.shape)
        run, parameters = self._compiled
        parts = []
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            full = np.zeros((_BATCH, *batch.shape[1:]), np.float32)
            full[: len(batch)] = batch
            parts.append([np.asarray(out)[: len(batch)] for out in run(parameters, full)])
        features, odds = (np.concatenate(part) for part in zip(*parts, strict=True))
        return features, odds

    @functools.cached_property
    def _compiled(self) -> tuple[Any, Any]:
        """What runs a batch, and the parameters on the device."""
        import jax

        from specjax.evaluate import classifier

        definition, _ = classifier.restored(self.form, classifier.flattened(self.parameters))

        @jax.jit
        def run(parameters: Any, x: Any) -> Any:
            with jax.default_matmul_precision("float32"):  # the same on accelerators
                return classifier.apply(definition, parameters, x)

        return run, jax.device_put(self.parameters)


def _checked(samples: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Samples [n, *shape] as float32, finite."""
    array = np.asarray(samples)
    if array.shape[1:] != tuple(shape) or not len(array):
        raise ValueError(
            f"samples have shape {array.shape}: the features take [n, {_words(shape)}]"
        )
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"samples have dtype {array.dtype}: give floats in [-1, 1]")
    with np.errstate(over="ignore"):  # beyond float32 they are as good as infinite
        array = array.astype(np.float32, copy=False)
    if not np.isfinite(array).all():
        raise ValueError("samples have NaN or infinite values: features need finite ones")
    return array


def _words(shape: tuple[int, ...]) -> str:
    return ", ".join(str(side) for side in shape)


def save_features(path: str | os.PathLike[str], features: ClassifierFeatures) -> Path:
    """Write a classifier, whole or not at all; into a folder as ``features.npz``.

    The file is a ``.npz`` without pickle: its ``header`` is JSON (form, source, format, checksum),
    the other arrays are the parameters.

    Raises:
      ValueError: if it cannot be written.
    """
    from specjax.evaluate.classifier import flattened

    arrays = flattened(features.parameters)
    header = {
        "format": FORMAT, "format_version": FORMAT_VERSION, "form": asdict(features.form),
        "source": files.plain(features.source),
    }  # fmt: skip
    header["checksum"] = _checksum(header, arrays)
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(header, allow_nan=False).encode(), np.uint8)
    np.savez(buffer, header=text, **arrays)  # type: ignore[arg-type]
    return files.write_atomically(target(path, make=True), buffer.getvalue())


def target(path: str | os.PathLike[str], *, make: bool = False) -> Path:
    """The file that is meant: what ends in .npz, or features.npz in a folder.

    Raises:
      ValueError: if it cannot be written; with ``make`` the folder is created.
    """
    given = Path(path)
    if given.suffix.lower() == ".npz" and not given.is_dir():
        return files.check_folder(given)
    if given.exists() and not given.is_dir():
        raise ValueError(f"out = {str(path)!r} is a file: give a folder, or a name ending in .npz")
    if not given.is_dir():
        files.check_folder(given)
        if not make:
            return given / FILE
        given.mkdir()
    return files.check_folder(given / FILE)


def open_features(path: str | os.PathLike[str]) -> ClassifierFeatures:
    """Read what :func:`save_features` wrote: the file, or the folder that it is in.

    Raises:
      ValueError: if it is missing, truncated, corrupted, newer than this version of specjax, or no
        file of features.
    """
    from specjax.evaluate.classifier import restored
    from specjax.evaluate.grid import Form

    file = Path(path) / FILE if Path(path).is_dir() else Path(path)
    header, arrays = _read(file)
    try:
        known = header["form"]
        form = Form(**{**known, "shape": tuple(known["shape"])})
        _, parameters = restored(form, arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} lacks a part of a file of features: {error}") from error
    return ClassifierFeatures(form, parameters, header["source"])


def _read(file: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the parameters, checked."""
    content = files.read_bytes(file)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(arrays.pop("header").tobytes())
        is_ours = header["format"] == FORMAT
        version = header["format_version"]
    except Exception as error:  # a damaged file can fail anywhere in its parser
        raise ValueError(f"{file} is not a file of features, or is truncated: {error}") from error
    if not is_ours:
        raise ValueError(
            f"{file} has the format {header['format']!r}: give a file by 'specjax train-features'"
        )
    files.check_version(file, version, FORMAT_VERSION)
    if header.pop("checksum", None) != _checksum(header, arrays):
        raise ValueError(f"{file} is corrupted: its checksum does not match; write it again")
    return header, arrays


def _checksum(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    known = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        known.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        known.update(np.ascontiguousarray(arrays[name]).tobytes())
    return "sha256:" + known.hexdigest()
