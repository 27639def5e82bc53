"""The output gate: every file that is written passes here, in Python and from the command line.

A path is written to if it is free or a regular file that may be written; a symbolic link is
followed. Devices, pipes and folders are never replaced, nor is anything inside the folder of a run
or a sweep by what does not own it. Whoever writes in Python replaces a file that exists; a command
asks for ``--force``, and takes none of its inputs for an output (:func:`check_outputs`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from specjax._core.checks import UserError
from specjax.files.inputs import json_of, kind_of_place, read_bytes, reason

_OWNERS = ("run", "sweep")
"""Kinds of folders that are written by one owner; each has a file of its name in it (.json)."""


def check_output(path: str | os.PathLike[str], suffix: str = "") -> Path:
    """Return the path if a file can be written there, and if it ends in the suffix.

    Raises:
      UserError: for another suffix, ``-``, a folder that is missing or not writable, and what is
        there and is no regular file or read-only.
    """
    given = Path(path)
    if str(path) in ("", ".", "-"):
        raise UserError(f"cannot write {str(path)!r}: give the name of a file")
    if not given.name.lower().endswith(suffix):
        raise UserError(f"cannot write {path}: give a name that ends in {suffix}")
    try:
        mode = os.stat(given).st_mode
    except FileNotFoundError:
        mode = None
    except NotADirectoryError:
        raise UserError(f"cannot write {path}: {given.parent} is no folder") from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot write {path}: {reason(error)}") from error
    kind = None if mode is None else kind_of_place(mode)
    if kind:
        raise UserError(f"cannot write {path}: it is {kind}; give a file name")
    if mode is not None and not (mode & 0o222 and os.access(given, os.W_OK)):
        raise UserError(f"cannot write {path}: it is read-only; give another name")
    folder = target_of(given).parent
    called = folder if given.is_symlink() else given.parent  # as the user calls it
    if not folder.is_dir():
        raise UserError(f"cannot write {path}: the folder {called} does not exist; create it")
    if not os.access(folder, os.W_OK):
        raise UserError(f"cannot write {path}: the folder {called} is not writable")
    return given


def target_of(path: str | os.PathLike[str]) -> Path:
    """Return where a path leads once links are followed, whether or not it exists."""
    return Path(os.path.realpath(path))


def check_not_owned(path: str | os.PathLike[str]) -> None:
    """Refuse a path inside the folder of a run or a sweep, which they alone write to.

    Raises:
      UserError: if it is.
    """
    for folder in target_of(path).parents:
        for kind in _OWNERS:
            if _is_of(folder / f"{kind}.json", kind):
                raise UserError(
                    f"cannot write {path}: {folder} is the folder of a {kind}; write elsewhere"
                )


def _is_of(path: Path, kind: str) -> bool:
    try:
        document = json_of(read_bytes(path)) if path.is_file() else None
    except ValueError:
        return False
    return isinstance(document, dict) and document.get("format") == f"specjax.{kind}"


def check_outputs(
    outputs: Mapping[str, str | os.PathLike[str] | None],
    inputs: Iterable[str | os.PathLike[str]] = (),
    *,
    force: bool = False,
    folders: bool = False,
) -> None:
    """Refuse the outputs of a command that would destroy something.

    Args:
      outputs: by the names of the options, whose first word is the option; None is not written.
      inputs: all that the command reads, or may read: names of nothing do not count.
      force: whether files that exist may be replaced.
      folders: whether outputs may be folders, which are then not looked into.

    Raises:
      UserError: for an output that is an input or another output (links and names of the same
        file count), lies in the folder of a run or a sweep, or exists; and as
        :func:`check_output`.
    """
    read = {_identity(path): path for path in inputs if _exists(path)}
    seen: dict[object, str] = {}
    for name, path in outputs.items():
        if path is None:
            continue
        folder = folders and os.path.isdir(path)
        if not folder:
            check_output(path)
        check_not_owned(path)
        identity = _identity(path)
        if identity in seen:
            raise UserError(
                f"{name} = {str(path)!r} would overwrite the {seen[identity]}: rename it"
            )
        seen[identity] = name
        for where in (path, *target_of(path).parents) if _exists(path) else ():
            if (given := read.get(_identity(where))) is not None:
                raise UserError(
                    f"{name} = {str(path)!r} would overwrite {str(given)!r}, which is read: give "
                    "another name"
                )
        if _exists(path) and not folder and not force:
            option = name.split()[0]
            raise UserError(
                f"{name} = {str(path)!r} exists: --force replaces it, --{option} names another"
            )


def _exists(path: str | os.PathLike[str]) -> bool:
    try:
        return os.path.exists(path)
    except ValueError:  # no name of a file: it has a zero in it
        return False


def _identity(path: str | os.PathLike[str]) -> object:
    """Return what two names of one file share: its device and number, or its path to be."""
    if _exists(path):
        found = os.stat(path)
        return found.st_dev, found.st_ino
    return target_of(path)
