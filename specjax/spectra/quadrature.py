"""Gauss rules of a spectral measure: K nodes in place of d eigenvalues.

The losses are integrals of smooth functions of log lambda over the measure that puts a weight on
each eigenvalue. Lanczos' method on diag(log lambda), started from the root of the weights, gives
the K-point Gauss rule of that discrete measure (Golub and Welsch 1969); full reorthogonalisation
keeps it exact in floating point.

A denoiser that was measured direction by direction is no smooth function of the eigenvalue, so
:func:`grouped` forms groups of neighbouring eigenvalues with a Gauss rule of each.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import NamedTuple

import numpy as np

VARIANCES = 2
"""Nodes of a group for its variances."""

MEANS = 2
"""Nodes of a group for the errors of its means."""


def gauss_rule(
    log_values: np.ndarray, weights: np.ndarray, nodes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Compute nodes and weights [K] of the Gauss rule of ``sum_i weights_i delta(log_values_i)``.

    Args:
      log_values: [d] points of the measure.
      weights: [d], not negative.
      nodes: K; fewer are returned where the measure has fewer points.
    """
    used = weights > 0
    x, w = log_values[used], weights[used]
    if x.size == 0:
        return x, w
    centre = (x.max() + x.min()) / 2
    radius = max((x.max() - x.min()) / 2, np.finfo(float).tiny)
    x, total = (x - centre) / radius, w.sum()
    diagonal, off_diagonal = _lanczos(x, np.sqrt(w / total), min(nodes, x.size))
    beside = np.diag(off_diagonal, 1)
    node, vectors = np.linalg.eigh(np.diag(diagonal) + beside + beside.T)
    return centre + radius * node, total * vectors[0] ** 2


