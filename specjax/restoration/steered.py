"""Posterior sampling with any denoiser: its estimate, and the direction to what was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, namespace, value
from specjax._core.checks import UserError
from specjax.restoration.measurement import Measurement
from specjax.restoration.methods import Method, check_noise, method_of
from specjax.sampling.black_box import is_black_box
from specjax.sampling.generate import generate
from specjax.spectra.spectrum import Spectrum

if TYPE_CHECKING:
    from specjax.restoration.fit import PosteriorResult

_MOST_CG, _CG_TOLERANCE = 100, 1e-6


@value(data=["denoise", "measurement", "spectrum", "gain", "matrix"], static=["method"])
@dataclass(frozen=True, eq=False)
class Steered:
    """A denoiser ``(x, alpha, sigma, y) -> (d, g)``, see :func:`steered`; a pytree if it is one.

    Attributes:
      denoise: ``(x, alpha, sigma, *more) -> x0``.
      measurement: H and its noise.
      method: that of the direction.
      spectrum: of the data, for methods of the spectrum; None for others.
      gain: [d], the measurement's in its directions; None where it is not diagonal there.
      matrix: [m, d], H over flat samples, where equations are solved exactly; None for conjugate
        gradients.
    """

    denoise: Callable[..., Any]
    measurement: Measurement
    method: Method
    spectrum: Spectrum | None = None
    gain: Array | None = None
    matrix: Array | None = None

    def __call__(self, x: Array, alpha: Array, sigma: Array, y: Any) -> tuple[Array, Array]:
        """Return the estimate and the direction [n, *shape] of samples x with measurements y.

        Args:
          x: [n, *shape].
          alpha, sigma: [], of the level.
          y: [n, ...], or (y, conditions) for a denoiser that has conditions.
        """
        seen, *more = y if isinstance(y, tuple) else (y,)

        def estimate(x: Array) -> Any:
            return self.denoise(x, alpha, sigma, *more)

        method, back = self.method, None
        if method.jacobian:
            d, back = jax.vjp(estimate, x)
        else:
            d = estimate(x)
        r = seen - self.measurement.forward(d)
        if method.of_spectrum:
            return d, self._of_spectrum(r, alpha, sigma).astype(d.dtype)
        if method.damping is not None:
            damping = method.damping_at(alpha, sigma, self.measurement.sigma)
            r = self.measurement.solve(r, damping)
        g = self.measurement.adjoint(r).astype(d.dtype)
        if method.through is None:
            return d, g
        scale = method.through(alpha, sigma)
        g = scale / alpha * back(g)[0] if back else scale / (alpha**2 + sigma**2) * g
        return d, g.astype(d.dtype)

    def _of_spectrum(self, r: Array, alpha: Array, sigma: Array) -> Array:
        """Return ``C H^T (H C H^T + sigma_y^2)^-1 r`` with the posterior covariance C of x0."""
        spectrum, measurement = self.spectrum, self.measurement
        assert spectrum is not None
        xp = namespace(r, alpha)
        lam = xp.asarray(spectrum.eigenvalues, r.dtype)
        covariance = lam * sigma**2 / (alpha**2 * lam + sigma**2)
        noise = measurement.sigma**2

        def times(by: Array, x: Array) -> Array:
            return spectrum.lift(by * spectrum.project(x))

        if self.gain is not None:
            gain = xp.asarray(self.gain, r.dtype)
            by = covariance / (gain**2 * covariance + noise)
            return times(by, measurement.adjoint(r))

        if self.matrix is not None:
            h, d = xp.asarray(self.matrix, r.dtype), len(covariance)
            lifted = spectrum.lift(xp.eye(d, dtype=r.dtype)).reshape(d, d)
            carried = (lifted.T * covariance) @ lifted @ h.T
            total = h @ carried + noise * xp.eye(len(h), dtype=r.dtype)
            g = xp.linalg.solve(total, r.reshape(len(r), -1).T).T @ carried.T
            return g.reshape(-1, *(spectrum.basis.shape if spectrum.basis else (d,)))

        def operator(v: Array) -> Array:
            return measurement.forward(times(covariance, measurement.adjoint(v))) + noise * v

        solved = jax.scipy.sparse.linalg.cg(
            operator, jnp.asarray(r), tol=_CG_TOLERANCE, maxiter=_MOST_CG
        )[0]
        return times(covariance, measurement.adjoint(solved))


def steered(
    denoise: Callable[..., Any], measurement: Measurement, method: str | Method, *,
    spectrum: Spectrum | None = None,
) -> Steered:  # fmt: skip
    """Make a denoiser answer its estimate and the direction to what was measured.

    Plans with ``steer`` take it; :func:`specjax.generate` gives it the measurements as
    ``conditions=y`` [n, ...], or (y, conditions) for a denoiser that has some itself.

    Args:
      denoise: ``(x, alpha, sigma) -> x0``, in JAX for methods that go through its Jacobian; a
        :class:`specjax.BlackBox` for others.
      measurement: one of ``specjax.measure``.
      method: a name in METHODS, or such a method.
      spectrum: of the data, for the method "gaussian".

    Raises:
      UserError: for an unknown method, one that divides by the noise of a measurement without, a
        black box under a method that goes through the Jacobian, and "gaussian" without a spectrum.

    Example:
      >>> measured, spectrum = sx.measure.noise(0.5), sx.Spectrum([4.0, 0.1])
      >>> result = sx.fit_posterior(spectrum, measured, 5, method="pigdm")
      >>> denoise = steered(sx.wiener(spectrum), measured, "pigdm")
      >>> sx.generate(result.plan, denoise, 2, (2,), conditions=np.ones((2, 2))).shape
      (2, 2)
    """
    chosen = method_of(method)
    check_noise(chosen, measurement.sigma)
    if chosen.jacobian and is_black_box(denoise):
        raise UserError(
            f"method {chosen.name!r} goes through the Jacobian, which a BlackBox has not: give "
            f"specjax.METHODS[{chosen.name!r}](jacobian=False), or diffpir"
        )
    if not chosen.of_spectrum:
        return Steered(denoise, measurement, chosen)
    if spectrum is None:
        raise UserError(f"method {chosen.name!r} needs spectrum, that of the data")
    return Steered(denoise, measurement, chosen, spectrum, measurement.gains_on(spectrum))


def measured_shape(measurement: Measurement, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the measurement of one sample of a shape."""
    sample = jax.ShapeDtypeStruct((1, *shape), np.float32)
    return tuple(jax.eval_shape(measurement.forward, sample).shape[1:])


