"""Files of samples: ``.npy`` (memory-mapped) and ``.npz``, never a pickle."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from specjax import files
from specjax._core import checks
from specjax._core.checks import UserError
from specjax.data import labels

SUFFIXES = (".npy", ".npz")

LABEL_KEYS = ("labels", "label", "y")
"""Names under which an array of labels is looked for in a .npz file."""

_MAX_HASHED_BYTES = 256 * 2**20
"""Larger files are not hashed: it would take more than about a second."""


def read(
    path: Path, key: str | None, names: Iterable[str], label: str | None = None
) -> tuple[np.ndarray, np.ndarray | None, Mapping[str, Any]]:
    """Read the array of a file, its labels if it has some, and its provenance.

    Args:
      path: of the file. key: the array in a ``.npz`` that has several.
      names: the built-in sets, which the user may have meant, for the hint.
      label: the array of labels in a ``.npz``; None to look for one, "none" for no labels.
    """
    _check_path(path, list(names))
    files.check_input(path)
    keys: dict[str, str] = {}
    numbers: np.ndarray | None = None
    if path.suffix.lower() == ".npy":
        for name, given in (("key", key), ("label", label)):
            if given is not None:
                raise UserError(f"{name} = {given!r}: {path} is one array and has no key")
        with _reporting_damage(path):
            samples: np.ndarray = np.lib.format.open_memmap(path, mode="r")
    else:
        samples, numbers, keys = _read_npz(path, key, label)
    source = {"file": path.name, **keys}
    if path.stat().st_size <= _MAX_HASHED_BYTES:
        with files.open_input(path) as file:
            digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]
        source["sha256"] = digest.hexdigest()
    return samples, numbers, source


def _read_npz(
    path: Path, key: str | None, label: str | None
) -> tuple[np.ndarray, np.ndarray | None, dict[str, str]]:
    """Read the samples of an archive, its labels, and the keys of both."""
    with (
        files.open_input(path) as file,
        _reporting_damage(path),
        files.open_archive(file) as archive,
    ):
        numbers, keys = None, {}
        label = _label_key(archive, key) if label is None else label
        if label not in (None, labels.NONE):
            keys["label"] = checks.one_of("label", label, archive.files)
            numbers = np.asarray(archive[label])
        others = [word for word in archive.files if key or word not in keys.values()]
        keys["key"] = _sample_key(path, others or archive.files, key)
        return np.asarray(archive[keys["key"]]), numbers, keys


def _label_key(archive: Any, key: str | None) -> str | None:
    """Return the name of the array that looks like labels."""
    words = [word for word in LABEL_KEYS if word in archive.files and word != key]
    if len(archive.files) == 1:
        return None
    return next((word for word in words if labels.are_labels(np.asarray(archive[word]))), None)


def _sample_key(path: Path, keys: list[str], key: str | None) -> str:
    if key is not None:
        return checks.one_of("key", key, keys)
    if len(keys) != 1:
        listed = ", ".join(keys) or "none"
        raise UserError(f"{path} has {len(keys)} arrays ({listed}): name one with key=... (--key)")
    return keys[0]


@contextlib.contextmanager
def _reporting_damage(path: Path) -> Iterator[None]:
    """Report any error of NumPy's parser as damage: a damaged file can fail anywhere in it."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if "pickle" in str(error) or "Python objects" in str(error):
            raise UserError(
                f"{path} holds Python objects (a pickle), which could run code: save a plain array "
                "of numbers"
            ) from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{path} cannot be read, it is damaged or not a NumPy file: {reason}"
        ) from error


def _check_path(path: Path, names: list[str]) -> None:
    if not os.path.lexists(path):
        beside = [str(p) for suffix in SUFFIXES for p in sorted(path.parent.glob(f"*{suffix}"))]
        near = difflib.get_close_matches(str(path), [*names, *beside], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UserError(
            f"data = {str(path)!r} is neither a file nor a built-in set: give a .npy or .npz file, "
            f"or one of {', '.join(names)}{hint}"
        )
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(
            f"data = {str(path)!r} has the suffix {path.suffix!r}: give a .npy or .npz file"
        )
