"""The scale mixture: one covariance, whose contrast varies from sample to sample.

Natural patches are far from Gaussian because a flat one and a textured one have the same spectrum
up to a factor. With the factor drawn from a few values the posterior mean stays in closed form.

The factors are found by maximum likelihood. With ``x - mu = sqrt(v) g``, ``g ~ N(0, Sigma)``, all
that a sample says of its scale v is ``q = (x - mu)^T Sigma^-1 (x - mu)``: ``q / v`` is chi-squared
with ``rank`` degrees of freedom, and expectation-maximisation runs on one number a sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import logsumexp

from specjax._core import checks
from specjax._core.arrays import Array, as_float_array, concrete, follows_the_rule, value
from specjax._core.checks import UserError
from specjax._core.shown import Brief
from specjax.priors.mixture import check_probabilities
from specjax.priors.prior import as_jax, fingerprint_of, inverse_and_volume, per_alpha
from specjax.priors.split import Split, split_samples
from specjax.spectra.spectrum import Spectrum

COMPONENTS = (1, 2, 4, 8, 16)
"""Numbers of components among which held-out likelihood chooses."""

MIN_VARIANCE_SHARE = 0.1
"""Directions with a smaller share of the mean eigenvalue have no say in the scales: the many weak
ones would outvote those that carry the variance (of patches the strong ones vary less), and samples
hold little but rounding in the weakest. 0.1 denoised held-out digits and patches as well as 0.001
at s = 0.1 and better at s = 0.3 to 5."""

MIN_SCALE = 1e-6
MAX_EM_STEPS = 300


@value(data=["spectrum", "scales", "probabilities", "held_out"], provenance=["source"])
@dataclass(frozen=True, eq=False, repr=False)
class ScaleMixture(Brief):
    """``x0 = mu + sqrt(v) g``, ``g ~ N(0, diag lambda)``, in eigenbasis coordinates [..., d].

    With ``t_jk = v_j lambda_k + s^2`` the posterior of the scale is
    ``p_j prod_k N(y_k; mu_k, t_jk)``, normalised, and
    ``E[x0 | y] = mu + (sum_j posterior_j v_j lambda / t_j) (y - mu)``.

    Args:
      spectrum: of the data.
      scales: [J], ``v``.
      probabilities: [J], with sum 1.
      held_out: the same of data kept aside.
      source: provenance.

    Raises:
      UserError: for scales that are not above zero, probabilities that do not sum to one.

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
            raise UserError(f"spectrum of type {type(self.spectrum).__name__}: give a Spectrum")
        scales, probabilities = as_float_array(self.scales), as_float_array(self.probabilities)
        if scales.ndim != 1 or not scales.size or scales.shape != probabilities.shape:
            raise UserError(
                f"scales has shape {scales.shape} and probabilities {probabilities.shape}: give "
                "one number of each for every component"
            )
        known = concrete(scales)
        if known is not None and not ((known > 0) & (known < np.inf)).all():
            raise UserError(f"scales = {known.tolist()}: give finite numbers above 0")
        check_probabilities("probabilities", concrete(probabilities))
        object.__setattr__(self, "scales", scales)
        object.__setattr__(self, "probabilities", probabilities)
        object.__setattr__(self, "source", dict(self.source or {}))

    @classmethod
    def from_samples(
        cls,
        x: Any,
        components: int | None = 8,
        **split: Any,
    ) -> ScaleMixture:
        """Estimate the covariance, and scales by maximum likelihood with ``sum_j p_j v_j = 1``.

        Args:
          x: as ``data`` in :func:`prior_of`.
          split: its held_out, seed, data_range, source.
          components: J; None chooses among :data:`COMPONENTS` by the likelihood of the held-out
            part (of half of all where nothing is held out). Both parts get the same number.

        Raises:
          UserError: for what :func:`prior_of` and :meth:`Spectrum.from_samples` refuse.
        """
        if components is not None:
            checks.whole_number("components", components)
        parts = split_samples(x, **split)
        chosen = _select_components(parts) if components is None else components

        def fit(
            samples: np.ndarray, about: dict[str, Any], held_out: ScaleMixture | None
        ) -> ScaleMixture:
            spectrum = Spectrum.from_samples(samples, source=about)
            scales, probabilities = _fit_scales(*_whitened_squares(spectrum, samples), chosen)
            about = {**about, "components": chosen}
            return cls(spectrum, scales, probabilities, held_out, about)

        return parts.fit(fit)

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
        """Return ``E[x0 | x]`` of x [..., d]; alpha and sigma are []."""
        y, s = per_alpha(x, alpha, sigma)
        mean = as_jax(self.spectrum.mean, y)
        gains, logits = self._terms(y - mean, s)
        posterior = jax.nn.softmax(logits, axis=-1)
        gain = jnp.matmul(posterior, gains, precision=jax.lax.Precision.HIGHEST)
        return (mean + gain * (y - mean)).astype(jnp.asarray(x).dtype)

    @follows_the_rule
    def log_density(self, x: Array, s: Array = 0.0) -> Array:  # type: ignore[assignment]
        """Return ``log p_s(x)`` [...] of x [..., d], data with noise of standard deviation ``s``.

        Directions without any variance are left out.
        """
        y, s = per_alpha(x, 1.0, s)  # type: ignore[arg-type]
        r = y - as_jax(self.spectrum.mean, y)
        return jax.nn.logsumexp(self._terms(r, s)[1], axis=-1)

    def _terms(self, r: Array, s: Array) -> tuple[Array, Array]:
        """Return ``v lambda / t`` [J, d] and the log of ``p_j N(r; 0, t_j)`` [..., J]."""
        signal = as_jax(self.scales, r)[:, None] * as_jax(self.spectrum.eigenvalues, r)
        inverse, volume = inverse_and_volume(signal + s**2)
        squares = jnp.matmul(r**2, inverse.T, precision=jax.lax.Precision.HIGHEST)
        log_prior = jnp.log(as_jax(self.probabilities, r))
        return signal * inverse, log_prior - (squares + volume) / 2

    def project(self, x: Array) -> Array:
        """Map samples ``x`` [..., *shape of the data] to coefficients [..., d]."""
        return self.spectrum.project(x)

    def lift(self, c: Array) -> Array:
        """Map coefficients ``c`` [..., d] to samples."""
        return self.spectrum.lift(c)


