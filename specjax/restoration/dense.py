"""Measurements that are diagonal nowhere: exact matrices for up to some hundred dimensions.

A step of a sampler of Gaussian data is an affine map of its registers, of y and of the errors of
the denoiser. Its matrices are what the step itself, with the denoiser and the direction that
sampling uses, makes of unit vectors; those of a plan are their products. JAX differentiates all
of it, so that weights are learned on them as they are in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, namespace, value
from specjax._core.checks import UserError
from specjax._core.programs import program
from specjax.gaussian.modes import modes_of
from specjax.restoration.measurement import Damping, Measurement
from specjax.restoration.methods import Method, check_noise, method_of
from specjax.restoration.posterior import MeasuredModes
from specjax.restoration.steered import Steered
from specjax.sampling.denoisers import wiener
from specjax.sampling.step import SamplerPlan, advance
from specjax.spectra.basis import DenseBasis
from specjax.spectra.spectrum import Spectrum

MOST_DIMENSIONS = 256
"""Up to which :func:`specjax.fit_posterior` learns on matrices; time rises with their cube."""
_PROBES = 1024  # directions that are measured one by one; more are estimated by random signs


@value(data=["offset", "gain", "covariance", "error"])
@dataclass(frozen=True, eq=False)
class DenseTransfer:
    """A Gaussian given y [m]: of mean ``offset + gain y`` and a covariance, over flat samples.

    Attributes:
      offset: [d].
      gain: [d, m].
      covariance: [d, d].
      error: [d, d], what errors of the denoiser add up to, which is no part of the covariance;
        None without any.
    """

    offset: Array
    gain: Array
    covariance: Array
    error: Array | None = None


@value(data=["matrix", "values", "vectors", "sigma"], static=["shape"])
@dataclass(frozen=True, eq=False)
class MatrixMeasurement:
    """Any measurement, by its matrix: y is flat.

    Attributes:
      matrix: [m, d], H over flat samples.
      values: [m], the eigenvalues of ``H H^T``.
      vectors: [m, m], its eigenvectors.
      sigma: the standard deviation of the noise.
      shape: of a sample.
    """

    matrix: Array
    values: Array
    vectors: Array
    sigma: Any
    shape: tuple[int, ...]

    @property
    def name(self) -> str:
        """The name in tables."""
        return "matrix"

    def forward(self, x: Array) -> Array:
        """Return ``H x`` [n, m]."""
        return x.reshape(len(x), -1) @ self.matrix.T

    def adjoint(self, y: Array) -> Array:
        """Return ``H^T y``."""
        return (y @ self.matrix).reshape(-1, *self.shape)

    def solve(self, r: Array, c: Damping) -> Array:
        """Return ``(H H^T + c)^-1 r``; where both are 0 it is 0."""
        xp = namespace(r, self.values)
        total = self.values + c(self.values)
        inverse = xp.where(total > 0, 1 / xp.where(total > 0, total, 1), 0)
        return ((r @ self.vectors) * inverse) @ self.vectors.T

    def gains_on(self, spectrum: Spectrum) -> None:
        """Return None: it is diagonal nowhere."""
        return


@value(
    data=["spectrum", "measurement", "mean", "covariance", "posterior", "diagonal"],
    static=["shape"],
)
@dataclass(frozen=True, eq=False)
class MeasuredMatrices:
    """Gaussian data and any measurement of them, by matrices over flat samples.

    Attributes:
      spectrum: of the data, in a basis of real vectors.
      measurement: what is measured.
      mean: [d], of the data.
      covariance: [d, d], of the data.
      posterior: that of x0 given y.
      diagonal: the directions of the spectrum with the gains ``|H v|``, as if these were
        independent: units of weights and starts of learning.
      shape: of a sample.
    """

    spectrum: Spectrum
    measurement: MatrixMeasurement
    mean: Array
    covariance: Array
    posterior: DenseTransfer
    diagonal: MeasuredModes
    shape: tuple[int, ...]

    @property
    def matrix(self) -> Array:
        """H [m, d]."""
        return self.measurement.matrix

    @property
    def total(self) -> Array:
        """The covariance of y [m, m]."""
        noise = self.diagonal.sigma**2 * np.eye(len(self.matrix))
        return self.matrix @ self.covariance @ self.matrix.T + noise

    def parts(self, plan: SamplerPlan, method: Method) -> dict[str, Array]:
        """Compute the losses [] of RESTORATION_LOSSES; traceable."""
        found: dict[str, Array] = _parts(plan, self, method.knob, replace(method, knob=1.0))
        return found

    @property
    def least_mse(self) -> Array:
        """The trace of the posterior's covariance []."""
        return self.posterior.covariance.trace()


