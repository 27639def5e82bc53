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
from specjax.files.outputs import check_output, target_of

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # only writing fails with these


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
    """Give a temporary path that takes the place of ``path`` if the block succeeds.

    It lies beside the file, or beside the file that a symbolic link leads to. A new file gets the
    mode that the process's umask leaves, an existing one keeps its mode. An OSError of the block is
    reported as one of writing only if the disk is full or if it names the temporary file: the block
    may read other files, too.

    Raises:
      UserError: as :func:`specjax.files.check_output`, and if the disk is full.
    """
    target = target_of(check_output(path))
    with writing(path):
        temporary = _new_file(target.parent)
    try:
        try:
            yield temporary
        except OSError as error:
            if error.errno in _FULL or str(error.filename) == str(temporary):
                with writing(path):
                    raise
            raise
        with writing(path):
            _replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _new_file(folder: Path) -> Path:
    """Make an empty file of a name that no other process or thread has, short for any disk."""
    while True:
        path = folder / f".specjax-{secrets.token_hex(8)}"
        with contextlib.suppress(FileExistsError):
            # The kernel applies the umask here. os.umask cannot be read without changing it for
            # all threads, and tempfile.mkstemp ignores it.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            return path


def _replace(temporary: Path, path: Path) -> None:
    with open(temporary, "rb") as whole:
        os.fsync(whole.fileno())
    with contextlib.suppress(FileNotFoundError):
        os.chmod(temporary, stat.S_IMODE(path.stat().st_mode))
    os.replace(temporary, path)


def write_atomically(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write bytes so that the file is whole or untouched; errors as of :func:`atomically`."""
    with atomically(path) as temporary, writing(path):
        temporary.write_bytes(content)
    return Path(path)


@contextlib.contextmanager
def new_folder(path: str | os.PathLike[str], *, parents: bool = False) -> Iterator[Path]:
    """Make a folder, if it is not there, and remove it again if the block fails with it empty."""
    path = Path(path)
    if str(path) == "-" or (os.path.lexists(path) and not path.is_dir()):
        raise UserError(f"cannot write into {path}: it is no folder; give another name")
    made = [one for one in (path, *path.parents) if not one.exists()]
    with writing(path):
        path.mkdir(parents=parents, exist_ok=True)
    try:
        yield path
    except BaseException:
        with contextlib.suppress(OSError):
            for one in made:
                one.rmdir()
        raise
