"""The spaces in which samples are compared: vectors, principal components, features."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.evaluate.pairwise import as_vectors
from specjax.spectra import estimate
from specjax.spectra.stationary import spatial_axes

MAX_DIMENSIONS = 2048
"""Samples of more numbers are compared by their principal components: as many as Inception's
features, whose Fréchet distance takes some seconds."""

COMPONENTS = 512
"""Principal components of such samples; of natural images they hold some 98 % of the variance."""

_BATCH = 1024
"""Samples whose features are computed at once, between two reports of progress."""

_EXACT = 4096
"""Principal components are exact for up to that many samples, or numbers in a sample."""


class Features(Protocol):
    """A fixed map from samples to features, such as a classifier's last hidden layer.

    A method ``check_shape(shape)`` or ``check_units(data)``, if there is one, refuses samples that
    the map does not take before anything is computed.
    """

    @property
    def name(self) -> str:
        """A description of the features."""

    @property
    def distance_name(self) -> str:
        """The name of the Fréchet distance on them; "FID" of Inception's alone."""

    def __call__(self, samples: Any) -> np.ndarray:
        """Map samples [n, *shape] in [-1, 1] to features [n, f]."""


def finite_float32(samples: Any) -> np.ndarray:
    """Return samples of images or sound as float32, for networks that compute features.

    Raises:
      UserError: for integers, which have other units, and for NaN or infinite values.
    """
    array = np.asarray(checks.unmasked("samples", samples))
    if not np.issubdtype(array.dtype, np.floating):
        raise UserError(f"samples have dtype {array.dtype}: give floats in [-1, 1]")
    with np.errstate(over="ignore"):  # what exceeds float32 becomes infinite, and is refused
        array = array.astype(np.float32, copy=False)
    as_vectors("samples", array, 1)
    return array


class Space(NamedTuple):
    """A map of samples, its description, and how many samples it takes at once (None: all)."""

    map: Callable[[np.ndarray], np.ndarray]
    description: str
    batch: int | None = None

    def mapped(self, x: np.ndarray, after_batch: Callable[[], None] = lambda: None) -> np.ndarray:
        """Map samples [n, *shape], calling ``after_batch`` after each batch."""
        if self.batch is None:
            return self.map(x)
        parts = []
        for start in range(0, len(x), self.batch):
            parts.append(self.map(x[start : start + self.batch]))
            after_batch()
        return np.concatenate(parts)

    def batches(self, n: int) -> int:
        """Return how often ``after_batch`` is called for n samples."""
        return 0 if self.batch is None else -(-n // self.batch)


class Principal(NamedTuple):
    """The directions of the most variance.

    Attributes:
      mean: [d]. vectors: [d, k], orthonormal. share: of the variance that they hold.
    """

    mean: np.ndarray
    vectors: np.ndarray
    share: float

    def project(self, x: np.ndarray) -> np.ndarray:
        """Map samples [n, ...] to coefficients [n, k] in float64, piece by piece."""
        flat = x.reshape(len(x), -1)
        return np.concatenate(
            [(piece - self.mean) @ self.vectors for piece in estimate.batches(flat)[0]]
        )


def principal(x: Any, k: int, *, seed: int = 0) -> Principal:
    """Find the principal components of samples, by scikit-learn.

    The decomposition is randomised (Halko et al. 2011, with 7 power iterations) for more than 4,096
    samples of more than 4,096 numbers, else exact.

    Args:
      x: [n, ...].
      k: how many.
      seed: of the randomised decomposition.

    Raises:
      UserError: for more components than samples or numbers in a sample.

    Example:
      >>> found = principal(np.random.default_rng(0).normal(size=(500, 3)) * [3.0, 1.0, 0.0], 2)
      >>> round(found.share, 6)
      1.0
    """
    from sklearn.decomposition import PCA

    flat = np.asarray(x).reshape(len(x), -1)
    n, d = flat.shape
    if checks.whole_number("pca", k) > min(n, d):
        raise UserError(
            f"pca = {k} components of {n:,} samples of {d:,} numbers: give at most {min(n, d)}"
        )
    if min(n, d) > _EXACT:
        solver = "randomized"
    elif n < d:
        solver = "full"
    else:
        solver, flat = "covariance_eigh", flat.astype(np.float64, copy=False)
    pca = PCA(k, svd_solver=solver, iterated_power=7, random_state=seed)
    with np.errstate(invalid="ignore"):  # samples that are all the same have shares of 0 / 0
        pca.fit(flat)
    share = float(np.nan_to_num(pca.explained_variance_ratio_.sum(), nan=1.0))
    return Principal(pca.mean_.astype(np.float64), pca.components_.T.astype(np.float64), share)


def spaces_for(
    data: np.ndarray,
    pca: int | None,
    features: Mapping[str, Features],
    seed: int,
    spatial: int | None = None,
) -> dict[str, Space]:
    """Return the spaces by name: "grid", "vectors", and that of each of the features by prefix."""
    shape = data.shape[1:]
    d = math.prod(shape)
    if pca is None and d > MAX_DIMENSIONS:
        pca = min(COMPONENTS, len(data))
    if pca is None:
        vectors = Space(lambda x: x.reshape(len(x), -1), f"all {d:,} numbers of a sample")
    else:
        components = principal(data, pca, seed=seed)
        vectors = Space(
            components.project,
            f"the first {pca:,} principal components of the data, {100 * components.share:.3g} % "
            "of its variance",
        )
    grid = Space(lambda x: x, "samples")
    if spatial is not None and spatial_axes(shape, spatial) == 1 and len(shape) == 2:
        grid = Space(lambda x: x[:, :, None], "samples")  # sound [L, C] as images [L, 1, C]
    mapped = {prefix: Space(one, one.name, _BATCH) for prefix, one in features.items()}
    return {"grid": grid, "vectors": vectors, **mapped}


def by_prefix(features: Sequence[Features]) -> dict[str, Features]:
    """Name features by what the names of their columns begin with: "feature", "inception", ..."""
    named: dict[str, Features] = {}
    for one in features:
        prefix = "inception" if one.distance_name == "FID" else "feature"
        repeated = sum(name.startswith(prefix) for name in named)
        named[prefix + (str(repeated + 1) if repeated else "")] = one
    return named
