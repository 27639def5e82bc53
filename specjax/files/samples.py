"""Samples as files: a picture of many, numbered pictures or sounds, arrays.

Samples are in the network's units, [-1, 1]; what lies outside is clipped in pictures and sounds,
and kept in arrays.
"""

from __future__ import annotations

import io
import math
import os
import tempfile
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from specjax._core.checks import UserError
from specjax.files import codec
from specjax.files.atomic import write_atomically, writing
from specjax.files.outputs import check_not_owned, check_output, target_of

_TILE = 64
"""Small samples are enlarged to this many pixels a side, at least, by whole factors."""

_GAP, _GAP_GREY = 2, 128
_LARGEST_GRID = 8192  # pixels a side; samples of a larger grid are not enlarged

SAMPLES_VERSION = 1
ALLOWED = ".png, .npz, .npy, .wav or a folder"


def grid(samples: Any) -> np.ndarray:
    """Draw one picture of all samples: near-square, row by row, small ones enlarged.

    Args:
      samples: [n, height, width] or [n, height, width, C] with C = 1 or 3, in [-1, 1].

    Returns:
      uint8 [H, W], or [H, W, 3] for colour.

    Raises:
      UserError: for samples that are no pictures.

    Example:
      >>> grid(np.zeros((5, 8, 8))).shape  # 2 rows of 3 tiles of 64
      (130, 196)
    """
    tiles = _pixels(samples)
    n, height, width = tiles.shape[:3]
    columns = math.ceil(math.sqrt(n))
    rows = -(-n // columns)
    most = max(1, _LARGEST_GRID // (columns * max(height, width)))
    factor = min(max(1, _TILE // max(height, width)), most)
    tiles = tiles.repeat(factor, 1).repeat(factor, 2)
    step = np.array(tiles.shape[1:3]) + _GAP
    size = step * (rows, columns) - _GAP
    picture = np.full((*size, *tiles.shape[3:]), _GAP_GREY, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = step * divmod(i, columns)
        picture[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return picture


def _pixels(samples: Any) -> np.ndarray:
    """Make uint8 [n, height, width] or [n, height, width, 3] of samples."""
    samples = np.asarray(samples, np.float32)
    _check_picture(samples.shape[1:])
    if samples.ndim == 4 and samples.shape[-1] == 1:
        samples = samples[..., 0]
    return np.rint((np.clip(samples, -1, 1) + 1) * 127.5).astype(np.uint8)


def _check_picture(shape: tuple[int, ...]) -> None:
    if len(shape) == 2 or (len(shape) == 3 and shape[-1] in (1, 3)):
        return
    raise UserError(
        f"samples of shape {shape} are no pictures (height, width, at most 1 or 3 channels): "
        "write .npz or .npy"
    )


def is_sound(source: Mapping[str, Any]) -> bool:
    """Tell whether the data are sound: their rate is known."""
    return bool(source.get("rate"))


def check_target(
    path: str | os.PathLike[str], n: int | None = None, shape: Any = None, source: Any = None
) -> Path:
    """Return the path if n samples of that shape can be written there; None is not checked.

    Raises:
      UserError: for an unknown suffix, a folder that does not exist, cannot be written to or
        holds files, and a kind of file that the samples are not.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in ("", ".png", ".npz", ".npy", ".wav"):
        raise UserError(f"out = {str(path)!r} ends in {kind!r}: give {ALLOWED}")
    if kind:
        check_output(path)
    else:
        _check_new_folder(path)
    if kind == ".wav" and n is not None and n > 1:
        raise UserError(f"{path} holds one sound, not {n}: give a folder, or one sample")
    if shape is not None and source is not None:
        _check_kind(path, tuple(shape), source)
    return path


def _check_kind(path: Path, shape: tuple[int, ...], source: Mapping[str, Any]) -> None:
    kind, sound = path.suffix.lower(), is_sound(source)
    if kind == ".wav" or (kind == "" and sound):
        if not sound:
            raise UserError(f"{path}: the run is not of sound: write .png, .npz, .npy or a folder")
        if len(shape) != 1:
            raise UserError(f"samples of shape {shape} are no mono sound: write .npz or .npy")
    elif kind in (".png", ""):
        if sound:
            raise UserError(f"{path}: the run is of sound: give a folder, .wav, .npz or .npy")
        _check_picture(shape)


def _check_new_folder(path: Path) -> None:
    check_output(path / "..." if path.is_dir() else path)
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        what = "is a file" if path.is_file() else "holds files"
        raise UserError(f"cannot write into {path}: it {what}; give a new folder, or {ALLOWED}")


def write_samples(
    path: str | os.PathLike[str],
    samples: Any,
    source: Mapping[str, Any] | None = None,
    header: Mapping[str, Any] | None = None,
) -> Path:
    """Write samples [n, ...], whole or not at all, as the path's suffix says.

    ``.png`` is a grid; ``.npz`` holds the array ``samples`` (float32) and the header, see
    :mod:`specjax.files.codec`; ``.npy`` the samples alone; ``.wav`` one sound of 16 bits at the
    rate of the source; a path without a suffix is a folder of numbered sounds or pictures.

    Args:
      samples: [n, ...] in [-1, 1]. source: that of the data; with a ``rate`` they are sound.
      header: what made the samples; only .npz keeps it.

    Raises:
      UserError: as :func:`check_target`, and if the disk is full.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     np.load(write_samples(f"{folder}/x.npy", np.zeros((3, 8, 8)))).shape
      (3, 8, 8)
    """
    samples, source = np.asarray(samples, np.float32), source or {}
    path = check_target(path, len(samples), samples.shape[1:], source)
    check_not_owned(path)
    kind = path.suffix.lower()
    if kind == ".png":
        return write_atomically(path, _png(grid(samples)))
    if kind == ".wav":
        return write_atomically(path, _wav(samples[0], int(source["rate"])))
    if kind == ".npy":
        return write_atomically(path, _npy(samples))
    if kind == ".npz":
        return codec.write(path, "samples", SAMPLES_VERSION, header or {}, {"samples": samples})
    if is_sound(source):
        return _write_folder(path, [_wav(one, int(source["rate"])) for one in samples], ".wav")
    return _write_folder(path, [_png(one) for one in _pixels(samples)], ".png")


def write_picture(path: str | os.PathLike[str], picture: np.ndarray) -> Path:
    """Write a picture as a PNG, whole or not at all."""
    return write_atomically(path, _png(picture))


def _png(picture: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "png")
    return file.getvalue()


def _wav(sound: np.ndarray, rate: int) -> bytes:
    """Encode mono sound in 16 bits: 1.0 is 32767."""
    numbers = np.rint(np.clip(sound, -1, 1) * 32767).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(numbers.tobytes())
    return file.getvalue()


def _npy(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, samples, allow_pickle=False)
    return file.getvalue()


def _write_folder(path: Path, contents: list[bytes], suffix: str) -> Path:
    """Write numbered files into a folder that appears with all of them."""
    digits, target = max(4, len(str(len(contents) - 1))), target_of(path)
    with (
        writing(path),
        tempfile.TemporaryDirectory(dir=target.parent, prefix=".specjax-") as temporary,
    ):
        whole = Path(temporary, "whole")
        whole.mkdir()
        for i, content in enumerate(contents):
            (whole / f"{i:0{digits}}{suffix}").write_bytes(content)
        os.replace(whole, target)
    return path
