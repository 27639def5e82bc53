"""The input gate: every file that a user names is opened here, and looked at before it is read.

Only regular files are read: a pipe would wait for ever, a device has no end. A text file may hold
64 MiB, a table of settings 256 KiB; JSON and TOML may be 64 levels deep, with whole numbers of 64
bits. What an archive unpacks to is compared with what it takes on the disk, with what its arrays
say of themselves and with the machine's memory, before anything is allocated.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError

TEXT_BYTES = 64 * 2**20
"""The most that a text file (JSON, a list of numbers) may hold."""

_TOML_BYTES = 2**18
_DEPTH = 64  # of mappings and lists in each other
_DOTTED = re.compile(rf"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')\s*+\.\s*+){{{_DEPTH}}}""")
_INTEGER = 2**63
_UNPACKED_BYTES = 256 * 2**20  # that any archive may unpack to
_RATIO = 64  # of unpacked to packed, beyond that: random data have 1, MNIST has 5
_MEMBERS = 100_000
_MAGIC_LENGTH = 8
_STORED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what NumPy writes

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def kind_of_place(mode: int) -> str | None:
    """Say what is no regular file; None for one that is."""
    return None if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "no regular file")


def check_input(path: str | os.PathLike[str]) -> Path:
    """Return the path if a regular file is there that may be read; links are followed.

    Raises:
      UserError: if it is missing, a folder, a pipe or a device, a loop of links, or forbidden.
    """
    try:
        kind = kind_of_place(os.stat(path).st_mode)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {reason(error)}") from error
    if kind:
        raise UserError(f"cannot read {path}: it is {kind}; give a regular file")
    if not os.access(path, os.R_OK):
        raise UserError(f"cannot read {path}: change its permissions")
    return Path(path)


def open_input(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading; errors as of :func:`check_input`."""
    path = check_input(path)
    try:  # without waiting, should a pipe have taken its place since
        return open(path, "rb", opener=lambda name, flags: os.open(name, flags | _NO_WAIT))
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason(error)}") from error


_NO_WAIT = getattr(os, "O_NONBLOCK", 0)


def reason(error: Exception) -> str:
    """Return why an operation failed, without the numbers and paths that the system adds."""
    return str(getattr(error, "strerror", None) or error)


def read_bytes(path: str | os.PathLike[str], most: int = TEXT_BYTES) -> bytes:
    """Return the bytes of a file, or raise a UserError that says why not.

    Args:
      most: bytes that it may hold.
    """
    with open_input(path) as file:
        try:
            content = file.read(most + 1)
        except OSError as error:
            raise UserError(f"cannot read {path}: {reason(error)}") from error
    if len(content) > most:
        raise UserError(f"cannot read {path}: it holds more than {most:,} bytes, the most here")
    return content


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Put the name of a file before a UserError about what it holds, unless that names it."""
    try:
        yield
    except UserError as error:
        if str(path) in str(error):
            raise
        raise UserError(f"{path}: {error}") from error


def json_of(content: bytes | str) -> Any:
    """Parse strict JSON; its depth and its whole numbers are limited.

    Raises:
      ValueError: for what is no JSON, NaN or Infinity, or beyond the limits.
    """
    try:
        value = json.loads(content, parse_constant=_no_number)
    except RecursionError:
        raise _too_deep() from None
    return _checked(value)


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a TOML file; its size, depth and whole numbers are limited.

    Raises:
      UserError: if it is missing, no TOML or beyond the limits.
    """
    try:
        text = read_bytes(path, _TOML_BYTES).decode()
        if _DOTTED.search(text):  # which tomllib takes quadratic time and memory for
            raise _too_deep()
        document: dict[str, Any] = _checked(tomllib.loads(text))
    except RecursionError:
        raise UserError(f"{path} is not a TOML file: {_too_deep()}") from None
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{path} is not a TOML file: {error}") from error
    return document


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _too_deep() -> ValueError:
    return ValueError(f"it is more than {_DEPTH} levels deep")


def _checked(value: Any) -> Any:
    """Return a tree of mappings and lists if it is neither too deep nor has too large integers."""
    level = [value]
    for _ in range(_DEPTH):
        inner: list[Any] = []
        for one in level:
            inner.extend(one.values() if isinstance(one, dict) else one)
        if any(type(x) is int and not -_INTEGER <= x < _INTEGER for x in inner):
            raise ValueError("it has a whole number of more than 64 bits")
        level = [x for x in inner if isinstance(x, dict | list)]
        if not level:
            return value
    raise _too_deep()


@contextlib.contextmanager
def open_archive(file: BinaryIO, only: str | None = None) -> Iterator[Any]:
    """Open the arrays of an npz file, by name; no member is read before all sizes are known.

    Args:
      only: the one array that will be read, where the others may be damaged.

    Raises:
      ValueError: for an archive that NumPy has not written, that unpacks to much more than it
        holds or than the machine's memory, or with an array of another size than it says.
    """
    with np.lib.npyio.NpzFile(file, allow_pickle=False, max_header_size=10_000) as archive:
        zipped: zipfile.ZipFile = archive.zip  # type: ignore[assignment]
        members = zipped.infolist()
        _check_unpacked(members, os.fstat(file.fileno()).st_size)
        for member in members if only is None else [zipped.getinfo(f"{only}.npy")]:
            with zipped.open(member) as opened:
                check_array(opened, member.file_size, member.filename)  # type: ignore[arg-type]
        yield archive


def _check_unpacked(members: list[zipfile.ZipInfo], held: int) -> None:
    if len(members) > _MEMBERS:
        raise ValueError(f"it has more than {_MEMBERS:,} members")
    if any(one.compress_type not in _STORED or one.flag_bits & 1 for one in members):
        raise ValueError("it is packed in a way that NumPy does not write")
    size = sum(one.file_size for one in members)
    most = min(max(_UNPACKED_BYTES, _RATIO * held), checks.machine_memory())
    if size > most:
        raise ValueError(
            f"it would unpack to {size:,} bytes, more than {most:,}, the most for its "
            f"{held:,} bytes on this machine: store it without compression, as .npy"
        )


def check_array(file: BinaryIO, size: int, name: str) -> None:
    """Refuse a ``.npy`` file of so many bytes whose header promises another array.

    Raises:
      ValueError: for another size, and for what is no array.
    """
    start = file.read(_MAGIC_LENGTH)
    if start[:6] != b"\x93NUMPY":
        return  # of another kind, which NumPy gives as it is
    version = (start[6], start[7])
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise ValueError(f"{name} has the NumPy format {version}, which plain numbers do not need")
    shape, _, dtype = read_header(file)
    if dtype.hasobject:  # which NumPy refuses to read
        return
    count = 1
    for side in shape:
        count *= int(side)
    promised = file.tell() + count * dtype.itemsize
    if promised != size or any(side < 0 for side in shape):
        raise ValueError(f"{name} says that it takes {promised:,} bytes, it has {size:,}")


def read_array(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a ``.npy`` file into memory.

    Raises:
      UserError: if it cannot be read, is damaged or holds something else.
    """
    with open_input(path) as file:
        try:
            check_array(file, os.fstat(file.fileno()).st_size, "the array")
            file.seek(0)
            array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
        except Exception as error:  # a damaged file can fail anywhere in its parser
            raise UserError(f"cannot read {path}: {error}") from error
    return array
