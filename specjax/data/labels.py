"""Classes of samples: numbers from 0 on, int32, and a name for each.

The numbers of a set do not depend on which part of it is read: classes are those of the whole set,
whatever shard and limit are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from specjax._core import checks

ARRAYS = ("labels", "label", "y")
"""Names that an array of labels has in a .npz file, if it is not told."""

NONE = "none"
"""The value of the option for a set without classes."""


class FileClasses(NamedTuple):
    """The classes of a folder, and which one a file has."""

    names: tuple[str, ...]
    of: Callable[[Path], int]


def numbered(name: str, values: Any, count: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels [N] as numbers from 0 on (int32), and the names of their sorted distinct values.

    Args:
      name: what errors call them. values: whole numbers or text. count: N.

    Raises:
      ValueError: for another shape or another kind of values.

    Example:
      >>> numbered("labels", [7, 3, 7], 3)
      (array([1, 0, 1], dtype=int32), ('3', '7'))
    """
    array = np.asarray(values)
    if array.shape != (count,):
        raise ValueError(f"{name} has shape {array.shape}: give one label a sample, [{count}]")
    if array.dtype.kind not in "iubUS":
        raise ValueError(f"{name} has dtype {array.dtype}: give whole numbers or text as labels")
    distinct, numbers = np.unique(array, return_inverse=True)
    words = distinct.astype(str) if distinct.dtype.kind == "S" else distinct
    return numbers.astype(np.int32), tuple(str(word) for word in words)


def are_labels(array: np.ndarray) -> bool:
    """Whether an array that is called like labels can be some."""
    return array.ndim == 1 and array.dtype.kind in "iubUS"


def of_files(root: Path, files: Sequence[Path], how: str | None) -> FileClasses | None:
    """The classes of the files of a folder, None where there are none.

    Args:
      how: "folder" (the first subfolder), "prefix" (before the first "_" of the name), "none", or
        None for "folder" where every file is in one of several subfolders.

    Raises:
      ValueError: for another word; if a file has no class of the kind that is asked for.
    """
    if how is not None:
        checks.one_of("label", how, ("folder", "prefix", NONE))
    if how == NONE:
        return None
    read = _before_underscore if how == "prefix" else _subfolder
    words = {read(root, file) for file in files}
    if how is None and ("" in words or len(words) < 2):
        return None
    if "" in words:
        flat = next(file for file in files if not read(root, file)).relative_to(root)
        lacks = 'no "_" in its name' if how == "prefix" else f"no subfolder of {root}"
        raise ValueError(f"label = {how!r}: {flat} has {lacks}: give another label, or none")
    names = tuple(sorted(words))
    number = {word: i for i, word in enumerate(names)}
    return FileClasses(names, lambda file: number[read(root, file)])


def _subfolder(root: Path, file: Path) -> str:
    inside = file.parts[len(root.parts) :]  # ten times as quick as relative_to
    return inside[0] if len(inside) > 1 else ""


def _before_underscore(root: Path, file: Path) -> str:
    before, found, _ = file.name.partition("_")
    return before if found else ""
