"""The Gaussian mixture: posterior means in closed form, component by component."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, follows_the_rule, value
from specjax._core.checks import UserError
from specjax._core.shown import Brief
from specjax.priors.prior import as_jax, fingerprint_of, inverse_and_volume, per_alpha
from specjax.priors.split import Split, split_samples
from specjax.spectra.spectrum import Spectrum

FULL_DIMENSION = 256
"""Beyond it components are diagonal in the data's eigenbasis, unless full ones are asked for."""

FLOOR = 1e-3
"""Added to the variances of each component, as a share of the mean eigenvalue."""

COMPONENTS = (1, 2, 4, 8, 16, 32)
"""Numbers of components that are tried in turn, until held-out likelihood falls."""

MIN_SAMPLES_PER_COMPONENT = 5
"""The fewest samples for each component that is tried."""

MAX_EM_STEPS = 200


@value(
    data=["weights", "means", "eigenvalues", "vectors", "spectrum", "coordinates", "held_out"],
    provenance=["source"],
)
@dataclass(frozen=True, eq=False, repr=False)
class Mixture(Brief):
    """``sum_k w_k N(m_k, U_k diag(e_k) U_k^T)`` on coordinates [..., d].

    ``E[x0 | y] = sum_k r_k (m_k + U_k (e_k / (e_k + s^2)) U_k^T (y - m_k))`` with the
    responsibilities ``r_k`` of ``w_k N(y; m_k, C_k + s^2)``.

    :meth:`from_samples` works in the eigenbasis coordinates of ``spectrum``,
    :meth:`from_covariances` in those in which it is given.

    Attributes:
      weights: [K].
      means: [K, d].
      eigenvalues: [K, d], of each covariance.
      vectors: [K, d, d], eigenvectors as columns; None for diagonal covariances.
      spectrum: of all components together.
      coordinates: the spectrum whose basis leads from the data's own space to the coordinates; None
        if they are the same.
      held_out: the same of data kept aside.
      source: provenance.
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
        """Make a mixture of known components.

        Args:
          weights: [K], with sum 1.
          means: [K, d].
          covariances: [K, d, d], or [K, d] for diagonal ones.
          spectrum: of the whole; by default its covariance is decomposed.
          source: provenance.

        Raises:
          UserError: for other shapes, weights that are no probabilities, and matrices that are
            not symmetric or have negative eigenvalues.

        Example:
          >>> prior = Mixture.from_covariances([0.5, 0.5], [[-1.0], [1.0]], [[0.0], [0.0]])
          >>> prior(np.array([[0.5]]), 1.0, 1.0).round(4)  # tanh(0.5)
          array([[0.4621]])
        """
        weights, means, covariances = _checked_components(weights, means, covariances)
        values, vectors = _eigendecompose(covariances)
        if spectrum is None:
            spectrum = _total_spectrum(weights, means, covariances)
        return cls(weights, means, values, vectors, spectrum, source=dict(source or {}))

    @classmethod
    def from_samples(
        cls,
        x: Any,
        components: int | None = None,
        *,
        covariance: str | None = None,
        floor: float = FLOOR,
        seed: int = 0,
        **split: Any,
    ) -> Mixture:
        """Fit a mixture by scikit-learn's ``GaussianMixture``, in eigenbasis coordinates.

        Args:
          x: as ``data`` in :func:`prior_of`.
          split: its held_out, data_range, source.
          components: K; None tries :data:`COMPONENTS` until the likelihood of the held-out part
            falls (of half of all where nothing is held out). Both parts get the same number.
          covariance: "full", or "diagonal" in the eigenbasis; by default full up to d = 256.
          floor: added to the variances of each component, as a share of the mean eigenvalue.
          seed: of the split and of the starting points.

        Raises:
          UserError: for what :func:`prior_of` and :meth:`Spectrum.from_samples` refuse, and more
            components than samples.
        """
        if components is not None:
            checks.whole_number("components", components)
        if covariance is not None:
            checks.one_of("covariance", covariance, ("full", "diagonal"))
        floor = checks.positive("floor", floor)
        parts = split_samples(x, seed=seed, **split)
        if covariance is None:
            small = np.prod(parts.training.shape[1:]) <= FULL_DIMENSION
            covariance = "full" if small else "diagonal"
        if components is None:
            components = _select_components(parts, covariance, floor, seed)
        how = (components, covariance, floor)

        def fit(samples: np.ndarray, about: dict[str, Any], held_out: Mixture | None) -> Mixture:
            spectrum = Spectrum.from_samples(samples, source=about)
            model, least = _fit_mixture(spectrum, samples, *how, seed)
            about |= {"components": how[0], "covariance": how[1], "floor": floor}
            about["converged"] = bool(model.converged_)
            if held_out is not None and parts.held_out is not None:
                score = model.score(spectrum.project(parts.held_out))
                about["held_out_log_likelihood"] = float(score)
            values, vectors = _eigendecompose(model.covariances_)
            values = np.maximum(values, least)  # smaller ones are rounding
            return cls(
                model.weights_, model.means_, values, vectors, spectrum, spectrum, held_out, about
            )

        return parts.fit(fit)

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
        """Return ``E[x0 | x]`` of x [..., d]; alpha and sigma are []."""
        y, s = per_alpha(x, alpha, sigma)
        z, gain, logits = self._terms(y, s)
        share = jax.nn.softmax(logits, axis=-1)
        moved = share[..., None] * gain * z
        lifted = moved.sum(-2) if self.vectors is None else self._turn("...ke,kde->...d", moved)
        mean = jnp.matmul(share, as_jax(self.means, y), precision=jax.lax.Precision.HIGHEST)
        return (mean + lifted).astype(jnp.asarray(x).dtype)

    @follows_the_rule
    def log_density(self, x: Array, s: Array = 0.0) -> Array:  # type: ignore[assignment]
        """Return ``log p_s(x)`` [...] of x [..., d], data with noise of standard deviation ``s``.

        Directions in which a component has no variance are left out of its density.
        """
        y, s = per_alpha(x, 1.0, s)  # type: ignore[arg-type]
        return jax.nn.logsumexp(self._terms(y, s)[-1], axis=-1)

    def _terms(self, y: Array, s: Array) -> tuple[Array, Array, Array]:
        """``U^T (y - m)`` [..., K, d], ``e / (e + s^2)`` [K, d] and ``log w N`` [..., K]."""
        z = y[..., None, :] - as_jax(self.means, y)
        if self.vectors is not None:
            z = self._turn("...kd,kde->...ke", z)
        signal = as_jax(self.eigenvalues, y)
        inverse, volume = inverse_and_volume(signal + s**2)
        log_weights = jnp.log(as_jax(self.weights, y))
        return z, signal * inverse, log_weights - ((z**2 * inverse).sum(-1) + volume) / 2

    def _turn(self, subscripts: str, z: Array) -> Array:
        """Turn each component's coordinates into or out of its eigenbasis."""
        assert self.vectors is not None
        vectors = as_jax(self.vectors, z)
        return jnp.einsum(subscripts, z, vectors, precision=jax.lax.Precision.HIGHEST)

    def project(self, x: Array) -> Array:
        """Map samples ``x`` [..., *shape of the data] to coordinates [..., d]."""
        return x if self.coordinates is None else self.coordinates.project(x)

    def lift(self, c: Array) -> Array:
        """Map coordinates ``c`` [..., d] to samples."""
        return c if self.coordinates is None else self.coordinates.lift(c)


