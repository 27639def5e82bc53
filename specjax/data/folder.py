"""Folders of files: the files of one kind, read one after another; bad ones are skipped."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from specjax._core.checks import UserError
from specjax.data import batching
from specjax.data.labels import Classes
from specjax.files import check_input

SUFFIXES = {"images": (".png", ".jpg", ".jpeg", ".webp"), "sound": (".wav", ".flac")}

_FILES_PER_THREAD = 4
"""Files that are read at a time: what is decoded of them waits for its turn."""

R = TypeVar("R")


class MixedFilesError(UserError):
    """Good files do not go together (sizes, rates): the user must decide, nothing is skipped."""


def find_files(root: Path) -> tuple[str, list[Path]]:
    """Find the kind of a folder ("images" or "sound") and its files, sorted.

    Subfolders are searched; hidden files and folders are left out.
    """
    found: dict[str, list[Path]] = {kind: [] for kind in SUFFIXES}
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for file in (Path(folder, name) for name in names if not name.startswith(".")):
            for kind, suffixes in SUFFIXES.items():
                if file.suffix.lower() in suffixes:
                    found[kind].append(file)
    kinds = [kind for kind, files in found.items() if files]
    if len(kinds) == 1:
        return kinds[0], sorted(found[kinds[0]], key=lambda path: path.parts)
    if kinds:
        image, sound = (name_in(root, min(several)) for several in found.values())
        raise UserError(
            f"data = {str(root)!r} has images ({image}) and sound ({sound}): give a folder of "
            "one kind"
        )
    known = " or ".join(f"{kind} ({', '.join(s)})" for kind, s in SUFFIXES.items())
    prepared = any(any(root.glob(f"{depth}dataset_info.json")) for depth in ("", "*/", "*/*/"))
    hint = "; a prepared TFDS set is tfds:NAME with data_dir" if prepared else ""
    raise UserError(
        f"data = {str(root)!r} is a folder without {known}: give such a folder, or a .npy or "
        f".npz file of samples{hint}"
    )


def name_in(root: Path, path: Path) -> str:
    """Return the name of a file relative to its folder."""
    return path.relative_to(root).as_posix()


@dataclass(eq=False)
class FolderReader:
    """Samples of many files, batch by batch; every ``iter`` reads them anew.

    ``read`` gives the samples [n, *shape] of one file; whatever it raises makes the file a bad one,
    except :class:`MixedFilesError`. ``expected_samples`` is their number if all files are good,
    None where only reading tells. Of the latest pass, ``skipped`` has (file, reason) of the bad
    files and ``statistics`` the numbers of samples and bad files, once it is complete.
    """

    root: Path
    files: Sequence[Path]
    read: Callable[[Path], np.ndarray]
    sample_shape: tuple[int, ...]
    sample_dtype: np.dtype
    expected_samples: int | None
    threads: int
    limit: int | None
    strict: bool
    file_classes: Classes | None = None
    skipped: list[tuple[str, str]] = field(default_factory=list)
    statistics: dict[str, Any] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes."""
        return None if self.file_classes is None else self.file_classes.names

    @property
    def fingerprint(self) -> str:
        """A hash that changes when a file is added, removed, renamed or written to."""
        digest = hashlib.sha256()
        for path in self.files:
            stat = path.stat() if path.exists() else None
            state = (stat.st_size, stat.st_mtime_ns) if stat else "missing"
            digest.update(f"{name_in(self.root, path)}\0{state}\n".encode())
        return digest.hexdigest()

    def __iter__(self) -> Iterator[np.ndarray]:
        return (batch for batch, _ in self.labelled())

    def labelled(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Yield batches and the classes of their samples, int32 [n]; None without classes."""
        skipped: list[tuple[str, str]] = []
        self.skipped = skipped
        samples = 0
        pending: deque[int] = deque()  # classes of samples that have been read but not yielded
        for batch in batching.rebatched(self._good_files(skipped, pending), self.limit):
            samples += len(batch)
            labels = [pending.popleft() for _ in range(len(batch))] if pending else None
            yield batch, None if labels is None else np.array(labels, np.int32)
        if not samples:
            raise UserError(_all_bad(self.root, skipped))
        self.statistics.update(samples=samples, skipped=len(skipped))

    def _good_files(
        self, skipped: list[tuple[str, str]], pending: deque[int]
    ) -> Iterator[np.ndarray]:
        with batching.ordered_map(self.threads) as map_in_order:
            size = 1 if self.threads == 1 else self.threads * _FILES_PER_THREAD
            for start in range(0, len(self.files), size):
                group = self.files[start : start + size]
                with batching.muted_warnings():
                    results = list(map_in_order(lambda path: _attempt(self.read, path), group))
                for path, result in zip(group, results, strict=True):
                    if isinstance(result, Exception):
                        skipped.append(_skip(self.root, path, result, self.strict))
                        continue
                    if self.file_classes is not None:
                        pending.extend([self.file_classes.number_of(path)] * len(result))
                    yield result


def first_good(
    root: Path, files: Sequence[Path], read: Callable[[Path], R], strict: bool
) -> tuple[Path, R]:
    """Return the first file that can be read, and what was read."""
    skipped = []
    for path in files:
        with batching.muted_warnings():
            result = _attempt(read, path)
        if not isinstance(result, Exception):
            return path, result
        skipped.append(_skip(root, path, result, strict))
    raise UserError(_all_bad(root, skipped))


def _attempt(read: Callable[[Path], R], path: Path) -> R | Exception:
    """Return what was read, or the error: a damaged file can fail anywhere in its decoder."""
    try:
        return read(path) if check_input(path).stat().st_size else ValueError("is empty")
    except Exception as error:
        return error


def _skip(root: Path, path: Path, error: Exception, strict: bool) -> tuple[str, str]:
    """Return the name of a bad file and the reason, unless the error must stop the reading."""
    if isinstance(error, MixedFilesError):
        raise UserError(str(error)) from error
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    reason = " ".join(text.split()) or type(error).__name__
    if strict:
        raise UserError(f"{path} is bad ({reason}): remove it, or leave strict out")
    return name_in(root, path), reason


def _all_bad(root: Path, skipped: list[tuple[str, str]]) -> str:
    first, reason = skipped[0]
    return (
        f"data = {str(root)!r} has no good file: all {len(skipped)} are bad, the first is "
        f"{first} ({reason})"
    )