def measured_matrices(
    spectrum: Spectrum, measurement: Measurement, denoiser_error: float | None = None
) -> MeasuredMatrices:
    """Compute the matrices of Gaussian data and a measurement.

    Args:
      spectrum: d eigenvalues, with a basis or of coefficients.
      measurement: any.
      denoiser_error: see :func:`specjax.restoration.posterior.measured_modes`.

    Raises:
      UserError: for matrices that do not fit in memory, and a measurement of another shape.
    """
    d = spectrum.dimension
    checks.fits_in_memory("spectrum", spectrum, 64.0 * d * d)
    shape = shape_of(spectrum, measurement)
    lifted = np.asarray(spectrum.lift(np.eye(d))).reshape(d, -1)
    mean = np.asarray(spectrum.lift(np.asarray(spectrum.mean))).ravel()
    covariance = (lifted.T * np.asarray(spectrum.eigenvalues)) @ lifted
    with jax.enable_x64(True):
        measured = np.asarray(measurement.forward(np.eye(d).reshape(d, *shape)))
    h = measured.reshape(d, -1).T
    total = h @ covariance @ h.T + float(measurement.sigma) ** 2 * np.eye(len(h))
    gain = np.linalg.lstsq(total, h @ covariance, rcond=None)[0].T
    posterior = DenseTransfer(mean - gain @ (h @ mean), gain, covariance - gain @ h @ covariance)
    diagonal = surrogate_modes(spectrum, measurement, denoiser_error)
    basis = DenseBasis(np.ascontiguousarray(lifted.T), shape)
    real = replace(spectrum, basis=basis, source=None, intervals=None)
    values, vectors = np.linalg.eigh(h @ h.T)
    by = MatrixMeasurement(h, np.maximum(values, 0), vectors, float(measurement.sigma), shape)
    return MeasuredMatrices(real, by, mean, covariance, posterior, diagonal, shape)


def shape_of(spectrum: Spectrum, measurement: Measurement) -> tuple[int, ...]:
    """Return the shape of a sample.

    Raises:
      UserError: for a measurement of another.
    """
    shape = (spectrum.dimension,) if spectrum.basis is None else tuple(spectrum.basis.shape)
    if measurement.shape not in (None, shape):
        raise UserError(f"measurement is of shape {measurement.shape}, the spectrum of {shape}")
    return shape


def surrogate_modes(
    spectrum: Spectrum, measurement: Measurement, denoiser_error: float | None = None
) -> MeasuredModes:
    """Return the directions v of a spectrum with the gains ``|H v|``, as if they were independent.

    They are exact for up to 1,024 dimensions, and of more an estimate by 1,024 random signs.
    """
    d, shape = spectrum.dimension, shape_of(spectrum, measurement)
    probes = np.eye(d)
    if d > _PROBES:
        probes = np.random.default_rng(0).choice([-1.0, 1.0], (_PROBES, d))
    with jax.enable_x64(True):
        lifted = np.asarray(spectrum.lift(probes)).reshape(-1, *shape)
        if d > _PROBES:
            back = np.asarray(measurement.adjoint(measurement.forward(lifted)))
            squares = (probes * np.asarray(spectrum.project(back))).mean(0)
        else:
            squares = (np.asarray(measurement.forward(lifted)).reshape(d, -1) ** 2).sum(1)
    modes = modes_of(replace(spectrum, basis=None), denoiser_error=denoiser_error)
    return MeasuredModes(
        modes, np.sqrt(np.maximum(squares, 0)), np.asarray(float(measurement.sigma))
    )


