"""Posteriors of Gaussian data given a measurement, and what a posterior sampler produces: exactly.

Per direction, with x0 ~ N(mu, lambda), ``y = h x0 + n`` and ``t = h^2 lambda + sigma_y^2``, the
posterior is Gaussian::

    variance  P = lambda sigma_y^2 / t,     mean  m(y) = mu + K (y - h mu),    K = lambda h / t.

A plan with ``steer`` produces ``D1 v + D2 mu + D3 y + noise`` of variance V. Averaged over y ::

    E W2^2 = (sqrt V - sqrt P)^2 + (D3 - K)^2 t + ((1 - D2 - h D3) mu)^2,

the first part being the spread's, the rest the mean's (fidelity). The MSE is ``V + P`` plus
fidelity, and the marginal of outputs over y has the variance ``V + D3^2 t``, which perception
compares with lambda (2602.07715; Freirich et al., 2107.02555).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, namespace, value
from specjax._core.checks import UserError
from specjax.gaussian.modes import Modes, modes_of
from specjax.gaussian.transfer import Steering, Transfer, transfer_modes
from specjax.restoration.measurement import Measurement
from specjax.restoration.methods import Method
from specjax.sampling.step import SamplerPlan
from specjax.spectra.spectrum import Spectrum

RESTORATION_LOSSES = {
    "w2": "average squared 2-Wasserstein distance to the posterior: spread and fidelity",
    "spread": "its part by the standard deviations",
    "fidelity": "its part by the means",
    "mse": "mean squared error of samples",
    "perception": "squared 2-Wasserstein distance of all outputs to the data",
}
"""What posterior samplers are judged by, and may be learned for."""


@value(data=["modes", "gain", "sigma"])
@dataclass(frozen=True, eq=False)
class MeasuredModes:
    """Independent directions of the data, each measured with a gain and noise.

    Attributes:
      modes: eigenvalues, mean and weights [K].
      gain: [K], h.
      sigma: [], sigma_y.
    """

    modes: Modes
    gain: Array
    sigma: Array

    @property
    def total(self) -> Array:
        """The variance of y [K]."""
        return self.gain**2 * self.modes.eigenvalues + self.sigma**2

    @property
    def variance(self) -> Array:
        """The variance of the posterior [K]."""
        xp, total = namespace(self.gain, self.modes.eigenvalues), self.total
        share = self.sigma**2 / xp.where(total > 0, total, 1)
        return self.modes.eigenvalues * xp.where(total > 0, share, 1)

    @property
    def mean_slope(self) -> Array:
        """K [K], how the posterior's mean follows y."""
        xp, total = namespace(self.gain, self.modes.eigenvalues), self.total
        seen = xp.where(total > 0, total, 1)
        return xp.where(total > 0, self.modes.eigenvalues * self.gain / seen, 0)

    @property
    def diagonal(self) -> MeasuredModes:
        """The directions themselves."""
        return self

    @property
    def least_mse(self) -> Array:
        """The mean squared error of the posterior's mean []."""
        return (self.modes.weights * self.variance).sum()

    def parts(self, plan: SamplerPlan, method: Method) -> dict[str, Array]:
        """Compute the losses [] of RESTORATION_LOSSES; traceable."""
        return parts_of(transfer_measured(plan, self, method), self)


def measured_modes(
    spectrum: Spectrum, measurement: Measurement, denoiser_error: float | None = None
) -> MeasuredModes:
    """Return the directions of a spectrum with the gains of a measurement.

    Args:
      spectrum: d eigenvalues.
      measurement: one that is diagonal there.
      denoiser_error: the part of the posterior variance by which each answer of the denoiser is
        wrong, at random, see :func:`specjax.fit`; it counts as an error of the mean.

    Raises:
      UserError: where the measurement is not diagonal there, or the spectrum is under a noise.
    """
    if spectrum.whitening is not None:
        raise UserError("spectrum is under a noise: give that of the data")
    gain = measurement.gains_on(spectrum)
    if gain is None:
        raise UserError(
            f"measurement = {measurement.name}: it is not diagonal in the basis of the spectrum; "
            "estimate it with method = 'shift-invariant' for a blur, or use "
            "specjax.restoration.dense for up to some hundred dimensions"
        )
    modes = modes_of(replace(spectrum, basis=None), denoiser_error=denoiser_error)
    return MeasuredModes(modes, gain, np.asarray(float(measurement.sigma)))


