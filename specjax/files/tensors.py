"""Named arrays that other programs wrote: npz without pickle, and safetensors.

A safetensors file is the length of its header (8 bytes, little-endian), the header (JSON: the
dtype, shape and place of each array) and the arrays, little-endian.
"""

from __future__ import annotations

import math
import os
from typing import Any, BinaryIO

import numpy as np

from specjax._core.checks import UserError
from specjax.files.inputs import TEXT_BYTES, json_of, open_archive, open_input

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"}


def read_tensors(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read all arrays of a ``.npz`` or ``.safetensors`` file by name; bfloat16 becomes float32.

    Raises:
      UserError: if it cannot be read, is damaged, or holds Python objects.
    """
    with open_input(path) as file:
        try:
            if str(path).endswith(".safetensors"):
                return _read_safetensors(file)
            with open_archive(file) as archive:
                return {name: np.asarray(archive[name]) for name in archive.files}
        except UserError:
            raise
        except Exception as error:  # a damaged file can fail anywhere in its parser
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(
                f"cannot read {path}: {reason}; give an .npz or a .safetensors file of plain arrays"
            ) from error


def _read_safetensors(file: BinaryIO) -> dict[str, np.ndarray]:
    size = int.from_bytes(file.read(8), "little")
    if size > TEXT_BYTES:
        raise ValueError(f"its header would take {size:,} bytes")
    header = json_of(file.read(size))
    held = os.fstat(file.fileno()).st_size - 8 - size
    arrays = {}
    for name, about in header.items():
        if name == "__metadata__":
            continue
        if about["dtype"] not in _DTYPES:
            raise ValueError(f"{name} is of dtype {about['dtype']}, known are {', '.join(_DTYPES)}")
        arrays[name] = _read_tensor(file, name, about, 8 + size, held)
    return arrays


def _read_tensor(
    file: BinaryIO, name: str, about: dict[str, Any], start: int, held: int
) -> np.ndarray:
    dtype, (begin, end) = np.dtype(_DTYPES[about["dtype"]]), about["data_offsets"]
    count = math.prod(about["shape"])
    if not (0 <= begin <= end <= held and end - begin == count * dtype.itemsize):
        raise ValueError(f"{name} says that it takes the bytes {begin} to {end} of {held:,}")
    file.seek(start + begin)
    array = np.frombuffer(file.read(end - begin), dtype).reshape(about["shape"])
    if about["dtype"] == "BF16":  # the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array
