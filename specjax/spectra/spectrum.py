"""The spectrum of a dataset: what a Gaussian model knows of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, as_float_array, concrete, namespace, value
from specjax._core.checks import UserError
from specjax.spectra import estimate
from specjax.spectra.basis import Basis, DenseBasis
from specjax.spectra.intervals import Intervals
from specjax.spectra.low_rank import low_rank, with_tail
from specjax.spectra.moments import Moments
from specjax.spectra.quadrature import nodes_of
from specjax.spectra.stationary import shift_invariant

if TYPE_CHECKING:
    from jax.sharding import Mesh


class Whitening(NamedTuple):
    """The forward noise whose standard deviations are the unit of a spectrum's coefficients.

    Attributes:
      noise: the :class:`specjax.NoiseSpectrum` itself.
      variance: [d], its variance in each direction of the spectrum.
    """

    noise: Any
    variance: Array


@value(
    data=["eigenvalues", "mean", "weights", "mean_weights", "basis", "whitening", "intervals"],
    provenance=["source"],
)
@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues of the data's covariance and the mean in its eigenbasis.

    Args:
      eigenvalues: [d], variances in the units that the network sees (squared), not negative.
      mean: [d], coefficients of the mean in the eigenbasis; zero by default.
      weights: [d], how much each eigenvalue counts in a loss; one by default.
      mean_weights: [d], the same for the error of the mean; ``weights`` by default.
      basis: maps samples to coefficients, or None.
      whitening: the forward noise in whose units the coefficients are, see
        :func:`specjax.effective`; None for isotropic noise.
      intervals: confidence intervals of the eigenvalues, from :func:`specjax.bootstrap`.
      source: where it comes from (name, samples, ...), plain values.

    Raises:
      UserError: for eigenvalues that are negative, not finite or all zero, or other shapes.

    Example:
      >>> Spectrum([4.0, 1.0]).dimension
      2
    """

    eigenvalues: Array
    mean: Array = None  # type: ignore[assignment]
    weights: Array = None  # type: ignore[assignment]
    mean_weights: Array = None  # type: ignore[assignment]
    basis: Basis | None = None
    whitening: Whitening | None = None
    intervals: Intervals | None = None
    source: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        eigenvalues = as_float_array(self.eigenvalues)
        xp = namespace(eigenvalues)
        weights = xp.ones_like(eigenvalues) if self.weights is None else self.weights
        filled = {
            "eigenvalues": eigenvalues,
            "mean": xp.zeros_like(eigenvalues) if self.mean is None else self.mean,
            "weights": weights,
            "mean_weights": weights if self.mean_weights is None else self.mean_weights,
        }
        for name, given in filled.items():
            array = as_float_array(given)
            object.__setattr__(self, name, array)
            if array.ndim != 1 or array.shape != eigenvalues.shape or not array.size:
                raise UserError(
                    f"{name} has shape {array.shape}: give one number for each of the "
                    f"eigenvalues, whose shape is {eigenvalues.shape}"
                )
            _check_numbers(name, concrete(array))
        if self.intervals is not None and self.intervals.lower.shape != eigenvalues.shape:
            raise UserError(
                f"intervals have shape {self.intervals.lower.shape}: give those of the "
                f"eigenvalues, whose shape is {eigenvalues.shape}"
            )

    @classmethod
    def from_samples(
        cls,
        x: Any,
        *,
        method: str = "exact",
        data_range: tuple[float, float] | None = None,
        shrinkage: float | str = 0.0,
        spatial: int | None = None,
        rank: int | None = None,
        power_iterations: int = 4,
        seed: int = 0,
        mesh: Mesh | None = None,
        precision: str | None = None,
        progress: estimate.Progress | None = None,
        source: Mapping[str, Any] | None = None,
    ) -> Spectrum:
        """Estimate from samples.

        Args:
          x: an array [N, ...] or an iterable of batches, in the network's units.
          method: "exact" (covariance over flattened samples, d up to some thousands),
            "shift-invariant" (averaged over shifts, by FFT; any d) or "low-rank" (the ``rank``
            largest eigenvalues and a power law beyond; any d, several passes).
          data_range: (low, high) of the samples, mapped to [-1, 1]; integers need it.
          shrinkage: weight of the scaled identity, or "ledoit-wolf" or "oas", which need all
            samples at once: batches are collected up to 1 GiB in float64.
          spatial: number of shifted axes, see :func:`shift.shift_invariant`.
          rank, power_iterations, seed: of "low-rank", see :func:`lowrank.low_rank`.
          mesh, precision: devices for "exact", see :meth:`Moments.from_samples`.
          progress: called with (samples read, total or None), in each pass.

        Returns:
          A spectrum with its basis. The covariance is the unbiased one (N - 1). "low-rank" has no
          basis, and eigenvalues whose weights are counts: the tail's are a power law, and what
          the mean has beyond the top is spread over it in proportion to the eigenvalues.
          ``source["precision"]`` says how the sums were made.

        Raises:
          UserError: for fewer than two samples, NaN or infinite values, a constant dataset,
            integers without or outside their range, options of another method, batches that can
            be read only once where several passes are needed.
        """
        checks.one_of("method", method, ("exact", "shift-invariant", "low-rank"))
        estimate.check_options(method, spatial=spatial, rank=rank, mesh=mesh, precision=precision)
        known: dict[str, Any] = {"data_range": data_range}
        if estimate.estimates_shrinkage(shrinkage):
            x, data_range = estimate.collected(x, data_range), None
        weight = estimate.shrinkage_of(x, shrinkage)
        reading: dict[str, Any] = {"data_range": data_range, "progress": progress}
        if method == "exact":
            moments = Moments.from_samples(x, mesh=mesh, precision=precision, **reading)
            return cls.from_moments(moments, shrinkage=weight, source={**known, **(source or {})})
        if method == "low-rank":
            options: dict[str, Any] = {"power_iterations": power_iterations, "seed": seed}
            made, facts = with_tail(low_rank(x, rank or 0, **options, **reading))
            facts = {**options, **facts}
        else:
            eigenvalues, mean, basis, count = shift_invariant(x, spatial=spatial, **reading)
            made = {"eigenvalues": eigenvalues, "mean": mean, "basis": basis}
            facts = {"samples": count}
        made["eigenvalues"] = _shrunk(made["eigenvalues"], weight, made.get("weights"))
        known |= {"method": method, "shrinkage": weight, "precision": "float64", **facts}
        return cls(**made, source={**known, **(source or {})})

    @classmethod
    def from_moments(
        cls,
        moments: Moments,
        *,
        shrinkage: float = 0.0,
        source: Mapping[str, Any] | None = None,
    ) -> Spectrum:
        """The eigendecomposition of the covariance of moments, of shards merged or of all.

        Args:
          moments: of at least two samples. shrinkage: weight of the scaled identity.

        Raises:
          UserError: for fewer than two samples, or samples that are all the same.

        Example:
          >>> x = np.random.default_rng(0).normal(size=(100, 3))
          >>> spectrum = Spectrum.from_moments(Moments.from_samples(x))
          >>> spectrum.fingerprint == Spectrum.from_samples(x).fingerprint
          True
        """
        if moments.count < 2:
            raise UserError(f"moments of {moments.count} sample(s): a covariance needs two")
        if isinstance(shrinkage, str):
            raise UserError(f"shrinkage = {shrinkage!r} needs samples: give a weight from 0 to 1")
        eigenvalues, vectors = estimate.eigendecompose(moments.covariance)
        weight = estimate.shrinkage_of(moments.mean, shrinkage)
        basis = DenseBasis(vectors, moments.shape)
        known = {"samples": moments.count, "method": "exact", "shrinkage": weight,
                 "precision": moments.precision, **(source or {})}  # fmt: skip
        return cls(
            _shrunk(eigenvalues, weight), vectors.T @ moments.mean, basis=basis, source=known
        )

    @classmethod
    def from_covariance(cls, covariance: Any, mean: Any = None) -> Spectrum:
        """From a covariance [d, d] and a mean [d] in the data's own space."""
        covariance = np.array(covariance, np.float64, order="C")
        if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1]:
            raise UserError(f"the covariance has shape {covariance.shape}: give a square matrix")
        scale = float(np.abs(covariance).max(initial=0.0))
        if np.abs(covariance - covariance.T).max(initial=0.0) > 1e-6 * scale:
            raise UserError("the covariance is not symmetric")
        shape = (len(covariance),)
        eigenvalues, vectors = estimate.eigendecompose(covariance)
        centre = np.zeros(shape) if mean is None else np.asarray(mean, np.float64)
        if centre.shape != shape:
            raise UserError(f"the mean has shape {centre.shape}: the covariance needs {shape}")
        coefficients = vectors.T @ centre
        return cls(eigenvalues, coefficients, basis=DenseBasis(vectors, shape))

    @classmethod
    def power_law(cls, dimension: int, exponent: float, scale: float = 1.0) -> Spectrum:
        """``lambda_k = scale k^-exponent``, k = 1..dimension."""
        checks.whole_number("dimension", dimension)
        checks.positive("scale", scale)
        k = np.arange(1, dimension + 1, dtype=np.float64)
        source = {"name": "power law", "exponent": exponent, "scale": scale}
        return cls(scale * k**-exponent, source=source)

    @property
    def dimension(self) -> int:
        """The number of eigenvalues: d, unless weights count how many each stands for."""
        return int(self.eigenvalues.shape[0])

    @property
    def noise(self) -> Any:
        """The forward noise (a :class:`specjax.NoiseSpectrum`) that it is under, or None."""
        return None if self.whitening is None else self.whitening.noise

    @property
    def mean_power(self) -> Array:
        """``mean_weights mean^2`` [d]: the weight of the squared relative error of the mean."""
        return self.mean_weights * self.mean**2

    @property
    def columns(self) -> np.ndarray:
        """Eigenvalues, mean, weights and mean_weights as one array [4, d] of float64."""
        parts = (self.eigenvalues, self.mean, self.weights, self.mean_weights)
        return np.stack([np.asarray(part, np.float64) for part in parts])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the numbers (not of the basis), to tell spectra apart."""
        digest = hashlib.sha256(self.columns.astype("<f8").tobytes())
        if self.whitening is not None:
            digest.update(np.asarray(self.whitening.variance, "<f8").tobytes())
        return digest.hexdigest()

    @property
    def without_basis(self) -> Spectrum:
        """The same eigenvalues, without the arrays that map samples to coefficients."""
        return replace(self, basis=None, intervals=None)

    def floor(self, least: float) -> Spectrum:
        """Lift smaller eigenvalues to ``least``, a variance in units of the data."""
        checks.positive("floor", least)
        xp = namespace(self.eigenvalues)
        lowest = least if self.whitening is None else least / self.whitening.variance
        return replace(self, eigenvalues=xp.maximum(self.eigenvalues, lowest), intervals=None)

    def quadrature(self, nodes: int = 40) -> Spectrum:
        """Return a spectrum of about ``nodes`` eigenvalues on which smooth losses are the same.

        One Gauss rule in log lambda for the weights, one of half as many nodes for the weighted
        squared mean; zero eigenvalues are kept exactly, as one. On 3,072 eigenvalues over seven
        decades W2 and KL agree to 5e-7 with 32 nodes. Runs on the host.

        Raises:
          UserError: under a noise, where the weights depend on the loss.

        Example:
          >>> Spectrum.power_law(1000, 2.0).quadrature(16).dimension
          16
        """
        checks.whole_number("nodes", nodes)
        if self.whitening is not None:
            raise UserError("the spectrum is under a noise: its weights depend on the loss")
        if self.dimension <= nodes:
            return self.without_basis
        xp, dtype = namespace(self.eigenvalues), self.eigenvalues.dtype
        rule = [xp.asarray(column, dtype) for column in nodes_of(self.columns, nodes)]
        return Spectrum(rule[0], rule[1], rule[2], rule[3], source=self.source)

    def project(self, x: Array) -> Array:
        """Samples [..., *shape] to coefficients [..., d]; samples [..., d] without a basis."""
        return x if self.basis is None else self.basis.project(x)

    def lift(self, coefficients: Array) -> Array:
        """Coefficients [..., d] to samples [..., *shape]."""
        return coefficients if self.basis is None else self.basis.lift(coefficients)


def _check_numbers(name: str, numbers: np.ndarray | None) -> None:
    if numbers is None:
        return
    if not np.isfinite(numbers).all():
        raise UserError(f"{name} has NaN or infinite values")
    if name == "mean":
        return
    if (numbers < 0).any():
        raise UserError(
            f"{name} has {int((numbers < 0).sum())} negative value(s), the least "
            f"{numbers.min():.3g}: variances and weights are not negative"
        )
    if not numbers.any() and name != "mean_weights":
        raise UserError(f"{name} are all zero: there is nothing to sample")


def _shrunk(eigenvalues: np.ndarray, weight: float, counts: np.ndarray | None = None) -> np.ndarray:
    if not eigenvalues.any():
        raise UserError("the dataset is constant: all its samples are the same")
    return (1 - weight) * eigenvalues + weight * np.average(eigenvalues, weights=counts)
