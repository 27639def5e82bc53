"""Confidence intervals of eigenvalues, as a value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Intervals:
    """Where each eigenvalue of the population lies, with a probability of ``level`` each.

    Attributes:
      lower, upper: [d], in the units of the eigenvalues.
      level: of each interval by itself, not of all together.
      replicates: how many bootstrap samples. seed: of their weights.
      method: "re-diagonalised" or "first-order", see :func:`specjax.bootstrap`.
    """

    lower: np.ndarray
    upper: np.ndarray
    level: float
    replicates: int
    seed: int
    method: str
