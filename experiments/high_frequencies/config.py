"""What is run, frozen."""

from __future__ import annotations

from dataclasses import dataclass

ENDS = (4.0358e-5, 1.0)
SAMPLERS = ("ddim", "ddpm", "dpmpp_2m")
HEURISTICS = ("cosine", "linear", "sigmoid", "karras", "uniform_logsnr", "align_your_steps")

W2, KL, EVERY, BANDS = "w2", "kl", "relative (p = 1)", "bands alike"
TARGETS: dict[str, float | None] = {
    W2: 0.0, "p = 0.25": 0.25, "p = 0.5": 0.5, "p = 0.75": 0.75, EVERY: 1.0, BANDS: None, KL: None,
}  # fmt: skip
"""What a schedule is learned for, and p of the weights ``lambda^-p`` in W2.

With p = 1 it is the loss ``relative`` to the last digit, so no program is compiled for that one.
"bands alike" is p = 1 over the number of frequencies in the band: a low band counts as a high one.
"""


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment; ``SMALLEST`` is the same in seconds.

    Attributes:
      steps: denoiser calls. limit: samples that a spectrum is estimated from, None for all.
      seeds: of the noise that the network starts from. network_steps: calls there.
      samplers: of both. targets, heuristics: schedules that the network is asked for.
      n: samples of a seed. updates, width: of the network's training.
    """

    steps: tuple[int, ...] = (5, 10, 20, 50)
    limit: int | None = None
    seeds: int = 3
    network_steps: tuple[int, ...] = (5, 10)
    samplers: tuple[str, ...] = SAMPLERS
    targets: tuple[str, ...] = (W2, "p = 0.5", EVERY, BANDS)
    heuristics: tuple[str, ...] = ("cosine",)
    n: int = 600
    updates: int = 2000
    width: int = 32


CONFIG = Config()
SMALLEST = Config(
    steps=(3,), limit=200, seeds=2, network_steps=(3,), samplers=("ddim",), targets=(W2, EVERY),
    n=24, updates=2, width=4,
)  # fmt: skip

DATASETS = {
    "digits": "1,797 digits, 8x8",
    "patches": "20,000 patches of photographs, 32x32x3",
    "tfds:fashion_mnist": "60,000 pieces of clothing, 28x28",
    "tfds:cifar10": "50,000 photographs, 32x32x3",
}
NETWORK = "network"
"""The row of the UNet of 0.69 M parameters that was trained on the digits."""
