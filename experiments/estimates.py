"""Means over seeds, their errors, and verdicts."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.stats import t


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

    @property
    def sure(self) -> float:
        """Half of the 95 % interval of Student's t; infinite for one seed."""
        return self.error * float(t.ppf(0.975, self.seeds - 1)) if self.seeds > 1 else np.inf

    def verdict(self, least: float = 0.0) -> str:
        """Say whether the mean is above ``least`` at 95 %: "yes", "**no**" or "**not clear**"."""
        if self.mean - self.sure > least:
            return "yes"
        return "**no**" if self.mean + self.sure < least else "**not clear**"


def estimate(values: list[float]) -> Estimate:
    """Estimate the mean of independent seeds."""
    n = len(values)
    error = float(np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    return Estimate(float(np.mean(values)), error, n)


def estimates(values: Any) -> list[Estimate]:
    """Estimate the means of numbers [seeds, n]."""
    return [estimate(list(column)) for column in np.asarray(values).T]


def differences(mine: dict[int, float], other: dict[int, float]) -> Estimate:
    """Estimate how much another is above mine over the seeds of both: what they share cancels."""
    return estimate([other[seed] - mine[seed] for seed in mine if seed in other])