def _fit_mixture(
    spectrum: Spectrum, samples: np.ndarray, components: int, covariance: str, floor: float,
    seed: int,
) -> tuple[Any, float]:  # fmt: skip
    """Return scikit-learn's model of the coefficients of samples, and the least variance."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    if components > len(samples):
        raise UserError(f"components = {components}: give at most the {len(samples)} samples")
    least = floor * float(np.mean(spectrum.eigenvalues))
    model = GaussianMixture(
        components, covariance_type="full" if covariance == "full" else "diag",
        reg_covar=least, random_state=seed, max_iter=MAX_EM_STEPS,
    )  # fmt: skip
    # In many small products threads only wait for each other: on digits, two cores, they are 25
    # times slower. Whether it converged is in converged_, so the warning is not needed.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(np.asarray(spectrum.project(samples), np.float64)), least


def _select_components(split: Split, covariance: str, floor: float, seed: int) -> int:
    """Return the number of components that makes samples not fitted most likely."""
    fitted, validation = split.for_selection()
    spectrum = Spectrum.from_samples(fitted)
    held_out = np.asarray(spectrum.project(validation), np.float64)
    best, best_score = COMPONENTS[0], -np.inf
    for components in COMPONENTS:
        if components > 1 and components * MIN_SAMPLES_PER_COMPONENT > len(fitted):
            break
        model, _ = _fit_mixture(spectrum, fitted, components, covariance, floor, seed)
        score = model.score(held_out)
        if score < best_score:
            break
        best, best_score = components, score
    return best


def _checked_components(
    weights: Any, means: Any, covariances: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the numbers of a mixture as float64 arrays, once their shapes are checked."""
    weights, means, covariances = (
        np.asarray(given, np.float64) for given in (weights, means, covariances)
    )
    if means.ndim != 2 or weights.shape != means.shape[:1] or not means.size:
        raise UserError(
            f"means has shape {means.shape} and weights {weights.shape}: give [K, d] and [K]"
        )
    k, d = means.shape
    if covariances.shape not in ((k, d), (k, d, d)):
        raise UserError(
            f"covariances has shape {covariances.shape}: give {(k, d, d)}, or {(k, d)} for "
            "diagonal ones"
        )
    for name, array in (("means", means), ("covariances", covariances)):
        if not np.isfinite(array).all():
            raise UserError(f"{name} has NaN or infinite values")
    check_probabilities("weights", weights)
    return weights, means, covariances


def check_probabilities(name: str, given: np.ndarray | None) -> None:
    """Refuse probabilities below zero or with another sum than one; None stands for tracers."""
    if given is not None and not ((given >= 0).all() and abs(given.sum() - 1) < 1e-5):
        raise UserError(f"{name} = {given.tolist()}: give numbers of at least 0 with sum 1")


def _eigendecompose(covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return eigenvalues [K, d] and vectors [K, d, d], None for diagonal covariances."""
    values, vectors = covariances, None
    if covariances.ndim == 3:
        scale = np.abs(covariances).max()
        if np.abs(covariances - covariances.swapaxes(1, 2)).max() > 1e-6 * scale:
            raise UserError("covariances are not symmetric")
        values, vectors = np.linalg.eigh(covariances)
    if values.min() < -1e-6 * np.abs(values).max():
        raise UserError(f"covariances have a negative eigenvalue, {values.min():.3g}")
    return np.maximum(values, 0.0), vectors


def _total_spectrum(weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> Spectrum:
    """Return the spectrum of all components together."""
    if covariances.ndim == 2:
        covariances = covariances[:, :, None] * np.eye(covariances.shape[1])
    mean = weights @ means
    between = (weights[:, None] * (means - mean)).T @ (means - mean)
    return Spectrum.from_covariance(np.tensordot(weights, covariances, 1) + between, mean)
