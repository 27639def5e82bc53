"""Schedules as the commands take them: files, lists of sigmas, lists in place."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from specjax import _check
from specjax import io as files
from specjax.families import SCHEDULES, family
from specjax.result import FitResult
from specjax.schedule import NoiseSchedule
from specjax.spectral import spectral
from specjax.spectrum import Spectrum

SPECTRAL = "spectral"
"""The closed-form schedule of a spectrum, among the names of families."""

DEFAULT_STEPS = 50


def read_schedule(text: str) -> FitResult | NoiseSchedule:
    """A schedule file, or a list of sigmas in a text file or in place."""
    content = text if re.fullmatch(r"[\s\d.eE+,;-]*[,;\s][\s\d.eE+,;-]*", text) else ""
    if not content:
        raw = files.read(text)
        if raw[:2] == b"PK" or raw.lstrip()[:1] == b"{":
            found = files.load(text)
            if isinstance(found, FitResult | NoiseSchedule):
                return found
            if isinstance(found, Spectrum):
                raise ValueError(
                    f"{text} is a spectrum file: give a schedule file ('specjax spectrum' shows "
                    "spectra)"
                )
            raise ValueError(f"{text} is a probe of a denoiser: give a schedule file")
        content = raw.decode(errors="replace").strip().strip("[]()")
    try:
        sigmas = [float(word) for word in re.split(r"[\s,;]+", content.strip()) if word]
    except ValueError:
        raise ValueError(
            f"{text} is not a schedule file (JSON by 'specjax fit') nor a list of sigmas"
        ) from None
    return NoiseSchedule.from_sigmas(sigmas)


def levels_of(found: FitResult | NoiseSchedule) -> NoiseSchedule:
    """The levels alone."""
    return found if isinstance(found, NoiseSchedule) else found.schedule


def schedule_for(
    text: str | None, steps: int | None, spectrum: Callable[[], Spectrum]
) -> FitResult | NoiseSchedule:
    """What ``--schedule`` and ``--steps`` ask for: a file, a list, a family or ``spectral``.

    Args:
      text: None is ``spectral``. steps: for what can have any number; by default 50.
      spectrum: called for ``spectral`` alone.

    Raises:
      ValueError: for steps beside levels that are given, a name that is neither a family nor a
        file, and what :func:`read_schedule` refuses.
    """
    text = SPECTRAL if text is None else text
    if text in (SPECTRAL, *SCHEDULES):
        steps = DEFAULT_STEPS if steps is None else _check.whole_number("steps", steps)
        return spectral(spectrum(), steps) if text == SPECTRAL else family(text, steps)
    if re.fullmatch(r"[a-z_]+", text) and not Path(text).exists():
        _check.one_of("schedule", text, (SPECTRAL, *SCHEDULES))
    found = read_schedule(text)
    if steps is not None and steps != levels_of(found).steps:
        raise ValueError(
            f"steps = {steps} beside {text}, which has {levels_of(found).steps}: leave --steps "
            "out, or give the name of a family"
        )
    return found
