"""Folders of sound: WAV and FLAC files, cut into windows of one rate, as float32 in [-1, 1].

Each file is treated in this order: channels are averaged, the rate is changed (soxr), the peak
becomes 1, windows are cut (what is left at the end is dropped), and silent windows are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from specjax._core.extras import import_extra
from specjax.data import folder
from specjax.data.dataset import Dataset, dataset_of_reader
from specjax.data.labels import file_classes
from specjax.data.options import DEFAULT_SILENCE, DEFAULT_WINDOW, Options, shard_slice

_MOST_NUMBERS = 2**29
"""Numbers of a file in all channels: three hours of one at 48 kHz, 2 GiB."""

NORMALISED_RANGE = (-1.0, 1.0)
"""The range of normalised sound. Without normalising, floats beyond 1 are kept as they are."""


def open_sound(root: Path, files: list[Path], options: Options) -> Dataset:
    """Open the windows [n, window] of a folder of sound."""
    _library("soundfile")
    if options.rate is not None:
        _library("soxr")
    kept = files[shard_slice(len(files), options.shard, "files")]
    window = options.window or DEFAULT_WINDOW
    windows = Windows(
        window=window,
        hop=options.hop or window,
        silence=DEFAULT_SILENCE if options.silence is None else options.silence,
        normalise=options.normalise or "peak",
    )

    def rate_and_windows(path: Path) -> tuple[int, np.ndarray]:
        sound, own = load_sound(path)
        return own, windows.cut(resample(sound, own, options.rate or own))

    first, (first_rate, _) = folder.first_good(root, files, rate_and_windows, options.strict)
    rate = options.rate or first_rate

    def read(path: Path) -> np.ndarray:
        """Read one file to windows [n, window]."""
        own, samples = rate_and_windows(path)
        if own != rate and options.rate is None:
            names = [folder.name_in(root, file) for file in (first, path)]
            raise folder.MixedFilesError(
                f"sound files have mixed rates: {names[0]} has {rate} Hz, {names[1]} has {own} Hz: "
                "give rate=... (--rate)"
            )
        return samples

    reader = folder.FolderReader(
        root=root,
        files=kept,
        read=read,
        sample_shape=(window,),
        sample_dtype=np.dtype(np.float32),
        expected_samples=None,
        threads=1,
        limit=options.limit,
        strict=options.strict,
        file_classes=file_classes(root, files, options.label),
    )
    source = {"kind": "sound", "files": len(kept), "rate": rate, **vars(windows)}
    data_range = NORMALISED_RANGE if windows.normalise == "peak" else None
    name = root.resolve().name
    return dataset_of_reader(name, reader, options, source=source, data_range=data_range)


@dataclass(frozen=True)
class Windows:
    """How sound is cut into windows; see :class:`specjax.data.Options`."""

    window: int
    hop: int
    silence: float
    normalise: str

    def cut(self, sound: np.ndarray) -> np.ndarray:
        """Cut sound [L] into windows [n, window]; sound that gives none is an error."""
        if len(sound) < self.window:
            raise ValueError(f"has {len(sound)} samples, less than a window of {self.window}")
        peak = np.abs(sound).max()
        if peak == 0:
            raise ValueError("is silent")
        if self.normalise == "peak":
            sound, peak = sound / peak, np.float32(1)
        windows = np.lib.stride_tricks.sliding_window_view(sound, self.window)[:: self.hop]
        power = np.mean(np.square(windows, dtype=np.float64), axis=1)
        loud = windows[np.sqrt(power) >= 10 ** (self.silence / 20) * peak]
        if not len(loud):
            raise ValueError(f"has no window above {self.silence:g} dB of its peak")
        return loud


def load_sound(path: Path) -> tuple[np.ndarray, int]:
    """Load mono sound [L] (float32) and its rate."""
    soundfile = _library("soundfile")
    _check_whole(path)
    try:
        about = soundfile.info(path)
        _check_length(about.frames * about.channels)
        sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"cannot be read: {error.error_string}") from None
    if not len(sound):
        raise ValueError("has no samples")
    if not np.isfinite(sound).all():
        raise ValueError("has NaN or infinite values")
    return sound.mean(axis=1), int(rate)


def _check_whole(path: Path) -> None:
    """Refuse a WAV file that is shorter than its header says; libsndfile reads it as if whole.

    Recorders that write to a pipe leave the length 0 or all ones: these are accepted.
    """
    with path.open("rb") as file:
        start = file.read(8)
    length = int.from_bytes(start[4:], "little") + 8
    size = path.stat().st_size
    if start[:4] == b"RIFF" and size < length < 2**32:
        raise ValueError(f"is truncated: {size} of {length} bytes")


def resample(sound: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Bring sound [L] to another rate."""
    if rate == wanted:
        return sound
    _check_length(len(sound) * wanted // max(rate, 1))
    return np.asarray(_library("soxr").resample(sound, rate, wanted))


def _check_length(numbers: int) -> None:
    """Refuse sound of more numbers than are decoded, or none that is known, before they are."""
    if not 0 <= numbers <= _MOST_NUMBERS:
        raise ValueError(f"has {numbers:,} numbers, more than {_MOST_NUMBERS:,}")


def _library(name: str) -> Any:
    return import_extra(name, "audio", "folders of sound")
