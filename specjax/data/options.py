"""The options of :func:`specjax.data.open`: what they mean, apply to, and may be."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError

DEFAULT_WINDOW = 400
"""Samples in a window of sound, as in the paper."""

DEFAULT_SILENCE = -40.0
"""Decibels: 1 % of the peak. Of speech it drops the pauses (13 % of the windows of single spoken
digits), of single piano notes the ends of their decay (60 %)."""


KINDS = {
    "builtin": "built-in sets", "file": "files", "array": "arrays", "batches": "batches",
    "tfds": "TFDS sets", "images": "folders of images", "sound": "folders of sound",
}  # fmt: skip
"""The kinds of data, and what errors call them."""

_FOLDERS = ("images", "sound")

APPLIES = {
    "key": ("file", "tfds"),
    "label": ("file", "tfds", *_FOLDERS),
    "shard": ("builtin", "file", "array", "tfds", *_FOLDERS),
    "strict": _FOLDERS,
    "data_dir": ("tfds",),
    "size": ("images", "tfds"),
    "fit": ("images", "tfds"),
    "colour": ("images",),
    **dict.fromkeys(("rate", "window", "hop", "silence", "normalise"), ("sound",)),
}
"""The kinds of data that an option applies to; options without a row apply to all."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How :func:`specjax.data.open` reads data."""

    data_range: tuple[float, float] | None = None
    """LOW HIGH of the samples, mapped to [-1, 1]; uint8 means 0 255, bool 0 1, sound -1 1, other
    integers need it, floats are taken as they are without it"""

    seed: int = 0
    """of the positions of patches; used by nothing else"""

    limit: int | None = None
    """only that many samples, the first (with shard: of this part)"""

    shard: tuple[int, int] | None = None
    """INDEX COUNT, index from 0: only this one of COUNT parts, so that several processes share the
    reading; the parts are disjoint and together they are everything"""

    key: str | None = None
    """.npz: which array of several; TFDS: which feature (by default "image")"""

    label: str | None = None
    """where the classes are. .npz: the array of that name (by default labels, label or y); TFDS:
    the feature (by default label); folders: folder (the default: the first subfolder) or prefix
    (what precedes the first _ of the file's name); none: without classes"""

    data_dir: str | None = None
    """TFDS: folder of the prepared sets; by default TFDS's own (TFDS_DATA_DIR or
    ~/tensorflow_datasets)"""

    size: int | tuple[int, int] | None = None
    """images of mixed sizes: side of a square, or HEIGHT WIDTH"""

    fit: str | None = None
    """images: resize (the default: stretched to the size) or crop (the shorter side is scaled to
    the size, the middle is kept); both by Lanczos with antialiasing"""

    colour: str | None = None
    """folders of images: rgb or grey; by default as the first image"""

    rate: int | None = None
    """sound: samples per second that all files are brought to; needed where they differ"""

    window: int | None = None
    """sound: samples in a window (by default 400)"""

    hop: int | None = None
    """sound: samples from one window to the next (by default the window)"""

    silence: float | None = None
    """sound: drop windows whose root mean square is less than this many decibels relative to the
    peak of their file (by default -40)"""

    normalise: str | None = None
    """sound: peak (the default: each file is divided by its peak) or none"""

    strict: bool = False
    """folders: stop at the first bad file instead of skipping it"""


def with_changes(options: Options | None, changes: dict[str, Any]) -> Options:
    """Return the options with changes by name, once every value is checked."""
    names = [field.name for field in fields(Options)]
    for name in changes:
        checks.one_of("option", name, names)
    options = replace(options or Options(), **changes)
    for name, check in _CHECKS.items():
        if getattr(options, name) is not None:
            check(name, getattr(options, name))
    if options.fit is not None and options.size is None:
        raise UserError(f"fit = {options.fit!r} needs a size: give size=... (--size)")
    return options


def check_kind(options: Options, kind: str) -> None:
    """Refuse an option that does not apply to a kind of data."""
    for name, kinds in APPLIES.items():
        given = getattr(options, name)
        if given is not None and given is not False and kind not in kinds:
            allowed = ", ".join(KINDS[word] for word in kinds)
            raise UserError(
                f"{name} = {given!r} applies to {allowed}, not to {KINDS[kind]}: leave it out"
            )


def shard_slice(total: int, shard: tuple[int, int] | None, items: str) -> slice:
    """Return the part of ``total`` items that a shard owns; the parts are of nearly equal sizes."""
    index, count = shard or (0, 1)
    if count > total:
        raise UserError(f"shard = {shard!r} of {total} {items}: give at most {total} shards")
    return slice(total * index // count, total * (index + 1) // count)


def height_width(given: int | tuple[int, int], name: str = "size") -> tuple[int, int]:
    """Return both sides of a size."""
    sides = _integers(given if isinstance(given, tuple | list) else (given, given))
    if len(sides) != 2 or min(sides) < 1:
        raise UserError(f"{name} = {given!r}: give a side, such as 64, or (height, width)")
    return sides[0], sides[1]


def _integers(given: Any) -> tuple[int, ...]:
    """Return a sequence as integers, () for anything else."""
    values = tuple(given) if isinstance(given, tuple | list) else ()
    whole = all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in values)
    return tuple(int(n) for n in values) if whole else ()


def _check_shard(name: str, given: Any) -> None:
    pair = _integers(given)
    if len(pair) != 2 or not 0 <= pair[0] < pair[1]:
        raise UserError(f"{name} = {given!r}: give (index, count) with 0 <= index < count")


_DECIBELS = "decibels below the peak, such as -40"

_CHECKS: dict[str, Any] = {
    "seed": lambda name, given: checks.whole_number(name, given, 0),
    "limit": checks.whole_number,
    "shard": _check_shard,
    "size": lambda name, given: height_width(given, name),
    "fit": lambda name, given: checks.one_of(name, given, ("resize", "crop")),
    "colour": lambda name, given: checks.one_of(name, given, ("rgb", "grey")),
    "rate": checks.whole_number,
    "window": lambda name, given: checks.whole_number(name, given, 2),
    "hop": checks.whole_number,
    "silence": lambda name, given: checks.number(name, given, -sys.float_info.max, 0, _DECIBELS),
    "normalise": lambda name, given: checks.one_of(name, given, ("peak", "none")),
}
