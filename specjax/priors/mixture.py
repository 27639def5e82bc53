"""The Gaussian mixture: posterior means in closed form, component by component."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, follows_the_rule, value
from specjax.priors.components import checked, decomposed, whole_spectrum
from specjax.priors.mixture_fit import choose_components, fit_mixture
from specjax.priors.prior import LOG_TWO_PI, fingerprint_of, own, scaled
from specjax.priors.split import Parts, parts_of
from specjax.spectra.spectrum import Spectrum

FULL_DIMENSION = 256
"""Beyond it components are diagonal in the data's eigenbasis, unless full ones are asked for."""

FLOOR = 1e-3
"""Added to the variances of each component, as a share of the mean eigenvalue."""


@value(
    data=["weights", "means", "eigenvalues", "vectors"],
    host=["spectrum", "coordinates", "held_out", "source"],
)
@dataclass(frozen=True, eq=False)
class Mixture:
    """``sum_k w_k N(m_k, U_k diag(e_k) U_k^T)`` on coordinates [..., d].

    ``E[x0 | y] = sum_k r_k (m_k + U_k (e_k / (e_k + s^2)) U_k^T (y - m_k))`` with the
    responsibilities ``r_k`` of ``w_k N(y; m_k, C_k + s^2)``.

    :meth:`from_samples` works in the eigenbasis coordinates of ``spectrum``,
    :meth:`from_covariances` in those in which it is given.

    Attributes:
      weights: [K]. means: [K, d]. eigenvalues: [K, d], of each covariance.
      vectors: [K, d, d], eigenvectors as columns; None for diagonal covariances.
      spectrum: of all components together. coordinates: the spectrum whose basis leads from the
        data's own space to the coordinates; None if they are the same.
      held_out: the same of data kept aside. source: provenance.
    """

    kind: ClassVar[str] = "mixture"
    weights: Array
    means: Array
    eigenvalues: Array
    vectors: Array | None = None
    spectrum: Spectrum | None = None
    coordinates: Spectrum | None = None
    held_out: Mixture | None = None
    source: Mapping[str, Any] | None = None

    @classmethod
    def from_covariances(
        cls,
        weights: Any,
        means: Any,
        covariances: Any,
        *,
        spectrum: Spectrum | None = None,
        source: Mapping[str, Any] | None = None,
    ) -> Mixture:
        """A mixture that is known.

        Args:
          weights: [K], with sum 1. means: [K, d].
          covariances: [K, d, d], or [K, d] for diagonal ones.
          spectrum: of the whole; by default its covariance is decomposed.

        Raises:
          ValueError: for other shapes, weights that are no probabilities, and matrices that are
            not symmetric or have negative eigenvalues.

        Example:
          >>> prior = Mixture.from_covariances([0.5, 0.5], [[-1.0], [1.0]], [[0.0], [0.0]])
          >>> prior(np.array([[0.5]]), 1.0, 1.0).round(4)  # tanh(0.5)
          array([[0.4621]])
        """
        weights, means, covariances = checked(weights, means, covariances)
        values, vectors = decomposed(covariances)
        if spectrum is None:
            spectrum = whole_spectrum(weights, means, covariances)
        return cls(weights, means, values, vectors, spectrum, source=dict(source or {}))

    @classmethod
    def from_samples(
        cls,
        x: Any,
        components: int | None = None,
        *,
        covariance: str | None = None,
        floor: float = FLOOR,
        held_out: float = 0.5,
        seed: int = 0,
        data_range: tuple[float, float] | None = None,
        source: Mapping[str, Any] | None = None,
    ) -> Mixture:
        """By scikit-learn's ``GaussianMixture``, in eigenbasis coordinates.

        Args:
          x: [N, ...] or batches, in the network's units.
          components: K; None tries 1, 2, 4, ... until the likelihood of the held-out part falls
            (of half of all where nothing is kept aside). Both parts get the same number.
          covariance: "full", or "diagonal" in the eigenbasis; by default full up to d = 256.
          floor: added to the variances of each component, as a share of the mean eigenvalue.
          held_out: the fraction kept aside, of which ``.held_out`` is made; 0 gives None.
          seed: of the split and of the starting points.
          data_range: (low, high) of the samples, mapped to [-1, 1].

        Raises:
          ValueError: for what :meth:`Spectrum.from_samples` refuses, parts below two samples,
            more components than samples.
        """
        if components is not None:
            checks.whole_number("components", components)
        if covariance is not None:
            checks.one_of("covariance", covariance, ("full", "diagonal"))
        floor = checks.positive("floor", floor)
        parts = parts_of(x, held_out=held_out, seed=seed, data_range=data_range, source=source)
        if covariance is None:
            small = np.prod(parts.training.shape[1:]) <= FULL_DIMENSION
            covariance = "full" if small else "diagonal"
        if components is None:
            components = _chosen(parts, covariance, floor, seed)
        aside = None
        how = (components, covariance, floor, seed)
        if parts.held_out is not None:
            aside = cls._of(parts.held_out, *how, parts.about("held out"))
        return cls._of(parts.training, *how, parts.about(parts.of_training), aside, parts.held_out)

    @classmethod
    def _of(
        cls,
        x: np.ndarray,
        components: int,
        covariance: str,
        floor: float,
        seed: int,
        about: dict[str, Any],
        held_out: Mixture | None = None,
        judges: np.ndarray | None = None,
    ) -> Mixture:
        spectrum, least = _coordinates(x, floor, about)
        model = fit_mixture(spectrum.project(x), components, covariance, least, seed)
        about = {**about, "components": components, "covariance": covariance, "floor": floor,
                 "converged": bool(model.converged_)}  # fmt: skip
        if judges is not None:
            about["held_out_log_likelihood"] = float(model.score(spectrum.project(judges)))
        values, vectors = decomposed(model.covariances_)
        values = np.maximum(values, least)  # it is their least, but for rounding
        return cls(
            model.weights_, model.means_, values, vectors, spectrum, spectrum, held_out, about
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """``(d,)``."""
        return (int(self.means.shape[-1]),)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the numbers."""
        arrays = (self.weights, self.means, self.eigenvalues)
        return fingerprint_of(self.kind, (*arrays, *jax.tree.leaves(self.vectors)))

    @follows_the_rule
    def __call__(self, x: Array, alpha: Array, sigma: Array) -> Array:
        """``E[x0 | x]`` of x [..., d]; alpha and sigma are []."""
        y, s = scaled(x, alpha, sigma)
        z, signal, inverse, logits = self._terms(y, s)
        share = jax.nn.softmax(logits, axis=-1)
        moved = share[..., None] * signal * inverse * z
        lifted = self._sum("...ke,kde->...d", moved) if self.vectors is not None else moved.sum(-2)
        mean = jnp.matmul(share, own(self.means, y), precision=jax.lax.Precision.HIGHEST)
        return (mean + lifted).astype(jnp.asarray(x).dtype)

    @follows_the_rule
    def log_density(self, x: Array, s: Array = 0.0) -> Array:  # type: ignore[assignment]
        """``log p_s(x)`` [...] of x [..., d], data with noise of standard deviation s.

        Directions in which a component has no variance are left out of its density.
        """
        y, s = scaled(x, 1.0, s)  # type: ignore[arg-type]
        return jax.nn.logsumexp(self._terms(y, s)[-1], axis=-1)

    def _terms(self, y: Array, s: Array) -> tuple[Array, Array, Array, Array]:
        """``U^T (y - m)`` [..., K, d], ``e`` and ``1 / (e + s^2)`` [K, d], log w N [..., K]."""
        z = y[..., None, :] - own(self.means, y)
        if self.vectors is not None:
            z = self._sum("...kd,kde->...ke", z)
        signal = own(self.eigenvalues, y)
        total = signal + s**2
        known = total > 0
        safe = jnp.where(known, total, 1)
        inverse = jnp.where(known, 1 / safe, 0)
        volume = jnp.where(known, jnp.log(safe) + LOG_TWO_PI, 0).sum(-1)
        log_weights = jnp.log(own(self.weights, y))
        return z, signal, inverse, log_weights - ((z**2 * inverse).sum(-1) + volume) / 2

    def _sum(self, subscripts: str, z: Array) -> Array:
        assert self.vectors is not None
        vectors = own(self.vectors, z)
        return jnp.einsum(subscripts, z, vectors, precision=jax.lax.Precision.HIGHEST)

    def project(self, x: Array) -> Array:
        """Samples [..., *shape of the data] to coordinates [..., d]."""
        return x if self.coordinates is None else self.coordinates.project(x)

    def lift(self, c: Array) -> Array:
        """Coordinates [..., d] to samples."""
        return c if self.coordinates is None else self.coordinates.lift(c)


def _coordinates(
    x: np.ndarray, floor: float, about: dict[str, Any] | None = None
) -> tuple[Spectrum, float]:
    """The spectrum of samples and the floor in its units."""
    spectrum = Spectrum.from_samples(x, source=about)
    return spectrum, floor * float(np.mean(spectrum.eigenvalues))


def _chosen(parts: Parts, covariance: str, floor: float, seed: int) -> int:
    fitted, judges = parts.judged()
    spectrum, least = _coordinates(fitted, floor)
    c, others = (np.asarray(spectrum.project(x), np.float64) for x in (fitted, judges))
    return choose_components(c, others, covariance, least, seed)
