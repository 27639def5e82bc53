"""``open``: from what the user names to a :class:`Dataset`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from specjax._core.checks import UserError
from specjax.data import folder, npy, tfds
from specjax.data.builtin import BUILTIN
from specjax.data.dataset import Dataset, dataset_of_array, dataset_of_reader
from specjax.data.iterables import Batches, is_batches
from specjax.data.options import Options, check_kind, with_changes


def open(spec: Any, options: Options | None = None, **changes: Any) -> Dataset:
    """Open a dataset: a name, a file, a folder, an array or batches.

    Args:
      spec: one of

        - a name in :data:`BUILTIN` (a ``Path`` or a name with a folder, such as "./digits", is
          never a built-in);
        - "tfds:NAME[/CONFIG][:SPLIT]", a prepared TFDS set (of which "train" is read by default);
        - the path of a ``.npy`` or ``.npz`` file of samples [N, ...];
        - a folder of images (PNG, JPEG, WebP) or of sound (WAV, FLAC), subfolders included;
        - an array [N, ...];
        - an iterable of batches [n, ...], or a callable that returns one.

      options: how it is read, see :class:`Options`, which also says what each applies to.
      changes: options by name, such as ``size=64``.

    Returns:
      A :class:`Dataset`. Only a ``.npz`` is read at once. Folders and TFDS sets are read batch by
      batch, and anew at every pass.

    Raises:
      UserError: for a file, folder or set that is missing, damaged or of another kind; for
        samples that are empty or not real numbers; for integers without a range; for an option
        that is unknown, of no allowed value, or of another kind of data; for a library that is
        missing.

    Example:
      >>> open("digits", limit=100).source["shape"]
      [8, 8]
    """
    options = with_changes(options, changes)
    if isinstance(spec, str) and spec in BUILTIN:
        check_kind(options, "builtin")
        row = BUILTIN[spec]
        samples, labels, source = row.load(options.seed)
        return dataset_of_array(
            spec, samples, options, label=spec, source=source, data_range=row.data_range,
            labels=labels,
        )  # fmt: skip
    if isinstance(spec, str) and spec.startswith(tfds.PREFIX):
        check_kind(options, "tfds")
        return tfds.open_tfds(spec, options)
    if isinstance(spec, str | os.PathLike):
        path = Path(spec)
        return _open_folder(path, options) if path.is_dir() else _open_file(path, options)
    if hasattr(spec, "shape") and hasattr(spec, "dtype"):
        check_kind(options, "array")
        return dataset_of_array("array", spec, options, label="data", source={})
    if is_batches(spec):
        check_kind(options, "batches")
        batches = Batches(spec, options.limit)
        return dataset_of_reader("batches", batches, options, source={"kind": "batches"})
    raise UserError(
        f"data of type {type(spec).__name__}: give a built-in name ({', '.join(BUILTIN)}), "
        "tfds:NAME, a file or folder, an array [N, ...], or batches of such"
    )


def _open_file(path: Path, options: Options) -> Dataset:
    check_kind(options, "file")
    samples, labels, source = npy.read(path, options.key, BUILTIN, options.label)
    return dataset_of_array(
        path.name, samples, options, label=str(path), source=source, labels=labels
    )


def _open_folder(path: Path, options: Options) -> Dataset:
    kind, files = folder.find_files(path)
    check_kind(options, kind)
    if kind == "images":
        from specjax.data.image_folder import open_images

        return open_images(path, files, options)
    from specjax.data.sound_folder import open_sound

    return open_sound(path, files, options)
