"""What is run, frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Data(NamedTuple):
    """A dataset: what it is; the most samples; a sound's independent parts, for halves."""

    words: str
    most: int | None = None
    recordings: int = 0


DATASETS = {
    "digits": Data("1,797 digits, 8x8"),
    "patches": Data("20,000 patches of two photographs, 32x32x3"),
    "fashion_mnist": Data("60,000 pieces of clothing, 28x28"),
    "cifar10": Data("20,000 of 50,000 photographs, 32x32x3", most=20_000),
    "spoken_digits": Data("1,500 spoken digits, 8 kHz, windows of 400", recordings=60),
    "piano_notes": Data("31 piano notes, 16 kHz, windows of 400", recordings=31),
}
"""Spoken digits stand for SC09 and piano notes for MUSIC. 60 recordings are speaker and digit."""

SOUNDS = tuple(name for name, data in DATASETS.items() if data.recordings)
EIGHT_BITS = (2 / 255) ** 2 / 12
"""The variance that rounding to 8 bits leaves in every direction, in units of [-1, 1]."""


class Regime(NamedTuple):
    """What a schedule is learned for."""

    sampler: str
    loss: str
    steps: int

    def __str__(self) -> str:
        return f"{self.sampler}, {self.loss}, S = {self.steps}"


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment; ``SMALLEST`` is the same in seconds.

    Attributes:
      samplers, losses, steps: every combination is learned.
      splits: into two random halves each, which tell how sure a number is.
      rank: of the low-rank estimate. ranks: of the ablation, those below the dimension.
      window: of sound. windows: of the ablation.
      floor: eigenvalues below it are lifted to it for KL, which has no value at zero.
      ablated: the steps of the ranks. most: samples of a dataset, the table's if None.
    """

    samplers: tuple[str, ...] = ("ddim", "ddpm")
    losses: tuple[str, ...] = ("w2", "kl")
    steps: tuple[int, ...] = (10, 50)
    splits: int = 5
    rank: int = 50
    ranks: tuple[int, ...] = (10, 25, 50, 100, 200, 400)
    window: int = 400
    windows: tuple[int, ...] = (100, 200, 400, 800)
    floor: float = EIGHT_BITS
    ablated: int = 10
    most: int | None = None

    @property
    def regimes(self) -> list[Regime]:
        """All combinations, DDIM and W2 first."""
        return [
            Regime(sampler, loss, steps)
            for sampler in self.samplers
            for loss in self.losses
            for steps in self.steps
        ]


CONFIG = Config()
SMALLEST = Config(
    samplers=("ddim",), losses=("w2",), steps=(3,), splits=1, rank=8, ranks=(4, 8), window=64,
    windows=(64, 96), ablated=3, most=300,
)  # fmt: skip
