"""``open``: what the user calls a dataset, to a :class:`Dataset`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from specjax.data import files, folder, prepared
from specjax.data.batches import Batches, is_batches
from specjax.data.builtin import BUILTIN
from specjax.data.dataset import Dataset, of_array, of_reader
from specjax.data.options import Options, changed, check_kind


def open(spec: Any, options: Options | None = None, **changes: Any) -> Dataset:
    """A dataset from a name, a file, a folder, an array or batches.

    Args:
      spec: one of

        - a name in :data:`BUILTIN` (a ``Path`` or a name with a folder, such as "./digits", is
          never a built-in);
        - "tfds:NAME[/CONFIG][:SPLIT]", a prepared TFDS set (of which "train" is read by default);
        - the path of a ``.npy`` or ``.npz`` file of samples [N, ...];
        - a folder of images (PNG, JPEG, WebP) or of sound (WAV, FLAC), subfolders included;
        - an array [N, ...];
        - an iterable of batches [n, ...], or a callable that returns one.

      options: how it is read, see :class:`Options`.
      changes: options by name, such as ``size=64``. What applies:

        - to all: data_range, limit; and shard, but for batches;
        - to ``patches``: seed;
        - to ``.npz`` files: key, label;
        - to TFDS sets: key, label, data_dir, size, fit;
        - to images: label, size, fit, colour, strict;
        - to sound: label, rate, window, hop, silence, normalise, strict.

    Returns:
      A :class:`Dataset`. Only a ``.npz`` is read at once. Folders and TFDS sets are read batch by
      batch, and anew at every pass.

    Raises:
      ValueError: for a file, folder or set that is missing, damaged or of another kind; for
        samples that are empty or not real numbers; for integers without a range; for an option
        that is unknown, of no allowed value, or of another kind of data; for a library that is
        missing.

    Example:
      >>> open("digits", limit=100).source["shape"]
      [8, 8]
    """
    opts = changed(options, changes)
    if isinstance(spec, str) and spec in BUILTIN:
        return _builtin(spec, opts)
    if isinstance(spec, str) and spec.startswith(prepared.PREFIX):
        check_kind(opts, "tfds")
        return prepared.open_set(spec, opts)
    if isinstance(spec, str | os.PathLike):
        path = Path(spec)
        return _folder(path, opts) if path.is_dir() else _file(path, opts)
    if hasattr(spec, "shape") and hasattr(spec, "dtype"):
        check_kind(opts, "array")
        return of_array("array", spec, opts, label="data", source={})
    if is_batches(spec):
        check_kind(opts, "batches")
        return of_reader("batches", Batches(spec, opts.limit), opts, source={"kind": "batches"})
    raise ValueError(
        f"data of type {type(spec).__name__}: give a built-in name ({', '.join(BUILTIN)}), "
        "tfds:NAME, a file or folder, an array [N, ...], or batches of such"
    )


def _builtin(name: str, opts: Options) -> Dataset:
    check_kind(opts, "builtin")
    found = BUILTIN[name]
    samples, labels, source = found.load(opts.seed)
    return of_array(
        name, samples, opts, label=name, source=source, data_range=found.data_range, labels=labels
    )


def _file(path: Path, opts: Options) -> Dataset:
    check_kind(opts, "file")
    samples, labels, source = files.read(path, opts.key, BUILTIN, opts.label)
    return of_array(path.name, samples, opts, label=str(path), source=source, labels=labels)


def _folder(path: Path, opts: Options) -> Dataset:
    kind, found = folder.find(path)
    check_kind(opts, kind)
    if kind == "images":
        from specjax.data import images

        return images.open_folder(path, found, opts)
    from specjax.data import sound

    return sound.open_folder(path, found, opts)
