"""Effective spectra: the change of basis that makes a noise white.

Through ``T^-1`` the noise is white and the data have the covariance
``T^-1 Sigma T^-1 = U' diag(lambda') U'^T``: the generalised eigenproblem of (Sigma, N). Where both
share a basis, ``lambda' = lambda / nu``. The isotropic theory holds unchanged for a spectrum of
these *effective* eigenvalues, whose basis maps samples to whitened coefficients ``U'^T T^-1 x`` and
back: transfer functions, closed forms, fits, probes and priors need nothing else.

Distances in data units: if the whitened coefficients of data and samples are c and c', the samples
are ``T U' c``, and with the data coupled to them coefficient by coefficient

    ``E |x - x'|^2 = sum_k nu_k E (c_k - c'_k)^2``,    ``nu_k = |T u'_k|^2``.

So ``w2`` and ``l1``, which have the unit of the data, count a direction ``nu_k`` times, and the
others (``kl``, ``kl_reverse``, ``relative``), which have none, once. Where Sigma and N share a
basis ``w2`` is the squared Wasserstein distance. Where they do not it is the cost of that coupling,
an upper bound of it (with the mean's error without the products between directions); the KL
divergence is exact either way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from specjax._core.arrays import Array, concrete, namespace, value
from specjax._core.checks import UserError
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.spectra.basis import Basis, FourierBasis, matmul
from specjax.spectra.spectrum import Spectrum, Whitening

_MOST_DENSE = 6000


@value(data=["inner", "scale", "kept"], static=["shape"])
@dataclass(frozen=True, eq=False)
class ScaledBasis:
    """A basis whose coefficients are in units of the noise's standard deviation.

    Attributes:
      inner: orthonormal basis, None for coefficients as they are.
      scale: [d], standard deviations of the noise.
      kept: [k], indices of the directions that have noise, ascending.
      shape: shape of one sample.
    """

    inner: Basis | None
    scale: Array
    kept: np.ndarray
    shape: tuple[int, ...]

    def project(self, x: Array) -> Array:
        """Return the whitened coefficients [..., k] of samples [..., *shape]."""
        c = x if self.inner is None else self.inner.project(x)
        xp = namespace(c, self.scale)
        return xp.take(c, self.kept, axis=-1) / xp.asarray(self.scale, c.dtype)[self.kept]

    def lift(self, c: Array) -> Array:
        """Return the samples of whitened coefficients [..., k], 0 in directions without noise."""
        xp = namespace(c, self.scale, self.kept)
        kept, directions = xp.asarray(self.kept), np.arange(self.scale.shape[0])
        scaled = c * xp.asarray(self.scale, c.dtype)[kept]
        # Each direction takes its coefficient by search: NumPy and JAX have no common scatter.
        index = xp.minimum(xp.searchsorted(kept, directions), len(kept) - 1)
        full = xp.where(kept[index] == directions, xp.take(scaled, index, axis=-1), 0)
        return full if self.inner is None else self.inner.lift(full)


@value(data=["down", "up"], static=["shape"])
@dataclass(frozen=True, eq=False)
class ObliqueBasis:
    """Directions that are orthonormal for the noise's covariance, not for the data's.

    Attributes:
      down: [d, k], ``T^-1 U'``.
      up: [d, k], ``T U'``.
      shape: shape of one sample.
    """

    down: Array
    up: Array
    shape: tuple[int, ...]

    def project(self, x: Array) -> Array:
        """Compute ``U'^T T^-1 x``."""
        return matmul(x.reshape(*x.shape[: x.ndim - len(self.shape)], -1), self.down)

    def lift(self, c: Array) -> Array:
        """Compute ``T U' c``."""
        return matmul(c, self.up.T).reshape(*c.shape[:-1], *self.shape)


def effective(spectrum: Spectrum, noise: NoiseSpectrum | None) -> Spectrum:
    """Return the spectrum of data under a noise: eigenvalues ``lambda / nu``.

    Args:
      spectrum: d eigenvalues of the data.
      noise: noise on the same samples; None or isotropic noise returns the spectrum itself.

    Returns:
      A spectrum with its ``whitening`` (see :mod:`specjax.noise.whitening`) that :func:`fit`,
      :func:`transfer`, :func:`wiener` and :func:`probe` take. Distances are in data units.
      Directions without noise, of which there are ``noise.omitted``, are left out.

    Raises:
      UserError: for noise on other samples, in the data's own basis of other data, or in another
        basis than that of a spectrum that has none; a spectrum that is under a noise already, or
        is too large for the generalised eigenproblem.

    Example:
      >>> noise = NoiseSpectrum([2.0, 1.0], (2,), basis="data")
      >>> effective(Spectrum([4.0, 1.0]), noise).eigenvalues
      array([1., 1.])
    """
    if noise is None or noise.isotropic:
        return spectrum
    check_spectrum(spectrum, noise)
    if noise.basis == "data" and noise.own is None and spectrum.basis is not None:
        noise = replace(noise, own=spectrum.basis)
    scale = _shared(spectrum, noise)
    if scale is None:
        if concrete(noise.weights) is None:
            raise UserError(
                "the noise is traced, and has another basis than the data: differentiate on a "
                "spectrum in its basis, the shift-invariant one for 'fourier'"
            )
        return _generalised(spectrum, noise)
    known = concrete(scale)  # while it is traced, all directions have noise
    kept = np.arange(len(scale)) if known is None else np.flatnonzero(known > 0)
    chosen = scale[kept]
    return Spectrum(
        spectrum.eigenvalues[kept] / chosen**2,
        spectrum.mean[kept] / chosen,
        spectrum.weights[kept],
        spectrum.mean_weights[kept],
        basis=ScaledBasis(spectrum.basis, scale, kept, noise.shape),
        source=spectrum.source,
        whitening=Whitening(noise, chosen**2),
    )


