"""Components of mixtures as they are given: checked, decomposed, put together."""

from __future__ import annotations

from typing import Any

import numpy as np

from specjax.spectra.spectrum import Spectrum


def check_probabilities(name: str, given: np.ndarray | None) -> None:
    """Refuse probabilities below zero or with another sum than one; None are tracers."""
    if given is not None and not ((given >= 0).all() and abs(given.sum() - 1) < 1e-5):
        raise ValueError(f"{name} = {given.tolist()}: give numbers of at least 0 with sum 1")


def checked(
    weights: Any, means: Any, covariances: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The numbers of a mixture as float64 arrays of the right shapes."""
    given = (np.asarray(a, np.float64) for a in (weights, means, covariances))
    weights, means, covariances = given
    if means.ndim != 2 or weights.shape != means.shape[:1] or not means.size:
        raise ValueError(
            f"means has shape {means.shape} and weights {weights.shape}: give [K, d] and [K]"
        )
    k, d = means.shape
    if covariances.shape not in ((k, d), (k, d, d)):
        raise ValueError(
            f"covariances has shape {covariances.shape}: give {(k, d, d)}, or {(k, d)} for "
            "diagonal ones"
        )
    for name, array in (("means", means), ("covariances", covariances)):
        if not np.isfinite(array).all():
            raise ValueError(f"{name} has NaN or infinite values")
    check_probabilities("weights", weights)
    return weights, means, covariances


def decomposed(covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Eigenvalues [K, d] and vectors [K, d, d], or None of diagonal ones."""
    values, vectors = covariances, None
    if covariances.ndim == 3:
        scale = np.abs(covariances).max()
        if np.abs(covariances - covariances.swapaxes(1, 2)).max() > 1e-6 * scale:
            raise ValueError("covariances are not symmetric")
        values, vectors = np.linalg.eigh(covariances)
    if values.min() < -1e-6 * np.abs(values).max():
        raise ValueError(f"covariances have a negative eigenvalue, {values.min():.3g}")
    return np.maximum(values, 0.0), vectors


def whole_spectrum(weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> Spectrum:
    """The spectrum of all components together."""
    if covariances.ndim == 2:
        covariances = covariances[:, :, None] * np.eye(covariances.shape[1])
    mean = weights @ means
    between = (weights[:, None] * (means - mean)).T @ (means - mean)
    return Spectrum.from_covariance(np.tensordot(weights, covariances, 1) + between, mean)
