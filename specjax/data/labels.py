"""Class labels: int32 numbers from 0 on, and the name of each class.

The classes are those of the whole dataset, whatever shard or limit is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError

NONE = "none"
"""The value of the option ``label`` for a dataset without classes."""


class Classes(NamedTuple):
    """The names of the classes, and ``number_of(item)``, the class of a file or a record."""

    names: tuple[str, ...]
    number_of: Callable[[Any], int]


def encode_labels(name: str, values: Any, count: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Encode labels [N] as int32 numbers, in the order of their sorted distinct values.

    Args:
      name: of the labels, for errors. values: whole numbers or text. count: N.

    Example:
      >>> encode_labels("labels", [7, 3, 7], 3)
      (array([1, 0, 1], dtype=int32), ('3', '7'))
    """
    array = np.asarray(values)
    if array.shape != (count,):
        raise UserError(f"{name} has shape {array.shape}: give one label a sample, [{count}]")
    if not are_labels(array):
        raise UserError(f"{name} has dtype {array.dtype}: give whole numbers or text as labels")
    distinct, numbers = np.unique(array, return_inverse=True)
    words = distinct.astype(str) if distinct.dtype.kind == "S" else distinct
    return numbers.astype(np.int32), tuple(str(word) for word in words)


def are_labels(array: np.ndarray) -> bool:
    """Tell whether an array can hold labels: one axis of whole numbers or text."""
    return array.ndim == 1 and array.dtype.kind in "iubUS"


def file_classes(root: Path, files: Sequence[Path], rule: str | None) -> Classes | None:
    """Return the classes of the files of a folder, or None where there are none.

    Args:
      rule: "folder" (the first subfolder), "prefix" (before the first "_" of the name), "none", or
        None for "folder" where every file is in one of several subfolders.
    """
    if rule is not None:
        checks.one_of("label", rule, ("folder", "prefix", NONE))
    if rule == NONE:
        return None
    class_name = _prefix if rule == "prefix" else _subfolder
    found = {class_name(root, file) for file in files}
    if rule is None and ("" in found or len(found) < 2):
        return None
    if "" in found:
        bare = next(file for file in files if not class_name(root, file)).relative_to(root)
        lacks = 'no "_" in its name' if rule == "prefix" else f"no subfolder of {root}"
        raise UserError(f"label = {rule!r}: {bare} has {lacks}: give another label, or none")
    names = tuple(sorted(found))
    numbers = {name: i for i, name in enumerate(names)}
    return Classes(names, lambda file: numbers[class_name(root, file)])


def _subfolder(root: Path, file: Path) -> str:
    inside = file.parts[len(root.parts) :]  # ten times as quick as relative_to
    return inside[0] if len(inside) > 1 else ""


def _prefix(root: Path, file: Path) -> str:
    before, underscore, _ = file.name.partition("_")
    return before if underscore else ""
