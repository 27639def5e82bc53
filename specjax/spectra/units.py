"""Units of data: what a schedule was learned in, and what it is used on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from specjax._core.checks import UserError

_REMEDY = "make the spectrum again with data_range (--data-range)"
_AGAIN = "learn the schedule again with data_range (--data-range)"


def check_units(
    learned: Mapping[str, Any] | None,
    used: Mapping[str, Any] | None,
    *,
    schedule: str = "the schedule",
    data: str = "the spectrum",
) -> None:
    """Refuse a schedule on data of other units than those that it was learned in.

    Noise levels are relative to the data's scale. Samples with a ``data_range``, whichever, are in
    [-1, 1] units; samples without are in their own. Of unknown units (no ``data_range`` in the
    source: plain levels, a power law) everything is accepted.

    Args:
      learned: ``source`` of a fit, None where it is not known.
      used: ``source`` of the spectrum or dataset that the schedule meets.
      schedule, data: what the error calls them.

    Raises:
      UserError: if one is in [-1, 1] units and the other in the units of its samples.

    Example:
      >>> spectrum = sx.data.open("digits").spectrum()  # data_range = (0, 16)
      >>> check_units({"data_range": [0, 255]}, spectrum.source)
    """
    learned, used = learned or {}, used or {}
    if "data_range" not in learned or "data_range" not in used:
        return
    before, now = (source["data_range"] is not None for source in (learned, used))
    if before == now:
        return
    words = {True: "mapped to [-1, 1]", False: "in the units of its samples"}
    raise UserError(
        f"{schedule} was learned on data {words[before]}, {data} is {words[now]}: "
        f"{_REMEDY if before else _AGAIN}, or give the schedule's sigmas as a list"
    )


def check_same_data(
    before: Mapping[str, Any],
    shape: Sequence[int],
    now: Mapping[str, Any],
    *,
    first: str,
    second: str,
) -> None:
    """Refuse data of another shape, in other units or, of the same samples, in another range.

    Args:
      before: ``source`` of what is known, with samples of ``shape``: a run, or samples.
      now: ``source`` of the data that it meets. first, second: what errors call the two.

    Raises:
      UserError: if they cannot be compared.
    """
    if tuple(shape) != tuple(now["shape"]):
        raise UserError(
            f"samples of {first} have shape {tuple(shape)}, those of {second} "
            f"{tuple(now['shape'])}: give data of the same shape, or read them so (--size, "
            "--colour, --window)"
        )
    if "data_range" not in before:
        return
    old, new = before["data_range"], now["data_range"]
    if (old is None) != (new is None):
        words = ("in the units of their own", "read without --data-range")
        if old is not None:
            words = ("in [-1, 1]", "give --data-range")
        raise UserError(f"samples of {first} are {words[0]}, those of {second} not: {words[1]}")
    same = all(before.get(key) in (None, now.get(key)) for key in ("name", "dtype"))
    if old is not None and same and "name" in before and tuple(old) != tuple(new):
        low, high = old
        raise UserError(
            f"{first} is of {before['name']} with data_range = ({low:g}, {high:g}), {second} is "
            f"read with ({new[0]:g}, {new[1]:g}): give --data-range {low:g} {high:g}"
        )
