"""Features of a classifier that was trained by ``specjax train-features``, and their files.

A Fréchet distance on them is called "feature Fréchet (classifier trained on NAME)". It has the
units of that classifier's activations: numbers of two classifiers cannot be compared.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from specjax import files
from specjax._core.checks import UserError
from specjax._core.extras import import_extra
from specjax._core.shown import Brief
from specjax.evaluate.feature_spaces import finite_float32
from specjax.files.schema import check_fields

KIND, VERSION = "features", 2
FILE = "features.npz"
"""The name of the file where a folder is given."""

_BATCH = 256
_MAX_MEAN_MAGNITUDE = 3.0
"""Data whose mean magnitude is larger cannot be in [-1, 1]."""


@dataclass(frozen=True)
class Architecture:
    """The layers of a classifier.

    Attributes:
      shape: of one sample: [L] is sound, [H, W] or [H, W, C] an image.
      classes: how many. features: numbers in the last layer before them.
      width: channels of the first layer.
    """

    shape: tuple[int, ...]
    classes: int
    features: int = 64
    width: int = 32

    @property
    def sides(self) -> tuple[int, ...]:
        """The axes of a sample without its channels."""
        return self.shape[:2]

    @property
    def channels(self) -> int:
        """The channels of a sample."""
        return self.shape[2] if len(self.shape) == 3 else 1


@dataclass(frozen=True, eq=False, repr=False)
class ClassifierFeatures(Brief):
    """The layer before the classes of a classifier that was trained on a labelled dataset.

    They are :class:`specjax.evaluate.Features`.

    Attributes:
      architecture: of the network. parameters: by path, float32.
      source: provenance: data (its Dataset.source), classes (names), accuracy (on held-out
        samples), options, seed, versions.
    """

    architecture: Architecture
    parameters: Mapping[str, np.ndarray]
    source: Mapping[str, Any]

    @property
    def name(self) -> str:
        """A description of the features."""
        return f"classifier trained on {self.source['data']['name']}"

    @property
    def distance_name(self) -> str:
        """The name of the Fréchet distance on them: never the FID."""
        return f"feature Fréchet ({self.name})"

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return tuple(self.source["classes"])

    def __call__(self, samples: Any) -> np.ndarray:
        """Map samples [n, *shape] in [-1, 1] to features [n, f] (float32).

        Values beyond [-1, 1], which generated samples can have, are taken as they are, however
        far: whether data are in these units is for :meth:`check_units` to say.

        Raises:
          UserError: for samples of another shape, or not finite.
        """
        return self._features_and_logits(samples)[0]

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raise a UserError for samples of another shape."""
        if tuple(shape) != self.architecture.shape:
            raise UserError(
                f"samples have shape {tuple(shape)}: the features ({self.name}) take "
                f"{self.architecture.shape}"
            )

    def check_units(self, data: Any) -> None:
        """Raise a UserError for data [n, *shape] with a mean magnitude above 3.

        They cannot be in [-1, 1]; generated samples can, and still diverge.
        """
        size = float(np.abs(np.asarray(data)).mean(dtype=np.float64))
        if size > _MAX_MEAN_MAGNITUDE:
            raise UserError(f"data have a mean magnitude of {size:.3g}: give units of [-1, 1]")

    def probabilities(self, samples: Any) -> np.ndarray:
        """Map samples to the probability of each class [n, classes]; errors as for features."""
        return softmax(self._features_and_logits(samples)[1].astype(np.float64), axis=1)

    def accuracy(self, samples: Any, labels: Any) -> float:
        """Return the share of samples whose likeliest class is their label [n].

        Of samples of a conditional network: how many can be recognised as what was asked for.
        """
        probabilities, labels = self.probabilities(samples), np.asarray(labels)
        if labels.shape != (len(probabilities),):
            raise UserError(f"labels has shape {labels.shape}: give one label a sample")
        return float((probabilities.argmax(1) == labels).mean())

    def _features_and_logits(self, samples: Any) -> tuple[np.ndarray, np.ndarray]:
        """Run the classifier in batches of one size, so that it is compiled once."""
        samples = finite_float32(samples)
        self.check_shape(samples.shape[1:])
        sides, channels = self.architecture.sides, self.architecture.channels
        rows = samples.reshape(len(samples), *sides, channels)
        run, state = self._compiled
        parts = []
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            padded = np.zeros((_BATCH, *batch.shape[1:]), np.float32)
            padded[: len(batch)] = batch
            parts.append([np.asarray(out)[: len(batch)] for out in run(state, padded)])
        features, logits = (np.concatenate(part) for part in zip(*parts, strict=True))
        return features, logits

    @functools.cached_property
    def _compiled(self) -> tuple[Any, Any]:
        """Compile the classifier for a batch; return it with its state on the device."""
        import jax

        nnx = import_extra("flax.nnx", "evaluate", "the features of a classifier")
        from specjax.evaluate.classifier import restore

        graph, state = restore(self.architecture, self.parameters)

        @jax.jit
        def run(state: Any, x: Any) -> Any:
            with jax.default_matmul_precision("float32"):  # the same on accelerators
                return nnx.merge(graph, state)(x)

        return run, jax.device_put(state)


def save_features(path: str | os.PathLike[str], features: ClassifierFeatures) -> Path:
    """Write a classifier, whole or not at all; into a folder as ``features.npz``.

    Raises:
      UserError: if it cannot be written.
    """
    path = features_path(path)
    files.check_not_owned(path)
    header = {"architecture": asdict(features.architecture), "source": features.source}
    with files.new_folder(path.parent):
        return files.write(path, KIND, VERSION, header, features.parameters)


def features_path(path: str | os.PathLike[str]) -> Path:
    """Return the file to write: the path if it ends in .npz, else features.npz in that folder.

    The folder may be a new one.

    Raises:
      UserError: if it cannot be written.
    """
    given = Path(path)
    if given.suffix.lower() == ".npz" and not given.is_dir():
        return files.check_output(given)
    if given.is_file():
        raise UserError(f"out = {str(path)!r} is a file: give a folder, or a name ending in .npz")
    if given.is_dir():
        return files.check_output(given / FILE)
    return files.check_output(given) / FILE


def open_features(path: str | os.PathLike[str]) -> ClassifierFeatures:
    """Read what :func:`save_features` wrote: the file, or the folder that it is in.

    Raises:
      UserError: if it is missing, truncated, corrupted, newer than this version of specjax, or no
        file of features.
    """
    import_extra("flax.nnx", "evaluate", "the features of a classifier")
    from specjax.evaluate.classifier import restore

    path = Path(path) / FILE if Path(path).is_dir() else Path(path)
    document = files.read(path, {KIND: VERSION})
    with files.decoding(path, KIND):
        fields = document.header["architecture"]
        check_fields(Architecture, fields)
        check_fields(ClassifierFeatures, document.header, ("source",))
        architecture = Architecture(**{**fields, "shape": tuple(fields["shape"])})
        restore(architecture, document.arrays)
        return ClassifierFeatures(architecture, document.arrays, document.header["source"])
