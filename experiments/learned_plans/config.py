"""What is run, frozen."""

from __future__ import annotations

from dataclasses import dataclass

ENDS = (4.0358e-5, 1.0)
LIKELY = "likely"
"""The kernel width under which the held-out half is most likely, beside numbers."""


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment; ``SMALLEST`` is the same in seconds.

    Attributes:
      steps: denoiser calls. seeds: of the split of the data and of all noise.
      patches: how many are cut. widths: of the kernels of the exact denoisers that are learned on
        and that judge. noises, iterations: of the learning, None for the defaults.
      n: samples that judge the exact denoisers, n_network: the network, n_ranked:
        of the network that say which heuristics are best, of which ``best`` are then judged.
      fine, fine_network: steps of the fine solutions that judge. mixture: components, or None.
      updates, width: of the training of the network. probe: samples that it is probed on.
      columns: the plans of the data's priors, all by default.
    """

    steps: tuple[int, ...] = (5, 8)
    seeds: int = 5
    patches: int = 3000
    widths: tuple[float | str, ...] = (0.05, LIKELY)
    noises: int | None = None
    iterations: int = 300
    n: int = 5000
    n_network: int = 2000
    n_ranked: int = 400
    best: int = 3
    fine: int = 256
    fine_network: int = 64
    mixture: int | None = None
    updates: int = 2000
    width: int = 32
    probe: int = 500
    columns: tuple[str, ...] = ()


CONFIG = Config()
SMALLEST = Config(
    steps=(3,), seeds=1, patches=200, widths=(0.05,), noises=32, iterations=10, n=64, n_network=32,
    n_ranked=16, best=1, fine=32, fine_network=16, mixture=2, updates=2, width=4, probe=8,
    columns=("empirical @ 0.05",),
)  # fmt: skip

ROWS = {
    "digits": "exact denoiser of half of 1,797 digits, 8x8",
    "patches": "exact denoiser of half of 3,000 grey patches, 8x8",
    "network": "a UNet of 0.69 M parameters trained on the digits",
}
NAMED = (
    "ddim cosine",
    "ddim spectral",
    "dpmpp_2m uniform_logsnr",
    "dpmpp_2m karras",
)
"""Heuristics that are always shown: sampler and schedule."""