def _whitened_squares(spectrum: Spectrum, x: np.ndarray) -> tuple[np.ndarray, int]:
    """Return ``q`` [N] of samples over the directions that count, and ``rank``, their number."""
    eigenvalues = np.asarray(spectrum.eigenvalues, np.float64)
    counts = eigenvalues > MIN_VARIANCE_SHARE * eigenvalues.mean()
    r = np.asarray(spectrum.project(x), np.float64) - np.asarray(spectrum.mean)
    return (r[:, counts] ** 2 / eigenvalues[counts]).sum(1), int(counts.sum())


def _fit_scales(q: np.ndarray, rank: int, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scales, rising, and probabilities by EM from quantiles of ``q / rank``."""
    quantiles = (np.arange(components) + 0.5) / components
    scales = np.maximum(np.quantile(q / rank, quantiles), MIN_SCALE)
    scales = scales * np.geomspace(0.99, 1.01, components)  # equal ones would stay equal
    probabilities, before = np.full(components, 1 / components), -np.inf
    for _ in range(MAX_EM_STEPS):
        logits = _log_joint(q, rank, scales, probabilities)
        level = logsumexp(logits, axis=1, keepdims=True)
        share = np.exp(logits - level)
        count = np.maximum(share.sum(0), np.finfo(float).tiny)
        scales = np.maximum(q @ share / (rank * count), MIN_SCALE)
        probabilities = count / count.sum()
        if level.mean() - before < 1e-8 * rank:
            break
        before = level.mean()
    order = np.argsort(scales)
    return (scales / (probabilities @ scales))[order], probabilities[order]


def _log_joint(
    q: np.ndarray, rank: int, scales: np.ndarray, probabilities: np.ndarray
) -> np.ndarray:
    """Return ``log p_j - rank/2 log v_j - q / 2 v_j`` [N, J]: the rest depends on no scale."""
    return np.log(probabilities) - (rank * np.log(scales) + q[:, None] / scales) / 2


def _select_components(split: Split) -> int:
    """Return the number of components that makes samples not fitted most likely."""
    fitted, validation = split.for_selection()
    spectrum = Spectrum.from_samples(fitted)
    (q, rank), (held_out, _) = (_whitened_squares(spectrum, x) for x in (fitted, validation))

    def score(components: int) -> float:
        logits = _log_joint(held_out, rank, *_fit_scales(q, rank, components))
        return float(logsumexp(logits, axis=1).mean())

    return max((c for c in COMPONENTS if c <= len(q)), key=score)
