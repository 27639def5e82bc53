"""What is run, frozen."""

from __future__ import annotations

from dataclasses import dataclass

RANGES = {"0.9999": (4.0358e-5, 0.9999), "1": (4.0358e-5, 1.0)}
"""The two ends of all schedules, by the clean one: that of 2502.00180, and specjax's default."""

PAPER = "0.9999"


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment; ``SMALLEST`` is the same in seconds.

    Attributes:
      dimension: of the exponential and the circulant covariance, and of white data.
      decay: of both: neighbours are correlated by exp(-decay).
      power_dimension: of the power laws. exponents: of them.
      steps: S. samplers, losses, processes: of the fits.
      restarts, nodes: of the fits; 50 nodes are exact up to d = 50.
      more: starts of those that end unconverged or above a heuristic.
      kept: S whose levels are kept in the results.
      checked: spectra whose predictions are confirmed by samples. checked_steps: S of these.
      n, groups: samples of each, and the groups of the jackknife.
      seed: of the fits' random starts and of the samples.
    """

    dimension: int = 50
    decay: float = 0.1
    power_dimension: int = 1024
    exponents: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
    steps: tuple[int, ...] = (3, 5, 8, 10, 20, 50, 112)
    samplers: tuple[str, ...] = ("ddim", "ddpm")
    losses: tuple[str, ...] = ("w2", "kl")
    processes: tuple[str, ...] = ("vp", "ve")
    restarts: int = 1
    nodes: int = 50
    more: int = 8
    kept: tuple[int, ...] = (10, 50)
    checked: tuple[str, ...] = (
        "exponential",
        "exponential, mean",
        "circulant",
        "k^-2",
        "k^-1, mean",
    )
    checked_steps: tuple[int, ...] = (5, 20)
    n: int = 10_000
    groups: int = 100
    seed: int = 0


CONFIG = Config()
SMALLEST = Config(
    dimension=6, power_dimension=6, exponents=(2.0,), steps=(5,), samplers=("ddim",),
    losses=("w2",), processes=("vp",), nodes=8, kept=(5,), checked=("exponential, mean",),
    checked_steps=(5,), n=400, groups=8,
)  # fmt: skip

REFERENCE = {
    "ddim": {5: 1.86601, 10: 0.98932, 20: 0.51242},
    "ddpm": {5: 2.33684, 10: 1.39613, 20: 0.78696},
}
"""W2 (not squared) of the optimum by an independent SLSQP in float64, with 5 digits: exponential
covariance, VP, ends RANGES["0.9999"]."""
