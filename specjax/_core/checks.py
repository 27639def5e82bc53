"""Checks of arguments. Each error is one line: the name, the value, what is allowed."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np


class UserError(ValueError):
    """A mistake of the user's: what was given, what is allowed, what to do."""


DEFAULT_ALPHA_BAR_RANGE = (4.0358e-5, 1.0)
"""The noisy end of DDPM's linear schedule, and a last step that returns the denoised estimate."""


def one_of(name: str, given: Any, allowed: Iterable[str]) -> str:
    """Return the given word if it is an allowed one."""
    names = sorted(allowed)
    if given in names:
        return str(given)
    near = difflib.get_close_matches(str(given), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise UserError(f"{name} = {given!r} is unknown: choose from {', '.join(names)}{hint}")


def whole_number(name: str, given: Any, least: int = 1) -> int:
    """Return the given number as an int of at least ``least``."""
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < least:
        raise UserError(f"{name} = {given!r}: give a whole number of at least {least}")
    return int(given)


def seed(given: Any, name: str = "seed") -> int:
    """Return the given number if random keys can be made of it."""
    if whole_number(name, given, 0) >= 2**32:
        raise UserError(f"{name} = {given}: give a whole number below 2**32")
    return int(given)


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float | np.number) and not isinstance(given, bool)


def number(name: str, given: Any, low: float, high: float, say: str) -> float:
    """Return the given number as a float from ``low`` to ``high``; ``say`` is what to give."""
    if not (_is_number(given) and low <= given <= high):
        raise UserError(f"{name} = {given!r}: give {say}")
    return float(given)


def positive(name: str, given: Any) -> float:
    """Return the given number as a float above zero."""
    if not (_is_number(given) and 0 < given < math.inf):
        raise UserError(f"{name} = {given!r}: give a finite number above 0")
    return float(given)


def not_negative(name: str, given: Any) -> float:
    """Return the given number as a float of at least zero."""
    if not (_is_number(given) and 0 <= given < math.inf):
        raise UserError(f"{name} = {given!r}: give a finite number of at least 0")
    return float(given)


def unmasked(name: str, given: Any) -> Any:
    """Return the given array, without its mask if that hides nothing.

    Raises:
      UserError: for a masked array with masked values, which have no meaning here.
    """
    if not isinstance(given, np.ma.MaskedArray):
        return given
    if np.ma.is_masked(given):
        raise UserError(
            f"{name} is a masked array with {np.ma.count_masked(given):,} masked values: fill "
            "them, or leave those samples out"
        )
    return given.data


def alpha_bar_range(given: Any) -> tuple[float, float]:
    """Return the two ends (noisy, clean), with 0 < noisy < clean <= 1."""
    try:
        noisy, clean = (float(end) for end in given)
    except (TypeError, ValueError):
        noisy = clean = math.nan
    if not 0 < noisy < clean <= 1:
        raise UserError(
            f"alpha_bar_range = {given!r}: give (noisy, clean) with 0 < noisy < clean <= 1, "
            f"such as {DEFAULT_ALPHA_BAR_RANGE}"
        )
    return noisy, clean


def named_values(name: str, given: Iterable[str]) -> dict[str, Any]:
    """Parse ``("eta=0.5",)`` into a mapping; values are numbers where they look like ones."""
    values: dict[str, Any] = {}
    for item in given:
        key, equals, text = item.partition("=")
        if not equals:
            raise UserError(f"{name} = {item!r}: give NAME=VALUE, such as eta=0.5")
        try:
            values[key] = json.loads(text)
        except json.JSONDecodeError:
            values[key] = text
    return values
