"""The power law nearest to a spectrum, and the variance beyond each rank."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from specjax._core.checks import UserError
from specjax.spectra.spectrum import Spectrum


class PowerLaw(NamedTuple):
    """``lambda_k = scale k^-exponent``, fitted in logarithms.

    Attributes:
      exponent: exponent of the law.
      scale: value of the law at rank 1, in the eigenvalues' units.
      standard_error: standard error of the exponent.
      r_squared: part of the variance of log lambda over log rank that the line explains.
    """

    exponent: float
    scale: float
    standard_error: float
    r_squared: float

    def at(self, rank: np.ndarray) -> np.ndarray:
        """Evaluate the law at each ``rank``, from 1 on."""
        return self.scale * np.asarray(rank, np.float64) ** -self.exponent


def ranked(spectrum: Spectrum) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the order [m] of the positive eigenvalues, falling, and their first ranks and counts.

    An eigenvalue that stands for several (its weight) takes that many ranks.
    """
    eigenvalues, _, weights, _ = spectrum.columns
    order = np.argsort(-eigenvalues, kind="stable")
    order = order[(eigenvalues[order] > 0) & (weights[order] > 0)]
    counts = weights[order]
    return order, np.cumsum(counts) - counts + 1, counts


def variance_beyond(spectrum: Spectrum) -> tuple[np.ndarray, np.ndarray]:
    """Return the last rank [m] of each positive eigenvalue and the share of variance beyond it.

    Example:
      >>> variance_beyond(Spectrum([6.0, 3.0, 1.0]))
      (array([1., 2., 3.]), array([0.4, 0.1, 0. ]))
    """
    order, first, counts = ranked(spectrum)
    part = counts * np.asarray(spectrum.eigenvalues, np.float64)[order]
    rest = np.append(np.cumsum(part[::-1])[::-1][1:], 0.0) / part.sum()
    return first + counts - 1, rest


def directions_for(spectrum: Spectrum, share: float) -> float:
    """Return how many of the first directions hold a share of the variance."""
    last, rest = variance_beyond(spectrum)
    return float(last[np.argmax(rest <= 1 - share)])


def power_law_fit(spectrum: Spectrum) -> PowerLaw:
    """Fit log lambda over log rank by least squares, every octave of rank counting alike.

    Rank k has the weight ``log((k + 1/2) / (k - 1/2))``, about 1/k; zero eigenvalues are left out.
    The standard error takes the deviations of log lambda from the line as independent and of one
    variance. The law describes the slope of the spectrum. It is not a test that a power law holds
    (a curved spectrum fits well, too), not the exponent of the power over spatial frequency (for
    images, whose ranks count frequencies in the plane, that is about twice as large), and not
    corrected for few samples, which steepen the end.

    Args:
      spectrum: at least three positive eigenvalues, in any order; weights are counts.

    Raises:
      UserError: for fewer.

    Example:
      >>> round(power_law_fit(Spectrum.power_law(500, 1.5)).exponent, 12)
      1.5
    """
    order, first, counts = ranked(spectrum)
    if order.size < 3:
        raise UserError(
            f"the spectrum has {order.size} positive eigenvalue(s): a power law needs three"
        )
    w = np.log((first + counts - 0.5) / (first - 0.5))
    x = np.log(first + (counts - 1) / 2)
    y = np.log(np.asarray(spectrum.eigenvalues, np.float64)[order])
    x_mean = np.average(x, weights=w)
    dx, dy = x - x_mean, y - np.average(y, weights=w)
    spread = w @ dx**2
    slope = w @ (dx * dy) / spread
    residual, total = w @ (dy - slope * dx) ** 2, w @ dy**2
    freedom = w.sum() - (w @ w) / w.sum() - (w**2 @ dx**2) / spread
    error = np.sqrt(residual / freedom * (w**2 @ dx**2)) / spread
    scale = np.exp(np.average(y, weights=w) - slope * x_mean)
    r_squared = 1 - residual / total if total > 0 else 1.0
    return PowerLaw(float(-slope), float(scale), float(error), float(r_squared))
