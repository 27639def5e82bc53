r"""Noise levels that the spectrum names: ends, and the density of levels for training.

All are sums over the eigenvalues lambda (with counts w, N in all), sigma the ratio of noise to
signal, so that the numbers are those of EDM (2206.00364) for data in the units of the spectrum.

- **The noisy end.** A sampler starts from N(0, sigma^2) and not from the data's marginal, of
  variance lambda + sigma^2. The exact flow carries the error on: what comes out has the part
  ``sigma / sqrt(lambda + sigma^2)`` of the standard deviation, and the part ``1 - sqrt(lambda) /
  sqrt(lambda + sigma^2)`` of the mean.
- **The clean end.** A last step from sigma returns the denoised estimate, which has the part
  ``sqrt(lambda / (lambda + sigma^2))`` of the standard deviation. What that costs of the variance
  is less than what it does to the smallest eigenvalues, which alone look sharp or blurred: the end
  is chosen by the mean square of the relative error, all directions alike.
- **Training.** The least weighted loss of a denoiser at a level, with EDM's weight, is

      e(sigma) = mean(lambda sigma^2 / (lambda + sigma^2)) / (c^2 sigma^2 / (c^2 + sigma^2)),

  where c is sigma_data: the network's initial loss of 1 (its skip connection is the ideal denoiser
  of white data) can fall to e and no lower. ``1 - e`` is what is there to be learned. It vanishes
  at both ends, where nothing is left of the signal or of the noise, which is EDM's own argument for
  a log-normal density (section 5); the density of log sigma in proportion to it has a mean and a
  standard deviation, P_mean and P_std. As ``t = sigma / (1 + sigma)`` is the time of flow matching,
  ``logit t = log sigma``: they are those of SD3's logit-normal density, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

LOST_AT_START = 1e-4
"""The share of the variance that the start may cost: the training range is for many steps."""

BLURRED_AT_END = 1e-3
"""The mean square of the relative error of a standard deviation that the last step may cost."""

_FAR = 7.0  # in log sigma, beyond the roots of the least and the largest eigenvalue
_POINTS = 1024


def sigma_data(lam: np.ndarray, w: np.ndarray) -> float:
    """Return the standard deviation of a number of the data, the root of the mean eigenvalue."""
    return math.sqrt(float(w @ lam) / float(w.sum()))


def lost_at_start(
    lam: np.ndarray, w: np.ndarray, sigma: float, mean_power: np.ndarray | None = None
) -> float:
    """Return the share of the variance that a start from N(0, sigma^2) costs in W2."""
    kept = 1 - sigma / np.sqrt(lam + sigma**2)
    lost = float(w @ (lam * kept**2))
    if mean_power is not None:
        lost += float(mean_power @ (lam / (lam + sigma**2)))
    return lost / float(w @ lam)


def blurred_at_end(lam: np.ndarray, w: np.ndarray, sigma: float) -> float:
    """Return the mean square of the relative error of standard deviations after a last step."""
    positive = lam > 0
    lam, w = lam[positive], w[positive]
    return float(w @ (1 - np.sqrt(lam / (lam + sigma**2))) ** 2) / float(w.sum())


def sigma_max(lam: np.ndarray, w: np.ndarray, mean_power: np.ndarray | None = None) -> float:
    """Return the noisy end at which the start costs :data:`LOST_AT_START`."""
    top = math.log(float(lam.max())) / 2
    return _where(lambda s: lost_at_start(lam, w, s, mean_power) - LOST_AT_START, top, 40.0)


def sigma_min(lam: np.ndarray, w: np.ndarray) -> float:
    """Return the clean end at which the last step blurs by :data:`BLURRED_AT_END`."""
    least = math.log(float(lam[lam > 0].min())) / 2
    return _where(lambda s: blurred_at_end(lam, w, s) - BLURRED_AT_END, least, 40.0)


def _where(function: Callable[[float], float], around: float, width: float) -> float:
    """Find the sigma at which a monotonic function is 0, in a range of log sigma."""
    from scipy.optimize import brentq

    return math.exp(brentq(lambda u: function(math.exp(u)), around - width, around + width))


def learnable(lam: np.ndarray, w: np.ndarray, log_sigma: np.ndarray) -> np.ndarray:
    """Return ``1 - e`` [n], what a denoiser can learn at noise levels [n]."""
    squares, c = np.exp(2 * log_sigma)[:, None], sigma_data(lam, w) ** 2
    white = c / (c + squares[:, 0])
    return 1 - (lam / (lam + squares)) @ w / w.sum() / white


class LevelDensity:
    """The density of log sigma for training, in proportion to what can be learned at a level."""

    def __init__(self, lam: np.ndarray, w: np.ndarray) -> None:
        lam, w = lam[lam > 0], w[lam > 0]
        low, high = math.log(float(lam.min())) / 2, math.log(float(lam.max())) / 2
        self.log_sigma = np.linspace(low - _FAR, high + _FAR, _POINTS)
        parts = [learnable(lam, w, u) for u in np.array_split(self.log_sigma, 16)]
        self.learnable = np.concatenate(parts).clip(0)
        if self.learnable.max() < 1e-12:  # white data: nothing to learn, one level to pass
            self.learnable = np.exp(-((self.log_sigma - (low + high) / 2) ** 2))
        self.mass = self.learnable / self.learnable.sum()

    @property
    def mean(self) -> float:
        """P_mean, the mean of log sigma."""
        return float(self.mass @ self.log_sigma)

    @property
    def std(self) -> float:
        """P_std, the standard deviation of log sigma."""
        return math.sqrt(float(self.mass @ (self.log_sigma - self.mean) ** 2))

    def quantiles(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the sigma below which levels are with these probabilities."""
        cumulated = np.cumsum(self.mass) - self.mass / 2
        return np.exp(np.interp(probabilities, cumulated, self.log_sigma))


def decided(lam: np.ndarray, w: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the sigma above which these shares of the directions are still noise.

    A direction is decided at ``lambda = sigma^2``, where half of its variance is known.
    """
    order = np.argsort(lam)
    counts = np.cumsum(w[order])
    at = np.searchsorted(counts, shares * counts[-1]).clip(0, lam.size - 1)
    return np.sqrt(lam[order][at])


def linear_betas(sigma_min: float, sigma_max: float, timesteps: int = 1000) -> tuple[float, float]:
    """Return beta_min and beta_max of a linear VP process with these ends.

    ``-log alpha_bar(t) = t^2 (beta_max - beta_min) / 2 + t beta_min`` (2011.13456, eq. 33) is
    ``log(1 + sigma_max^2)`` at t = 1 and about ``sigma_min^2`` at the first of the timesteps, which
    leaves beta_min little to decide. DDPM's 0.1 and 20 are the ends 0.01 and 152.
    """
    total = 2 * math.log1p(sigma_max**2)
    low = min(timesteps * math.log1p(sigma_min**2), total / 2)
    return low, total - low
