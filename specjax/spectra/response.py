"""The linear response of a denoiser to each eigenvalue: Wiener's gain, or a measured one.

A linear denoiser is, per direction of the eigenbasis and with ``s = sigma / alpha``,

    ``x0 = gain x + offset mu + bias``,    ``alpha gain + offset = 1``.

The ideal denoiser has Wiener's gain and no bias. For another one (a trained network, linearised)
the *difference* to Wiener is known at some levels and interpolated between them, in units in which
it stays bounded at both ends: EDM's network answers ``F`` of unit scale, and its estimate is
``c_skip x / alpha + c_out F(c_in x / alpha)`` (2206.00364, eq. 7), so that

    ``alpha gain = lambda / (lambda + s^2) + c_in c_out excess(logsnr)``,
    ``bias = c_out bias_F(logsnr)``,
    ``c_in c_out = s sigma_d / (s^2 + sigma_d^2)``,   ``c_out = s sigma_d / sqrt(s^2 + sigma_d^2)``.

``excess`` and ``bias_F`` (errors of F's Jacobian and of F's mean) are cubic splines over logsnr,
held constant beyond the measured levels. So the gain goes to 1 for s -> 0 and to 0 for s -> inf,
and the bias vanishes for s -> 0, whatever was measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from specjax._core.arrays import Array, namespace, value


def wiener_slope(eigenvalues: Array, alpha: Array, sigma: Array) -> Array:
    """Return the gain of :func:`wiener_gain` [..., d] alone."""
    total = alpha**2 * eigenvalues + sigma**2
    return alpha * eigenvalues / namespace(total).where(total > 0, total, 1)


def wiener_gain(eigenvalues: Array, alpha: Array, sigma: Array) -> tuple[Array, Array]:
    """Return the coefficients of ``E[x0 | x] = gain x + offset mu`` per eigenvalue [..., d].

    ``gain = alpha lambda / (alpha^2 lambda + sigma^2)`` and
    ``offset = sigma^2 / (alpha^2 lambda + sigma^2)`` (2502.00180, eq. 10). Where both variances
    vanish the estimate is the mean.
    """
    total = alpha**2 * eigenvalues + sigma**2
    xp, known = namespace(total), total > 0
    offset = xp.where(known, sigma**2 / xp.where(known, total, 1), 1)
    return wiener_slope(eigenvalues, alpha, sigma), offset


def posterior_variance(eigenvalues: Array, alpha: Array, sigma: Array) -> Array:
    """Compute Wiener's error ``Var[x0 | x] = lambda sigma^2 / (alpha^2 lambda + sigma^2)``."""
    total = alpha**2 * eigenvalues + sigma**2
    return eigenvalues * sigma**2 / namespace(total).where(total > 0, total, 1)


@value(data=["eigenvalues", "scale", "logsnr", "values", "slopes"])
@dataclass(frozen=True, eq=False)
class Measured:
    """A linear denoiser that is known at some levels, see the module.

    Attributes:
      eigenvalues: [d], those of the Wiener gain to which the excess is added.
      scale: [], sigma_d.
      logsnr: [L], increasing.
      values: [L, 2, d], ``excess`` and ``bias_F``.
      slopes: [L, 2, d], their derivatives over logsnr.
    """

    eigenvalues: Array
    scale: Array
    logsnr: Array
    values: Array
    slopes: Array

    @classmethod
    def from_levels(
        cls, eigenvalues: np.ndarray, logsnr: np.ndarray, gain: np.ndarray, bias: np.ndarray
    ) -> Measured:
        """Interpolate a denoiser that was measured at levels.

        Args:
          eigenvalues: [d].
          logsnr: [L], increasing.
          gain: [L, d], of ``x / alpha`` (Wiener's is ``lambda / (lambda + s^2)``).
          bias: [L, d].
        """
        from scipy.interpolate import CubicSpline

        scale = np.sqrt(np.mean(eigenvalues))
        s = np.exp(-np.asarray(logsnr, np.float64) / 2)[:, None]
        c_out = s * scale / np.hypot(s, scale)
        wiener = eigenvalues / (eigenvalues + s**2)
        excess = (gain - wiener) * np.hypot(s, scale) / c_out
        values = np.stack([excess, bias / c_out], axis=1)
        # Flat at both ends, beyond which it is constant.
        spline = CubicSpline(logsnr, values, axis=0, bc_type="clamped")
        return cls(eigenvalues, scale, logsnr, values, np.asarray(spline(logsnr, 1)))

    def affine(self, alpha: Array, sigma: Array) -> tuple[Array, Array, Array]:
        """Return ``gain``, ``offset`` and ``bias`` [..., d] of levels [...].

        Traceable, and smooth in the level.
        """
        excess, bias = self._at(alpha, sigma)
        alpha, sigma = alpha[..., None], sigma[..., None]
        wiener, offset = wiener_gain(self.eigenvalues, alpha, sigma)
        total = sigma**2 + (alpha * self.scale) ** 2
        xp = namespace(total)
        safe = xp.where(total > 0, total, 1)
        added = sigma * self.scale / safe * excess
        return wiener + added, offset - alpha * added, sigma * self.scale / xp.sqrt(safe) * bias

    def _at(self, alpha: Array, sigma: Array) -> tuple[Array, Array]:
        """Interpolate ``excess`` and ``bias_F`` [..., d] by cubic Hermite polynomials."""
        xp = namespace(alpha, self.values)
        knots = xp.asarray(self.logsnr)
        noisy = (sigma > 0) & (alpha > 0)
        ratio = xp.where(noisy, alpha, 1) / xp.where(noisy, sigma, 1)
        end = xp.where(sigma > 0, knots[0], knots[-1])  # logsnr = -inf or inf
        level = xp.clip(xp.where(noisy, 2 * xp.log(ratio), end), knots[0], knots[-1])
        left = xp.clip(xp.searchsorted(knots, level, side="right") - 1, 0, len(knots) - 2)
        width = (knots[left + 1] - knots[left])[..., None, None]
        t = (level - knots[left])[..., None, None] / width
        v, m = xp.asarray(self.values), xp.asarray(self.slopes)
        rise = t**2 * (3 - 2 * t)
        ends = (1 - rise) * v[left] + rise * v[left + 1]
        both = ends + width * t * (1 - t) * ((1 - t) * m[left] - t * m[left + 1])
        return both[..., 0, :], both[..., 1, :]

    def combined(self, eigenvalues: Array, gains: Array, biases: Array) -> Measured:
        """Return the response of K nodes: averages of gains and sums of biases, by [K, d]."""
        values, slopes = (
            np.stack([x[:, 0] @ gains.T, x[:, 1] @ biases.T], axis=1)
            for x in (self.values, self.slopes)
        )
        return Measured(eigenvalues, self.scale, self.logsnr, values, slopes)
