"""Gauss rules of a spectral measure: K nodes in place of d eigenvalues.

The losses are integrals of smooth functions of log lambda over the measure that puts a weight on
each eigenvalue. Lanczos' method on diag(log lambda), started from the root of the weights, gives
the K-point Gauss rule of that discrete measure (Golub and Welsch 1969); full reorthogonalisation
keeps it exact in floating point.
"""

from __future__ import annotations

import numpy as np


def gauss_rule(
    log_values: np.ndarray, weights: np.ndarray, nodes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Compute nodes and weights [K] of the Gauss rule of ``sum_i weights_i delta(log_values_i)``.

    Args:
      log_values, weights: [d]; weights are not negative. nodes: K; fewer are returned where the
        measure has fewer points.
    """
    from scipy.linalg import eigh_tridiagonal

    used = weights > 0
    x, w = log_values[used], weights[used]
    if x.size == 0:
        return x, w
    centre = (x.max() + x.min()) / 2
    radius = max((x.max() - x.min()) / 2, np.finfo(float).tiny)
    x, total = (x - centre) / radius, w.sum()
    diagonal, off_diagonal = _lanczos(x, np.sqrt(w / total), min(nodes, x.size))
    node, vectors = eigh_tridiagonal(diagonal, off_diagonal)
    return centre + radius * node, total * vectors[0] ** 2


def nodes_of(columns: np.ndarray, count: int) -> np.ndarray:
    """Replace d eigenvalues by about ``count`` nodes on which smooth losses are the same.

    One Gauss rule in log lambda for the weights, one of half as many nodes for the weighted
    squared mean; zero eigenvalues are kept exactly, as one node.

    Args:
      columns: [4, d], eigenvalues, mean, weights and weights of the mean.
      count: of the nodes of the first rule. Columns that are such a rule already stay as they are.

    Returns:
      The same columns [4, K] of the nodes.
    """
    lam, mean, weights, mean_weights = columns
    power = mean_weights * mean**2
    positive = lam > 0
    null = ~positive
    if max(np.sum(positive & (part > 0)) for part in (weights, power)) <= count:
        if null.sum() <= 1:
            return columns
        rule = columns[:, positive]
    else:
        log_lam = np.log(np.where(null, 1.0, lam))
        at, weight = gauss_rule(log_lam, np.where(null, 0.0, weights), count)
        mean_at, mean_weight = gauss_rule(log_lam, np.where(null, 0.0, power), -(-count // 2))
        flat, mean_flat = np.zeros_like(at), np.zeros_like(mean_at)
        of_variance = np.stack([np.exp(at), flat, weight, flat])
        of_mean = np.stack([np.exp(mean_at), mean_flat + 1, mean_flat, mean_weight])
        rule = np.concatenate([of_variance, of_mean], axis=1)
    if not null.any():
        return rule
    zero = np.array([[0.0], [1.0], [weights[null].sum()], [power[null].sum()]])
    return np.concatenate([rule, zero], axis=1)


def _lanczos(x: np.ndarray, start: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of the three-term recurrence, by it and one full reorthogonalisation a step.

    The recurrence is the first of the two passes that are enough (Kahan and Parlett).
    """
    basis = np.zeros((size, x.size))
    basis[0] = start
    v = x * start
    diagonal, off_diagonal = [float(start @ v)], []
    v -= diagonal[0] * start
    for k in range(1, size):
        v -= (basis[:k] @ v) @ basis[:k]
        norm = float(np.linalg.norm(v))
        if norm < 1e-13:
            break
        basis[k] = v / norm
        off_diagonal.append(norm)
        v = x * basis[k]
        diagonal.append(float(basis[k] @ v))
        v -= diagonal[k] * basis[k] + norm * basis[k - 1]
    return np.array(diagonal), np.array(off_diagonal)
