"""Checkpoints by orbax: written in the background, the last and the best are kept.

A checkpoint holds arrays by their place in the network ("down/0/block/conv_in/kernel"), in two
items: ``ema``, which samples are drawn with, and ``training``, the rest; and the run's document
with a checksum of every array. orbax writes into a temporary folder and renames it, so that a
kill leaves the one before.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import SingleDeviceSharding
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

from specjax import files
from specjax.nn.document import RunDocument, document_of
from specjax.nn.step import TrainState

FOLDER = "checkpoints"
FILES = "checkpoints.json"
_METRIC = "validation_loss"


def named(tree: Any) -> dict[str, Any]:
    """The arrays of a tree by their place in it."""
    found, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in found}


def unnamed(like: Any, arrays: dict[str, Any]) -> Any:
    """A tree of the form of ``like`` from arrays by their place."""
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in named(like)])


class Checkpoints:
    """The checkpoints of a run.

    Args:
      folder: of the run. document: what goes into each. read_only: nothing is written or removed.
    """

    def __init__(self, folder: Path, document: RunDocument | None = None, read_only: bool = False):
        for library in ("absl", "asyncio"):  # what matters of theirs is raised, too
            logging.getLogger(library).setLevel(logging.CRITICAL)
        self.folder = (folder / FOLDER).absolute()
        self._notes = self.folder.with_name(FILES)
        self._document = document
        self._saved: list[int] = []
        best = BestN(get_metric_fn=lambda m: m[_METRIC], reverse=True, n=1)
        options = ocp.CheckpointManagerOptions(
            best_fn=lambda m: m[_METRIC],  # without it orbax does not keep the metrics
            best_mode="min",
            preservation_policy=AnyPreservationPolicy([LatestN(1), best]),
            read_only=read_only,
            create=not read_only,
            cleanup_tmp_directories=not read_only,
        )
        handlers = {
            "ema": ocp.StandardCheckpointHandler(),
            "training": ocp.StandardCheckpointHandler(),
            "run": ocp.JsonCheckpointHandler(),
        }
        self._manager = ocp.CheckpointManager(self.folder, options=options, item_handlers=handlers)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        """What is being written is finished first."""
        with _in_one_line(_not_written, self.folder):
            self._finish()
            self._manager.close()

    @property
    def steps(self) -> list[int]:
        """Of all that are there, rising."""
        return sorted(self._manager.all_steps())

    @property
    def best(self) -> int | None:
        """The step of the least validation loss."""
        known = {}
        for step in self.steps:
            metrics = self._manager.metrics(step)
            if metrics and _METRIC in metrics:
                known[step] = metrics[_METRIC]
        return min(known, key=lambda step: (known[step], -step)) if known else None

    def save(self, state: TrainState, validation_loss: float) -> None:
        """Begin to write a state; returns once it is copied."""
        assert self._document is not None
        rest = state._replace(ema=None)
        items = {"ema": named(state.ema), "training": named(rest)}
        self._check_space(sum(x.nbytes for arrays in items.values() for x in arrays.values()))
        checksums = {name: _checksums(arrays) for name, arrays in items.items()}
        with _in_one_line(_not_written, self.folder):
            self._finish()
            self._manager.save(
                int(state.step),
                args=ocp.args.Composite(
                    run=ocp.args.JsonSave({"document": self._document.json(), "arrays": checksums}),
                    **{name: ocp.args.StandardSave(arrays) for name, arrays in items.items()},
                ),
                metrics={_METRIC: validation_loss},
            )
            self._saved.append(int(state.step))

    def _check_space(self, needed: int) -> None:
        """Refuse before it is begun what would not fit: half of it would be in the way."""
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise ValueError(_not_written(self.folder, f"it takes {needed / 2**20:,.0f} MiB"))

    def wait(self) -> None:
        """Until all is written."""
        with _in_one_line(_not_written, self.folder):
            self._finish()

    def _finish(self) -> None:
        """Wait for what is being written, and note its files."""
        self._manager.wait_until_finished()
        if not self._saved or jax.process_index():
            return
        noted = self._noted()
        for step in self._saved:  # what was there before may be damaged
            noted[str(step)] = _files(self.folder / str(step))
        there = set(map(str, self.steps))
        text = json.dumps({step: noted[step] for step in sorted(noted) if step in there})
        files.write_atomically(self._notes, text.encode())

    def _noted(self) -> dict[str, dict[str, list[int]]]:
        return json.loads(self._notes.read_text()) if self._notes.exists() else {}

    def _check_files(self, path: Path) -> None:
        """Refuse a checkpoint with files missing, cut or changed.

        Orbax would, too, in thousands of lines. A kill may leave a checkpoint without a note.
        """
        there = _files(path)
        for name, (size, crc) in self._noted().get(path.name, {}).items():
            found, found_crc = there.get(name, ["no", None])
            if found != size:
                raise ValueError(f"{name} has {found} bytes of {size}")
            if found_crc != crc:
                raise ValueError(f"{name} does not match its checksum")

    def chosen(self, step: int | str) -> int:
        """The step of "last", "best" or a number.

        Raises:
          ValueError: if there is none.
        """
        steps = self.steps
        if not steps:
            raise ValueError(f"{self.folder} has no checkpoint yet: train on until the first")
        if step == "last":
            return steps[-1]
        if step == "best":
            return self.best or steps[-1]
        if step not in steps:
            raise ValueError(
                f"step = {step!r}: choose last, best or one of {', '.join(map(str, steps))}"
            )
        return int(step)

    def restore(self, step: int, like: TrainState) -> TrainState:
        """A state with the shapes and shardings of ``like``."""
        found = self._restore(step, {"ema": like.ema, "training": like._replace(ema=None)})
        return found["training"]._replace(ema=found["ema"])

    def restore_ema(self, step: int, like: Any) -> Any:
        """The averaged parameters, with the shapes of ``like``."""
        return self._restore(step, {"ema": like})["ema"]

    def _restore(self, step: int, wanted: dict[str, Any]) -> dict[str, Any]:
        """The items of a checkpoint, each as a tree of the form given."""
        path = self.folder / str(step)
        with _in_one_line(_damaged, path):
            self._check_files(path)
            about = self._manager.restore(step, args=ocp.args.Composite(run=ocp.args.JsonRestore()))
            there = self._manager.item_metadata(step)
        document_of(about["run"]["document"], path)
        for name, tree in wanted.items():
            _check_form(path, named(tree), there[name])
        args = {
            name: ocp.args.StandardRestore(jax.tree.map(_abstract, named(tree)))
            for name, tree in wanted.items()
        }
        with _in_one_line(_damaged, path):
            found = self._manager.restore(step, args=ocp.args.Composite(**args))
            for name in wanted:
                _check_whole(found[name], about["run"]["arrays"][name])
        return {name: unnamed(tree, found[name]) for name, tree in wanted.items()}


def _check_form(path: Path, like: dict[str, Any], metadata: Any) -> None:
    """Refuse a checkpoint of another network, such as a later version's."""
    there = dict(getattr(metadata, "tree", metadata) or {})
    for name in sorted(set(like) | set(there)):
        shapes = [tuple(x[name].shape) if name in x else "none" for x in (there, like)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"{path} is of another network or version of specjax: {name} has shape {shapes[0]} "
                f"in it, here {shapes[1]}"
            )


