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

SUFFIXES = (".npy", ".npz")

_HASHED_BYTES = 256 * 2**20


def read(path: Path, key: str | None, names: Iterable[str]) -> tuple[np.ndarray, Mapping[str, Any]]:
    """The array in a file and its provenance.

    Args:
      path: of the file. key: the array in a ``.npz`` that has several.
      names: other words that the user may have meant, for the hint.

    Raises:
      ValueError: for a file that is missing, a folder, of another kind, damaged or pickled, and
        for a key that is missing or does not exist.
    """
    _check_path(path, names)
    found: dict[str, str] = {}
    if path.suffix.lower() == ".npy":
        no_key(key, str(path))
        with _refusing_damage(path):
            samples: np.ndarray = np.lib.format.open_memmap(path, mode="r")
    else:
        samples, found["key"] = _member(path, key)
    return samples, {"file": path.name, **found, **_fingerprint(path)}


def no_key(key: str | None, label: str) -> None:
    """Refuse a key for what is one array."""
    if key is not None:
        raise ValueError(f"key = {key!r}: {label} is one array and has no key; leave it out")


def _member(path: Path, key: str | None) -> tuple[np.ndarray, str]:
    """The array of that key in an archive, and the key."""
    with path.open("rb") as file:
        with _refusing_damage(path):
            archive = np.lib.npyio.NpzFile(file, allow_pickle=False)
        with archive:
            key = _choose(path, archive.files, key)
            with _refusing_damage(path):
                return np.asarray(archive[key]), key


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


def _choose(path: Path, keys: list[str], key: str | None) -> str:
    listed = ", ".join(keys) or "none"
    if key is not None and key not in keys:
        near = difflib.get_close_matches(key, keys, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"key = {key!r} is not in {path}, which has {listed}{hint}")
    if key is None and len(keys) != 1:
        raise ValueError(f"{path} has {len(keys)} arrays ({listed}): name one with key=... (--key)")
    return keys[0] if key is None else key


def _fingerprint(path: Path) -> dict[str, str]:
    """The file's SHA-256, where it takes less than about a second."""
    if path.stat().st_size > _HASHED_BYTES:
        return {}
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest()}
