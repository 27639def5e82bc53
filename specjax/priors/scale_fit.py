"""Maximum likelihood of scales: ``q / v`` is chi-squared with ``rank`` degrees of freedom.

With ``x - mu = sqrt(v) g``, ``g ~ N(0, Sigma)``, all that a sample says of its scale is
``q = (x - mu)^T Sigma^-1 (x - mu)``, one number, so expectation-maximisation runs on [N].
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from specjax.spectra.spectrum import Spectrum

LEAST_SHARE = 0.1
"""Directions with a smaller share of the mean eigenvalue have no say in the scales: the many weak
ones would outvote those that carry the variance (of patches the strong ones vary less), and samples
hold little but rounding in the weakest. 0.1 denoised held-out digits and patches as well as 0.001
at s = 0.1 and better at s = 0.3 to 5."""

LEAST_SCALE = 1e-6
ROUNDS = 300


class Scales(NamedTuple):
    """J scales [J], rising, with ``sum p v = 1``, and their probabilities [J]."""

    scales: np.ndarray
    probabilities: np.ndarray


def whitened_squares(spectrum: Spectrum, x: np.ndarray) -> tuple[np.ndarray, int]:
    """``q`` [N] of samples, over the directions that count, and their number."""
    eigenvalues = np.asarray(spectrum.eigenvalues, np.float64)
    counts = eigenvalues > LEAST_SHARE * eigenvalues.mean()
    r = np.asarray(spectrum.project(x), np.float64) - np.asarray(spectrum.mean)
    return (r[:, counts] ** 2 / eigenvalues[counts]).sum(1), int(counts.sum())


def fit_scales(q: np.ndarray, rank: int, components: int) -> Scales:
    """Scales and probabilities by expectation-maximisation, from quantiles of ``q / rank``."""
    quantiles = (np.arange(components) + 0.5) / components
    scales = np.maximum(np.quantile(q / rank, quantiles), LEAST_SCALE)
    scales = scales * np.geomspace(0.99, 1.01, components)  # equal ones would stay equal
    probabilities, before = np.full(components, 1 / components), -np.inf
    for _ in range(ROUNDS):
        logits = _log_joint(q, rank, Scales(scales, probabilities))
        level = logsumexp(logits, axis=1, keepdims=True)
        share = np.exp(logits - level)
        count = np.maximum(share.sum(0), np.finfo(float).tiny)
        scales = np.maximum(q @ share / (rank * count), LEAST_SCALE)
        probabilities = count / count.sum()
        if level.mean() - before < 1e-8 * rank:
            break
        before = level.mean()
    order = np.argsort(scales)
    return Scales((scales / (probabilities @ scales))[order], probabilities[order])


def score(q: np.ndarray, rank: int, made: Scales) -> float:
    """Mean log-likelihood of samples up to what no scale changes: comparable between fits."""
    return float(logsumexp(_log_joint(q, rank, made), axis=1).mean())


def _log_joint(q: np.ndarray, rank: int, made: Scales) -> np.ndarray:
    """``log p_j - rank/2 log v_j - q / 2 v_j`` [N, J]."""
    return np.log(made.probabilities) - (rank * np.log(made.scales) + q[:, None] / made.scales) / 2
