"""A prior of a forward process whose noise has a spectrum.

``T^-1`` whitens the noise ``T xi``, so a prior of the whitened data ``z0 = T^-1 x0`` gives the
exact denoiser in the data's own space:

    ``E[x0 | x] = T E[z0 | T^-1 x]``.

In directions without noise samples are left as they are.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from specjax._core.arrays import Array, value
from specjax._core.checks import UserError
from specjax._core.shown import Brief
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.noise.whitening import ObliqueBasis, ScaledBasis, support
from specjax.priors.gaussian import Gaussian
from specjax.priors.mixture import Mixture
from specjax.priors.prior import Prior, fingerprint_of
from specjax.priors.scale_mixture import ScaleMixture
from specjax.priors.split import read_samples
from specjax.sampling.denoisers import Within
from specjax.spectra.basis import Basis
from specjax.spectra.spectrum import Spectrum, Whitening


@value(data=["inner", "noise"], static=["omits"])
@dataclass(frozen=True, eq=False, repr=False)
class Colored(Brief):
    """A prior of whitened data, turned into one of the data, on samples [n, *shape].

    The kernel of an :class:`Empirical` prior is then as wide in each direction as the noise: h is
    in whitened units, and chosen by the likelihood of held-out samples there.

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
    omits: bool = field(init=False)
    """True if some directions have no noise."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "omits", bool(self.noise.omitted))

    @property
    def kind(self) -> str:
        """The kind of the prior of whitened data."""
        return self.inner.kind

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample of the data."""
        return self.noise.shape

    @functools.cached_property
    def spectrum(self) -> Spectrum | None:
        """The effective spectrum, see :func:`specjax.effective`."""
        spectrum = self.inner.spectrum
        return spectrum if spectrum is None or self._whitens else _under(spectrum, self.noise)

    @functools.cached_property
    def held_out(self) -> Colored | None:
        """The prior of held-out data, under the same noise."""
        held_out = self.inner.held_out
        return None if held_out is None else Colored(held_out, self.noise)

    @property
    def source(self) -> Mapping[str, Any] | None:
        """The provenance of the inner prior."""
        return self.inner.source

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the numbers of the prior and the noise."""
        return fingerprint_of(f"{self.inner.fingerprint} {self.noise.fingerprint}", ())

    @property
    def _basis(self) -> Basis | None:
        """The basis that the inner prior works in; None for samples as they are."""
        if isinstance(self.inner, Gaussian | ScaleMixture):
            return self.inner.spectrum.basis
        coordinates = self.inner.coordinates if isinstance(self.inner, Mixture) else None
        return None if coordinates is None else coordinates.basis

    @property
    def _whitens(self) -> bool:
        """True if that basis whitens, as the basis of an effective spectrum does."""
        return isinstance(self._basis, ScaledBasis | ObliqueBasis)

    def __call__(self, x: Array, alpha: Array, sigma: Array) -> Array:
        """Return ``E[x0 | x]`` of x [n, *shape]; alpha and sigma are []."""
        denoise = Within(self._estimate, self.noise) if self.omits else self._estimate
        return denoise(x, alpha, sigma)

    def _estimate(self, x: Array, alpha: Array, sigma: Array) -> Array:
        basis = self._basis
        given = x if self._whitens else self.noise.whiten(x)
        if isinstance(basis, ScaledBasis) and basis.inner is None:
            given = given.reshape(len(x), -1)
        c = given if basis is None else basis.project(given)
        estimate = self.inner(c, alpha, sigma)
        lifted = (estimate if basis is None else basis.lift(estimate)).reshape(x.shape)
        return (lifted if self._whitens else self.noise.color(lifted)).astype(x.dtype)

    def project(self, x: Array) -> Array:
        """Return samples ``x`` as they are, but 0 in directions without noise."""
        return self.noise.supported(x) if self.omits else x

    def lift(self, c: Array) -> Array:
        """Return samples ``c`` as they are."""
        return c


def whitened(
    data: Any, noise: NoiseSpectrum, data_range: tuple[float, float] | None
) -> tuple[np.ndarray, NoiseSpectrum]:
    """Whiten samples [N, *shape]; return them and the noise.

    Noise in the data's own basis that has none yet gets that of all samples.

    Raises:
      UserError: for noise on samples of another shape.
    """
    samples = read_samples(data, data_range)
    if samples.shape[1:] != noise.shape:
        raise UserError(
            f"the noise is of samples of shape {noise.shape}, the data have {samples.shape[1:]}"
        )
    if noise.basis == "data" and noise.own is None:
        noise = replace(noise, own=Spectrum.from_samples(samples).basis)
    return np.asarray(noise.whiten(samples)), noise


def _under(spectrum: Spectrum, noise: NoiseSpectrum) -> Spectrum:
    """Return the spectrum of whitened data as that of the data under the noise."""
    d = math.prod(noise.shape)
    precise = replace(noise, weights=np.asarray(noise.weights, np.float64))
    eigenvectors = np.asarray(spectrum.lift(np.eye(d)), np.float64).reshape(d, d)  # as rows
    values, mean = (np.asarray(x, np.float64) for x in (spectrum.eigenvalues, spectrum.mean))
    if noise.omitted:
        # Only the part that has noise counts. Where several eigenvalues are 0 their eigenvectors
        # may have components on both sides, so that part is decomposed again.
        directions = support(precise)
        kept = eigenvectors @ directions
        found, turned = np.linalg.eigh((kept.T * values) @ kept)
        mean = (directions @ turned[:, ::-1]).T @ (eigenvectors.T @ mean)
        eigenvectors = (directions @ turned[:, ::-1]).T
        values = np.maximum(found[::-1], 0)
    samples = eigenvectors.reshape(-1, *noise.shape)
    up, down = (f(samples).reshape(len(samples), d).T for f in (precise.color, precise.whiten))
    return Spectrum(
        values, mean, basis=ObliqueBasis(down, up, noise.shape), source=spectrum.source,
        whitening=Whitening(noise, (up**2).sum(0)),
    )  # fmt: skip
