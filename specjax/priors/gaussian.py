"""The Gaussian prior: what a spectrum knows, or the linear denoiser that was probed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core.arrays import Array, follows_the_rule, value
from specjax._core.checks import UserError
from specjax._core.shown import Brief
from specjax.gaussian.probe import Probe
from specjax.priors.prior import LOG_TWO_PI, as_jax, fingerprint_of, per_alpha
from specjax.priors.split import split_samples
from specjax.spectra.response import Measured, wiener_gain
from specjax.spectra.spectrum import Spectrum


@value(data=["spectrum", "response", "held_out"], provenance=["source"])
@dataclass(frozen=True, eq=False, repr=False)
class Gaussian(Brief):
    """``N(mu, diag lambda)`` in the eigenbasis coordinates [..., d] of a spectrum.

    With a measured denoiser it answers as that one does, and the kind is "probed": linear as
    Wiener's, with the gains and the bias that were measured.

    Args:
      spectrum: of the data.
      held_out: the same of data kept aside.
      source: provenance.
      response: what a measured denoiser does to each direction, or its :class:`specjax.Probe`,
        whose eigenvalues then take the place of the spectrum's.

    Raises:
      UserError: for a spectrum that is none, and a probe of another one.

    Example:
      >>> prior = Gaussian(sx.Spectrum([3.0, 1.0]))
      >>> prior(np.array([2.0, 2.0]), 1.0, 1.0)
      array([1.5, 1. ])
    """

    spectrum: Spectrum
    held_out: Gaussian | None = None
    source: Mapping[str, Any] | None = None
    response: Measured | Any = None  # Any: a probe, of which the response is kept

    def __post_init__(self) -> None:
        if not isinstance(self.spectrum, Spectrum):
            raise UserError(f"spectrum of type {type(self.spectrum).__name__}: give a Spectrum")
        known = dict((self.spectrum.source if self.source is None else self.source) or {})
        if isinstance(self.response, Probe):
            known["denoiser"] = self.response.about
            object.__setattr__(self, "spectrum", self.response.on(self.spectrum))
            object.__setattr__(self, "response", self.response.response)
        object.__setattr__(self, "source", known)

    @classmethod
    def from_samples(
        cls,
        x: Any,
        *,
        shrinkage: float | str = 0.0,
        **split: Any,
    ) -> Gaussian:
        """Fit the Gaussian of a random part of the samples, and that of the rest.

        Args:
          x: as ``data`` in :func:`prior_of`.
          split: its held_out, seed, data_range, source.
          shrinkage: of the covariance, see :meth:`Spectrum.from_samples`.

        Raises:
          UserError: for what :func:`prior_of` and :meth:`Spectrum.from_samples` refuse.
        """

        def fit(samples: np.ndarray, about: dict[str, Any], held_out: Gaussian | None) -> Gaussian:
            spectrum = Spectrum.from_samples(samples, shrinkage=shrinkage, source=about)
            return cls(spectrum, held_out, about)

        return split_samples(x, **split).fit(fit)

    @property
    def kind(self) -> str:
        """``gaussian``, or ``probed`` with a measured denoiser."""
        return "gaussian" if self.response is None else "probed"

    @property
    def shape(self) -> tuple[int, ...]:
        """``(d,)``."""
        return (self.spectrum.dimension,)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the numbers."""
        arrays = (self.spectrum.eigenvalues, self.spectrum.mean)
        return fingerprint_of(self.kind, (*arrays, *jax.tree.leaves(self.response)))

    @follows_the_rule
    def __call__(self, x: Array, alpha: Array, sigma: Array) -> Array:
        """Return ``E[x0 | x]`` of x [..., d]; alpha and sigma are []."""
        y, s = per_alpha(x, alpha, sigma)
        mean = as_jax(self.spectrum.mean, y)
        if self.response is not None:
            gain, offset, bias = self.response.affine(jnp.ones_like(s), s)
            estimate = gain * y + offset * mean + bias
        else:
            eigenvalues = as_jax(self.spectrum.eigenvalues, y)
            gain, offset = wiener_gain(eigenvalues, jnp.ones_like(s), s)
            estimate = gain * y + offset * mean
        return estimate.astype(jnp.asarray(x).dtype)

    @follows_the_rule
    def log_density(self, x: Array, s: Array = 0.0) -> Array:  # type: ignore[assignment]
        """Return ``log N(x; mu, lambda + s^2)`` [...] of x [..., d], whatever was probed."""
        y, s = per_alpha(x, 1.0, s)  # type: ignore[arg-type]
        total = as_jax(self.spectrum.eigenvalues, y) + s**2
        r = y - as_jax(self.spectrum.mean, y)
        return -(jnp.log(total) + r**2 / total + LOG_TWO_PI).sum(-1) / 2

    def project(self, x: Array) -> Array:
        """Map samples ``x`` [..., *shape of the data] to coefficients [..., d]."""
        return self.spectrum.project(x)

    def lift(self, c: Array) -> Array:
        """Map coefficients ``c`` [..., d] to samples."""
        return self.spectrum.lift(c)
