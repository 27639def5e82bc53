"""What is run, frozen."""

from __future__ import annotations

from dataclasses import dataclass

ENDS = (4.0358e-5, 1.0)

DENOISERS = {
    "gaussian": "the ideal denoiser of the digits' stationary Gaussian",
    "empirical": "exact denoiser of half of 1,797 digits, the likeliest kernel",
    "network": "a UNet of 0.69 M parameters trained on the digits",
}
SAMPLERS = ("ddim", "dpmpp_2m")


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment; ``SMALLEST`` is the same in seconds.

    Attributes:
      trajectory: steps of the runs that are watched. curve: levels at which the formed part of the
        spectrum is measured for the rule that places steps.
      steps: of the comparison. n: samples. seeds: of the noise.
      fine: steps of the fine solution. updates, width: of the network's training.
    """

    trajectory: int = 10
    curve: int = 16
    steps: tuple[int, ...] = (5, 8, 10)
    n: int = 1000
    seeds: int = 3
    fine: int = 64
    updates: int = 2000
    width: int = 32


CONFIG = Config()
SMALLEST = Config(trajectory=3, curve=4, steps=(3,), n=48, seeds=1, fine=8, updates=2, width=4)
