"""Files of samples: ``.npy`` (memory-mapped) and ``.npz``, never a pickle.

Whatever is wrong with a file is a ValueError that names it.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from specjax.data import labels

SUFFIXES = (".npy", ".npz")

_HASHED_BYTES = 256 * 2**20


def read(
    path: Path, key: str | None, names: Iterable[str], label: str | None = None
) -> tuple[np.ndarray, np.ndarray | None, Mapping[str, Any]]:
    """The array in a file, its labels if it has some, and its provenance.

    Args:
      path: of the file. key: the array in a ``.npz`` that has several.
      names: other words that the user may have meant, for the hint.
      label: the array of labels in a ``.npz``; None to look for one, "none" for without.

    Raises:
      ValueError: for a file that is missing, a folder, of another kind, damaged or pickled, and
        for a key that is missing or does not exist.
    """
    _check_path(path, names)
    found: dict[str, str] = {}
    given: np.ndarray | None = None
    if path.suffix.lower() == ".npy":
        no_key(key, str(path))
        no_key(label, str(path), "label")
        with _refusing_damage(path):
            samples: np.ndarray = np.lib.format.open_memmap(path, mode="r")
    else:
        samples, given, found = _members(path, key, label)
    return samples, given, {"file": path.name, **found, **_fingerprint(path)}


def no_key(key: str | None, label: str, name: str = "key") -> None:
    """Refuse a key for what is one array."""
    if key is not None:
        raise ValueError(f"{name} = {key!r}: {label} is one array and has no key; leave it out")


def _members(
    path: Path, key: str | None, label: str | None
) -> tuple[np.ndarray, np.ndarray | None, dict[str, str]]:
    """The samples of an archive, its labels, and the keys of both."""
    with path.open("rb") as file:
        with _refusing_damage(path):
            archive = np.lib.npyio.NpzFile(file, allow_pickle=False)
        with archive:
            given = _labels(path, archive, key, label)
            found = {} if given is None else {"label": given[0]}
            others = [word for word in archive.files if key or word not in found.values()]
            found["key"] = _choose(path, others or archive.files, key)
            with _refusing_damage(path):
                samples = np.asarray(archive[found["key"]])
            return samples, None if given is None else given[1], found


def _labels(
    path: Path, archive: Any, key: str | None, label: str | None
) -> tuple[str, np.ndarray] | None:
    """The name of the array of labels in an archive, and its values."""
    if label == labels.NONE:
        return None
    if label is not None:
        word = _choose(path, archive.files, label, "label")
        with _refusing_damage(path):
            return word, np.asarray(archive[word])
    for word in labels.ARRAYS:
        if word in archive.files and word != key and len(archive.files) > 1:
            with _refusing_damage(path):
                found = np.asarray(archive[word])
            if labels.are_labels(found):
                return word, found
    return None


@contextlib.contextmanager
def _refusing_damage(path: Path) -> Iterator[None]:
    """A damaged file can fail anywhere in its parser: all of it is the file's fault."""
    try:
        yield
    except Exception as error:
        raise _unreadable(path, error) from error


def _check_path(path: Path, names: Iterable[str]) -> None:
    if path.is_dir():
        raise ValueError(f"data = {str(path)!r} is a folder: give a .npy or .npz file of samples")
    if not path.exists():
        raise ValueError(_not_found(path, list(names)))
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"data = {str(path)!r} has the suffix {path.suffix!r}: give a .npy or .npz file"
        )
    if not os.access(path, os.R_OK):
        raise ValueError(f"data = {str(path)!r} may not be read: change its permissions")


def _not_found(path: Path, names: list[str]) -> str:
    beside = [str(p) for suffix in SUFFIXES for p in sorted(path.parent.glob(f"*{suffix}"))]
    near = difflib.get_close_matches(str(path), [*names, *beside], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return (
        f"data = {str(path)!r} is neither a file nor a built-in set: give a .npy or .npz file, "
        f"or one of {', '.join(names)}{hint}"
    )


def _unreadable(path: Path, error: Exception) -> ValueError:
    if "pickle" in str(error) or "Python objects" in str(error):
        return ValueError(
            f"{path} holds Python objects (a pickle), which could run code: save a plain array "
            "of numbers"
        )
    said = " ".join(str(error).split()) or type(error).__name__
    return ValueError(f"{path} cannot be read, it is damaged or not a NumPy file: {said}")


def _choose(path: Path, keys: list[str], key: str | None, name: str = "key") -> str:
    listed = ", ".join(keys) or "none"
    if key is not None and key not in keys:
        near = difflib.get_close_matches(key, keys, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{name} = {key!r} is not in {path}, which has {listed}{hint}")
    if key is None and len(keys) != 1:
        raise ValueError(f"{path} has {len(keys)} arrays ({listed}): name one with key=... (--key)")
    return keys[0] if key is None else key


def _fingerprint(path: Path) -> dict[str, str]:
    """The file's SHA-256, where it takes less than about a second."""
    if path.stat().st_size > _HASHED_BYTES:
        return {}
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest()}
