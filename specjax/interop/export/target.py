"""What an export target is, and what the targets of levels share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from specjax._core.checks import UserError
from specjax.files.codec import plain
from specjax.files.kinds import noise_field
from specjax.fitting.learned import LearnedResult
from specjax.noise.noise_spectrum import anisotropic
from specjax.schedules.grids import TrainingGrid
from specjax.schedules.schedule import NoiseSchedule

Content = tuple[str | bytes, Sequence[str]]
"""What a target writes, and one-line remarks on it."""


class ExportTarget(Protocol):
    """A program that schedules or plans are exported to; pass your own as ``to``."""

    @property
    def name(self) -> str:
        """The name that errors and :attr:`Export.target` give it."""

    @property
    def summary(self) -> str:
        """One line on what it writes."""

    @property
    def suffix(self) -> str:
        """The usual ending of its file, such as ".json"."""

    def write(self, result: LearnedResult, grid: TrainingGrid | None, shift: float) -> Content:
        """Make the content of a file and remarks.

        Args:
          result: learned levels or a learned plan (its ``corrections`` are not None); a bare
            schedule comes as :meth:`LearnedResult.from_schedule`, its ``kept`` is "given".
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
    write: Callable[[LearnedResult, TrainingGrid | None, float], Content]


def check_levels(result: LearnedResult, target: str) -> None:
    """Refuse a plan with corrections, which a program that takes levels alone would ignore."""
    if result.corrections is not None:
        raise UserError(
            f"to = {target!r}: takes levels alone, which without the plan's coefficients are "
            "another sampler; run the plan by specjax.interop (docs/plans.md), or give csv, "
            "npz, json"
        )


def eta_of(result: LearnedResult) -> float:
    """Return how much noise the sampler adds: an option, else 0 for DDIM and 1 for others."""
    return float(result.sampler_options.get("eta", 0.0 if result.sampler == "ddim" else 1.0))


def about(result: LearnedResult) -> dict[str, Any]:
    """Describe the origin of levels for a file: the sampler is part of a schedule."""
    known: dict[str, Any] = {"steps": result.steps, "process": result.process}
    if result.kept == "given":
        return {**known, "sampler": None}
    return {
        **known,
        "sampler": result.sampler,
        "sampler_options": dict(result.sampler_options),
        "loss": result.loss,
        "objective": dict(result.objective),
        **noise_field(result.noise),
        "value": plain(result.value),
    }


SCALE_NOTE = (
    "eigenvalues are taken to be in the network's units (images in [-1, 1], scaled latents): "
    "data that are c times larger shift every logsnr by -2 log c"
)
SAMPLING_NOTE = "levels for sampling: do not pass them as trained_betas or train on them"


def sampler_note(result: LearnedResult) -> list[str]:
    """Remark on levels without a sampler."""
    if result.kept != "given":
        return []
    return ["a bare schedule: no sampler is recorded, and the best schedule depends on it"]


def noise_note(result: LearnedResult) -> list[str]:
    """Remark on a noise that is not white: other programs draw white noise."""
    noise = anisotropic(result.noise)
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


_PURE_SIGMA = (2.0**24 - 1) ** 0.5  # where diffusers has alpha_bar of 2^-24 for 0


def finite_sigmas(sigmas: Any) -> list[float]:
    """Make a list of VE sigmas, with a large number for pure noise."""
    return [min(s, _PURE_SIGMA) for s in floats(sigmas)]


def pure_note(schedule: NoiseSchedule) -> list[str]:
    """Remark on a first level of pure noise."""
    if not schedule.starts_pure:
        return []
    return [f"the first level is pure noise: in a list of sigmas {_PURE_SIGMA:.6g} stands for it"]
