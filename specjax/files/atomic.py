"""Files that are whole or untouched: written beside their place, then renamed onto it."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from specjax._core.checks import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # only writing fails with these


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a file, or raise a UserError that says why not."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def check_folder(path: str | os.PathLike[str], suffix: str = "") -> Path:
    """Return the path if its folder exists and can be written to, and it ends in the suffix."""
    path = Path(path)
    if not path.name.lower().endswith(suffix):
        raise UserError(f"cannot write {path}: give a name that ends in {suffix}")
    if not path.parent.is_dir():
        raise UserError(f"cannot write {path}: the folder {path.parent} does not exist; create it")
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder; give a file name")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"cannot write {path}: the folder {path.parent} is not writable")
    return path


def check_apart(**paths: str | os.PathLike[str] | None) -> None:
    """Refuse outputs that would overwrite each other or an input; paths are given by name."""
    seen: dict[Path, str] = {}
    for name, path in paths.items():
        if path is None:
            continue
        whole = Path(path).resolve()
        if whole in seen:
            raise UserError(f"{name} = {str(path)!r} would overwrite {seen[whole]}: rename it")
        seen[whole] = f"the {name}"


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Report any OSError of the block as a failure to write ``path``."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; nothing was written there, free "
            "space or choose another folder"
        ) from error


@contextlib.contextmanager
def atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its place if the block succeeds.

    A new file gets the mode that the process's umask leaves, an existing one keeps its mode. An
    OSError of the block is reported as one of writing only if the disk is full or if it names the
    temporary file: the block may read other files, too.

    Raises:
      UserError: if the folder is missing or not writable, or the disk is full.
    """
    path = check_folder(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    with writing(path):
        # The kernel applies the umask here. os.umask cannot be read without changing it for all
        # threads, and tempfile.mkstemp ignores it.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        try:
            yield temporary
        except OSError as error:
            if error.errno in _FULL or str(error.filename) == str(temporary):
                with writing(path):
                    raise
            raise
        with writing(path):
            _replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _replace(temporary: Path, path: Path) -> None:
    with open(temporary, "rb") as whole:
        os.fsync(whole.fileno())
    with contextlib.suppress(FileNotFoundError):
        os.chmod(temporary, stat.S_IMODE(path.stat().st_mode))
    os.replace(temporary, path)


def write_atomically(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write bytes so that the file is whole or untouched."""
    with atomically(path) as temporary, writing(path):
        temporary.write_bytes(content)
    return Path(path)
