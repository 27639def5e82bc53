"""What is run, frozen."""

from __future__ import annotations

from dataclasses import dataclass, field

from specjax.files.forward_noise import ForwardNoise

BAND = (0.55, 0.8)
"""Radial frequencies of the corruption, and of the noise that leaves it out."""


@dataclass(frozen=True)
class Variant:
    """One training: its noise, and whether its data are corrupted in BAND."""

    noise: ForwardNoise = field(default_factory=ForwardNoise)
    corrupted: bool = False
    learned: bool = False
    """whether the exponent is the one that the Gaussian model of the data likes best"""


def power_law(exponent: float) -> Variant:
    """w = (r + 0.01)^exponent."""
    return Variant(ForwardNoise(noise="power-law", noise_exponent=exponent))


VARIANTS = {
    "isotropic": Variant(),
    "power law, -0.3": power_law(-0.3),
    "power law, -0.06": power_law(-0.06),
    "power law, 0.1": power_law(0.1),
    "power law, learned with the schedule": Variant(ForwardNoise(noise="power-law"), learned=True),
    "two bands, low 1, high 0.7": Variant(ForwardNoise(noise="two-band", noise_gains=(1.0, 0.7))),
    "corrupted data, isotropic": Variant(corrupted=True),
    "corrupted data, band omitted": Variant(ForwardNoise(noise_omit=BAND), corrupted=True),
}


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment; ``SMALLEST`` is the same in seconds.

    Attributes:
      seeds: of training and of the samples.
      updates, width: of the training of each network. std: of the corruption.
      steps: of DDIM along the spectral schedule. fine: of DPM-Solver++(2M) along it.
      n: samples judged. features: updates of the classifier that gives features, 0 for none.
      variants: names in VARIANTS, all by default.
    """

    seeds: int = 3
    updates: int = 1500
    width: int = 16
    std: float = 0.6
    steps: int = 10
    fine: int = 64
    n: int = 1797
    features: int = 600
    variants: tuple[str, ...] = tuple(VARIANTS)


CONFIG = Config()
SMALLEST = Config(
    seeds=1, updates=2, width=4, steps=2, fine=4, n=24, features=0,
    variants=("isotropic", "power law, -0.06", "corrupted data, band omitted"),
)  # fmt: skip

DATASETS = {
    "digits": "1,797 digits, 8x8",
    "tfds:fashion_mnist": "60,000 pieces of clothing, 28x28",
    "tfds:cifar10": "50,000 photographs, 32x32x3",
}
