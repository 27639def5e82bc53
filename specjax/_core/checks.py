"""Checks of arguments. Each error is one line: the name, the value, what is allowed."""

from __future__ import annotations

import difflib
import json
import math
import os
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


LEAST_SCALE, MOST_SCALE = 1e-150, 1e150
"""The smallest and the largest scale: their squares are floats."""
MOST_SAMPLE = MOST_SCALE**0.5
"""The largest number of a sample, whose square is a variance."""
MOST_LOGSNR = 690.0
"""The largest logsnr, up or down: sigma and alpha_bar are scales."""

MOST = {
    "attention": 2**14,
    "bands": 10_000,
    "blocks": 16,
    "components": 10_000,
    "degree": 8,
    "devices": 1024,
    "feature_count": 2**16,
    "head": 2**14,
    "levels": 1000,
    "max_iterations": 10**6,
    "max_steps": 1000,
    "multipliers": 16,
    "order": 12,
    "power_iterations": 1000,
    "processes": 2**20,
    "projections": 10**6,
    "rate": 10**6,
    "replicates": 10**5,
    "restarts": 1024,
    "sample_count": 10**6,
    "sample_steps": 10_000,
    "seed": 2**32 - 1,
    "seeds": 1000,
    "size": 2**14,
    "splits": 1000,
    "steps": 10_000,
    "subsets": 10**6,
    "wavelet_scales": 32,
    "width": 2**14,
}
"""The largest counts and sizes, by the name under which they are given; see MOST_OF_OTHERS."""
MOST_OF_OTHERS = 10**9
"""The largest of all other counts: what can be counted in arrays of 32 bits."""


def whole_number(name: str, given: Any, least: int = 1, most: int | None = None) -> int:
    """Return the given number as an int of at least ``least``, and at most what MOST says."""
    most = MOST.get(name, MOST_OF_OTHERS) if most is None else most
    whole = isinstance(given, int | np.integer) and not isinstance(given, bool)
    if not whole or not least <= given <= most:
        raise UserError(f"{name} = {_short(given)}: give a whole number from {least} to {most:,}")
    return int(given)


def seed(given: Any, name: str = "seed") -> int:
    """Return the given number if random keys can be made of it."""
    return whole_number(name, given, 0, MOST["seed"])


def machine_memory() -> int:
    """Return the bytes of the machine's memory; 16 GB where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 16 * 2**30


def fits_in_memory(name: str, given: Any, nbytes: float, memory: int | None = None) -> None:
    """Refuse a size whose arrays would not fit into the memory, by default the machine's."""
    memory = machine_memory() if memory is None else memory
    if nbytes > memory:
        raise UserError(
            f"{name} = {_short(given)} needs {nbytes / 2**30:,.3g} GB, and this machine has "
            f"{memory / 2**30:.3g} GB: give less"
        )


def _short(given: Any) -> str:
    """Write a value; of a whole number that no line could hold only its size."""
    if isinstance(given, int) and abs(given) > 10**40:
        return f"{'-' if given < 0 else ''}10**{math.log10(abs(given)):.0f}"
    return repr(given)


def _as_float(given: Any) -> float:
    """Return a number as a float, NaN for what is none."""
    if isinstance(given, bool) or not isinstance(given, int | float | np.number):
        return math.nan
    try:
        return float(given)
    except OverflowError:  # an int of hundreds of digits
        return math.inf if given > 0 else -math.inf


def number(name: str, given: Any, low: float, high: float, say: str) -> float:
    """Return the given number as a float from ``low`` to ``high``; ``say`` is what to give."""
    found = _as_float(given)
    if not low <= found <= high:
        raise UserError(f"{name} = {_short(given)}: give {say}")
    return found


def positive(name: str, given: Any) -> float:
    """Return the given number as a float above zero, whose square is a float above zero."""
    say = f"a number above 0, from {LEAST_SCALE:g} to {MOST_SCALE:g}"
    return number(name, given, LEAST_SCALE, MOST_SCALE, say)


def not_negative(name: str, given: Any) -> float:
    """Return the given number as a float of at least zero, whose square is a float."""
    return number(name, given, 0, MOST_SCALE, f"a number from 0 to {MOST_SCALE:g}")


def sample_shape(given: Any, name: str = "shape") -> tuple[int, ...]:
    """Return the given shape of one sample if it is one, of at least one axis, as ints."""
    try:
        shape = tuple(given)
    except TypeError:
        shape = ()
    if not shape or not all(isinstance(n, int | np.integer) and n > 0 for n in shape):
        raise UserError(f"{name} = {given!r}: give that of one sample, such as (8, 8)")
    return tuple(int(n) for n in shape)


def are_within(numbers: np.ndarray, most: float) -> bool:
    """Tell whether no number of an array is NaN, infinite or beyond ``most``, up or down."""
    # As Python's floats: 1e150 in float32 is a warning.
    return not numbers.size or -most <= float(numbers.min()) <= float(numbers.max()) <= most


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
    """Return the two ends (noisy, clean), with 0 <= noisy < clean <= 1; 0 is pure noise."""
    try:
        noisy, clean = (float(end) for end in given)
    except (TypeError, ValueError):
        noisy = clean = math.nan
    if not (noisy == 0 or noisy >= LEAST_SCALE) or not max(noisy, LEAST_SCALE) < clean <= 1:
        raise UserError(
            f"alpha_bar_range = {given!r}: give (noisy, clean) with {LEAST_SCALE:g} <= noisy < "
            f"clean <= 1, such as {DEFAULT_ALPHA_BAR_RANGE}, or noisy = 0 for pure noise"
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
