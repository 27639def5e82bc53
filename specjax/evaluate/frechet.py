"""Fréchet distances: the squared 2-Wasserstein distance of fitted Gaussians.

    F = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1^1/2 S2 S1^1/2)^1/2

with means m and unbiased covariances S (Dowson and Landau 1982; Heusel et al. 2017, 1706.08500,
equation 6). **It is squared**, as the FID is; only that of Inception's features is the FID.

The last trace is the sum of the singular values of ``A B^T``, whatever the factors with
``A^T A = S1``, ``B^T B = S2``. No matrix root is taken, so nothing is lost on singular covariances,
where the eigenvalues of ``S1 S2``, noise of 1e-16, would have roots of 1e-8 each. All is float64.

The distance of two sets from one distribution is not zero but of order d / n: compare it with the
floor of the same n (:func:`specjax.evaluate.evaluate`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import svdvals
from scipy.linalg.lapack import dpstrf

from specjax.evaluate.pairwise import pair

_NEGATIVE = 1e-6  # of the largest entry: what of a covariance no factor explains


def frechet(a: Any, b: Any) -> float:
    """The Fréchet distance (squared) of two sets of samples.

    Args:
      a, b: [n, ...] and [m, ...], at least two samples each; n, m < d is fine.

    Returns:
      A distance in squared units of the samples, 0 or more. Costs 2 (n + m) d^2 for the covariances
      and some 10 d^3, or 2 n m d and some 4 n m^2 where both sets are smaller than d.

    Raises:
      ValueError: for NaN, fewer than two samples, different shapes.

    Example:
      >>> a = np.array([[-1.0], [1.0]])
      >>> frechet(a, a + 3.0)
      9.0
    """
    a, b = pair(a, b)
    if max(len(a), len(b)) > a.shape[1]:
        return frechet_of_moments(*_moments(a), *_moments(b))
    (mean1, rows1), (mean2, rows2) = _deviations(a), _deviations(b)
    common = _trace_of_root(rows1, rows2)
    return _distance(mean1 - mean2, float((rows1**2).sum() + (rows2**2).sum()), common)


def frechet_of_moments(mean1: Any, cov1: Any, mean2: Any, cov2: Any) -> float:
    """The Fréchet distance (squared) of two Gaussians.

    Args:
      mean1, mean2: [d]. cov1, cov2: symmetric [d, d], possibly singular.

    Raises:
      ValueError: for covariances that are not finite, or have a negative eigenvalue.

    Example:
      >>> frechet_of_moments([0.0], [[4.0]], [0.0], [[1.0]])
      1.0
    """
    mean1, mean2 = (np.asarray(x, np.float64) for x in (mean1, mean2))
    cov1, cov2 = (np.asarray(x, np.float64) for x in (cov1, cov2))
    if {cov1.shape, cov2.shape} != {2 * mean1.shape} or mean1.shape != mean2.shape:
        raise ValueError(
            f"means of shape {mean1.shape} and {mean2.shape} with covariances of shape "
            f"{cov1.shape} and {cov2.shape}: give [d] and [d, d]"
        )
    common = _trace_of_root(_factor(cov1), _factor(cov2))
    return _distance(mean1 - mean2, float(np.trace(cov1) + np.trace(cov2)), common)


def _distance(shift: np.ndarray, traces: float, common: float) -> float:
    """The sum, where rounding of two equal Gaussians may be below zero."""
    return max(float(shift @ shift) + traces - 2 * common, 0.0)


def _trace_of_root(a: np.ndarray, b: np.ndarray) -> float:
    """``tr (S1^1/2 S2 S1^1/2)^1/2`` for ``S1 = a^T a``, ``S2 = b^T b``."""
    return float(svdvals(a @ b.T, check_finite=False).sum()) if len(a) and len(b) else 0.0


def _factor(covariance: np.ndarray) -> np.ndarray:
    """``A`` [rank, d] with ``A^T A`` the covariance: Cholesky with pivots, up to rounding.

    Its d^3 / 3 operations are a tenth of an eigendecomposition's.
    """
    if not np.isfinite(covariance).all():
        raise ValueError("the covariance has NaN or infinite entries")
    upper, pivots, rank, _ = dpstrf(covariance)
    found = np.zeros((rank, len(covariance)))
    found[:, pivots - 1] = np.triu(upper)[:rank]
    if np.abs(found.T @ found - covariance).max(initial=0.0) > _NEGATIVE * covariance.max():
        raise ValueError(
            "the covariance has a negative eigenvalue or is not symmetric: it is not a covariance"
        )
    return found


def _deviations(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean [d], and rows whose products add up to the unbiased covariance."""
    mean = x.mean(0, dtype=np.float64)
    return mean, (x - mean) / np.sqrt(len(x) - 1)


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, rows = _deviations(x)
    return mean, rows.T @ rows
