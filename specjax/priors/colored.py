"""A prior of a forward process whose noise has a spectrum.

Through ``T^-1`` the noise ``T xi`` is white, so what is known of the data z0 = ``T^-1 x0`` under
white noise gives the exact denoiser in the data's own space:

    ``E[x0 | x] = T E[z0 | T^-1 x]``.

In directions without noise samples are left as they are: nothing is asked of what is known there.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from specjax._core.arrays import Array, value
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.noise.whitening import ObliqueBasis, ScaledBasis, support
from specjax.priors.gaussian import Gaussian
from specjax.priors.mixture import Mixture
from specjax.priors.prior import Prior, fingerprint_of
from specjax.priors.scale_mixture import ScaleMixture
from specjax.priors.split import read
from specjax.sampling.denoisers import Within
from specjax.spectra.basis import Basis
from specjax.spectra.spectrum import Spectrum, Whitening


@value(data=["inner", "noise", "frame"], static=["omits"])
@dataclass(frozen=True, eq=False)
class Colored:
    """A prior of whitened data as one of the data, on samples [n, *shape] as they are.

    A kernel of :class:`Empirical` is then as wide in each direction as the noise is: h is in
    whitened units, and chosen by the likelihood of held-out samples there.

    Args:
      inner: of ``T^-1 x0``; or a Gaussian whose spectrum is one by :func:`specjax.effective`.
      noise: of the forward process, ``T xi``.

    Example:
      >>> noise = sx.noise_spectrum("power_law", (8, 8), exponent=-0.3)
      >>> prior = sx.priors.prior_of("gaussian", sx.data.open("digits"), noise=noise)
      >>> prior.shape, prior.noise.name
      ((8, 8), 'power-law (exponent -0.3, r0 0.01)')
    """

    inner: Prior
    noise: NoiseSpectrum
    frame: Basis | None = field(init=False)
    """Of the coordinates of the inner prior, where it does not keep them under transformations."""
    omits: bool = field(init=False)
    """Whether some directions have no noise."""

    def __post_init__(self) -> None:
        own = self.inner.coordinates if isinstance(self.inner, Mixture) else None
        object.__setattr__(self, "frame", None if own is None else own.basis)
        object.__setattr__(self, "omits", bool(self.noise.omitted))

    @property
    def kind(self) -> str:
        """The rung, that of the prior of whitened data."""
        return self.inner.kind

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample of the data."""
        return self.noise.shape

    @functools.cached_property
    def spectrum(self) -> Spectrum | None:
        """The effective one, see :func:`specjax.effective`."""
        spectrum = self.inner.spectrum
        return spectrum if spectrum is None or self._whitens else _under(spectrum, self.noise)

    @functools.cached_property
    def held_out(self) -> Colored | None:
        """The same of data kept aside."""
        aside = self.inner.held_out
        return None if aside is None else Colored(aside, self.noise)

    @property
    def source(self) -> Mapping[str, Any] | None:
        """Where it comes from."""
        return self.inner.source

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the numbers, the noise's among them."""
        return fingerprint_of(f"{self.inner.fingerprint} {self.noise.fingerprint}", ())

    @property
    def _basis(self) -> Basis | None:
        """Of the coordinates that the inner prior works in; None for samples as they are."""
        inner = self.inner
        return inner.spectrum.basis if isinstance(inner, Gaussian | ScaleMixture) else self.frame

    @property
    def _whitens(self) -> bool:
        """Whether that basis whitens, as that of an effective spectrum does."""
        return isinstance(self._basis, ScaledBasis | ObliqueBasis)

    def __call__(self, x: Array, alpha: Array, sigma: Array) -> Array:
        """``E[x0 | x]`` of x [n, *shape]; alpha and sigma are []."""
        denoise = Within(self._estimate, self.noise) if self.omits else self._estimate
        return denoise(x, alpha, sigma)

    def _estimate(self, x: Array, alpha: Array, sigma: Array) -> Array:
        basis = self._basis
        given = x if self._whitens else self.noise.whiten(x)
        if isinstance(basis, ScaledBasis) and basis.inner is None:
            given = given.reshape(len(x), -1)
        c = given if basis is None else basis.project(given)
        found = self.inner(c, alpha, sigma)
        lifted = (found if basis is None else basis.lift(found)).reshape(x.shape)
        return (lifted if self._whitens else self.noise.color(lifted)).astype(x.dtype)

    def project(self, x: Array) -> Array:
        """Samples as they are; 0 in directions without noise."""
        return self.noise.supported(x) if self.omits else x

    def lift(self, c: Array) -> Array:
        """Samples as they are."""
        return c


def whitened(
    data: Any, noise: NoiseSpectrum, data_range: tuple[float, float] | None
) -> tuple[np.ndarray, NoiseSpectrum]:
    """Samples [N, *shape] in units of the noise, and the noise.

    Noise in the data's own basis that has none yet gets that of all samples.

    Raises:
      ValueError: for noise on samples of another shape.
    """
    rows = read(data, data_range)
    if rows.shape[1:] != noise.shape:
        raise ValueError(
            f"the noise is of samples of shape {noise.shape}, the data have {rows.shape[1:]}"
        )
    if noise.basis == "data" and noise.own is None:
        noise = replace(noise, own=Spectrum.from_samples(rows).basis)
    return np.asarray(noise.whiten(rows)), noise


def _under(spectrum: Spectrum, noise: NoiseSpectrum) -> Spectrum:
    """The spectrum of whitened data as that of the data under the noise."""
    d = math.prod(noise.shape)
    known = replace(noise, weights=np.asarray(noise.weights, np.float64))
    rows = np.asarray(spectrum.lift(np.eye(d)), np.float64).reshape(d, d)  # of eigenvectors
    values, mean = (np.asarray(x, np.float64) for x in (spectrum.eigenvalues, spectrum.mean))
    if noise.omitted:
        values, rows, mean = _supported(values, rows, mean, known)
    samples = rows.reshape(-1, *noise.shape)
    up, down = (f(samples).reshape(len(rows), d).T for f in (known.color, known.whiten))
    return Spectrum(
        values, mean, basis=ObliqueBasis(down, up, noise.shape), source=spectrum.source,
        whitening=Whitening(noise, (up**2).sum(0)),
    )  # fmt: skip


def _supported(
    values: np.ndarray, rows: np.ndarray, mean: np.ndarray, noise: NoiseSpectrum
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eigenvalues, eigenvectors as rows and mean of the part that has noise.

    Where several eigenvalues are 0 their eigenvectors may have parts on both sides.
    """
    across = support(noise)
    kept = rows @ across
    found, turned = np.linalg.eigh((kept.T * values) @ kept)
    new = (across @ turned[:, ::-1]).T
    return np.maximum(found[::-1], 0), new, new @ (rows.T @ mean)