def steering_of(plan: SamplerPlan, measured: MeasuredModes, method: Method) -> Steering:
    """Return what the directions of a method are per eigenvalue, at the calls of a plan."""
    lam, h = measured.modes.eigenvalues, measured.gain
    alpha, sigma = plan.alpha[:, None], plan.sigma[:, None]
    return Steering(h, method.response(lam, h, alpha, sigma, measured.sigma))


def transfer_measured(plan: SamplerPlan, measured: MeasuredModes, method: Method) -> Transfer:
    """Compute the transfer of a plan with ``steer``; traceable."""
    return transfer_modes(plan, measured.modes, steering_of(plan, measured, method))


def posterior_transfer(
    plan: SamplerPlan, spectrum: Spectrum, measurement: Measurement, method: str | Method
) -> Transfer:
    """Compute what a posterior sampler produces of Gaussian data.

    Args:
      plan: K rows with ``steer``.
      spectrum: d eigenvalues.
      measurement: one of ``specjax.measure`` that is diagonal in the basis of the spectrum.
      method: a name in METHODS, or such a method.

    Returns:
      A :class:`Transfer`: the output is ``gain v + mean_gain mu + measured_gain y + noise``.

    Raises:
      UserError: for a plan without ``steer``, an unknown method, a measurement that is not diagonal
        or without noise where the method divides by it.

    Example:
      >>> measured = sx.measure.noise(0.5)
      >>> result = sx.fit_posterior(sx.Spectrum([4.0, 1.0]), measured, 3, method="pigdm")
      >>> posterior_transfer(result.plan, sx.Spectrum([4.0, 1.0]), measured, "pigdm").std.shape
      (2,)
    """
    from specjax.restoration.methods import check_noise, method_of

    if plan.steer is None:
        raise UserError("plan has no steer: give one by specjax.fit_posterior or steered_plan")
    chosen = method_of(method)
    check_noise(chosen, measurement.sigma)
    return transfer_measured(plan, measured_modes(spectrum, measurement), chosen)


def parts_of(moments: Transfer, measured: MeasuredModes) -> dict[str, Array]:
    """Compute the losses [] of RESTORATION_LOSSES; traceable."""
    modes, total = measured.modes, measured.total
    xp = namespace(moments.variance, total)
    target, lam, w = measured.variance, modes.eigenvalues, modes.weights
    assert moments.measured_gain is not None
    missed = (moments.measured_gain - measured.mean_slope) ** 2 * total
    mean = (moments.mean_error**2 * modes.mean_power).sum()  # type: ignore[operator]
    spread = (w * (moments.std - xp.sqrt(target)) ** 2).sum()
    fidelity = (w * missed).sum() + mean
    if moments.error is not None:
        fidelity = fidelity + (w * moments.error).sum()
    marginal = moments.variance + moments.measured_gain**2 * total
    return {
        "w2": spread + fidelity,
        "spread": spread,
        "fidelity": fidelity,
        "mse": (w * (moments.variance + target)).sum() + fidelity,
        "perception": (w * (xp.sqrt(marginal) - xp.sqrt(lam)) ** 2).sum() + mean,
    }


def checked_loss(given: str | Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """Return the weights of losses by name.

    Raises:
      UserError: for an unknown name, or a weight that is not positive.
    """
    weights = {given: 1.0} if isinstance(given, str) else given
    if not isinstance(weights, Mapping) or not weights:
        raise UserError(f"loss = {given!r}: give a name, or weights by name")
    for name, weight in weights.items():
        checks.one_of("loss", name, RESTORATION_LOSSES)
        checks.positive(f"loss[{name!r}]", weight)
    return tuple((name, float(weight)) for name, weight in weights.items())


def perception_distortion(
    spectrum: Spectrum, measurement: Measurement, points: int = 20
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the least MSE at each distance from the data that estimators of x0 can have.

    ``D(p) = D_min + (sqrt p_max - sqrt p)^2``, where p is the squared 2-Wasserstein distance of the
    outputs to the data, and p_max that of the posterior's means (Freirich et al., 2107.02555,
    theorem 1).

    Args:
      spectrum: d eigenvalues.
      measurement: one that is diagonal in the basis of the spectrum.
      points: how many distances, from 0 to that of the means.

    Returns:
      perception [points] and MSE [points].
    """
    measured = measured_modes(spectrum, measurement)
    lam, w = (np.asarray(x) for x in (measured.modes.eigenvalues, measured.modes.weights))
    of_means = measured.mean_slope**2 * measured.total
    farthest = float((w * (np.sqrt(lam) - np.sqrt(of_means)) ** 2).sum())
    root = np.linspace(0, np.sqrt(farthest), checks.whole_number("points", points, 2))
    return root**2, (w * measured.variance).sum() + (np.sqrt(farthest) - root) ** 2
