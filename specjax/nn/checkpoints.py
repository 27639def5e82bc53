"""Checkpoints by orbax: written in the background; the last and the best are kept.

A checkpoint holds arrays by their path in the network ("down/0/block/conv_in/kernel"), in two
items: ``ema``, the average of the parameters that samples are drawn with, and ``training``, the
rest of the state. orbax writes into a temporary folder and renames it, so that a kill leaves the
checkpoints before, and chooses which are kept by the validation loss that it stores with each.

orbax does not see all damage: a turned bit in an array comes back as another number, and a file
that is cut raises a bare ``Exception``. So the checksums of all files are written into the
temporary folder before the rename, and compared before anything is read. What is raised after that
is no damage, and is not caught.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.sharding import SingleDeviceSharding
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

from specjax import files
from specjax._core.checks import UserError
from specjax.nn.train_step import TrainState

FOLDER = "checkpoints"
CHECKSUMS = "checksums.json"
_METRIC = "validation_loss"


def named(tree: Any) -> dict[str, Any]:
    """Return the arrays of a tree by their paths in it."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _unnamed(arrays: Mapping[str, Any], like: Any) -> Any:
    """A tree of the structure of ``like`` from arrays by their paths."""
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in named(like)])


class Checkpoints:
    """The checkpoints of a run, from :func:`open_checkpoints`."""

    def __init__(self, folder: Path, manager: ocp.CheckpointManager):
        self.folder, self._manager = folder, manager

    @property
    def steps(self) -> list[int]:
        """The steps of all checkpoints, rising."""
        return sorted(self._manager.all_steps())

    def save(self, state: TrainState, validation_loss: float) -> None:
        """Begin to write a state; return once it is copied.

        Raises:
          UserError: if it cannot be written, or the one before could not.
        """
        items = {"ema": named(state.ema), "training": named(state._replace(ema=None))}
        arguments = {name: ocp.args.StandardSave(arrays) for name, arrays in items.items()}
        with _written(self.folder):
            self._manager.save(
                int(state.step),
                args=ocp.args.Composite(**arguments),
                metrics={_METRIC: validation_loss},
            )

    def wait(self) -> None:
        """Wait until everything is written; errors as :meth:`save`."""
        with _written(self.folder):
            self._manager.wait_until_finished()

    def chosen(self, step: int | str) -> int:
        """Return the step of "last", "best" (the least validation loss) or a number.

        Raises:
          UserError: if there is no such checkpoint.
        """
        steps = self.steps
        if not steps:
            raise UserError(f"{self.folder} has no checkpoint yet: train on until the first")
        if step == "last":
            return steps[-1]
        if step == "best":
            return self._manager.best_step() or steps[-1]
        if step not in steps:
            raise UserError(
                f"checkpoint = {step!r}: choose last, best or one of {', '.join(map(str, steps))}"
            )
        return int(step)

    def restore(self, step: int, like: TrainState) -> TrainState:
        """Read a state with the shapes and shardings of ``like``.

        Raises:
          UserError: for a checkpoint that is damaged, or of another network.
        """
        items = self._restore(step, {"ema": like.ema, "training": like._replace(ema=None)})
        return items["training"]._replace(ema=items["ema"])

    def restore_ema(self, step: int, like: Any) -> Any:
        """Read the averaged parameters, with the shapes of ``like``; errors as :meth:`restore`."""
        return self._restore(step, {"ema": like})["ema"]

    def _restore(self, step: int, like: dict[str, Any]) -> dict[str, Any]:
        """Read items of a checkpoint, each as a tree of the given structure."""
        path = self.folder / str(step)
        _check_whole(path)
        stored = self._manager.item_metadata(step)
        for name, tree in like.items():
            _check_shapes(path, named(tree), stored[name])
        wanted = {name: jax.tree.map(_abstract, named(tree)) for name, tree in like.items()}
        arguments = {name: ocp.args.StandardRestore(tree) for name, tree in wanted.items()}
        arrays = self._manager.restore(step, args=ocp.args.Composite(**arguments))
        return {name: _unnamed(arrays[name], tree) for name, tree in like.items()}


