"""Measurements that are diagonal nowhere: exact matrices for up to some hundred dimensions.

A sampler of Gaussian data is an affine map of its noise and of y. Its matrices are what the sampler
itself, as it is run with any denoiser, makes of unit vectors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.restoration.measure import Measurement
from specjax.restoration.methods import Method
from specjax.restoration.steered import steered
from specjax.sampling.denoisers import wiener
from specjax.sampling.sample import first_registers, scan_rows
from specjax.sampling.step import SamplerPlan
from specjax.spectra.spectrum import Spectrum


@dataclass(frozen=True, eq=False)
class DenseTransfer:
    """A Gaussian given y [m]: of mean ``offset + gain y`` and a covariance, over flat samples.

    Attributes:
      offset: [d]. gain: [d, m]. covariance: [d, d].
    """

    offset: np.ndarray
    gain: np.ndarray
    covariance: np.ndarray


def dense_posterior(spectrum: Spectrum, measurement: Measurement) -> DenseTransfer:
    """Compute the posterior of Gaussian data given any measurement."""
    shape, mean, sigma = _problem(spectrum, measurement)
    h = _matrix(measurement, shape)
    total = h @ sigma @ h.T + float(measurement.sigma) ** 2 * np.eye(len(h))
    gain = np.linalg.lstsq(total, h @ sigma, rcond=None)[0].T
    return DenseTransfer(mean - gain @ (h @ mean), gain, sigma - gain @ h @ sigma)


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
    shape, _, _ = _problem(spectrum, measurement)
    if plan.steer is None:
        raise UserError("plan has no steer: give one by specjax.fit_posterior or steered_plan")
    with jax.enable_x64(True):
        measured = measurement.forward(jnp.zeros((1, *shape)))
        d, m = math.prod(shape), measured.size
        pushed = plan.calls * d if plan.stochastic else 0
        n = 1 + d + m + pushed
        checks.fits_in_memory("spectrum", spectrum, 8.0 * n * d * (plan.registers + 4))
        units = np.eye(n)
        start = units[:, 1 : 1 + d].reshape(n, *shape)
        y = jnp.asarray(units[:, 1 + d : 1 + d + m].reshape(n, *measured.shape[1:]))

        def noise(k: jax.Array) -> jax.Array:
            place = jnp.arange(n)[:, None] - (1 + d + m) - k * d
            return (place == jnp.arange(d)).astype(float).reshape(n, *shape)

        by = steered(wiener(spectrum), measurement, method, spectrum=spectrum)

        def denoise(x: Any, alpha: Any, sigma: Any) -> Any:
            return by(x, alpha, sigma, y)

        rows = jax.tree.map(lambda x: jnp.asarray(x, float), plan.rows)
        first = first_registers(jnp.asarray(plan.start * start), plan.registers)
        last = scan_rows(denoise, first, rows, noise if pushed else None)
        found = np.asarray(last[0]).reshape(n, d)
    columns = found[1:] - found[0]
    spread = np.concatenate([columns[:d], columns[d + m :]])
    return DenseTransfer(found[0], columns[d : d + m].T, spread.T @ spread)


def dense_parts(
    made: DenseTransfer, spectrum: Spectrum, measurement: Measurement
) -> dict[str, float]:
    """Compute the losses "w2", "spread", "fidelity" and "mse", averaged over y."""
    shape, mean, sigma = _problem(spectrum, measurement)
    h, target = _matrix(measurement, shape), dense_posterior(spectrum, measurement)
    total = h @ sigma @ h.T + float(measurement.sigma) ** 2 * np.eye(len(h))
    missed = made.gain - target.gain
    of_mean = made.offset - target.offset + missed @ (h @ mean)
    fidelity = float(np.einsum("ij,jk,ik->", missed, total, missed) + of_mean @ of_mean)
    root = _root(target.covariance)
    both = np.trace(made.covariance) + np.trace(target.covariance)
    spread = float(both - 2 * np.trace(_root(root @ made.covariance @ root)))
    return {"w2": spread + fidelity, "spread": spread, "fidelity": fidelity,
            "mse": float(both) + fidelity}  # fmt: skip


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def _problem(
    spectrum: Spectrum, measurement: Measurement
) -> tuple[tuple[int, ...], np.ndarray, np.ndarray]:
    """Return the shape of a sample, and the mean [d] and covariance [d, d] of flat samples."""
    d = spectrum.dimension
    checks.fits_in_memory("spectrum", spectrum, 64.0 * d * d)
    shape = (d,) if spectrum.basis is None else spectrum.basis.shape
    if measurement.shape not in (None, shape):
        raise UserError(f"measurement is of shape {measurement.shape}, the spectrum of {shape}")
    lifted = np.asarray(spectrum.lift(np.eye(d))).reshape(d, -1)
    mean = np.asarray(spectrum.lift(np.asarray(spectrum.mean))).ravel()
    return shape, mean, (lifted.T * np.asarray(spectrum.eigenvalues)) @ lifted


def _matrix(measurement: Measurement, shape: tuple[int, ...]) -> np.ndarray:
    d = math.prod(shape)
    with jax.enable_x64(True):
        found = np.asarray(measurement.forward(np.eye(d).reshape(d, *shape)))
    return found.reshape(d, -1).T
