"""Gauss rules of a spectral measure: K nodes in place of d eigenvalues.

The losses are integrals of smooth functions of log lambda over the measure that puts a weight on
each eigenvalue. Lanczos' method on diag(log lambda), started from the root of the weights, gives
the K-point Gauss rule of that discrete measure (Golub and Welsch 1969); full reorthogonalisation
keeps it exact in floating point.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh_tridiagonal


def gauss_rule(
    log_values: np.ndarray, weights: np.ndarray, nodes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights [K] of the Gauss rule of ``sum_i weights_i delta(log_values_i)``.

    Args:
      log_values, weights: [d]; weights are not negative. nodes: K; fewer are returned where the
        measure has fewer points.
    """
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


def _lanczos(x: np.ndarray, start: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    basis = np.empty((size, x.size))
    basis[0] = start
    diagonal, off_diagonal = [float(start @ (x * start))], []
    for k in range(1, size):
        v = x * basis[k - 1]
        for _ in range(2):  # twice is enough (Kahan, Parlett)
            v -= (basis[:k] @ v) @ basis[:k]
        norm = float(np.linalg.norm(v))
        if norm < 1e-13:
            break
        basis[k] = v / norm
        off_diagonal.append(norm)
        diagonal.append(float(basis[k] @ (x * basis[k])))
    return np.array(diagonal), np.array(off_diagonal)
