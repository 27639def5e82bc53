"""Prepared TFDS sets (array_record files), read without TensorFlow.

What is on the disk is looked up here, so that nothing is ever downloaded or prepared.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib.util
import io
import json
import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from specjax.data import images, options, places, reading, record_labels
from specjax.data.dataset import Dataset, of_reader

PREFIX = "tfds:"

_SPEC = re.compile(
    r"(?P<name>\w+)(/(?P<config>[\w.\-]+))?(:(?P<version>\d+\.\d+\.\d+))?(:(?P<split>.+))?"
)
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def open_set(spec: str, opts: options.Options) -> Dataset:
    """The samples of ``tfds:NAME[/CONFIG][:VERSION][:SPLIT]``: one feature of its records."""
    matched = _SPEC.fullmatch(spec.removeprefix(PREFIX))
    if matched is None:
        raise ValueError(f"data = {spec!r}: give tfds:NAME[/CONFIG][:SPLIT], such as tfds:cifar10")
    split = matched["split"] or "train"
    with _quietly():
        tfds = _library(spec)
        data_dir = places.data_dir_of(opts.data_dir)
        place = places.find(tfds, data_dir, matched["name"], matched["config"], matched["version"])
        info = tfds.builder_from_directory(place.folder).info
        key, feature = _feature(place.name, info.features, opts.key)
        decode, raw = _decoder(tfds, key, feature, opts)
        source = _source(tfds, place, split, info, raw)
        mine = range(len(source))[options.share(len(source), opts.shard, "samples")][: opts.limit]
        (first,) = _samples(place, source, mine[:1], decode, map)
    label = record_labels.find(tfds, place.name, info.features, opts.label, raw)
    reader = Records(place, source, mine, decode, first.shape, first.dtype, label)
    known = {
        "kind": "tfds", "samples": len(mine), "version": place.version, "split": split,
        "feature": key, "tensorflow_datasets": tfds.__version__,
    }  # fmt: skip
    if place.config is not None:
        known["config"] = place.config
    if opts.size is not None:
        known |= {"size": list(first.shape[:2]), "fit": opts.fit or "resize"}
    return of_reader(f"{place.name}:{split}", reader, opts, source=known)


@dataclass(eq=False)
class Records:
    """Samples of records, batch by batch; every ``iter`` reads them anew.

    Attributes:
      place: of the set. source: its records. mine: the numbers of those to read.
      decode: a record to a sample. sample_shape, sample_dtype: of one sample.
      label: the classes, and which one a record has, if they have classes.
    """

    place: places.Place
    source: Any
    mine: range
    decode: Callable[[Any], np.ndarray]
    sample_shape: tuple[int, ...]
    sample_dtype: np.dtype
    label: record_labels.RecordClasses | None = None

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes."""
        return None if self.label is None else self.label.names

    @property
    def fingerprint(self) -> str:
        """Of another preparation it is another one."""
        about = (self.place.folder / "dataset_info.json").stat()
        return f"{self.place.folder} {about.st_size} {about.st_mtime_ns}"

    @property
    def expected_samples(self) -> int:
        """How many there are."""
        return len(self.mine)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self._stacked(*read) for read in self._read(self.decode))

    def labelled(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Batches, and the classes of their rows, int32 [n]."""
        assert self.label is not None
        decode, of = self.decode, self.label.of
        for numbers, both in self._read(lambda record: (decode(record), of(record))):
            samples, labels = zip(*both, strict=True)
            yield self._stacked(numbers, samples), np.array(labels, np.int32)

    def _read(self, decode: Callable[[Any], Any]) -> Iterator[tuple[range, list[Any]]]:
        """The numbers of the records of a batch, and what is decoded of each."""
        rows = reading.rows_in_batch(self.sample_shape, self.sample_dtype)
        threads = reading.threads_for(math.prod(self.sample_shape[:2]))
        with reading.mapper(threads) as map_in_order:
            for start in range(0, len(self.mine), rows):
                numbers = self.mine[start : start + rows]
                with _quietly():
                    yield numbers, _samples(self.place, self.source, numbers, decode, map_in_order)

    def _stacked(self, numbers: range, samples: Sequence[np.ndarray]) -> np.ndarray:
        for number, sample in zip(numbers, samples, strict=True):
            if sample.shape != self.sample_shape:
                raise ValueError(
                    f"samples of {self.place.name} have mixed shapes: number {self.mine[0]} is "
                    f"{self.sample_shape}, number {number} is {sample.shape}: give size=... "
                    "(--size)"
                )
        return np.stack(samples)


def _library(spec: str) -> Any:
    missing = [name for name in ("array_record",) if importlib.util.find_spec(name) is None]
    try:
        import tensorflow_datasets
    except ImportError:
        missing.insert(0, "tensorflow-datasets")
    if missing:
        raise ValueError(
            f"{spec} needs {' and '.join(missing)}, not installed here: pip install 'specjax[tfds]'"
        )
    return tensorflow_datasets


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the remarks of TFDS: errors say what the user needs."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with reading.no_warnings():
            yield
    finally:
        logger.setLevel(before)


def _feature(name: str, features: Mapping[str, Any], key: str | None) -> tuple[str, Any]:
    listed = ", ".join(sorted(features))
    if key is None and "image" not in features:
        raise ValueError(
            f"{name} has no feature 'image' but {listed}: name one with key=... (--key)"
        )
    if key is not None and key not in features:
        near = difflib.get_close_matches(key, features, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"key = {key!r} is no feature of {name}, which has {listed}{hint}")
    key = key or "image"
    feature = features[key]
    shape = getattr(feature, "shape", None)
    if not isinstance(shape, tuple) or not shape or np.dtype(feature.np_dtype).kind not in "biuf":
        raise ValueError(
            f"key = {key!r} of {name} is {type(feature).__name__}, not arrays of numbers: choose "
            f"from {listed}"
        )
    return key, feature


def _decoder(
    tfds: Any, key: str, feature: Any, opts: options.Options
) -> tuple[Callable[[Any], np.ndarray], bool]:
    """From a record to a sample, and whether records are taken as raw bytes.

    8-bit images are decoded here: TFDS would decode every feature, in twice the time.
    """
    if isinstance(feature, tfds.features.Image) and feature.np_dtype == np.uint8:
        size = None if opts.size is None else options.height_width(opts.size)
        return DecodeImage(key, feature.shape[-1], size, opts.fit), True
    if opts.size is not None:
        raise ValueError(f"size = {opts.size!r} applies to images of 8 bits, not to {key!r}")
    return lambda record: np.asarray(record[key]), False


@dataclass(frozen=True)
class DecodeImage:
    """A raw record to its image [H, W, channels] (uint8).

    Attributes:
      key: of the feature. channels: of the image. size, fit: see :class:`options.Options`.
    """

    key: str
    channels: int
    size: tuple[int, int] | None
    fit: str | None

    def __call__(self, record: bytes) -> np.ndarray:
        """Decode a record."""
        from PIL import Image
        from tensorflow_datasets.proto import tf_example_pb2

        found = tf_example_pb2.Example.FromString(record).features.feature[self.key]
        image: Image.Image = Image.open(io.BytesIO(found.bytes_list.value[0]))
        mode = _MODES.get(self.channels, image.mode)
        image = image if image.mode == mode else image.convert(mode)
        if self.size is not None:
            image = images.fitted(image, self.size, self.fit)
        pixels = np.asarray(image)
        return pixels.reshape(*pixels.shape[:2], self.channels)


def _source(tfds: Any, place: places.Place, split: str, info: Any, raw: bool) -> Sequence[Any]:
    """The records of a split, with random access."""
    methods = tfds.decode.DeserializeMethod
    method = methods.RAW_BYTES if raw else methods.DESERIALIZE_AND_DECODE
    try:
        source = tfds.data_source(
            place.builder, split=split, data_dir=place.data_dir, download=False,
            deserialize_method=method,
        )  # fmt: skip
        if len(source):
            return source
    except NotImplementedError:
        raise ValueError(_other_format(place)) from None
    except ValueError:
        pass
    except Exception as error:
        raise _unreadable(place, error) from error
    listed = ", ".join(f"{word} ({part.num_examples:,})" for word, part in info.splits.items())
    raise ValueError(
        f"split = {split!r} of {info.name} is unknown or empty: choose from {listed}, or a part "
        "such as train[:10%]"
    )


def _other_format(place: places.Place) -> str:
    about = json.loads((place.folder / "dataset_info.json").read_text())
    form = about.get("fileFormat", "tfrecord")
    problem = f"{place.folder} has the file format {form}, which cannot be read here"
    return places.unprepared(place.name, "ANOTHER_FOLDER", problem)


def _samples(
    place: places.Place,
    source: Any,
    numbers: range,
    decode: Callable[[Any], Any],
    map_in_order: Callable[..., Iterator[Any]],
) -> list[Any]:
    """Those of that many records: damage can show in reading them and in decoding."""
    try:
        return list(map_in_order(decode, source.__getitems__(numbers)))
    except Exception as error:
        raise _unreadable(place, error) from error


def _unreadable(place: places.Place, error: Exception) -> ValueError:
    said = " ".join(str(error).split()) or type(error).__name__
    return ValueError(f"{place.folder} cannot be read, it is damaged or incomplete: {said}")
