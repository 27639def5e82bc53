"""What is run, frozen."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.trained_networks import config as trained_networks

ENDS = trained_networks.ENDS
ROW = "digits"


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment; ``SMALLEST`` is the same in seconds.

    Attributes:
      steps, samplers: each with each. parts: of the denoiser's error, 0 is the ideal denoiser.
      seeds: of the noise that judges. probe: samples that the network is probed on.
      network: the config of experiments/trained_networks, whose network and judge these are.
    """

    steps: tuple[int, ...] = (5, 8, 10, 20)
    samplers: tuple[str, ...] = ("ddim", "heun", "dpmpp_2m")
    parts: tuple[float, ...] = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
    seeds: int = 3
    probe: int = 500
    network: trained_networks.Config = trained_networks.CONFIG

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the schedules that are fitted."""
        return (*map(of_part, self.parts), PROBED, PROBED_ERRING)


def of_part(part: float) -> str:
    """The name of the schedule that is fitted with an error."""
    return f"error {part:g}"


PART = 0.1
IDEAL, USUAL = of_part(0.0), of_part(PART)
PROBED, PROBED_ERRING = f"probed, {IDEAL}", f"probed, {USUAL}"
"""With the linear part that a probe of the network measures in the place of Wiener's."""

CONFIG = Config()
SMALLEST = Config(
    steps=(3,), samplers=("ddim",), parts=(0.0, 0.1), seeds=2, probe=8,
    network=trained_networks.SMALLEST,
)  # fmt: skip
