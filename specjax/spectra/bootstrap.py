"""How sure the eigenvalues are: the Poisson bootstrap, in one pass over the samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.spectra import estimate
from specjax.spectra.basis import FourierBasis, mirror
from specjax.spectra.intervals import Intervals
from specjax.spectra.spectrum import Spectrum

REDIAGONALISED = 256
"""Up to this many dimensions every replicate's covariance is diagonalised."""

_MOST_BYTES = 4 * 2**30
_PRODUCT_BYTES = 64 * 2**20


def bootstrap(
    x: Any,
    spectrum: Spectrum,
    *,
    replicates: int = 200,
    level: float = 0.95,
    seed: int = 0,
    data_range: tuple[float, float] | None = None,
    progress: estimate.Progress | None = None,
) -> Intervals:
    """Intervals of the eigenvalues of a spectrum, from the samples that it was made of.

    Every sample enters every replicate Poisson(1) times (Oza and Russell 2001), so one pass over
    batches is enough. With ``r`` the ratio of a replicate's eigenvalue to that of the samples, the
    interval is ``[lambda / upper quantile of r, lambda / lower quantile of r]``: the pivot for
    a variance, which takes the bootstrap's own bias off (Efron and Tibshirani 1993, chapter 12).
    Shrunk or floored eigenvalues get the same ratios.

    An exact spectrum of at most 256 dimensions is "re-diagonalised": replicates have their own
    eigenvectors. Beyond, and for shift-invariant spectra (exactly, where there is one channel),
    it is "first-order": variances along the estimated eigenvectors. These are the intervals of
    the variances there; what the eigenvalues of few samples miss of the population's because of
    the vectors (the largest too large, the smallest too small) is not in them.

    Args:
      x: an array [N, ...] or an iterable of batches, as it was given for the spectrum.
      spectrum: with its basis. replicates: B; memory is O(B d), or O(B d^2) re-diagonalised.
      level: of each interval. seed: of the weights, whatever the batches.
      data_range: of the samples; by default the one in ``spectrum.source``.

    Returns:
      Intervals to be kept by ``dataclasses.replace(spectrum, intervals=...)``.

    Raises:
      UserError: for a spectrum without a basis, samples of another shape, a level outside 0 to
        1, or memory beyond 4 GiB.

    Example:
      >>> x = np.random.default_rng(0).normal(size=(1000, 2)) * [3.0, 1.0]
      >>> found = bootstrap(x, Spectrum.from_samples(x))
      >>> bool((found.lower < [9.0, 1.0]).all() and (found.upper > [9.0, 1.0]).all())
      True
    """
    replicates = checks.whole_number("replicates", replicates, 2)
    checks.whole_number("seed", seed, 0)
    if not (isinstance(level, float) and 0 < level < 1):
        raise UserError(f"level = {level!r}: give a probability between 0 and 1, such as 0.95")
    sums = _sums_for(spectrum, replicates)
    if data_range is None:
        data_range = (spectrum.source or {}).get("data_range")
    rng = np.random.default_rng(seed)
    rows = max(1, _PRODUCT_BYTES // (8 * (replicates + 1)))
    for piece in estimate.pieces(x, data_range, progress):
        _check_shape(piece, spectrum)
        coefficients = np.asarray(spectrum.project(piece), np.float64) - spectrum.mean
        for first in range(0, len(piece), rows):
            some = coefficients[first : first + rows]
            weights = np.ones((replicates + 1, len(some)))
            weights[1:] = rng.poisson(1.0, (len(some), replicates)).T  # the same in any batches
            sums.add(weights, some)
    eigenvalues = sums.eigenvalues()
    own = eigenvalues[0] > 0
    ratios = eigenvalues[1:, own] / eigenvalues[0, own]
    quantiles = np.quantile(ratios, [(1 + level) / 2, (1 - level) / 2], axis=0)
    bounds = np.zeros((2, spectrum.dimension))
    with np.errstate(divide="ignore"):
        bounds[:, own] = np.asarray(spectrum.eigenvalues, np.float64)[own] / quantiles
    return Intervals(bounds[0], bounds[1], level, replicates, seed, sums.method)


def _check_shape(piece: np.ndarray, spectrum: Spectrum) -> None:
    assert spectrum.basis is not None
    if piece.shape[1:] != tuple(spectrum.basis.shape):
        raise UserError(
            f"samples have shape {piece.shape[1:]}, those of the spectrum {spectrum.basis.shape}"
        )


def _sums_for(spectrum: Spectrum, replicates: int) -> _FirstOrder | _Rediagonalised:
    if spectrum.basis is None:
        raise UserError("the spectrum has no basis: bootstrap needs one made from samples")
    d, fourier = spectrum.dimension, isinstance(spectrum.basis, FourierBasis)
    kind = _FirstOrder if fourier or d > REDIAGONALISED else _Rediagonalised
    needed = (replicates + 1) * kind.numbers(d) * 8
    if needed > _MOST_BYTES:
        fewer = int(replicates * _MOST_BYTES / needed)
        raise UserError(
            f"replicates = {replicates} of {d} eigenvalues take {needed / 2**30:.3g} GiB: "
            f"give at most {fewer}"
        )
    return kind(spectrum, replicates)


class _FirstOrder:
    """Weighted sums of coefficients and of their squares, [B + 1, d]; row 0 weighs all alike."""

    method = "first-order"

    def __init__(self, spectrum: Spectrum, replicates: int) -> None:
        self.basis = spectrum.basis
        self.count = np.zeros((replicates + 1, 1))
        self.total = np.zeros((replicates + 1, spectrum.dimension))
        self.squares = np.zeros_like(self.total)

    @staticmethod
    def numbers(d: int) -> int:
        return 4 * d

    def add(self, weights: np.ndarray, coefficients: np.ndarray) -> None:
        self.count += weights.sum(1, keepdims=True)
        self.total += weights @ coefficients
        self.squares += weights @ coefficients**2

    def eigenvalues(self) -> np.ndarray:
        """Variances along the eigenvectors; those of mirrored frequencies are one."""
        variances = self.squares / self.count - (self.total / self.count) ** 2
        if isinstance(self.basis, FourierBasis):
            frequencies = variances.reshape(len(variances), -1, self.basis.vectors.shape[1])
            frequencies = (frequencies + frequencies[:, mirror(self.basis.grid)]) / 2
            variances = frequencies.reshape(variances.shape)
        return variances * self.count / np.maximum(self.count - 1, 1)


class _Rediagonalised:
    """Weighted sums of coefficients [B + 1, d] and of their products, the upper triangle."""

    method = "re-diagonalised"

    def __init__(self, spectrum: Spectrum, replicates: int) -> None:
        d = spectrum.dimension
        self.rows, self.columns = np.triu_indices(d)
        self.count = np.zeros((replicates + 1, 1))
        self.total = np.zeros((replicates + 1, d))
        self.products = np.zeros((replicates + 1, self.rows.size))

    @staticmethod
    def numbers(d: int) -> int:
        return d * (d + 1)

    def add(self, weights: np.ndarray, coefficients: np.ndarray) -> None:
        self.count += weights.sum(1, keepdims=True)
        self.total += weights @ coefficients
        rows = max(1, _PRODUCT_BYTES // (8 * self.rows.size))
        for i in range(0, len(coefficients), rows):
            c = coefficients[i : i + rows]
            self.products += weights[:, i : i + rows] @ (c[:, self.rows] * c[:, self.columns])

    def eigenvalues(self) -> np.ndarray:
        """Of every replicate's covariance, falling."""
        d = self.total.shape[1]
        covariance = np.zeros((d, d))
        every = np.empty_like(self.total)
        for b, (n, total, products) in enumerate(
            zip(self.count[:, 0], self.total, self.products, strict=True)
        ):
            covariance[self.columns, self.rows] = products / n
            covariance -= np.outer(total / n, total / n)
            every[b] = np.linalg.eigvalsh(covariance)[::-1] * (n / max(n - 1, 1))
        return estimate.clip_rounding(every.ravel()).reshape(every.shape)
