"""The Gaussian rung: what a spectrum knows, or the linear denoiser that was probed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from specjax._core.arrays import Array, follows_the_rule, value
from specjax.priors.prior import LOG_TWO_PI, fingerprint_of, own, scaled
from specjax.priors.split import parts_of
from specjax.spectra.response import wiener_gain
from specjax.spectra.spectrum import Spectrum


@value(data=["spectrum"], host=["held_out", "source"])
@dataclass(frozen=True, eq=False)
class Gaussian:
    """``N(mu, diag lambda)`` in the eigenbasis coordinates [..., d] of a spectrum.

    A spectrum with a probed denoiser (:meth:`Probe.attach`) answers with that one, and the kind
    is "probed": linear as Wiener's, with the gains and the bias that were measured.

    Args:
      spectrum: of the data. held_out: the same of data kept aside. source: provenance.

    Example:
      >>> prior = Gaussian(sx.Spectrum([3.0, 1.0]))
      >>> prior(np.array([2.0, 2.0]), 1.0, 1.0)
      array([1.5, 1. ])
    """

    spectrum: Spectrum
    held_out: Gaussian | None = None
    source: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.spectrum, Spectrum):
            raise ValueError(f"spectrum of type {type(self.spectrum).__name__}: give a Spectrum")
        known = self.spectrum.source if self.source is None else self.source
        object.__setattr__(self, "source", dict(known or {}))

    @classmethod
    def from_samples(
        cls,
        x: Any,
        *,
        held_out: float = 0.5,
        seed: int = 0,
        data_range: tuple[float, float] | None = None,
        shrinkage: float | str = 0.0,
        source: Mapping[str, Any] | None = None,
    ) -> Gaussian:
        """The Gaussian of a random part of the samples, and of the rest.

        Args:
          x: [N, ...] or batches, in the network's units.
          held_out: the fraction kept aside, of which ``.held_out`` is made; 0 gives None.
          seed: of the split. data_range: (low, high) of the samples, mapped to [-1, 1].
          shrinkage: of the covariance, see :meth:`Spectrum.from_samples`.

        Raises:
          ValueError: for what :meth:`Spectrum.from_samples` refuses, or parts below two samples.
        """
        parts = parts_of(x, held_out=held_out, seed=seed, data_range=data_range, source=source)
        aside = None
        if parts.held_out is not None:
            about = parts.about("held out")
            spectrum = Spectrum.from_samples(parts.held_out, shrinkage=shrinkage, source=about)
            aside = cls(spectrum, source=about)
        about = parts.about(parts.of_training)
        spectrum = Spectrum.from_samples(parts.training, shrinkage=shrinkage, source=about)
        return cls(spectrum, aside, about)

    @property
    def kind(self) -> str:
        """``gaussian``, or ``probed`` where the spectrum carries a measured denoiser."""
        return "gaussian" if self.spectrum.denoiser is None else "probed"

    @property
    def shape(self) -> tuple[int, ...]:
        """``(d,)``."""
        return (self.spectrum.dimension,)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the numbers."""
        parts = (self.spectrum.eigenvalues, self.spectrum.mean)
        return fingerprint_of(self.kind, (*parts, *jax.tree.leaves(self.spectrum.denoiser)))

    @follows_the_rule
    def __call__(self, x: Array, alpha: Array, sigma: Array) -> Array:
        """``E[x0 | x]`` of x [..., d]; alpha and sigma are []."""
        y, s = scaled(x, alpha, sigma)
        mean = own(self.spectrum.mean, y)
        if self.spectrum.denoiser is not None:
            gain, offset, bias = self.spectrum.denoiser.affine(jnp.ones_like(s), s)
            return (gain * y + offset * mean + bias).astype(jnp.asarray(x).dtype)
        gain, offset = wiener_gain(own(self.spectrum.eigenvalues, y), jnp.ones_like(s), s)
        return (gain * y + offset * mean).astype(jnp.asarray(x).dtype)

    @follows_the_rule
    def log_density(self, x: Array, s: Array = 0.0) -> Array:  # type: ignore[assignment]
        """``log N(x; mu, lambda + s^2)`` [...] of x [..., d], whatever was probed."""
        y, s = scaled(x, 1.0, s)  # type: ignore[arg-type]
        total = own(self.spectrum.eigenvalues, y) + s**2
        r = y - own(self.spectrum.mean, y)
        return -(jnp.log(total) + r**2 / total + LOG_TWO_PI).sum(-1) / 2

    def project(self, x: Array) -> Array:
        """Samples [..., *shape of the data] to coefficients [..., d]."""
        return self.spectrum.project(x)

    def lift(self, c: Array) -> Array:
        """Coefficients [..., d] to samples."""
        return self.spectrum.lift(c)
