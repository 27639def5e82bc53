"""The spectrum of a dataset: all that a Gaussian model knows of the data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, as_float_array, concrete, namespace, value
from specjax._core.checks import UserError
from specjax._core.progress import shows_progress
from specjax._core.shown import Shown
from specjax.spectra import estimate
from specjax.spectra.basis import Basis, DenseBasis
from specjax.spectra.bootstrap import Intervals
from specjax.spectra.gram import few_or_all, gram_spectrum
from specjax.spectra.low_rank import low_rank
from specjax.spectra.moments import Moments
from specjax.spectra.quadrature import nodes_of
from specjax.spectra.stationary import grid_axes, shift_invariant

if TYPE_CHECKING:
    from jax.sharding import Mesh


class Whitening(NamedTuple):
    """The forward noise whose standard deviations are the unit of a spectrum's coefficients.

    Attributes:
      noise: the :class:`specjax.NoiseSpectrum`.
      variance: [d], its variance in each direction of the spectrum.
    """

    noise: Any
    variance: Array


@value(
    data=["eigenvalues", "mean", "weights", "mean_weights", "basis", "whitening", "intervals"],
    provenance=["source"],
)
@dataclass(frozen=True, eq=False, repr=False)
class Spectrum(Shown):
    """Eigenvalues of the data's covariance and the mean in its eigenbasis.

    Args:
      eigenvalues: [d], variances in the units that the network sees (squared), not negative.
      mean: [d], coefficients of the mean in the eigenbasis; zero by default.
      weights: [d], how much each eigenvalue counts in a loss; one by default.
      mean_weights: [d], how much an error of the mean counts; ``weights`` by default.
      basis: map from samples to coefficients, or None.
      whitening: forward noise in whose units the coefficients are, see :func:`specjax.effective`;
        None for isotropic noise.
      intervals: confidence intervals of the eigenvalues, from :func:`specjax.bootstrap`.
      source: provenance (name, samples, ...), plain values.

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
        columns = {
            "eigenvalues": eigenvalues,
            "mean": xp.zeros_like(eigenvalues) if self.mean is None else self.mean,
            "weights": weights,
            "mean_weights": weights if self.mean_weights is None else self.mean_weights,
        }
        shapes = {}
        for name, column in columns.items():
            array = as_float_array(column)
            object.__setattr__(self, name, array)
            shapes[name] = array.shape
            _check_numbers(name, concrete(array))
        if self.intervals is not None:
            shapes["intervals"] = self.intervals.lower.shape
        for name, shape in shapes.items():
            if len(shape) != 1 or shape != eigenvalues.shape or not shape[0]:
                raise UserError(
                    f"{name} has shape {shape}: give one number for each of the eigenvalues, whose "
                    f"shape is {eigenvalues.shape}"
                )

    @classmethod
    @shows_progress("spectrum", "samples")
    def from_samples(
        cls,
        x: Any,
        *,
        method: str = "exact",
        data_range: tuple[float, float] | None = None,
        shrinkage: float | str = 0.0,
        spatial: int | None = None,
        layout: str | None = None,
        rank: int | None = None,
        power_iterations: int = 4,
        seed: int = 0,
        mesh: Mesh | None = None,
        precision: str | None = None,
        progress: estimate.Progress | Literal[False] | None = None,
        source: Mapping[str, Any] | None = None,
    ) -> Spectrum:
        """Estimate a spectrum from samples.

        Args:
          x: an array [N, ...] or an iterable of batches, in the network's units.
          method: "exact" (covariance over flattened samples, d up to some thousands; of fewer
            samples than dimensions the Gram matrix, any d),
            "shift-invariant" (averaged over shifts, by FFT; any d) or "low-rank" (the ``rank``
            largest eigenvalues and a power law beyond; any d, several passes).
          data_range: (low, high) of the samples, mapped to [-1, 1]; integers need it.
          shrinkage: weight of the scaled identity, or "ledoit-wolf" or "oas", which need all
            samples at once: batches are collected up to 1 GiB in float64.
          spatial: number of shifted axes of "shift-invariant", 1 to 3; by default all of [L] and
            [H, W], two of [H, W, C], three of [T, H, W, C].
          layout: what the axes are, a letter each: N first, C for channels, the others shifted,
            such as "NCHW" or "NTHWC". In place of ``spatial``.
          rank: number of eigenvalues of "low-rank".
          power_iterations: passes over the samples of "low-rank", less two.
          seed: seed of the random vectors of "low-rank".
          mesh: devices for "exact", see :meth:`Moments.from_samples`.
          precision: precision of their sums, see :meth:`Moments.from_samples`.
          progress: called with (samples read, total or None), in each pass.
          source: provenance, added to what the estimator notes.

        Raises:
          UserError: for fewer than two samples, NaN or infinite values, a constant dataset,
            integers without or outside their range, options of another method, batches that can
            be read only once where several passes are needed.
        """
        checks.one_of("method", method, _OPTIONS)
        if layout is not None:
            source = {**(source or {}), "layout": layout}
        _check_options(method, spatial=spatial, rank=rank, mesh=mesh, precision=precision)
        known: dict[str, Any] = {"data_range": data_range}
        if shrinkage in estimate.SHRINKAGE_ESTIMATORS:
            x, data_range = estimate.collected(x, data_range), None
        weight = estimate.shrinkage_of(x, shrinkage)
        reading: dict[str, Any] = {"data_range": data_range, "progress": progress}
        if method == "exact" and mesh is None and precision is None:
            few, pieces = few_or_all(estimate.pieces(x, **reading, integers=True), data_range)
            if few is not None:
                facts = {"method": "exact", "precision": "float64", "samples": len(few)}
                return _of_few(few, weight, layout, {**known, **facts, **(source or {})})
            moments = Moments.from_pieces(pieces, data_range=data_range)
            _check_layout(layout, moments.shape)
            return cls.from_moments(moments, shrinkage=weight, source={**known, **(source or {})})
        if method == "exact":
            moments = Moments.from_samples(x, mesh=mesh, precision=precision, **reading)
            return cls.from_moments(moments, shrinkage=weight, source={**known, **(source or {})})
        if method == "low-rank":
            options: dict[str, Any] = {"power_iterations": power_iterations, "seed": seed}
            top = low_rank(x, rank or 0, **options, **reading)
            columns: dict[str, Any] = top.with_tail()
            facts = {**options, "samples": top.samples, "rank": rank, "dimension": top.dimension,
                     "change": top.change, "tail_variance": top.rest}  # fmt: skip
        else:
            eigenvalues, mean, basis, count = shift_invariant(
                x, spatial=spatial, layout=layout, **reading
            )
            columns = {"eigenvalues": eigenvalues, "mean": mean, "basis": basis}
            facts = {"samples": count}
        counts = columns.get("weights")
        columns["eigenvalues"] = estimate.shrunk(columns["eigenvalues"], weight, counts)
        known |= {"method": method, "shrinkage": weight, "precision": "float64", **facts}
        return cls(**columns, source={**known, **(source or {})})

    @classmethod
    def from_moments(
        cls,
        moments: Moments,
        *,
        shrinkage: float = 0.0,
        source: Mapping[str, Any] | None = None,
    ) -> Spectrum:
        """Diagonalise the covariance of moments, those of shards merged among them.

        Args:
          moments: moments of at least two samples.
          shrinkage: weight of the scaled identity.
          source: provenance, added to what is known of the moments.

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
        weight = estimate.shrinkage_of(None, shrinkage)
        eigenvalues, vectors = estimate.eigendecompose(moments.covariance)
        basis = DenseBasis(vectors, moments.shape)
        known = {"samples": moments.count, "method": "exact", "shrinkage": weight,
                 "precision": moments.precision, **(source or {})}  # fmt: skip
        eigenvalues = estimate.shrunk(eigenvalues, weight)
        return cls(eigenvalues, vectors.T @ moments.mean, basis=basis, source=known)

    @classmethod
    def from_covariance(cls, covariance: Any, mean: Any = None) -> Spectrum:
        """Diagonalise a covariance [d, d], with a mean [d] in the data's own space."""
        covariance = checks.unmasked("covariance", covariance)
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
        return cls(eigenvalues, vectors.T @ centre, basis=DenseBasis(vectors, shape))

    @classmethod
    def power_law(cls, dimension: int, exponent: float, scale: float = 1.0) -> Spectrum:
        """Make the spectrum ``lambda_k = scale k^-exponent`` for ``k = 1..dimension``."""
        checks.whole_number("dimension", dimension)
        checks.fits_in_memory("dimension", dimension, 64 * dimension)
        checks.positive("scale", scale)
        k = np.arange(1, dimension + 1, dtype=np.float64)
        source = {"name": "power law", "exponent": exponent, "scale": scale}
        with np.errstate(all="ignore"):  # eigenvalues that overflow are refused
            return cls(scale * k**-exponent, source=source)

    @property
    def dimension(self) -> int:
        """The number of eigenvalues: d, unless weights count how many each stands for."""
        return int(self.eigenvalues.shape[0])

    @property
    def noise(self) -> Any:
        """The forward noise (a :class:`specjax.NoiseSpectrum`) of the whitening, or None."""
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
        """The SHA-256 of the numbers (not of the basis), to tell spectra apart."""
        digest = hashlib.sha256(self.columns.astype("<f8").tobytes())
        if self.whitening is not None:
            digest.update(np.asarray(self.whitening.variance, "<f8").tobytes())
        return digest.hexdigest()

    @property
    def without_basis(self) -> Spectrum:
        """A copy without the arrays that map samples to coefficients."""
        return replace(self, basis=None, intervals=None)

    def floor(self, least: float) -> Spectrum:
        """Lift smaller eigenvalues to ``least``, a variance in units of the data."""
        checks.positive("floor", least)
        xp = namespace(self.eigenvalues)
        lowest = least if self.whitening is None else least / self.whitening.variance
        return replace(self, eigenvalues=xp.maximum(self.eigenvalues, lowest), intervals=None)

    def quadrature(self, nodes: int = 40) -> Spectrum:
        """Return a spectrum of about ``nodes`` eigenvalues on which smooth losses are the same.

        On 3,072 eigenvalues over seven decades W2 and KL agree to 5e-7 with 32 nodes. Runs on the
        host (:func:`specjax.spectra.quadrature.nodes_of`).

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
        """Return the coefficients [..., d] of samples ``x``; without a basis they are ``x``."""
        return x if self.basis is None else self.basis.project(x)

    def lift(self, coefficients: Array) -> Array:
        """Return the samples [..., *shape] of coefficients [..., d]."""
        return coefficients if self.basis is None else self.basis.lift(coefficients)


def _check_numbers(name: str, numbers: np.ndarray | None) -> None:
    if numbers is None:
        return
    if not checks.are_within(numbers, checks.MOST_SCALE):
        raise UserError(
            f"{name} has NaN or infinite values, or numbers beyond {checks.MOST_SCALE:g}"
        )
    if name == "mean":
        return
    if (numbers < 0).any():
        raise UserError(
            f"{name} has {int((numbers < 0).sum())} negative value(s), the least "
            f"{numbers.min():.3g}: variances and weights are not negative"
        )
    if numbers.size and not numbers.any() and name != "mean_weights":
        raise UserError(f"{name} are all zero: there is nothing to sample")


def _of_few(
    x: np.ndarray, shrinkage: float, layout: str | None, source: Mapping[str, Any]
) -> Spectrum:
    """Make the spectrum of fewer samples than dimensions."""
    _check_layout(layout, x.shape[1:])
    eigenvalues, mean, basis = gram_spectrum(x)
    eigenvalues = estimate.shrunk(eigenvalues, shrinkage)
    return Spectrum(eigenvalues, mean, basis=basis, source={"shrinkage": shrinkage, **source})


def _check_layout(layout: str | None, shape: tuple[int, ...]) -> None:
    if layout is not None:
        grid_axes(shape, layout=layout)


_OPTIONS = {"exact": ("mesh", "precision"), "shift-invariant": ("spatial",), "low-rank": ("rank",)}


def _check_options(method: str, **given: Any) -> None:
    """Refuse options of another method, and a low rank without its rank."""
    for name, option in given.items():
        if option is not None and name not in _OPTIONS[method]:
            other = next(key for key, names in _OPTIONS.items() if name in names)
            raise UserError(
                f"{name} is an option of method = {other!r}: leave it out for {method!r}"
            )
    if method == "low-rank" and given["rank"] is None:
        raise UserError("method = 'low-rank' needs rank, how many eigenvalues to find")
