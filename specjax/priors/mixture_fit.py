"""Gaussian mixtures by maximum likelihood, with as many components as held-out data support."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from specjax._core.arrays import Array

COMPONENTS = (1, 2, 4, 8, 16, 32)
"""Numbers of components that are tried in turn, until held-out likelihood falls."""

ROWS_EACH = 5
"""The fewest samples for each component that is tried."""

ROUNDS = 200


def fit_mixture(c: Array, components: int, covariance: str, floor: float, seed: int) -> Any:
    """scikit-learn's estimate from coefficients [N, d], ``floor`` added to every variance.

    Raises:
      ValueError: for more components than samples.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    if components > len(c):
        raise ValueError(f"components = {components}: give at most the {len(c)} samples")
    model = GaussianMixture(
        components, covariance_type="full" if covariance == "full" else "diag",
        reg_covar=floor, random_state=seed, max_iter=ROUNDS,
    )  # fmt: skip
    # Many small products: threads only wait for each other (25 times slower on digits, two cores).
    # That it stopped early is told by converged_.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(np.asarray(c, np.float64))


def choose_components(
    fitted: Array, judges: Array, covariance: str, floor: float, seed: int
) -> int:
    """The number whose mixture of ``fitted`` [N, d] makes ``judges`` [M, d] most likely."""
    best, best_score = COMPONENTS[0], -np.inf
    for components in COMPONENTS:
        if components > 1 and components * ROWS_EACH > len(fitted):
            break
        score = fit_mixture(fitted, components, covariance, floor, seed).score(judges)
        if score < best_score:
            break
        best, best_score = components, score
    return best
