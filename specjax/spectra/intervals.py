"""Confidence intervals of eigenvalues, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from specjax._core.arrays import Array, value


@value(data=["lower", "upper"], static=["level", "replicates", "seed", "method"])
@dataclass(frozen=True, eq=False)
class Intervals:
    """Confidence intervals of the eigenvalues of a population, each at ``level`` by itself.

    Attributes:
      lower, upper: [d], in the units of the eigenvalues.
      level: the probability of each interval.
      replicates: how many bootstrap samples. seed: of their weights.
      method: "re-diagonalised" or "first-order", see :func:`specjax.bootstrap`.
    """

    lower: Array
    upper: Array
    level: float
    replicates: int
    seed: int
    method: str
