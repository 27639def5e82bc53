"""Fréchet distances: the squared 2-Wasserstein distance of fitted Gaussians.

    F = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1^1/2 S2 S1^1/2)^1/2

with means m and unbiased covariances S (Dowson and Landau 1982; Heusel et al. 2017, 1706.08500,
equation 6). **It is squared**, as the FID is; only that of Inception's features is the FID.

The last trace is the sum of the singular values of ``A B^T``, whatever the factors with
``A^T A = S1``, ``B^T B = S2``. No matrix root is taken, so nothing is lost on singular covariances,
where rounding errors of 1e-16 in the eigenvalues of ``S1 S2`` would have roots of 1e-8 each, those
of ``scipy.linalg.sqrtm(S1 @ S2)`` among them. All is float64.

The distance of two sets from one distribution is not zero but of order d / n: compare it with the
floor of the same n (:func:`specjax.evaluate.evaluate`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import svdvals
from scipy.linalg.lapack import dpstrf

from specjax._core.checks import UserError
from specjax.evaluate.pairwise import as_vector_pair

_UNEXPLAINED = 1e-6  # share of a covariance's largest entry by which its factors may miss it


def frechet(a: Any, b: Any) -> float:
    """Compute the Fréchet distance (squared) of two sets of samples.

    Args:
      a: generated [n, ...], at least two samples; n < d is fine.
      b: data [m, ...], likewise.

    Returns:
      A distance in squared units of the samples, 0 or more. Costs 2 (n + m) d^2 for the covariances
      and some 10 d^3, or 2 n m d and some 4 n m^2 where both sets are smaller than d.

    Raises:
      UserError: for NaN, fewer than two samples, different shapes.

    Example:
      >>> a = np.array([[-1.0], [1.0]])
      >>> frechet(a, a + 3.0)
      9.0
    """
    a, b = as_vector_pair(a, b)
    (mean_a, factor_a), (mean_b, factor_b) = _mean_and_factor(a), _mean_and_factor(b)
    if max(len(a), len(b)) > a.shape[1]:
        factor_a, factor_b = (_cholesky(rows.T @ rows) for rows in (factor_a, factor_b))
    return _distance(mean_a - mean_b, factor_a, factor_b)


def frechet_of_moments(mean1: Any, cov1: Any, mean2: Any, cov2: Any) -> float:
    """Compute the Fréchet distance (squared) of two Gaussians.

    Args:
      mean1: [d], of the first Gaussian.
      cov1: symmetric [d, d], possibly singular.
      mean2: [d], of the second.
      cov2: like ``cov1``.

    Raises:
      UserError: for covariances that are not finite, or have a negative eigenvalue.

    Example:
      >>> frechet_of_moments([0.0], [[4.0]], [0.0], [[1.0]])
      1.0
    """
    mean1, mean2 = (np.asarray(x, np.float64) for x in (mean1, mean2))
    cov1, cov2 = (np.asarray(x, np.float64) for x in (cov1, cov2))
    if {cov1.shape, cov2.shape} != {2 * mean1.shape} or mean1.shape != mean2.shape:
        raise UserError(
            f"means of shape {mean1.shape} and {mean2.shape} with covariances of shape "
            f"{cov1.shape} and {cov2.shape}: give [d] and [d, d]"
        )
    return _distance(mean1 - mean2, _cholesky(cov1), _cholesky(cov2))


def _distance(shift: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """Compute the distance of Gaussians with covariances ``a^T a`` and ``b^T b``."""
    common = svdvals(a @ b.T, check_finite=False).sum() if len(a) and len(b) else 0.0
    distance = float(shift @ shift + (a**2).sum() + (b**2).sum() - 2 * common)
    return max(distance, 0.0)  # rounding may leave less than zero for equal Gaussians


def _cholesky(covariance: np.ndarray) -> np.ndarray:
    """Return ``A`` [rank, d] with ``A^T A = covariance``, by Cholesky with pivots.

    Its d^3 / 3 operations are a tenth of those of an eigendecomposition.
    """
    if not np.isfinite(covariance).all():
        raise UserError("the covariance has NaN or infinite entries")
    upper, pivots, rank, _ = dpstrf(covariance)
    factor = np.zeros((rank, len(covariance)))
    factor[:, pivots - 1] = np.triu(upper)[:rank]
    if np.abs(factor.T @ factor - covariance).max(initial=0.0) > _UNEXPLAINED * covariance.max():
        raise UserError(
            "the covariance has a negative eigenvalue or is not symmetric: it is not a covariance"
        )
    return factor


def _mean_and_factor(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean [d], and rows R [n, d] with ``R^T R`` the unbiased covariance."""
    mean = x.mean(0, dtype=np.float64)
    return mean, (x - mean) / np.sqrt(len(x) - 1)
