"""The Gaussian rung: what a spectrum knows, or the linear denoiser that was probed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from specjax._core.arrays import Array, follows_the_rule, value
from specjax._core.checks import UserError
from specjax.gaussian.probe import Probe
from specjax.priors.prior import LOG_TWO_PI, fingerprint_of, own, scaled
from specjax.priors.split import parts_of
from specjax.spectra.response import Measured, wiener_gain
from specjax.spectra.spectrum import Spectrum


@value(data=["spectrum", "response", "held_out"], provenance=["source"])
@dataclass(frozen=True, eq=False)
class Gaussian:
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
        """``gaussian``, or ``probed`` with a measured denoiser."""
        return "gaussian" if self.response is None else "probed"

    @property
    def shape(self) -> tuple[int, ...]:
        """``(d,)``."""
        return (self.spectrum.dimension,)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the numbers."""
        parts = (self.spectrum.eigenvalues, self.spectrum.mean)
        return fingerprint_of(self.kind, (*parts, *jax.tree.leaves(self.response)))

    @follows_the_rule
    def __call__(self, x: Array, alpha: Array, sigma: Array) -> Array:
        """``E[x0 | x]`` of x [..., d]; alpha and sigma are []."""
        y, s = scaled(x, alpha, sigma)
        mean = own(self.spectrum.mean, y)
        if self.response is not None:
            gain, offset, bias = self.response.affine(jnp.ones_like(s), s)
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
