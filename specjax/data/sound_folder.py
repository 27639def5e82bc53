"""Folders of sound: WAV and FLAC files to windows of one rate, as float32 in [-1, 1].

Of each file, in this order: channels are averaged, the rate is changed (soxr), the peak becomes 1,
windows are cut (what is left at the end is dropped), and silent ones are dropped.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from specjax.data import folder, labels, options
from specjax.data.dataset import Dataset, of_reader

RANGE = (-1.0, 1.0)
"""Of normalised sound. Without normalising floats are taken as they are, beyond 1 too."""


def open_folder(root: Path, files: list[Path], opts: options.Options) -> Dataset:
    """The windows of a folder [n, window]."""
    _library("soundfile")
    if opts.rate is not None:
        _library("soxr")
    mine = files[options.share(len(files), opts.shard, "files")]
    window = opts.window or options.DEFAULT_WINDOW
    cut = Cut(
        window=window,
        hop=opts.hop or window,
        silence=options.DEFAULT_SILENCE if opts.silence is None else opts.silence,
        normalise=opts.normalise or "peak",
    )
    first, rate = folder.first_good(
        root, files, lambda path: cut.checked_rate(path, opts.rate), opts.strict
    )
    reader = folder.Files(
        root=root,
        files=mine,
        read=ReadSound(cut, opts.rate or rate, opts.rate is not None, root, first),
        sample_shape=(window,),
        sample_dtype=np.dtype(np.float32),
        expected_samples=None,
        threads=1,
        limit=opts.limit,
        strict=opts.strict,
        labels=labels.of_files(root, files, opts.label),
    )
    source = {"kind": "sound", "files": len(mine), "rate": opts.rate or rate, **vars(cut)}
    data_range = RANGE if cut.normalise == "peak" else None
    return of_reader(root.resolve().name, reader, opts, source=source, data_range=data_range)


@dataclass(frozen=True)
class Cut:
    """Sound to windows; see :class:`options.Options`."""

    window: int
    hop: int
    silence: float
    normalise: str

    def __call__(self, sound: np.ndarray) -> np.ndarray:
        """Windows [n, window] of sound [L].

        Raises:
          ValueError: for sound that gives none.
        """
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

    def checked_rate(self, path: Path, rate: int | None) -> int:
        """The rate of a file, once it is known to give windows (at ``rate``, or at its own)."""
        sound, own = load(path)
        self(resampled(sound, own, rate or own))
        return own


@dataclass(frozen=True)
class ReadSound:
    """One file to windows [n, window].

    Attributes:
      cut: into windows. rate: of all files. resample: whether others are brought to it.
      root, first: the folder and the file that the rate is from, for the error.
    """

    cut: Cut
    rate: int
    resample: bool
    root: Path
    first: Path

    def __call__(self, path: Path) -> np.ndarray:
        """Read a file.

        Raises:
          folder.MixedError: for a file of another rate, if it is not resampled.
        """
        sound, rate = load(path)
        if rate != self.rate and not self.resample:
            first, this = (folder.name(self.root, file) for file in (self.first, path))
            raise folder.MixedError(
                f"sound files have mixed rates: {first} has {self.rate} Hz, {this} has {rate} Hz: "
                "give rate=... (--rate)"
            )
        return self.cut(resampled(sound, rate, self.rate))


def load(path: Path) -> tuple[np.ndarray, int]:
    """Mono sound [L] (float32) and its rate.

    Raises:
      ValueError: for a file that is damaged, truncated or empty.
    """
    soundfile = _library("soundfile")
    _check_whole(path)
    try:
        sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"cannot be read: {error.error_string}") from None
    if not len(sound):
        raise ValueError("has no samples")
    if not np.isfinite(sound).all():
        raise ValueError("has NaN or infinite values")
    return sound.mean(axis=1), int(rate)


def _check_whole(path: Path) -> None:
    """Refuse a WAV file that is shorter than it says, which libsndfile reads as if it were whole.

    Recorders that write to a pipe leave the length 0 or all ones.
    """
    with path.open("rb") as file:
        start = file.read(8)
    said = int.from_bytes(start[4:], "little") + 8
    found = path.stat().st_size
    if start[:4] == b"RIFF" and found < said < 2**32:
        raise ValueError(f"is truncated: {found} of {said} bytes")


def resampled(sound: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Sound [L] at another rate."""
    if rate == wanted:
        return sound
    return np.asarray(_library("soxr").resample(sound, rate, wanted))


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ValueError(
            f"folders of sound need {name}, which is not installed: pip install 'specjax[audio]'"
        ) from None
