"""What is run, frozen."""

from __future__ import annotations

from dataclasses import dataclass

ENDS = (4.0358e-5, 1.0)

COSINE, SPECTRAL, FIT, REFIT = "cosine", "spectral W2", "W2 fit", "W2 fit to the probed denoiser"
SCHEDULES = (COSINE, SPECTRAL, FIT, REFIT)
"""The heuristic, the closed form, learned for this sampler, and learned again for the response."""

WIENER, EXACT = "wiener", "empirical"
REFERENCES = {
    WIENER: "the ideal denoiser of the digits' Gaussian",
    EXACT: "the exact denoiser of half of the digits",
}
"""Denoisers that need no training: a check of the harness, and the ideal one of other data."""


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment; ``SMALLEST`` is the same in seconds.

    Attributes:
      widths, updates: of the networks, each with each; every training has its own cosine decay.
      seeds: of the training, of the half of the digits, of the noise and of the probe.
      samplers, steps: what samples are made by. n: how many.
      probe: samples that a denoiser is probed with. levels: logsnr at which that is told.
    """

    widths: tuple[int, ...] = (8, 16, 32)
    updates: tuple[int, ...] = (200, 600, 2000)
    seeds: int = 3
    samplers: tuple[str, ...] = ("ddim", "dpmpp_2m")
    steps: tuple[int, ...] = (5, 10, 20)
    n: int = 500
    probe: int = 500
    levels: tuple[float, ...] = (-6.0, -3.0, 0.0, 3.0, 6.0)


CONFIG = Config()
SMALLEST = Config(
    widths=(4,), updates=(1, 2), seeds=1, samplers=("ddim",), steps=(2,), n=24, probe=12,
    levels=(-3.0, 3.0),
)  # fmt: skip


@dataclass(frozen=True)
class Size:
    """A network by its first channels and the length of its training."""

    width: int
    updates: int

    @property
    def name(self) -> str:
        """Of its results."""
        return f"width-{self.width}-updates-{self.updates}"

    @property
    def words(self) -> str:
        """In tables."""
        return f"UNet, width {self.width}, {self.updates:,} updates"


def networks(config: Config) -> list[Size]:
    """All of them, narrow ones and short trainings first."""
    return [Size(width, updates) for width in config.widths for updates in config.updates]
