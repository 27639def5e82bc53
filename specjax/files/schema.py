"""Whether plain values from a file are of the types that the class they become declares."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_origin

import numpy as np


def check_fields(of: type, values: Mapping[str, Any], names: Iterable[str] | None = None) -> None:
    """Compare values from JSON with the annotations of a dataclass.

    A list stands for a tuple, null for a number that is not finite. Annotations that JSON has no
    types for (arrays, classes) are left to those who make them.

    Args:
      names: the fields that must be there; by default all of the class.

    Raises:
      ValueError: for a field that is missing or of another type.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{of.__name__} is {_short(values)}, not a mapping")
    hints = typing.get_type_hints(of)
    for name in [one.name for one in dataclasses.fields(of)] if names is None else names:
        if name not in values:
            raise ValueError(f"{name} is missing")
        if not conforms(values[name], hints[name]):
            said = str(getattr(hints[name], "__name__", hints[name])).replace("typing.", "")
            raise ValueError(f"{name} is {_short(values[name])}, not a {said}")


def conforms(value: Any, hint: Any) -> bool:
    """Tell whether a value from JSON can stand for one of an annotated type."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return any(conforms(value, one) for one in args)
    if hint in (None, type(None)):
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    if hint is str:
        return isinstance(value, str)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return False
        if args[1:] == (Ellipsis,):
            return all(conforms(one, args[0]) for one in value)
        return len(value) == len(args) and all(map(conforms, value, args))
    if origin is not None and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(conforms(x, args[1]) for x in value.values())
    return True


def finite(name: str, array: np.ndarray, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return an array of numbers that are all finite, of a shape if one is given.

    Raises:
      ValueError: if they are not.
    """
    if shape is not None and array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, not {shape}")
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise ValueError(f"{name} has values that are no finite numbers")
    return array


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
