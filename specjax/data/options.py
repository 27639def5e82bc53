"""Options of :func:`specjax.data.open`: their meaning, what they apply to, what is allowed."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np

from specjax._core import checks

DEFAULT_WINDOW = 400
"""Samples in a window of sound: the paper's."""

DEFAULT_SILENCE = -40.0
"""Decibels: 1 % of the peak. Of speech it drops the pauses (13 % of the windows of single spoken
digits), of single piano notes the ends of their decay (60 %)."""


class Kind(NamedTuple):
    """What errors call one set of a kind, and several."""

    one: str
    many: str


KINDS = {
    "builtin": Kind("a built-in set", "built-in sets"),
    "file": Kind("a file", "files"),
    "array": Kind("an array", "arrays"),
    "batches": Kind("batches", "batches"),
    "tfds": Kind("a TFDS set", "TFDS sets"),
    "images": Kind("a folder of images", "folders of images"),
    "sound": Kind("a folder of sound", "folders of sound"),
}

APPLIES = {
    "key": ("file", "tfds"),
    "label": ("file", "tfds", "images", "sound"),
    "shard": ("builtin", "file", "array", "tfds", "images", "sound"),
    "strict": ("images", "sound"),
    "data_dir": ("tfds",),
    "size": ("images", "tfds"),
    "fit": ("images", "tfds"),
    "colour": ("images",),
    "rate": ("sound",),
    "window": ("sound",),
    "hop": ("sound",),
    "silence": ("sound",),
    "normalise": ("sound",),
}
"""Kinds that an option applies to; those without a row apply to all."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How data are read."""

    data_range: tuple[float, float] | None = None
    """LOW HIGH of the samples, mapped to [-1, 1]; uint8 means 0 255, bool 0 1, sound -1 1, other
    integers need it, floats are taken as they are without it"""

    seed: int = 0
    """of the places where patches are cut; used by nothing else"""

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
    (what is before the first _ of the file's name); none: without classes"""

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


def changed(options: Options | None, changes: dict[str, Any]) -> Options:
    """The options with changes by name, once every value is known to be an allowed one."""
    names = [field.name for field in fields(Options)]
    for name in changes:
        checks.one_of("option", name, names)
    options = replace(options or Options(), **changes)
    for name, check in _CHECKS.items():
        if getattr(options, name) is not None:
            check(name, getattr(options, name))
    if options.fit is not None and options.size is None:
        raise ValueError(f"fit = {options.fit!r} needs a size: give size=... (--size)")
    return options


def check_kind(options: Options, kind: str) -> None:
    """Refuse an option that does not apply to that kind of data."""
    for name, kinds in APPLIES.items():
        given = getattr(options, name)
        if given is not None and given is not False and kind not in kinds:
            many = ", ".join(KINDS[word].many for word in kinds)
            raise ValueError(
                f"{name} = {given!r} applies to {many}, not to {KINDS[kind].one}: leave it out"
            )


def share(total: int, shard: tuple[int, int] | None, what: str) -> slice:
    """The part of ``total`` things that a shard owns: contiguous, of nearly equal sizes."""
    if shard is None:
        return slice(0, total)
    index, count = shard
    if count > total:
        raise ValueError(f"shard = {shard!r} of {total} {what}: give at most {total} shards")
    return slice(total * index // count, total * (index + 1) // count)


def _shard(name: str, given: Any) -> None:
    pair = tuple(given) if isinstance(given, tuple | list) else ()
    whole = all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in pair)
    if len(pair) != 2 or not whole or not 0 <= pair[0] < pair[1]:
        raise ValueError(f"{name} = {given!r}: give (index, count) with 0 <= index < count")


def height_width(given: int | tuple[int, int], name: str = "size") -> tuple[int, int]:
    """Both sides of a size.

    Raises:
      ValueError: for what is no size.
    """
    sides = tuple(given) if isinstance(given, tuple | list) else (given, given)
    whole = all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in sides)
    if len(sides) != 2 or not whole or min(sides) < 1:
        raise ValueError(f"{name} = {given!r}: give a side, such as 64, or (height, width)")
    return int(sides[0]), int(sides[1])


def _silence(name: str, given: Any) -> None:
    number = isinstance(given, int | float | np.number) and not isinstance(given, bool)
    if not number or not -math.inf < given <= 0:
        raise ValueError(f"{name} = {given!r}: give decibels below the peak, such as -40")


_CHECKS: dict[str, Any] = {
    "seed": lambda name, given: checks.whole_number(name, given, 0),
    "limit": checks.whole_number,
    "shard": _shard,
    "size": lambda name, given: height_width(given, name),
    "fit": lambda name, given: checks.one_of(name, given, ("resize", "crop")),
    "colour": lambda name, given: checks.one_of(name, given, ("rgb", "grey")),
    "rate": checks.whole_number,
    "window": lambda name, given: checks.whole_number(name, given, 2),
    "hop": checks.whole_number,
    "silence": _silence,
    "normalise": lambda name, given: checks.one_of(name, given, ("peak", "none")),
}
