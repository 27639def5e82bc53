"""The scale mixture: one covariance, whose contrast varies from sample to sample.

Natural patches are far from Gaussian because a flat one and a textured one have the same spectrum
up to a factor. With the factor drawn from a few values the posterior mean stays in closed form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, as_float_array, concrete, follows_the_rule, value
from specjax.priors import scale_fit
from specjax.priors.components import check_probabilities
from specjax.priors.prior import LOG_TWO_PI, fingerprint_of, own, scaled
from specjax.priors.split import Parts, parts_of
from specjax.spectra.spectrum import Spectrum

COMPONENTS = (1, 2, 4, 8, 16)
"""Numbers of components among which held-out likelihood chooses."""


@value(data=["spectrum", "scales", "probabilities"], host=["held_out", "source"])
@dataclass(frozen=True, eq=False)
class ScaleMixture:
    """``x0 = mu + sqrt(v) g``, ``g ~ N(0, diag lambda)``, in eigenbasis coordinates [..., d].

    With ``t_jk = v_j lambda_k + s^2`` the posterior of the scale is
    ``p_j prod_k N(y_k; mu_k, t_jk)``, normalised, and
    ``E[x0 | y] = mu + (sum_j posterior_j v_j lambda / t_j) (y - mu)``.

    Args:
      spectrum: of the data. scales: [J], ``v``. probabilities: [J], with sum 1.
      held_out: the same of data kept aside. source: provenance.

    Raises:
      ValueError: for scales that are not above zero, probabilities that do not sum to one.

    Example:
      >>> prior = ScaleMixture(sx.Spectrum([1.0, 0.5]), [0.5, 1.5], [0.5, 0.5])
      >>> prior(np.array([3.0, 0.0]), 1.0, 1.0).round(3)
      array([1.548, 0.   ])
    """

    kind: ClassVar[str] = "scale_mixture"
    spectrum: Spectrum
    scales: Array
    probabilities: Array
    held_out: ScaleMixture | None = None
    source: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.spectrum, Spectrum):
            raise ValueError(f"spectrum of type {type(self.spectrum).__name__}: give a Spectrum")
        scales, probabilities = as_float_array(self.scales), as_float_array(self.probabilities)
        if scales.ndim != 1 or not scales.size or scales.shape != probabilities.shape:
            raise ValueError(
                f"scales has shape {scales.shape} and probabilities {probabilities.shape}: give "
                "one number of each for every component"
            )
        known = concrete(scales)
        if known is not None and not ((known > 0) & (known < np.inf)).all():
            raise ValueError(f"scales = {known.tolist()}: give finite numbers above 0")
        check_probabilities("probabilities", concrete(probabilities))
        object.__setattr__(self, "scales", scales)
        object.__setattr__(self, "probabilities", probabilities)
        object.__setattr__(self, "source", dict(self.source or {}))

    @classmethod
    def from_samples(
        cls,
        x: Any,
        components: int | None = 8,
        *,
        held_out: float = 0.5,
        seed: int = 0,
        data_range: tuple[float, float] | None = None,
        source: Mapping[str, Any] | None = None,
    ) -> ScaleMixture:
        """Scales by maximum likelihood, the covariance from the samples, ``sum_j p_j v_j = 1``.

        Args:
          x: [N, ...] or batches, in the network's units.
          components: J; None chooses among :data:`COMPONENTS` by the likelihood of the held-out
            part (of half of all where nothing is kept aside). Both parts get the same number.
          held_out: the fraction kept aside, of which ``.held_out`` is made; 0 gives None.
          seed: of the split. data_range: (low, high) of the samples, mapped to [-1, 1].

        Raises:
          ValueError: for what :meth:`Spectrum.from_samples` refuses, or parts below two samples.
        """
        if components is not None:
            checks.whole_number("components", components)
        parts = parts_of(x, held_out=held_out, seed=seed, data_range=data_range, source=source)
        if components is None:
            components = _chosen(parts)
        aside = None
        if parts.held_out is not None:
            aside = cls._of(parts.held_out, components, parts.about("held out"))
        return cls._of(parts.training, components, parts.about(parts.of_training), aside)

    @classmethod
    def _of(
        cls,
        x: np.ndarray,
        components: int,
        about: dict[str, Any],
        held_out: ScaleMixture | None = None,
    ) -> ScaleMixture:
        spectrum = Spectrum.from_samples(x, source=about)
        q, rank = scale_fit.whitened_squares(spectrum, x)
        made = scale_fit.fit_scales(q, rank, components)
        return cls(spectrum, *made, held_out, {**about, "components": components})

    @property
    def shape(self) -> tuple[int, ...]:
        """``(d,)``."""
        return (self.spectrum.dimension,)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the numbers."""
        spectrum = (self.spectrum.eigenvalues, self.spectrum.mean)
        return fingerprint_of(self.kind, (*spectrum, self.scales, self.probabilities))

    @follows_the_rule
    def __call__(self, x: Array, alpha: Array, sigma: Array) -> Array:
        """``E[x0 | x]`` of x [..., d]; alpha and sigma are []."""
        y, s = scaled(x, alpha, sigma)
        mean = own(self.spectrum.mean, y)
        gains, logits = self._terms(y - mean, s)
        posterior = jax.nn.softmax(logits, axis=-1)
        gain = jnp.matmul(posterior, gains, precision=jax.lax.Precision.HIGHEST)
        return (mean + gain * (y - mean)).astype(jnp.asarray(x).dtype)

    @follows_the_rule
    def log_density(self, x: Array, s: Array = 0.0) -> Array:  # type: ignore[assignment]
        """``log p_s(x)`` [...] of x [..., d], data with noise of standard deviation s.

        Directions without any variance are left out.
        """
        y, s = scaled(x, 1.0, s)  # type: ignore[arg-type]
        r = y - own(self.spectrum.mean, y)
        return jax.nn.logsumexp(self._terms(r, s)[1], axis=-1)

    def _terms(self, r: Array, s: Array) -> tuple[Array, Array]:
        """``v lambda / t`` [J, d] and the log of ``p_j N(r; 0, t_j)`` [..., J]."""
        signal = own(self.scales, r)[:, None] * own(self.spectrum.eigenvalues, r)
        total = signal + s**2
        known = total > 0
        safe = jnp.where(known, total, 1)
        inverse = jnp.where(known, 1 / safe, 0)
        squares = jnp.matmul(r**2, inverse.T, precision=jax.lax.Precision.HIGHEST)
        volume = jnp.where(known, jnp.log(safe) + LOG_TWO_PI, 0).sum(-1)
        log_prior = jnp.log(own(self.probabilities, r))
        return signal * inverse, log_prior - (squares + volume) / 2

    def project(self, x: Array) -> Array:
        """Samples [..., *shape of the data] to coefficients [..., d]."""
        return self.spectrum.project(x)

    def lift(self, c: Array) -> Array:
        """Coefficients [..., d] to samples."""
        return self.spectrum.lift(c)


def _chosen(parts: Parts) -> int:
    """The number of components with the best likelihood of samples not fitted."""
    fitted, judges = parts.judged()
    spectrum = Spectrum.from_samples(fitted)
    (q, rank), (others, _) = (scale_fit.whitened_squares(spectrum, x) for x in (fitted, judges))

    def score(components: int) -> float:
        return scale_fit.score(others, rank, scale_fit.fit_scales(q, rank, components))

    return max((c for c in COMPONENTS if c <= len(q)), key=score)
