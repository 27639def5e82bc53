"""``open``: what the user calls a dataset, to a :class:`Dataset`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from specjax import _check
from specjax.data import files
from specjax.data.builtin import BUILTIN
from specjax.data.dataset import Dataset, dataset


def open(
    spec: Any,
    *,
    data_range: tuple[float, float] | None = None,
    key: str | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> Dataset:
    """A dataset from a built-in name, a file or an array.

    Args:
      spec: a name in :data:`BUILTIN`; the path of a ``.npy`` or ``.npz`` file of samples
        [N, ...] (a ``Path`` or a name with a folder, such as "./digits", is never a built-in); or
        an array [N, ...].
      data_range: (low, high) of the samples, mapped to [-1, 1]. uint8 means (0, 255), bool
        (0, 1); other integers need it; floats are taken as they are without it.
      key: which array of a ``.npz`` that has several.
      seed: of the places where ``patches`` are cut; used by nothing else.
      limit: only the first ``limit`` samples.

    Returns:
      A :class:`Dataset`. A ``.npy`` file stays on disk until its samples are used; a ``.npz`` is
      read.

    Raises:
      ValueError: for a file that is missing, damaged, pickled or of another kind; for an array
        that is empty, of fewer than two dimensions, or not of real numbers; for integers without
        a range.

    Example:
      >>> open("digits").source["shape"]
      [8, 8]
    """
    seed = _check.whole_number("seed", seed, 0)
    limit = None if limit is None else _check.whole_number("limit", limit)
    if isinstance(spec, str) and spec in BUILTIN:
        files.no_key(key, spec)
        found = BUILTIN[spec]
        name, label, (samples, source) = spec, spec, found.load(seed)
        data_range = data_range or found.data_range
    elif isinstance(spec, str | os.PathLike):
        path = Path(spec)
        name, label, (samples, source) = path.name, str(path), files.read(path, key, BUILTIN)
    elif hasattr(spec, "shape") and hasattr(spec, "dtype"):
        files.no_key(key, "data")
        name, label, samples, source = "array", "data", spec, {}
    else:
        raise ValueError(
            f"data of type {type(spec).__name__}: give a built-in name ({', '.join(BUILTIN)}), "
            "a .npy or .npz file, or an array [N, ...]"
        )
    if limit is not None:
        source = {**source, "limit": limit}
    return dataset(name, samples, label=label, data_range=data_range, limit=limit, source=source)
