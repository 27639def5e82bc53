"""Folders of files: which there are, and samples from one after another, bad ones skipped."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from specjax.data import reading
from specjax.data.labels import FileClasses

SUFFIXES = {"images": (".png", ".jpg", ".jpeg", ".webp"), "sound": (".wav", ".flac")}

_GROUP_BYTES = 16 * 2**20
_GROUP_FILES = 256

R = TypeVar("R")


class MixedError(ValueError):
    """Good files that do not go together: the user must decide, nothing is skipped."""


def find(root: Path) -> tuple[str, list[Path]]:
    """The kind of a folder ("images" or "sound") and its files, in subfolders too, sorted.

    Hidden files and folders are left out.

    Raises:
      ValueError: for a folder that has both kinds or neither.
    """
    found: dict[str, list[Path]] = {kind: [] for kind in SUFFIXES}
    for folder, inside, names in os.walk(root):
        inside[:] = [word for word in inside if not word.startswith(".")]
        for file in (Path(folder, word) for word in names if not word.startswith(".")):
            for kind, suffixes in SUFFIXES.items():
                if file.suffix.lower() in suffixes:
                    found[kind].append(file)
    kinds = [kind for kind, files in found.items() if files]
    if len(kinds) != 1:
        raise ValueError(_undecided(root, found))
    return kinds[0], sorted(found[kinds[0]], key=lambda path: path.parts)


def name(root: Path, path: Path) -> str:
    """What a file is called in its folder."""
    return path.relative_to(root).as_posix()


def _undecided(root: Path, found: dict[str, list[Path]]) -> str:
    if all(found.values()):
        image, sound = (name(root, min(files)) for files in found.values())
        return (
            f"data = {str(root)!r} has images ({image}) and sound ({sound}): give a folder of "
            "one kind"
        )
    suffixes = " or ".join(f"{kind} ({', '.join(s)})" for kind, s in SUFFIXES.items())
    set_hint = "; a prepared TFDS set is tfds:NAME with data_dir" if _is_tfds(root) else ""
    return (
        f"data = {str(root)!r} is a folder without {suffixes}: give such a folder, or a .npy or "
        f".npz file of samples{set_hint}"
    )


def _is_tfds(root: Path) -> bool:
    return any(root.glob(f"{depth}dataset_info.json") for depth in ("", "*/", "*/*/"))


@dataclass(eq=False)
class Files:
    """Samples of many files, batch by batch; every ``iter`` reads them anew.

    Attributes:
      root: the folder. files: those to read, in their order.
      read: samples [n, *shape] of one file. Whatever it raises is the file's fault, but for
        :class:`MixedError`.
      sample_shape, sample_dtype: of one sample.
      expected_samples: their number if all files are good, None where only reading tells.
      threads: how many read. limit: stop after that many samples.
      strict: stop at the first bad file.
      labels: the class of each file, if they have classes.
      skipped: (file, reason) of the bad files of the latest pass.
      found: what the latest pass adds to the provenance, once it is complete.
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
    labels: FileClasses | None = None
    skipped: list[tuple[str, str]] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes."""
        return None if self.labels is None else self.labels.names

    @property
    def fingerprint(self) -> str:
        """Changes when a file is added, removed, renamed or written to."""
        known = hashlib.sha256()
        for path in self.files:
            about = path.stat() if path.exists() else None
            state = (about.st_size, about.st_mtime_ns) if about else "missing"
            known.update(f"{name(self.root, path)}\0{state}\n".encode())
        return known.hexdigest()

    def __iter__(self) -> Iterator[np.ndarray]:
        return (batch for batch, _ in self.labelled())

    def labelled(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Batches, and the classes of their rows, int32 [n]; None without classes."""
        skipped: list[tuple[str, str]] = []
        self.skipped = skipped
        samples = 0
        waiting: deque[int] = deque()  # classes of rows that have been read but not yielded
        for batch in reading.batched(self._good(skipped, waiting), self.limit):
            samples += len(batch)
            numbers = [waiting.popleft() for _ in range(len(batch))] if waiting else None
            yield batch, None if numbers is None else np.array(numbers, np.int32)
        if not samples:
            raise ValueError(_all_bad(self.root, skipped))
        self.found.update(samples=samples, skipped=len(skipped))

    def _good(self, skipped: list[tuple[str, str]], waiting: deque[int]) -> Iterator[np.ndarray]:
        with reading.mapper(self.threads) as map_in_order:
            for group in _groups(self.files):
                with reading.no_warnings():
                    results = list(map_in_order(lambda path: _attempt(self.read, path), group))
                for path, result in zip(group, results, strict=True):
                    if isinstance(result, Exception):
                        skipped.append(_bad(self.root, path, result, self.strict))
                    else:
                        if self.labels is not None:
                            waiting.extend([self.labels.of(path)] * len(result))
                        yield result


def first_good(
    root: Path, files: Sequence[Path], read: Callable[[Path], R], strict: bool
) -> tuple[Path, R]:
    """The first file that can be read, and what was read.

    Raises:
      ValueError: if there is none; if ``strict``, already for a bad file before it.
    """
    skipped = []
    with reading.no_warnings():
        for path in files:
            result = _attempt(read, path)
            if not isinstance(result, Exception):
                return path, result
            skipped.append(_bad(root, path, result, strict))
    raise ValueError(_all_bad(root, skipped))


def _attempt(read: Callable[[Path], R], path: Path) -> R | Exception:
    """What was read, or what went wrong: a damaged file can fail anywhere in its decoder."""
    try:
        if path.stat().st_size == 0:
            return ValueError("is empty")
        return read(path)
    except Exception as error:
        return error


def _bad(root: Path, path: Path, error: Exception, strict: bool) -> tuple[str, str]:
    """The name of a bad file and the reason, unless the error must stop the reading."""
    if isinstance(error, MixedError):
        raise ValueError(str(error)) from error
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    reason = " ".join(said.split()) or type(error).__name__
    if strict:
        raise ValueError(f"{path} is bad ({reason}): remove it, or leave strict out")
    return name(root, path), reason


def _all_bad(root: Path, skipped: list[tuple[str, str]]) -> str:
    first, reason = skipped[0]
    return (
        f"data = {str(root)!r} has no good file: all {len(skipped)} are bad, the first is "
        f"{first} ({reason})"
    )


def _groups(files: Sequence[Path]) -> Iterator[list[Path]]:
    """Files that are read together, so that what waits for its turn stays small."""
    group: list[Path] = []
    size = 0
    for path in files:
        size += path.stat().st_size if path.exists() else 0
        group.append(path)
        if size >= _GROUP_BYTES or len(group) == _GROUP_FILES:
            yield group
            group, size = [], 0
    if group:
        yield group
