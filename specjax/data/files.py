"""Files of samples: ``.npy`` (memory-mapped) and ``.npz``, never a pickle.

Whatever is wrong with a file is a ValueError that names it.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Mapping
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
    if key is not None and path.suffix.lower() == ".npy":
        raise ValueError(f"key = {key!r}: {path} is a .npy file, which has one array and no key")
    try:
        content = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged file can fail anywhere in the parser
        raise _unreadable(path, error) from error
    source: dict[str, Any] = {"file": path.name}
    if not isinstance(content, np.ndarray):
        with content:
            source["key"] = _choose(path, content.files, key)
            try:
                content = np.asarray(content[source["key"]])
            except Exception as error:
                raise _unreadable(path, error) from error
    return content, {**source, **_fingerprint(path)}


def _check_path(path: Path, names: Iterable[str]) -> None:
    if path.is_dir():
        raise ValueError(f"data = {str(path)!r} is a folder: give a .npy or .npz file of samples")
    if not path.exists():
        raise ValueError(_not_found(path, list(names)))
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"data = {str(path)!r} has the suffix {path.suffix!r}: give a .npy or .npz file"
        )


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