def restore(
    result: PosteriorResult, denoise: Callable[..., Any], y: Any, *, seed: int = 0,
    conditions: Any = None, **options: Any,
) -> np.ndarray:  # fmt: skip
    """Draw a sample of the posterior for each measurement, with any denoiser.

    Args:
      result: a learned posterior sampler, which says what was measured and how.
      denoise: see :func:`steered`.
      y: [n, ...] measurements; repeat one for several samples of it.
      seed: of the noise.
      conditions: of the denoiser itself, a tree of arrays [n, ...].
      options: more keywords of :func:`specjax.generate`: batch, mesh, progress, dtype.

    Returns:
      [n, *shape].

    Raises:
      UserError: as :func:`steered` and :func:`specjax.generate` do, and for measurements of another
        shape or with NaN or infinite values.

    Example:
      >>> spectrum = sx.Spectrum([4.0, 0.1])
      >>> result = sx.fit_posterior(spectrum, sx.measure.noise(0.5), 5, method="pigdm")
      >>> restore(result, sx.wiener(spectrum), [[1.0, 2.0]]).shape
      (1, 2)
    """
    measurement, spectrum = result.measurement, result.problem.spectrum
    y = np.asarray(y, options.get("dtype", np.float32))
    if y.ndim < 2 or not np.isfinite(y).all():
        raise UserError("y: give measurements [n, ...] of finite numbers, one for each sample")
    shape = (spectrum.dimension,) if spectrum.basis is None else spectrum.basis.shape
    expected = measured_shape(measurement, shape)
    if y.shape[1:] != expected:
        raise UserError(f"y has shape {y.shape}: give measurements [n, {str(expected)[1:]}")
    checks.seed(seed)
    denoiser = steered(denoise, measurement, result.method, spectrum=spectrum)
    given = y if conditions is None else (y, conditions)
    return generate(result.plan, denoiser, len(y), shape, seed=seed, conditions=given, **options)
