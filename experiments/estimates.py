"""Means over seeds, as tables show them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A mean over seeds, its standard error (NaN for one seed), and how many seeds."""

    mean: float
    error: float
    seeds: int

    def __str__(self) -> str:
        digits = 3 if abs(self.mean) < 1 else 2
        if not np.isfinite(self.error):
            return f"{self.mean:.{digits}f}"
        return f"{self.mean:.{digits}f} ± {self.error:.{digits}f}"


def estimate(values: list[float]) -> Estimate:
    """Of independent seeds."""
    n = len(values)
    error = float(np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    return Estimate(float(np.mean(values)), error, n)