def _lanczos(x: np.ndarray, start: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute the three-term recurrence with one full reorthogonalisation a step.

    The recurrence itself is the first of the two passes that are enough (Kahan and Parlett).
    """
    basis = np.zeros((size, x.size))
    basis[0] = start
    v = x * start
    diagonal, off_diagonal = [float(start @ v)], []
    v -= diagonal[0] * start
    for k in range(1, size):
        v -= (basis[:k] @ v) @ basis[:k]
        norm = float(np.linalg.norm(v))
        if norm < 1e-13:  # x has no more points than these
            break
        basis[k] = v / norm
        off_diagonal.append(norm)
        v = x * basis[k]
        diagonal.append(float(basis[k] @ v))
        v -= diagonal[k] * basis[k] + norm * basis[k - 1]
    return np.array(diagonal), np.array(off_diagonal)


_RULES: OrderedDict[tuple[bytes, int], np.ndarray] = OrderedDict()
_MOST_RULES = 64
_LOCK = threading.Lock()


def nodes_of(columns: np.ndarray, count: int) -> np.ndarray:
    """Return :func:`compute_nodes` of columns; the latest are remembered by their numbers."""
    key = (hashlib.blake2b(columns.tobytes()).digest(), count)
    with _LOCK:
        known = _RULES.get(key)
    if known is None:
        known = np.array(compute_nodes(columns, count))
        known.flags.writeable = False
        with _LOCK:
            _RULES[key] = known
            if len(_RULES) > _MOST_RULES:
                _RULES.popitem(last=False)
    return known


def compute_nodes(columns: np.ndarray, count: int) -> np.ndarray:
    """Replace d eigenvalues by about ``count`` nodes on which smooth losses are the same.

    One Gauss rule in log lambda serves the weights, one of half as many nodes the weighted squared
    mean; zero eigenvalues are kept exactly, as one node.

    Args:
      columns: [4, d], eigenvalues, mean, weights and weights of the mean.
      count: number of nodes of the first rule. Columns that are such a rule stay as they are.

    Returns:
      The same columns [4, K] of the nodes.
    """
    lam, mean, weights, mean_weights = columns
    power, null = mean_weights * mean**2, lam <= 0
    if max(np.sum(~null & (part > 0)) for part in (weights, power)) <= count:
        if null.sum() <= 1:
            return columns
        rule = columns[:, ~null]
    else:
        log_lam = np.log(np.where(null, 1.0, lam))
        node, weight = gauss_rule(log_lam, np.where(null, 0.0, weights), count)
        mean_node, mean_weight = gauss_rule(log_lam, np.where(null, 0.0, power), -(-count // 2))
        flat, mean_flat = np.zeros_like(node), np.zeros_like(mean_node)
        of_variance = np.stack([np.exp(node), flat, weight, flat])
        of_mean = np.stack([np.exp(mean_node), mean_flat + 1, mean_flat, mean_weight])
        rule = np.concatenate([of_variance, of_mean], axis=1)
    if not null.any():
        return rule
    zero = np.array([[0.0], [1.0], [weights[null].sum()], [power[null].sum()]])
    return np.concatenate([rule, zero], axis=1)


class Grouped(NamedTuple):
    """K nodes: columns of a spectrum [K]; averages [K, d] of gains, sums [K, d] of biases."""

    eigenvalues: np.ndarray
    mean: np.ndarray
    weights: np.ndarray
    mean_weights: np.ndarray
    gains: np.ndarray
    biases: np.ndarray


def grouped(columns: np.ndarray, bias: np.ndarray, groups: int) -> Grouped:
    """Replace d directions by the nodes of at most ``groups`` groups of neighbours.

    The variances of a group are :data:`VARIANCES` nodes (its Gauss rule) with the averaged gain.
    The errors of its means, which add up quadratically, are the :data:`MEANS` largest components
    of (mean, bias at every level). Zero eigenvalues are a group of their own.

    Args:
      columns: [4, d], eigenvalues, mean, weights and weights of the mean.
      bias: [L, d], at every level.
      groups: number of groups, at most.
    """
    parts = []
    for members in _members(columns[0], groups):
        part = _nodes_of_group(columns[:, members], bias[:, members])
        spread = np.zeros((2, len(part.mean), columns.shape[1]))
        spread[:, :, members] = part.gains, part.biases
        parts.append(part._replace(gains=spread[0], biases=spread[1]))
    return Grouped(*(np.concatenate(x) for x in zip(*parts, strict=True)))


def _members(eigenvalues: np.ndarray, groups: int) -> list[np.ndarray]:
    """Return the indices of each group; groups are even halfway between rank and logarithm."""
    order = np.argsort(-eigenvalues, kind="stable")
    zero, order = order[eigenvalues[order] <= 0], order[eigenvalues[order] > 0]
    drop = -np.log(eigenvalues[order] / eigenvalues[order[0]])
    position = np.arange(len(order)) / len(order) + drop / max(drop[-1], 1e-300)
    group = np.minimum((position / 2 * groups).astype(int), groups - 1)
    members = [*(order[group == i] for i in range(groups)), zero]
    return [indices for indices in members if indices.size]


def _nodes_of_group(columns: np.ndarray, bias: np.ndarray) -> Grouped:
    lam, mean, w, mean_w = columns
    share = w / w.sum() if w.any() else np.full(lam.size, 1 / lam.size)
    if lam[0] > 0 and w.any():
        node, weight = gauss_rule(np.log(lam), w, VARIANCES)
        node, centre = np.exp(node), float(np.exp(share @ np.log(lam)))
    else:
        centre = float(share @ lam)
        node, weight = np.array([centre]), np.array([w.sum()])
    root = np.sqrt(mean_w)
    axes = np.linalg.svd(root[:, None] * np.column_stack([mean, bias.T]), full_matrices=False)[0]
    sums = axes[:, :MEANS].T * root
    flat, ones = np.zeros(len(node)), np.ones(len(sums))
    return Grouped(
        np.concatenate([node, centre * ones]),
        np.concatenate([flat, sums @ mean]),
        np.concatenate([weight, 0 * ones]),
        np.concatenate([flat, ones]),
        np.tile(share, (len(node) + len(sums), 1)),
        np.concatenate([np.zeros((len(node), lam.size)), sums]),
    )
