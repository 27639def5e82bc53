"""Schedules as commands take them: schedule and plan files, families, lists of sigmas."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from specjax import files
from specjax._core import checks
from specjax._core.checks import UserError

if TYPE_CHECKING:
    from specjax.fitting.learned import LearnedResult
    from specjax.spectra.spectrum import Spectrum

SPECTRAL = "spectral"
"""The closed-form schedule of a spectrum, among the names of families."""

DEFAULT_STEPS = 50

_LIST_BYTES = 2**18

_NUMBER = r"[\s\d.eE+,;-]|nan|inf"
_LIST = re.compile(rf"({_NUMBER})*[,;\s]({_NUMBER})*", re.IGNORECASE)


def any_steps() -> tuple[str, ...]:
    """Return the names of schedules that can have any number of steps."""
    from specjax.schedules.families import SCHEDULES

    return (SPECTRAL, *SCHEDULES)


def read_schedule(text: str, steps: int | None = None) -> LearnedResult:
    """Read a schedule or plan file, or a list of sigmas: a text file, or the numbers themselves.

    Args:
      text: the file, or the numbers.
      steps: S, in a file of plans of several; that of any other, if given.

    Raises:
      UserError: for a file that cannot be read or holds something else, sigmas that are no
        schedule, and other steps than these.
    """
    result = _read(text, steps)
    if steps not in (None, result.steps):
        raise UserError(
            f"steps = {steps} beside {text}, which has {result.steps}: leave --steps out, or give "
            "the name of a family"
        )
    return result


def _read(text: str, steps: int | None) -> LearnedResult:
    from specjax.fitting.learned import LearnedResult
    from specjax.schedules.schedule import NoiseSchedule

    content = text
    if not _LIST.fullmatch(text):
        raw = files.read_bytes(text)
        if raw[:2] == b"PK" or raw.lstrip()[:1] == b"{":
            return _loaded(text, steps)
        if len(raw) > _LIST_BYTES:
            raise UserError(f"{text} holds more than {_LIST_BYTES:,} bytes, the most of a list")
        content = raw.decode(errors="replace")
    try:
        words = re.split(r"[\s,;]+", content.strip().strip("[]()"))
        sigmas = [float(word) for word in words if word]
    except ValueError:
        raise UserError(
            f"{text} is not a schedule file (JSON by 'specjax fit'), nor a plan file (by 'specjax "
            "learn'), nor a list of sigmas"
        ) from None
    return LearnedResult.from_schedule(NoiseSchedule.from_sigmas(sigmas))


def _loaded(path: str, steps: int | None) -> LearnedResult:
    from specjax.fitting.any_steps import PlanSet
    from specjax.fitting.learned import LearnedResult
    from specjax.schedules.schedule import NoiseSchedule

    value = files.load(path)
    if isinstance(value, NoiseSchedule):
        return LearnedResult.from_schedule(value)
    if isinstance(value, PlanSet):
        return value.of(steps)
    if not isinstance(value, LearnedResult):
        raise UserError(f"{path} is a {files.kind_of(path)} file: give a schedule or plan file")
    return value


def schedule_for(
    text: str | None, steps: int | None, spectrum: Callable[[], Spectrum], *, pure: bool = True
) -> LearnedResult:
    """Read or make the schedule that ``--schedule`` and ``--steps`` ask for.

    Args:
      text: a file, a list of sigmas, the name of a family, or "spectral" (None means the same).
      steps: of a family or "spectral", 50 by default, or of plans of several.
      spectrum: called for "spectral" alone.
      pure: whether a family may start from pure noise, and not where others are cut off.

    Raises:
      UserError: for steps that differ from those of the given levels, a name that is neither a
        family nor a file, and whatever :func:`read_schedule` refuses.
    """
    from specjax.fitting.learned import LearnedResult
    from specjax.fitting.spectral import spectral
    from specjax.schedules.families import NEARLY_PURE, family

    if text is None or text in any_steps():
        steps = DEFAULT_STEPS if steps is None else steps
        closed_form = text in (None, SPECTRAL)
        made = spectral(spectrum(), steps) if closed_form else family(str(text), steps)
        if made.starts_pure and not pure:
            made = family(str(text), steps, alpha_bar_range=(NEARLY_PURE, 1.0))
        return LearnedResult.from_schedule(made)
    if re.fullmatch(r"[a-z_]+", text) and not Path(text).exists():
        checks.one_of("schedule", text, any_steps())
    return read_schedule(text, steps)
