"""Schedules as the commands take them: files, lists of sigmas, lists in place."""

from __future__ import annotations

import re

from specjax import io as files
from specjax.result import FitResult
from specjax.schedule import NoiseSchedule
from specjax.spectrum import Spectrum


def read_schedule(text: str) -> FitResult | NoiseSchedule:
    """A schedule file, or a list of sigmas in a text file or in place."""
    content = text if re.fullmatch(r"[\s\d.eE+,;-]*[,;\s][\s\d.eE+,;-]*", text) else ""
    if not content:
        raw = files.read(text)
        if raw[:2] == b"PK" or raw.lstrip()[:1] == b"{":
            found = files.load(text)
            if isinstance(found, Spectrum):
                raise ValueError(
                    f"{text} is a spectrum file: give a schedule file ('specjax spectrum' shows "
                    "spectra)"
                )
            return found
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
