"""What every target is made from, and the numbers and remarks they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from specjax.files.noise_file import noise_field
from specjax.fitting.learned import LearnedResult
from specjax.noise.noise_spectrum import NoiseSpectrum, anisotropic
from specjax.schedules.grids import TrainingGrid
from specjax.schedules.schedule import NoiseSchedule

Written = tuple[str | bytes, list[str]]
"""What a target writes, and its remarks."""

SCALE_NOTE = (
    "eigenvalues are taken to be in the network's units (images in [-1, 1], scaled latents): "
    "data that are c times larger shift every logsnr by -2 log c"
)
SAMPLING_NOTE = "levels for sampling: do not pass them as trained_betas or train on them"
NO_SAMPLER_NOTE = "a bare schedule: no sampler is recorded, and the best schedule depends on it"


class Request(NamedTuple):
    """An export that was asked for; ``grid`` is None for networks of continuous level.

    ``result`` says of which sampler the levels are; a plan stands here where it is levels alone.
    """

    schedule: NoiseSchedule
    result: LearnedResult | None
    grid: TrainingGrid | None
    shift: float

    @property
    def sampler(self) -> str:
        """The sampler that the schedule was learned for; DDIM for a bare schedule."""
        return self.result.sampler if self.result else "ddim"

    @property
    def options(self) -> dict[str, Any]:
        """The sampler's options."""
        return dict(self.result.sampler_options) if self.result else {}

    @property
    def process(self) -> str:
        """The process whose noise a sample starts from."""
        return self.result.process if self.result else "vp"

    @property
    def noise(self) -> NoiseSpectrum | None:
        """The noise that the schedule was learned for; None is isotropic."""
        return anisotropic(getattr(self.result, "noise", None))

    def clipped(self) -> tuple[NoiseSchedule, list[str]]:
        """The schedule within the grid's range, and remarks on what was moved."""
        return self.grid.clip(self.schedule) if self.grid else (self.schedule, [])

    def about(self) -> dict[str, Any]:
        """What a file says of the schedule's origin: the sampler is part of a schedule."""
        known: dict[str, Any] = {"steps": self.schedule.steps, "process": self.process}
        if self.result is None:
            return {**known, "sampler": None}
        return {
            **known,
            "sampler": self.sampler,
            "sampler_options": self.options,
            **self._judged(),
            **noise_field(self.noise),
            "value": float(self.result.value) if np.isfinite(self.result.value) else None,
        }

    def _judged(self) -> dict[str, Any]:
        if self.result and self.result.nodes is None:
            return {"objective": dict(self.result.objective)}
        return {"loss": self.result.loss} if self.result else {}


@dataclass(frozen=True)
class Client:
    """What runs the schedule elsewhere: a class or function, and its arguments."""

    name: str
    arguments: Mapping[str, Any]


def noise_note(noise: NoiseSpectrum | None) -> list[str]:
    """A remark on a noise that is not white, which is what other programs draw."""
    if noise is None:
        return []
    own = " (with own=spectrum.basis put in by dataclasses.replace)" * (noise.basis == "data")
    known = "; where it omits directions keep x / alpha of the sample, not the network's answer"
    return [
        f"learned for {noise.name} noise, and for a network trained under it: start from noise of "
        f"that spectrum, and add such noise: sx.load(FILE).noise.color(white){own}"
        f"{known * bool(noise.omitted)}"
    ]


def start_std(sigma: float, process: str) -> float:
    """Standard deviation of the VE sample ``x / alpha`` that a sampler starts from.

    VP starts from unit noise: ``1 / alpha = sqrt(1 + sigma^2)``; VE from ``sigma``.
    """
    return float(np.hypot(1.0, sigma)) if process == "vp" else float(sigma)


def floats(levels: Any) -> list[float]:
    """Python floats."""
    return [float(x) for x in np.asarray(levels, np.float64)]


def end_note(schedule: NoiseSchedule) -> list[str]:
    """A remark on a schedule without a noise-free end."""
    if schedule.ends_clean:
        return []
    last = float(np.asarray(schedule.sigmas)[-1])
    return [f"the schedule stops at sigma {last:.4g}: the list of sigmas has no trailing 0"]