@contextlib.contextmanager
def open_checkpoints(folder: Path, read_only: bool = False) -> Iterator[Checkpoints]:
    """Open the checkpoints of the run in a folder; at the end wait for what is being written.

    Args:
      read_only: nothing is written or removed.

    Raises:
      UserError: for a damaged validation loss, and if the last checkpoint cannot be written.
    """
    folder = (folder / FOLDER).absolute()
    with _quiet():
        for path in folder.glob(f"*/{CHECKSUMS}"):  # orbax reads the metrics of all at once
            _check_whole(path.parent, "metrics")
        manager = _manager(folder, read_only)
        try:
            yield Checkpoints(folder, manager)
        finally:
            with _written(folder):
                manager.close()


def _manager(folder: Path, read_only: bool) -> ocp.CheckpointManager:
    best = BestN(get_metric_fn=lambda m: m[_METRIC], reverse=True, n=1)
    options = ocp.CheckpointManagerOptions(
        best_fn=lambda m: m[_METRIC],  # without it orbax does not keep the metrics
        best_mode="min",
        preservation_policy=AnyPreservationPolicy([LatestN(1), best]),
        read_only=read_only,
        create=not read_only,
        cleanup_tmp_directories=not read_only,
        async_options=ocp.AsyncOptions(
            post_finalization_callback=functools.partial(_write_checksums, folder)
        ),
    )
    handlers = {name: ocp.StandardCheckpointHandler() for name in ("ema", "training")}
    return ocp.CheckpointManager(folder, options=options, item_handlers=handlers)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the loggers of orbax and asyncio: what matters is raised, too."""
    loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _written(folder: Path) -> Iterator[None]:
    """Turn errors of the file system, for TensorStore ValueErrors, into a UserError."""
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) and "os_error_code" not in str(error):
            raise
        reason = " ".join(str(error).split())[-200:]
        raise UserError(
            f"cannot write a checkpoint into {folder}: {reason}; those before are whole"
        ) from error


def _write_checksums(folder: Path) -> None:
    """Write the checksums of the checkpoint that orbax is about to rename."""
    if jax.process_index():
        return
    for unfinished in folder.glob("*.orbax-checkpoint-tmp*"):
        # Only those of its items: orbax goes on to change the files beside them.
        items = (path for path in unfinished.glob("*/**/*") if path.is_file())
        sums = {str(path.relative_to(unfinished)): _crc(path) for path in items}
        (unfinished / CHECKSUMS).write_text(json.dumps(sums, indent=1))


def _check_whole(path: Path, item: str = "") -> None:
    """Refuse a checkpoint, or one of its items, with files that are missing, cut or changed."""
    try:
        expected = files.json_of(files.read_bytes(path / CHECKSUMS))
        bad = [k for k, crc in expected.items() if k.startswith(item) and _crc(path / k) != crc]
    except (ValueError, AttributeError) as error:
        raise UserError(_damaged(path, str(error))) from error
    if bad:
        raise UserError(_damaged(path, f"{bad[0]} does not match its checksum"))


def _damaged(path: Path, reason: str) -> str:
    return f"{path} is damaged: {reason}; remove that folder to use the checkpoint before it"


def _crc(path: Path) -> int:
    """The CRC-32 of a file."""
    with files.open_input(path) as file:
        parts = iter(lambda: file.read(2**24), b"")
        return functools.reduce(lambda crc, part: zlib.crc32(part, crc), parts, 0)


def _check_shapes(path: Path, like: dict[str, Any], metadata: Any) -> None:
    """Refuse a checkpoint of another network, such as a later version's."""
    stored = dict(getattr(metadata, "tree", metadata) or {})
    for name in sorted(set(like) | set(stored)):
        shapes = [tuple(x[name].shape) if name in x else "none" for x in (stored, like)]
        if shapes[0] != shapes[1]:
            raise UserError(
                f"{path} is of another network or version of specjax: {name} has shape {shapes[0]} "
                f"in it, here {shapes[1]}"
            )


def _abstract(x: Any) -> jax.ShapeDtypeStruct:
    """The array to restore, which lies on one device of this process where ``x`` has no sharding.

    Without one orbax wants the devices that have written it.
    """
    sharding = getattr(x, "sharding", None) or SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
