"""The codec of all files: a header and named arrays, as JSON or as npz without pickle.

The header says the format and its version, when and by which packages the file was made, and a
checksum of header and arrays; the rest of it belongs to the kind of file. JSON can be read with
``json`` and NumPy alone: an array is a (nested) list at its name, ``a/b`` being ``b`` in ``a``, and
``arrays`` has dtypes and shapes. JSON has no infinities: in an array they are the texts "inf" and
"-inf" (and "nan"), which NumPy reads as floats; elsewhere a number that is not finite is null. In
npz the member ``header`` holds JSON as bytes, and the other members are the arrays.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import io
import json
import os
import platform
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from specjax._core.checks import UserError
from specjax.files.atomic import write_atomically
from specjax.files.inputs import json_of, naming, open_archive, open_input, read_bytes

_PACKAGES = ("specjax", "jax", "jaxlib", "optax", "numpy")
_PREFIX = "specjax."


@dataclass(frozen=True, eq=False)
class Document:
    """The content of a file that is known to be whole.

    Attributes:
      kind: the name of the kind, such as "spectrum". version: of its format.
      header: everything but the arrays. arrays: by name.
    """

    kind: str
    version: int
    header: dict[str, Any]
    arrays: dict[str, np.ndarray]


def write(
    path: str | os.PathLike[str],
    kind: str,
    version: int,
    header: Mapping[str, Any],
    arrays: Mapping[str, Any],
    *,
    container: str = "npz",
) -> Path:
    """Write a header and arrays, whole or not at all.

    Args:
      kind, version: the format. header: what :func:`plain` makes JSON of.
      arrays: by name. container: "json" (for small arrays of numbers) or "npz".

    Raises:
      UserError: if the folder does not exist or cannot be written to, or the disk is full.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = write(f"{folder}/x.npz", "numbers", 1, {"of": "me"}, {"x": [1.0, np.inf]})
      ...     read(path, {"numbers": 1}).arrays["x"]
      array([ 1., inf])
    """
    known = {name: np.asarray(array) for name, array in arrays.items()}
    whole = {
        "format": _PREFIX + kind,
        "format_version": version,
        **plain(header),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions(),
    }
    return write_atomically(path, (_json if container == "json" else _npz)(whole, known))


def _json(document: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    document["arrays"] = {name: [str(x.dtype), list(x.shape)] for name, x in arrays.items()}
    for name, array in arrays.items():
        parent, last = _parent(document, name)
        parent[last] = _texts(array)
    document["checksum"] = checksum(document)
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


def _npz(header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    header["checksum"] = checksum(header, arrays)
    text = np.frombuffer(json.dumps(header, allow_nan=False).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, header=text, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _parent(document: dict[str, Any], name: str) -> tuple[dict[str, Any], str]:
    """Return the mapping in which the array ``a/b/c`` has its place, made if need be, and ``c``."""
    *outer, last = name.split("/")
    for part in outer:
        document = document.setdefault(part, {})
    return document, last


def read(path: str | os.PathLike[str], kinds: Mapping[str, int]) -> Document:
    """Read a file in either container and check that it is whole.

    Args:
      kinds: the newest version that is known of each kind that is wanted.

    Raises:
      UserError: if the file is missing, truncated, corrupted, newer than this specjax, of another
        kind, or no file of specjax.
    """
    try:
        header, arrays = _parsed(path)
    except UserError:
        raise
    except Exception as error:  # a damaged file can fail anywhere in its parser
        raise UserError(f"{path} is not a file of specjax, or is truncated: {error}") from error
    kind = _kind(header)
    if kind is None:
        raise UserError(f"{path} is not a file of specjax: it has no format in it")
    if kind not in kinds:
        raise UserError(f"{path} is a file of the kind {kind}: give one of {', '.join(kinds)}")
    check_version(path, header.get("format_version"), kinds[kind])
    if header.get("checksum") != checksum(header, arrays):
        raise UserError(f"{path} is corrupted: its checksum does not match; make the file again")
    with decoding(path, kind):
        for name, (dtype, shape) in header.pop("arrays", {}).items():
            parent, last = _parent(header, name)
            arrays[name] = np.array(parent.pop(last), _plain_dtype(dtype)).reshape(shape)
    return Document(kind, header["format_version"], header, arrays)


@contextlib.contextmanager
def decoding(path: str | os.PathLike[str], kind: str) -> Iterator[None]:
    """Report whatever the block raises as a fault in what a file holds, with the file's name.

    What is in a file may come from anywhere and be anything, whatever its checksum.
    """
    try:
        with (
            naming(path), np.errstate(all="ignore"), warnings.catch_warnings(action="ignore")
        ):  # fmt: skip
            yield
    except UserError:
        raise
    except KeyError as error:
        raise UserError(f"{path} lacks a field of a {kind} file: {error}") from error
    except Exception as error:
        what = str(error) or type(error).__name__
        raise UserError(f"{path} holds what a {kind} file does not: {what}") from error


def _plain_dtype(name: Any) -> np.dtype:
    """Return the type of numbers, truth values, or texts as long as they are; refuse others."""
    dtype = np.dtype(str(name))
    if dtype.kind == "U":
        return np.dtype(str)  # NumPy takes the length of the longest
    if dtype.kind not in "biufc":
        raise ValueError(f"an array has the type {name}")
    return dtype


def _parsed(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the header and the arrays; those of JSON are still in the header."""
    with open_input(path) as file:
        if file.peek(2)[:2] == b"PK":  # type: ignore[attr-defined]
            with open_archive(file) as archive:
                arrays = {name: archive[name] for name in archive.files}
            for array in arrays.values():
                _plain_dtype(array.dtype)
            return dict(json_of(arrays.pop("header").tobytes())), arrays
    return dict(json_of(read_bytes(path))), {}