def _files(folder: Path) -> dict[str, list[int]]:
    """Bytes and CRC-32 of every file, by its place in the folder."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): [path.stat().st_size, _crc(path)] for path in found}


def _crc(path: Path) -> int:
    with path.open("rb") as file:
        return functools.reduce(
            lambda crc, part: zlib.crc32(part, crc), iter(lambda: file.read(2**24), b""), 0
        )


def _abstract(x: Any) -> jax.ShapeDtypeStruct:
    """What to restore: on one device of this process where nothing else is said.

    Else orbax wants the devices that have written it.
    """
    where = getattr(x, "sharding", None) or SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where)


def _checksums(arrays: dict[str, Any]) -> dict[str, int]:
    """CRC-32 of the arrays that are whole in this process."""
    whole = {
        name: x.addressable_data(0) if x.is_fully_replicated else x
        for name, x in arrays.items()
        if x.is_fully_replicated or x.is_fully_addressable
    }
    return {name: zlib.crc32(np.ascontiguousarray(x).tobytes()) for name, x in whole.items()}


def _check_whole(arrays: dict[str, Any], expected: dict[str, int]) -> None:
    for name, crc in _checksums(arrays).items():
        if expected.get(name, crc) != crc:
            raise ValueError(f"{name} does not match its checksum")


@contextlib.contextmanager
def _in_one_line(say: Callable[[Path, str], str], path: Path) -> Iterator[None]:
    """What goes wrong in orbax and below, as a ValueError."""
    try:
        yield
    except Exception as error:
        raise ValueError(say(path, " ".join(str(error).split())[:300])) from error


def _not_written(path: Path, error: str) -> str:
    free = f", {shutil.disk_usage(path).free / 2**20:,.0f} MiB are free" if path.exists() else ""
    return f"cannot write a checkpoint into {path}: {error}{free}; those before are whole"


def _damaged(path: Path, error: str) -> str:
    return f"{path} is damaged: {error}; remove that folder to use the checkpoint before it"
