"""Nodes in place of eigenvalues where a denoiser was measured direction by direction.

What was measured is no smooth function of the eigenvalue, so a Gauss rule of all of them would not
do. Directions of neighbouring eigenvalues are put together: their variances as two nodes (the
Gauss rule of the group) with the averaged gain, the errors of their means, which add up
quadratically, as the :data:`MEANS` largest components of (mean, bias at every level).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from specjax.spectra.quadrature import gauss_rule

VARIANCES = 2
"""Nodes of a group for its variances."""

MEANS = 2
"""Nodes of a group for the errors of its means."""


class Grouped(NamedTuple):
    """K nodes: columns of a spectrum [K]; averages [K, d] of gains, sums [K, d] of biases."""

    eigenvalues: np.ndarray
    mean: np.ndarray
    weights: np.ndarray
    mean_weights: np.ndarray
    gains: np.ndarray
    biases: np.ndarray


def grouped(columns: np.ndarray, bias: np.ndarray, groups: int) -> Grouped:
    """Nodes of d directions: at most ``groups`` groups of neighbours, and one of zeros.

    Args:
      columns: [4, d], eigenvalues, mean, weights and mean weights of a spectrum.
      bias: [L, d], at every level.
    """
    parts = []
    for members in _members(columns[0], groups):
        part = _nodes(columns[:, members], bias[:, members])
        spread = np.zeros((2, len(part.mean), columns.shape[1]))
        spread[:, :, members] = part.gains, part.biases
        parts.append(part._replace(gains=spread[0], biases=spread[1]))
    return Grouped(*(np.concatenate(x) for x in zip(*parts, strict=True)))


def _members(eigenvalues: np.ndarray, groups: int) -> list[np.ndarray]:
    """Indices of each group: even halfway between the rank and the logarithm."""
    order = np.argsort(-eigenvalues, kind="stable")
    zero = order[eigenvalues[order] <= 0]
    order = order[eigenvalues[order] > 0]
    fallen = -np.log(eigenvalues[order] / eigenvalues[order[0]])
    place = np.arange(len(order)) / len(order) + fallen / max(fallen[-1], 1e-300)
    group = np.minimum((place / 2 * groups).astype(int), groups - 1)
    made = [order[group == i] for i in range(groups)]
    return [members for members in [*made, zero] if members.size]


def _nodes(columns: np.ndarray, bias: np.ndarray) -> Grouped:
    """The nodes of one group."""
    lam, mean, w, mean_w = columns
    n = lam.size
    share = w / w.sum() if w.any() else np.full(n, 1 / n)
    if lam[0] > 0 and w.any():
        at, weight = gauss_rule(np.log(lam), w, VARIANCES)
        at, centre = np.exp(at), float(np.exp(share @ np.log(lam)))
    else:
        at, weight, centre = np.array([float(share @ lam)]), np.array([w.sum()]), float(share @ lam)
    root = np.sqrt(mean_w)
    axes = np.linalg.svd(root[:, None] * np.column_stack([mean, bias.T]), full_matrices=False)[0]
    sums = axes[:, :MEANS].T * root
    flat, ones = np.zeros(len(at)), np.ones(len(sums))
    return Grouped(
        np.concatenate([at, centre * ones]),
        np.concatenate([flat, sums @ mean]),
        np.concatenate([weight, 0 * ones]),
        np.concatenate([flat, ones]),
        np.tile(share, (len(at) + len(sums), 1)),
        np.concatenate([np.zeros((len(at), n)), sums]),
    )
