"""What an export target is, and what the targets of levels share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from specjax._core.checks import UserError
from specjax.files.kinds import noise_field
from specjax.fitting.learned import LearnedResult
from specjax.noise.noise_spectrum import NoiseSpectrum, anisotropic
from specjax.schedules.grids import TrainingGrid
from specjax.schedules.schedule import NoiseSchedule

Exportable = LearnedResult | NoiseSchedule

Content = tuple[str | bytes, Sequence[str]]
"""What a target writes, and one-line remarks on it."""


class ExportTarget(Protocol):
    """A program that schedules or plans are exported to; pass your own as ``to``."""

    @property
    def name(self) -> str:
        """What errors and :attr:`Export.target` call it."""

    @property
    def summary(self) -> str:
        """One line on what it writes."""

    @property
    def suffix(self) -> str:
        """The usual ending of its file, such as ".json"."""

    def write(self, result: Exportable, grid: TrainingGrid | None, shift: float) -> Content:
        """Make the content of a file and remarks.

        Args:
          result: learned levels, a learned plan (its ``corrections`` are not None), or bare levels
            without a sampler.
          grid: the noise levels that the network was trained on; None for a continuous level.
          shift: the flow-matching shift that the other program applies.

        Raises:
          UserError: for what the program cannot run.
        """


class Target(NamedTuple):
    """A target as a row of a table: see :class:`ExportTarget`."""

    name: str
    summary: str
    suffix: str
    write: Callable[[Exportable, TrainingGrid | None, float], Content]


@dataclass(frozen=True)
class LevelsExport:
    """Levels on their way to a program, with the sampler that they were learned for.

    Attributes:
      schedule: the levels. result: what was learned, None for bare levels.
      grid: None for networks of continuous level.
    """

    schedule: NoiseSchedule
    result: LearnedResult | None
    grid: TrainingGrid | None

    @classmethod
    def of(cls, result: Exportable, target: str, grid: TrainingGrid | None) -> LevelsExport:
        """Take the levels of a result for a target.

        Raises:
          UserError: for a plan with corrections, which another sampler would ignore.
        """
        if isinstance(result, NoiseSchedule):
            return cls(result, None, grid)
        if result.corrections is not None:
            raise UserError(
                f"to = {target!r}: takes levels alone, which without the plan's coefficients are "
                "another sampler; run the plan by specjax.interop (docs/plans.md), or give csv, "
                "npz, json"
            )
        return cls(result.schedule, result, grid)

    @property
    def sampler(self) -> str:
        """The sampler that the schedule was learned for; DDIM for a bare schedule."""
        return self.result.sampler if self.result else "ddim"

    @property
    def options(self) -> dict[str, Any]:
        """The sampler's options."""
        return dict(self.result.sampler_options) if self.result else {}

    @property
    def eta(self) -> float:
        """How much noise the sampler adds: an option, else 0 for DDIM and 1 for others."""
        return float(self.options.get("eta", 0.0 if self.sampler == "ddim" else 1.0))

    @property
    def process(self) -> str:
        """The process whose noise a sample starts from."""
        return self.result.process if self.result else "vp"

    @property
    def noise(self) -> NoiseSpectrum | None:
        """The noise that the schedule was learned for; None is isotropic."""
        return anisotropic(self.result.noise) if self.result else None

    def clipped(self) -> tuple[NoiseSchedule, list[str]]:
        """Clip the schedule to the grid's range; also remarks on what was moved."""
        return self.grid.clip(self.schedule) if self.grid else (self.schedule, [])

    def about(self) -> dict[str, Any]:
        """Describe the schedule's origin for a file: the sampler is part of a schedule."""
        known: dict[str, Any] = {"steps": self.schedule.steps, "process": self.process}
        if self.result is None:
            return {**known, "sampler": None}
        return {
            **known,
            "sampler": self.sampler,
            "sampler_options": self.options,
            "loss": self.result.loss,
            "objective": dict(self.result.objective),
            **noise_field(self.noise),
            "value": float(self.result.value) if np.isfinite(self.result.value) else None,
        }


class Client(NamedTuple):
    """The class or function of another program that runs a schedule, and its arguments."""

    name: str
    arguments: Mapping[str, Any]


SCALE_NOTE = (
    "eigenvalues are taken to be in the network's units (images in [-1, 1], scaled latents): "
    "data that are c times larger shift every logsnr by -2 log c"
)
SAMPLING_NOTE = "levels for sampling: do not pass them as trained_betas or train on them"
NO_SAMPLER_NOTE = "a bare schedule: no sampler is recorded, and the best schedule depends on it"


def noise_note(noise: NoiseSpectrum | None) -> list[str]:
    """Remark on a noise that is not white: other programs draw white noise."""
    if noise is None:
        return []
    own = " (with own=spectrum.basis put in by dataclasses.replace)" * (noise.basis == "data")
    known = "; where it omits directions keep x / alpha of the sample, not the network's answer"
    return [
        f"learned for {noise.name} noise, and for a network trained under it: start from noise of "
        f"that spectrum, and add such noise: sx.load(FILE).noise.color(white){own}"
        f"{known * bool(noise.omitted)}"
    ]


def end_note(schedule: NoiseSchedule) -> list[str]:
    """Remark on a schedule without a noise-free end."""
    if schedule.ends_clean:
        return []
    last = float(np.asarray(schedule.sigmas)[-1])
    return [f"the schedule stops at sigma {last:.4g}: the list of sigmas has no trailing 0"]


def start_std(sigma: float, process: str) -> float:
    """Return the standard deviation of the VE sample ``x / alpha`` that a sampler starts from.

    VP starts from unit noise: ``1 / alpha = sqrt(1 + sigma^2)``; VE from ``sigma``.
    """
    return float(np.hypot(1.0, sigma)) if process == "vp" else float(sigma)


def floats(levels: Any) -> list[float]:
    """Make Python's floats of an array."""
    return [float(x) for x in np.asarray(levels, np.float64)]