def kind_of(path: str | os.PathLike[str]) -> str | None:
    """Return the kind of a file of specjax, unchecked; None if it is missing or not one."""
    try:
        with open_input(path) as file:
            start = file.peek(2)[:2]  # type: ignore[attr-defined]
            if start == b"PK":
                with open_archive(file, "header") as archive:
                    return _kind(json_of(archive["header"].tobytes()))
        return _kind(json_of(read_bytes(path))) if start[:1] == b"{" else None
    except Exception:  # whatever is wrong with it, it is no file of specjax that can be read
        return None


def check_version(path: Any, given: Any, known: int) -> None:
    """Refuse a format version that is none, or newer than what is known here."""
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise UserError(f"{path} has no valid format version: make the file again")
    if given > known:
        raise UserError(
            f"{path} has format version {given}, this specjax reads up to {known}: "
            "upgrade specjax to read it"
        )


def checksum(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> str:
    """Return the SHA-256 of a header (or JSON document) but its own field, and of arrays."""
    content = {name: value for name, value in header.items() if name != "checksum"}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())
    for name, array in sorted((arrays or {}).items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return "sha256:" + digest.hexdigest()


def _kind(header: Any) -> str | None:
    name = header.get("format") if isinstance(header, dict) else None
    known = isinstance(name, str) and name.startswith(_PREFIX)
    return str(name).removeprefix(_PREFIX) if known else None


def plain(value: Any) -> Any:
    """Make strict JSON of mappings, sequences, NumPy's scalars and arrays; null is not finite."""
    if isinstance(value, Mapping):
        return {str(name): plain(x) for name, x in value.items()}
    if isinstance(value, list | tuple):
        return [plain(x) for x in value]
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    return None if isinstance(value, float) and not np.isfinite(value) else value


def numbers(array: Any) -> list[Any]:
    """Make a list for strict JSON: +inf as "inf", which ``numpy.array(..., float)`` reads back."""
    found: list[Any] = _texts(np.asarray(array, np.float64))
    return found


def _texts(array: np.ndarray) -> Any:
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return array.tolist()
    return [_texts(x) for x in array] if array.ndim else repr(float(array))


def versions() -> dict[str, str]:
    """Return the versions of the packages that a result depends on."""
    known = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            known[package] = version(package)
    return known