def check_spectrum(spectrum: Spectrum, noise: NoiseSpectrum) -> None:
    """Refuse, before anything is solved, a spectrum that cannot be put under a noise."""
    if spectrum.whitening is not None:
        raise UserError("the spectrum is under a noise already: give that of the data")
    basis = spectrum.basis
    shape = (spectrum.dimension,) if basis is None else tuple(basis.shape)
    fits = shape == noise.shape or (basis is None and spectrum.dimension == math.prod(noise.shape))
    if not fits or math.prod(noise.shape) != spectrum.dimension:
        raise UserError(
            f"the noise is of samples of shape {noise.shape}, the spectrum of {shape} with "
            f"{spectrum.dimension:,} eigenvalues: give noise of the data's shape and a spectrum "
            "with all its directions"
        )
    if basis is None and noise.basis != "data":
        raise UserError(
            f"the spectrum has no basis, the noise is in the {noise.basis!r} basis: give a "
            "spectrum of samples, or noise in the basis 'data'"
        )
    own = noise.own
    if noise.basis == "data" and own is not None and own is not basis:
        same = type(own) is type(basis) and own.vectors.shape == basis.vectors.shape  # type: ignore
        if not (same and np.allclose(own.vectors, basis.vectors, atol=1e-6)):  # type: ignore
            raise UserError(
                "the noise is in the eigenbasis of other data: make it with this spectrum's"
            )


def _shared(spectrum: Spectrum, noise: NoiseSpectrum) -> Array | None:
    """Return the weights [d] in the order of the eigenvalues, None where the bases differ."""
    basis, weights = spectrum.basis, noise.weights
    if noise.basis == "data":
        return weights
    if not (isinstance(basis, FourierBasis) and noise.basis == "fourier"):
        return None
    if basis.grid != noise.grid:
        return None
    channels = basis.vectors.shape[-1]
    if weights.ndim > len(noise.grid):
        # Channels that differ do not share the eigenvectors over channels.
        known = concrete(weights)
        if channels > 1 and (known is None or (known != known[..., :1]).any()):
            return None
        weights = weights[..., 0]
    return namespace(weights).repeat(weights.reshape(-1), channels)


def check_dense(d: int) -> None:
    """Refuse a generalised eigenproblem of too many dimensions."""
    if d > _MOST_DENSE:
        raise UserError(
            f"noise and data have different bases, and {d:,} dimensions are too many for their "
            "generalised eigenproblem: take the shift-invariant spectrum (method "
            "'shift-invariant') with noise in the basis 'fourier'"
        )


def support(noise: NoiseSpectrum) -> np.ndarray:
    """Return an orthonormal basis [d, k] of the directions that have noise."""
    d = math.prod(noise.shape)
    units = np.eye(d)
    if not noise.omitted:
        return units
    projection = noise.supported(units.reshape(d, *noise.shape)).reshape(d, d)
    values, vectors = np.linalg.eigh(projection)  # its eigenvalues are 0 and 1
    return vectors[:, values > 0.5]


def _generalised(spectrum: Spectrum, noise: NoiseSpectrum) -> Spectrum:
    """Diagonalise ``T^-1 Sigma T^-1`` on the directions that have noise."""
    d = spectrum.dimension
    check_dense(d)
    if not np.all(np.asarray(spectrum.weights) == np.asarray(spectrum.weights)[0]):
        raise UserError("the spectrum's directions have different weights: give one without")
    units = np.asarray(spectrum.lift(np.eye(d)), np.float64)  # rows: eigenvectors as samples
    known = replace(noise, weights=np.asarray(noise.weights, np.float64))
    white = known.whiten(units).reshape(d, -1)
    matrix = (white.T * np.asarray(spectrum.eigenvalues, np.float64)) @ white
    kept = support(noise)
    values, vectors = np.linalg.eigh(kept.T @ matrix @ kept if noise.omitted else matrix)
    vectors = kept @ vectors if noise.omitted else vectors
    values, vectors = values[::-1], vectors[:, ::-1]
    rounding = d * np.finfo(np.float64).eps * values.max()
    values = np.where(values > rounding, values, 0)
    as_samples = vectors.T.reshape(-1, *noise.shape)
    up = known.color(as_samples).reshape(len(values), -1).T
    down = known.whiten(as_samples).reshape(len(values), -1).T
    mean = down.T @ np.asarray(spectrum.lift(spectrum.mean), np.float64).ravel()
    weight = np.full(len(values), np.asarray(spectrum.weights)[0])
    basis = ObliqueBasis(down, up, noise.shape)
    return Spectrum(
        values, mean, weight, basis=basis, source=spectrum.source,
        whitening=Whitening(noise, (up**2).sum(0)),
    )  # fmt: skip
