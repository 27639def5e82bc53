"""Confidence intervals of eigenvalues, by the Poisson bootstrap in one pass over the samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, value
from specjax._core.checks import UserError
from specjax._core.progress import shows_progress
from specjax.spectra import estimate
from specjax.spectra.basis import FourierBasis, mirror

if TYPE_CHECKING:
    from specjax.spectra.spectrum import Spectrum

REDIAGONALISED = 256
"""Up to this many dimensions every replicate's covariance is diagonalised."""

_MOST_BYTES = 4 * 2**30
_PRODUCT_BYTES = 64 * 2**20


@value(data=["lower", "upper"], static=["level", "replicates", "seed", "method"])
@dataclass(frozen=True, eq=False)
class Intervals:
    """Confidence intervals of the eigenvalues of a population, each at ``level`` by itself.

    Attributes:
      lower: [d], in the units of the eigenvalues.
      upper: [d], in the units of the eigenvalues.
      level: probability of each interval.
      replicates: number of bootstrap samples.
      seed: seed of their weights.
      method: "re-diagonalised" or "first-order", see :func:`specjax.bootstrap`.
    """

    lower: Array
    upper: Array
    level: float
    replicates: int
    seed: int
    method: str


@shows_progress("bootstrap", "samples")
def bootstrap(
    x: Any,
    spectrum: Spectrum,
    *,
    replicates: int = 200,
    level: float = 0.95,
    seed: int = 0,
    data_range: tuple[float, float] | None = None,
    progress: estimate.Progress | Literal[False] | None = None,
) -> Intervals:
    """Estimate intervals of a spectrum's eigenvalues from the samples that it was made of.

    Every sample enters every replicate Poisson(1) times (Oza and Russell 2001), so one pass over
    batches is enough. With ``r`` the ratio of a replicate's eigenvalue to that of the samples, the
    interval is ``[lambda / upper quantile of r, lambda / lower quantile of r]``: the pivot for
    a variance, which removes the bootstrap's own bias (Efron and Tibshirani 1993, chapter 12).
    Shrunk or floored eigenvalues get the same ratios.

    For an exact spectrum of at most 256 dimensions the method is "re-diagonalised": replicates
    have their own eigenvectors. Beyond, and for shift-invariant spectra (exactly, where there is
    one channel), it is "first-order": variances along the estimated eigenvectors. Its intervals
    cover those variances, and not the bias that few samples give the eigenvalues through the
    vectors (the largest too large, the smallest too small).

    Args:
      x: an array [N, ...] or an iterable of batches, as it was given for the spectrum.
      spectrum: a spectrum with its basis.
      replicates: B; memory is O(B d), or O(B d^2) re-diagonalised.
      level: probability of each interval.
      seed: seed of the weights, which do not depend on the batches.
      data_range: (low, high) of the samples; by default the one in ``spectrum.source``.
      progress: called with (samples read, total or None).

    Returns:
      Intervals to be kept by ``dataclasses.replace(spectrum, intervals=...)``.

    Raises:
      UserError: for a spectrum without a basis, samples of another shape, a level outside 0 to
        1, or memory beyond 4 GiB.

    Example:
      >>> x = np.random.default_rng(0).normal(size=(1000, 2)) * [3.0, 1.0]
      >>> ends = bootstrap(x, sx.Spectrum.from_samples(x))
      >>> bool((ends.lower < [9.0, 1.0]).all() and (ends.upper > [9.0, 1.0]).all())
      True
    """
    checks.whole_number("replicates", replicates, 2)
    checks.whole_number("seed", seed, 0)
    if not (isinstance(level, float) and 0 < level < 1):
        raise UserError(f"level = {level!r}: give a probability between 0 and 1, such as 0.95")
    sums = _sums_for(spectrum, replicates)
    if data_range is None:
        data_range = (spectrum.source or {}).get("data_range")
    rng = np.random.default_rng(seed)
    rows = max(1, _PRODUCT_BYTES // (8 * (replicates + 1)))
    for piece in estimate.pieces(x, data_range, progress or None):
        shape = sums.basis.shape
        if piece.shape[1:] != tuple(shape):
            raise UserError(f"samples have shape {piece.shape[1:]}, those of the spectrum {shape}")
        coefficients = np.asarray(spectrum.project(piece), np.float64) - spectrum.mean
        for first in range(0, len(piece), rows):
            block = coefficients[first : first + rows]
            weights = np.ones((replicates + 1, len(block)))
            # Drawn sample by sample, so that they are the same in batches of any size.
            weights[1:] = rng.poisson(1.0, (len(block), replicates)).T
            sums.add(weights, block)
    eigenvalues = sums.eigenvalues()
    positive = eigenvalues[0] > 0
    ratios = eigenvalues[1:, positive] / eigenvalues[0, positive]
    quantiles = np.quantile(ratios, [(1 + level) / 2, (1 - level) / 2], axis=0)
    bounds = np.zeros((2, spectrum.dimension))
    with np.errstate(divide="ignore"):
        bounds[:, positive] = np.asarray(spectrum.eigenvalues, np.float64)[positive] / quantiles
    return Intervals(bounds[0], bounds[1], level, replicates, seed, sums.method)


def _sums_for(spectrum: Spectrum, replicates: int) -> _FirstOrder:
    if spectrum.basis is None:
        raise UserError("the spectrum has no basis: bootstrap needs one made from samples")
    d, fourier = spectrum.dimension, isinstance(spectrum.basis, FourierBasis)
    first_order = fourier or d > REDIAGONALISED
    needed = (replicates + 1) * 8 * (4 * d if first_order else d * (d + 1))
    if needed > _MOST_BYTES:
        fewer = int(replicates * _MOST_BYTES / needed)
        raise UserError(
            f"replicates = {replicates} of {d} eigenvalues take {needed / 2**30:.3g} GiB: "
            f"give at most {fewer}"
        )
    return (_FirstOrder if first_order else _Rediagonalised)(spectrum, replicates)


class _FirstOrder:
    """Weighted sums of coefficients and of their squares, [B + 1, d]; row 0 weighs all alike."""

    method = "first-order"

    def __init__(self, spectrum: Spectrum, replicates: int) -> None:
        self.basis: Any = spectrum.basis
        self.count = np.zeros((replicates + 1, 1))
        self.total = np.zeros((replicates + 1, spectrum.dimension))
        self.squares = np.zeros_like(self.total)

    def add(self, weights: np.ndarray, coefficients: np.ndarray) -> None:
        self.count += weights.sum(1, keepdims=True)
        self.total += weights @ coefficients
        rows = max(1, _PRODUCT_BYTES // (8 * self.squares.shape[1]))
        for i in range(0, len(coefficients), rows):
            self.squares += weights[:, i : i + rows] @ self.products(coefficients[i : i + rows])

    def products(self, coefficients: np.ndarray) -> np.ndarray:
        return coefficients**2

    def eigenvalues(self) -> np.ndarray:
        """Compute variances along the eigenvectors, averaged over mirrored frequencies."""
        variances = self.squares / self.count - (self.total / self.count) ** 2
        if isinstance(self.basis, FourierBasis):
            frequencies = variances.reshape(len(variances), -1, self.basis.vectors.shape[1])
            frequencies = (frequencies + frequencies[:, mirror(self.basis.grid)]) / 2
            variances = frequencies.reshape(variances.shape)
        return variances * self.count / np.maximum(self.count - 1, 1)


class _Rediagonalised(_FirstOrder):
    """Sums of products of coefficients, the upper triangle, in place of squares."""

    method = "re-diagonalised"

    def __init__(self, spectrum: Spectrum, replicates: int) -> None:
        super().__init__(spectrum, replicates)
        self.rows, self.columns = np.triu_indices(spectrum.dimension)
        self.squares = np.zeros((replicates + 1, self.rows.size))

    def products(self, coefficients: np.ndarray) -> np.ndarray:
        return coefficients[:, self.rows] * coefficients[:, self.columns]

    def eigenvalues(self) -> np.ndarray:
        """Compute the eigenvalues of every replicate's covariance, falling."""
        covariance = np.zeros((self.total.shape[1],) * 2)
        every = np.empty_like(self.total)
        for b, n in enumerate(self.count[:, 0]):
            covariance[self.columns, self.rows] = self.squares[b] / n  # eigvalsh reads this half
            covariance -= np.outer(self.total[b] / n, self.total[b] / n)
            every[b] = np.linalg.eigvalsh(covariance)[::-1] * (n / max(n - 1, 1))
        return estimate.clip_rounding(every.ravel()).reshape(every.shape)
