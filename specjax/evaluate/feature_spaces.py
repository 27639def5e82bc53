"""What samples are compared as: themselves, vectors, principal components, features."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy.linalg import svd

from specjax._core import checks
from specjax.spectra import estimate
from specjax.spectra.stationary import spatial_axes

MOST_DIMENSIONS = 2048
"""Samples of more numbers are compared by their principal components: as many as Inception's
features, whose Fréchet distance takes some seconds."""

COMPONENTS = 512
"""Principal components of such samples; of natural images they hold some 98 % of the variance."""

_BATCH = 1024
"""Samples whose features are made at once, between two reports of progress."""

_DENSE = 4096  # samples or numbers in one, up to which a decomposition is exact


class Features(Protocol):
    """A fixed map from samples to features, such as a classifier's last hidden layer."""

    @property
    def name(self) -> str:
        """What they are, in words."""

    @property
    def distance_name(self) -> str:
        """What the Fréchet distance on them is called."""

    @property
    def is_inception(self) -> bool:
        """Whether that distance is the FID."""

    def __call__(self, samples: Any) -> np.ndarray:
        """Samples [n, *shape] in [-1, 1] to features [n, f]."""


def check_units(features: Features, data: np.ndarray) -> None:
    """Let features refuse data [N, *shape] of other units, where they can tell."""
    if hasattr(features, "check_units"):
        features.check_units(data)


class Space(NamedTuple):
    """A map of samples, what is said of it, and how many it takes at once (None: all)."""

    map: Callable[[np.ndarray], np.ndarray]
    words: str
    batch: int | None = None

    def mapped(self, x: np.ndarray, done: Callable[[], None] = lambda: None) -> np.ndarray:
        """The map of samples [n, *shape], in batches; ``done`` is called after each."""
        if self.batch is None:
            return self.map(x)
        parts = []
        for start in range(0, len(x), self.batch):
            parts.append(self.map(x[start : start + self.batch]))
            done()
        return np.concatenate(parts)

    def batches(self, n: int) -> int:
        """How often ``done`` is called for n samples."""
        return 0 if self.batch is None else -(-n // self.batch)


class Principal(NamedTuple):
    """The ``k`` directions of the most variance.

    Attributes:
      mean: [d]. vectors: [d, k], orthonormal. share: of the variance that they hold.
    """

    mean: np.ndarray
    vectors: np.ndarray
    share: float

    def project(self, x: np.ndarray) -> np.ndarray:
        """Samples [n, ...] to coefficients [n, k] in float64, piece by piece."""
        flat = x.reshape(len(x), -1)
        return np.concatenate(
            [(piece - self.mean) @ self.vectors for piece in estimate.batches(flat)[0]]
        )


def principal(x: Any, k: int, *, seed: int = 0) -> Principal:
    """The principal components of samples.

    Of more than 4,096 samples of more than 4,096 numbers by a randomised decomposition (Halko et
    al. 2011, scikit-learn's, with 7 power iterations), else exactly.

    Args:
      x: [n, ...]. k: how many. seed: of the randomised decomposition.

    Raises:
      ValueError: for more components than samples or numbers in a sample.

    Example:
      >>> found = principal(np.random.default_rng(0).normal(size=(500, 3)) * [3.0, 1.0, 0.0], 2)
      >>> round(found.share, 6)
      1.0
    """
    flat = np.asarray(x).reshape(len(x), -1)
    most = min(flat.shape)
    if checks.whole_number("pca", k) > most:
        raise ValueError(
            f"pca = {k} components of {len(flat):,} samples of {flat.shape[1]:,} numbers: give at "
            f"most {most}"
        )
    mean = flat.mean(0, dtype=np.float64)
    away = flat - mean.astype(flat.dtype)
    total = float(np.square(away, dtype=np.float64).sum())
    if most > _DENSE:
        from sklearn.utils.extmath import randomized_svd

        _, roots, rows = randomized_svd(away, k, n_iter=7, random_state=seed)
        squares, vectors = roots.astype(np.float64) ** 2, rows.T.astype(np.float64)
    elif len(flat) < flat.shape[1]:
        _, roots, rows = svd(away, full_matrices=False, check_finite=False)
        squares, vectors = roots[:k].astype(np.float64) ** 2, rows[:k].T.astype(np.float64)
    else:
        away = away.astype(np.float64, copy=False)
        squares, vectors = estimate.eigendecompose(np.ascontiguousarray(away.T @ away))
        squares, vectors = squares[:k], vectors[:, :k]
    return Principal(mean, vectors, float(squares.sum() / total) if total else 1.0)


def spaces_for(
    data: np.ndarray,
    pca: int | None,
    features: Mapping[str, Features],
    seed: int,
    spatial: int | None = None,
) -> dict[str, Space]:
    """The spaces by name: "grid", "vectors", and that of each of the features by its prefix."""
    d = math.prod(data.shape[1:])
    if pca is None and d > MOST_DIMENSIONS:
        pca = min(COMPONENTS, len(data))
    found = {"grid": _grid(data.shape[1:], spatial), "vectors": _vectors(data, pca, seed)}
    return found | {prefix: Space(one, one.name, _BATCH) for prefix, one in features.items()}


def _grid(shape: tuple[int, ...], spatial: int | None) -> Space:
    """Samples in their shape; sound of several channels [L, C] as an image [L, 1, C]."""
    if spatial is not None and spatial_axes(shape, spatial) == 1 and len(shape) == 2:
        return Space(lambda x: x[:, :, None], "samples")
    return Space(lambda x: x, "samples")


def _vectors(data: np.ndarray, pca: int | None, seed: int) -> Space:
    if pca is None:
        d = math.prod(data.shape[1:])
        return Space(lambda x: x.reshape(len(x), -1), f"all {d:,} numbers of a sample")
    found = principal(data, pca, seed=seed)
    words = f"the first {pca:,} principal components of the data, {100 * found.share:.3g} % of its"
    return Space(found.project, f"{words} variance")
