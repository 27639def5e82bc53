"""Schedules as the commands take them: files (plans among them), lists of sigmas, in place too."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from specjax import files
from specjax._core import checks
from specjax._core.checks import UserError
from specjax.fitting.learned import FitResult, PlanResult
from specjax.fitting.spectral import spectral
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.schedules.families import SCHEDULES, family
from specjax.schedules.schedule import NoiseSchedule
from specjax.spectra.spectrum import Spectrum

SPECTRAL = "spectral"
"""The closed-form schedule of a spectrum, among the names of families."""

DEFAULT_STEPS = 50

Found = FitResult | NoiseSchedule | PlanResult
"""A plan brings what is done with the denoiser's answers, a fit the sampler, a schedule levels."""


def read_schedule(text: str) -> Found:
    """A schedule or plan file, or a list of sigmas in a text file or in place."""
    number = r"[\s\d.eE+,;-]|nan|inf"
    content = text if re.fullmatch(rf"({number})*[,;\s]({number})*", text, re.IGNORECASE) else ""
    if not content:
        raw = files.read_bytes(text)
        if raw[:2] == b"PK" or raw.lstrip()[:1] == b"{":
            found = files.load(text)
            if isinstance(found, Found):
                return found
            if isinstance(found, NoiseSpectrum):
                raise UserError(f"{text} is a noise file (for --noise): give a schedule file")
            if isinstance(found, Spectrum):
                raise UserError(
                    f"{text} is a spectrum file: give a schedule file ('specjax spectrum' shows "
                    "spectra)"
                )
            raise UserError(f"{text} is a probe of a denoiser: give a schedule file")
        content = raw.decode(errors="replace").strip().strip("[]()")
    try:
        sigmas = [float(word) for word in re.split(r"[\s,;]+", content.strip()) if word]
    except ValueError:
        raise UserError(
            f"{text} is not a schedule file (JSON by 'specjax fit'), nor a plan file (by 'specjax "
            "learn'), nor a list of sigmas"
        ) from None
    return NoiseSchedule.from_sigmas(sigmas)


def is_plan(text: str) -> bool:
    """Whether there is a file of that name with a plan: with corrections, not levels alone."""
    found = files.load(text) if files.kind_of(text) == "learned" else None
    return getattr(found, "corrections", None) is not None


def levels_of(found: Found) -> NoiseSchedule:
    """The levels alone."""
    return found if isinstance(found, NoiseSchedule) else found.schedule


def noise_of(found: Found) -> NoiseSpectrum | None:
    """The noise that it was learned for; None is isotropic."""
    return None if isinstance(found, NoiseSchedule) else getattr(found, "noise", None)


def source_of(found: Found) -> Mapping[str, Any] | None:
    """The data that it was learned on, where it was learned."""
    return None if isinstance(found, NoiseSchedule) else found.source


def schedule_for(text: str | None, steps: int | None, spectrum: Callable[[], Spectrum]) -> Found:
    """What ``--schedule`` and ``--steps`` ask for: a file, a list, a family or ``spectral``.

    Args:
      text: None is ``spectral``. steps: for what can have any number; by default 50.
      spectrum: called for ``spectral`` alone.

    Raises:
      UserError: for steps beside levels that are given, a name that is neither a family nor a
        file, and what :func:`read_schedule` refuses.
    """
    text = SPECTRAL if text is None else text
    if text in (SPECTRAL, *SCHEDULES):
        steps = DEFAULT_STEPS if steps is None else checks.whole_number("steps", steps)
        return spectral(spectrum(), steps) if text == SPECTRAL else family(text, steps)
    if re.fullmatch(r"[a-z_]+", text) and not Path(text).exists():
        checks.one_of("schedule", text, (SPECTRAL, *SCHEDULES))
    found = read_schedule(text)
    if steps is not None and steps != levels_of(found).steps:
        raise UserError(
            f"steps = {steps} beside {text}, which has {levels_of(found).steps}: leave --steps "
            "out, or give the name of a family"
        )
    return found