class _Step(NamedTuple):
    """The maps of a step: of flat registers, y and errors, by rows, and the covariance of noise."""

    offset: jax.Array
    of_r: jax.Array
    of_y: jax.Array
    of_error: jax.Array
    noise: jax.Array


def _step(row: Any, matrices: MeasuredMatrices, method: Method) -> _Step:
    """Compute the matrices of one call: what it makes of unit vectors."""
    spectrum, d, m = matrices.spectrum, len(matrices.mean), len(matrices.matrix)
    registers, error = row.pull.shape[0], matrices.diagonal.modes.denoiser_error
    sizes = np.cumsum([1, registers * d, m, 0 if error is None else d])
    n = sizes[-1]
    parts = jnp.split(jnp.eye(n), sizes[:-1], 1)
    r = jnp.moveaxis(parts[1].reshape(n, registers, *matrices.shape), 1, 0)
    wrong: Any = 0.0
    if error is not None:
        lam = jnp.asarray(spectrum.eigenvalues)
        left = lam * row.sigma**2 / (row.alpha**2 * lam + row.sigma**2)
        wrong = spectrum.lift(parts[3] * jnp.sqrt(error * left)).reshape(r[0].shape)
    exact = wiener(spectrum)
    by = Steered(
        lambda x, alpha, sigma: exact(x, alpha, sigma) + wrong, matrices.measurement, method,
        spectrum, matrix=matrices.matrix,
    )  # fmt: skip
    estimate, g = by(r[0], row.alpha, row.sigma, parts[2])
    after = jnp.moveaxis(advance(r, row, estimate, None, g), 0, 1).reshape(n, registers * d)
    columns = jnp.split(after - after[0], sizes[:-1], 0)
    noise = jnp.kron(jnp.outer(row.push, row.push), jnp.eye(d))
    return _Step(after[0], columns[1], columns[2], columns[3], noise)


def _transfer(plan: SamplerPlan, matrices: MeasuredMatrices, method: Method) -> DenseTransfer:
    """Multiply the matrices of all calls; traceable."""
    d, m = len(matrices.mean), len(matrices.matrix)
    rows = jax.tree.map(lambda x: jnp.asarray(x, float), plan.rows)
    size = plan.registers * d

    def follow(state: Any, row: Any) -> tuple[Any, None]:
        of_v, of_y, offset, noise, error = state
        step = _step(row, matrices, method)
        back = step.of_r
        return (
            of_v @ back,
            of_y @ back + step.of_y,
            offset @ back + step.offset,
            back.T @ noise @ back + step.noise,
            back.T @ error @ back + step.of_error.T @ step.of_error,
        ), None

    start = plan.start * jnp.eye(d, size)
    nothing = jnp.zeros((size, size))
    first = (start, jnp.zeros((m, size)), jnp.zeros(size), nothing, nothing)
    of_v, of_y, offset, noise, error = jax.lax.scan(follow, first, rows)[0]
    covariance = of_v[:, :d].T @ of_v[:, :d] + noise[:d, :d]
    known = matrices.diagonal.modes.denoiser_error is not None
    return DenseTransfer(offset[:d], of_y[:, :d].T, covariance, error[:d, :d] if known else None)


