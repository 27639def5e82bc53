"""Units of data: what a schedule was learned in, and what it is used on."""

from __future__ import annotations

from collections.abc import Mapping
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