def _losses(made: DenseTransfer, matrices: MeasuredMatrices) -> dict[str, Any]:
    """Compute the losses [] of what was made, averaged over y; traceable."""
    target, total = matrices.posterior, matrices.total
    seen = matrices.matrix @ matrices.mean
    missed = made.gain - target.gain
    of_mean = made.offset - target.offset + missed @ seen
    fidelity = jnp.einsum("ij,jk,ik->", missed, total, missed) + of_mean @ of_mean
    if made.error is not None:
        fidelity = fidelity + made.error.trace()
    spread = _bures(made.covariance, target.covariance)
    marginal = made.covariance + made.gain @ total @ made.gain.T
    of_all = made.offset + made.gain @ seen - matrices.mean
    return {
        "w2": spread + fidelity,
        "spread": spread,
        "fidelity": fidelity,
        "mse": made.covariance.trace() + target.covariance.trace() + fidelity,
        "perception": _bures(marginal, matrices.covariance) + of_all @ of_all,
    }


@program(static=("method",))
def _parts(plan: SamplerPlan, matrices: MeasuredMatrices, knob: Any, method: Method) -> Any:
    return _losses(_transfer(plan, matrices, replace(method, knob=knob)), matrices)


def _bures(a: Any, target: Any) -> jax.Array:
    """Return the squared W2 of centred Gaussians; the second is not differentiated."""
    values, vectors = jnp.linalg.eigh(jax.lax.stop_gradient(jnp.asarray(target)))
    root = (vectors * jnp.sqrt(jnp.maximum(values, 0))) @ vectors.T
    return a.trace() + target.trace() - 2 * _trace_of_root(root @ a @ root)


@jax.custom_vjp
def _trace_of_root(matrix: jax.Array) -> jax.Array:
    """Return the trace of the square root of a positive matrix; equal eigenvalues do no harm."""
    return _root_and_slope(matrix)[0]


def _root_and_slope(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    values, vectors = jnp.linalg.eigh((matrix + matrix.T) / 2)
    least = jnp.finfo(values.dtype).eps * jnp.maximum(values[-1], jnp.finfo(values.dtype).tiny)
    slope = (vectors / (2 * jnp.sqrt(jnp.maximum(values, least)))) @ vectors.T
    return jnp.sqrt(jnp.maximum(values, 0)).sum(), slope


_trace_of_root.defvjp(_root_and_slope, lambda slope, out: (out * slope,))


def dense_posterior(spectrum: Spectrum, measurement: Measurement) -> DenseTransfer:
    """Compute the posterior of Gaussian data given any measurement."""
    return measured_matrices(spectrum, measurement).posterior


@program(static=("method",))
def _transfer_program(plan: SamplerPlan, matrices: MeasuredMatrices, method: Method) -> Any:
    return _transfer(plan, matrices, method)


def dense_transfer(
    plan: SamplerPlan, spectrum: Spectrum, measurement: Measurement, method: str | Method
) -> DenseTransfer:
    """Compute what a posterior sampler makes of Gaussian data given any measurement.

    Args:
      plan: K rows with ``steer``.
      spectrum: d eigenvalues, with a basis or of coefficients.
      measurement: any.
      method: a name in METHODS, or such a method.

    Raises:
      UserError: for matrices that do not fit in memory, and as :func:`specjax.steered` does.
    """
    chosen = method_of(method)
    check_noise(chosen, measurement.sigma)
    if plan.steer is None:
        raise UserError("plan has no steer: give one by specjax.fit_posterior or steered_plan")
    matrices = measured_matrices(spectrum, measurement)
    d, m = len(matrices.mean), len(matrices.matrix)
    n = 1 + (1 + plan.registers) * d + m
    checks.fits_in_memory("spectrum", spectrum, 32.0 * n * d * plan.registers)
    found: DenseTransfer = _transfer_program(plan, matrices, chosen)
    return found


def dense_parts(
    made: DenseTransfer, spectrum: Spectrum, measurement: Measurement
) -> dict[str, float]:
    """Compute the losses of RESTORATION_LOSSES, averaged over y."""
    with jax.enable_x64(True):
        found = _losses(made, measured_matrices(spectrum, measurement))
    return {name: float(x) for name, x in found.items()}
