"""The TFDS reader: prepared sets (array_record files), read without TensorFlow.

Sets are looked up on the disk here, so that nothing is ever downloaded or prepared, and no code of
the set itself runs.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib.util
import io
import logging
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from specjax import files
from specjax._core import checks
from specjax._core.checks import UserError
from specjax._core.extras import import_extra
from specjax.data import batching, image_folder
from specjax.data.dataset import Dataset, dataset_of_reader
from specjax.data.labels import NONE, Classes
from specjax.data.options import Options, height_width, shard_slice

PREFIX = "tfds:"

_SPEC = re.compile(
    r"(?P<name>\w+)(/(?P<config>[\w.\-]+))?(:(?P<version>\d+\.\d+\.\d+))?(:(?P<split>.+))?"
)
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def open_tfds(spec: str, options: Options) -> Dataset:
    """Open ``tfds:NAME[/CONFIG][:VERSION][:SPLIT]``: one feature of the records of a split."""
    matched = _SPEC.fullmatch(spec.removeprefix(PREFIX))
    if matched is None:
        raise UserError(f"data = {spec!r}: give tfds:NAME[/CONFIG][:SPLIT], such as tfds:cifar10")
    name, split = matched["name"], matched["split"] or "train"
    with _muted():
        import_extra("array_record", "tfds", spec)
        tfds = import_extra("tensorflow_datasets", "tfds", spec)
        root = _data_dir(options.data_dir)
        folder = _find_prepared(tfds, root, name, matched["config"], matched["version"])
        builder = tfds.builder_from_directory(folder)
        features = builder.info.features
        key = _check_key(name, features, options.key)
        decode, raw = _decoder(tfds, key, features[key], options)
        records = _open_split(tfds, builder, folder, split, raw)
        kept = range(len(records))[shard_slice(len(records), options.shard, "samples")]
        kept = kept[: options.limit]
        (first,) = _decoded(folder, records, kept[:1], decode, map)
        classes = _record_classes(tfds, name, features, options.label, raw)
    reader = RecordReader(folder, records, kept, decode, first.shape, first.dtype, classes)
    *config, version = folder.relative_to(root / name).parts
    source = {
        "kind": "tfds", "samples": len(kept), "version": version, "split": split,
        "feature": key, "tensorflow_datasets": tfds.__version__,
    }  # fmt: skip
    if config:
        source["config"] = "/".join(config)
    if options.size is not None:
        source |= {"size": list(first.shape[:2]), "fit": options.fit or "resize"}
    return dataset_of_reader(f"{name}:{split}", reader, options, source=source)


@dataclass(eq=False)
class RecordReader:
    """Samples of records, batch by batch; every ``iter`` reads them anew.

    ``folder`` is that of the prepared set, ``records`` are those of the split with random access,
    of which the indices ``kept`` are read; ``decode`` turns a record into a sample.
    """

    folder: Path
    records: Any
    kept: range
    decode: Callable[[Any], np.ndarray]
    sample_shape: tuple[int, ...]
    sample_dtype: np.dtype
    record_classes: Classes | None = None

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes."""
        return None if self.record_classes is None else self.record_classes.names

    @property
    def fingerprint(self) -> str:
        """A text that changes when the set is prepared again."""
        stat = (self.folder / "dataset_info.json").stat()
        return f"{self.folder} {stat.st_size} {stat.st_mtime_ns}"

    @property
    def expected_samples(self) -> int:
        """The number of samples."""
        return len(self.kept)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (batch for batch, _ in self.labelled())

    def labelled(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Yield batches and the classes of their samples, int32 [n]; None without classes."""
        classes, decode = self.record_classes, self.decode
        number_of = (lambda record: 0) if classes is None else classes.number_of
        size = batching.batch_length(self.sample_shape, self.sample_dtype)
        threads = batching.decoding_threads(math.prod(self.sample_shape[:2]))
        with batching.ordered_map(threads) as map_in_order:
            for start in range(0, len(self.kept), size):
                indices = self.kept[start : start + size]
                with _muted():
                    pairs = _decoded(
                        self.folder, self.records, indices,
                        lambda record: (decode(record), number_of(record)), map_in_order,
                    )  # fmt: skip
                samples, labels = zip(*pairs, strict=True)
                self._check_shapes(indices, samples)
                numbers = None if classes is None else np.array(labels, np.int32)
                yield np.stack(samples), numbers

    def _check_shapes(self, indices: range, samples: Sequence[np.ndarray]) -> None:
        for index, sample in zip(indices, samples, strict=True):
            if sample.shape != self.sample_shape:
                raise UserError(
                    f"samples of {self.folder} have mixed shapes: number {self.kept[0]} is "
                    f"{self.sample_shape}, number {index} is {sample.shape}: give size=... (--size)"
                )


@contextlib.contextmanager
def _muted() -> Iterator[None]:
    """Mute the remarks of TFDS: errors say what the user needs.

    Warnings and logging belong to the whole process, so this is held during calls of the reader
    only, and never across a ``yield`` to the caller.
    """
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with batching.muted_warnings():
            yield
    finally:
        logger.setLevel(level)


# Finding a set on the disk: DATA_DIR/NAME[/CONFIG]/VERSION/dataset_info.json


def _data_dir(given: str | os.PathLike[str] | None) -> Path:
    """Return the folder of all sets: the given one, or TFDS's own."""
    default = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    folder = Path(default if given is None else given).expanduser()
    if not folder.is_dir():
        raise UserError(
            f"data_dir = {str(folder)!r} is not a folder: give that of the prepared TFDS sets "
            "with data_dir=... (--data-dir)"
        )
    return folder


def _find_prepared(
    tfds: Any, root: Path, name: str, config: str | None, version: str | None
) -> Path:
    """Return the folder of the newest version of a set, or of the given version."""
    if not (root / name).is_dir():
        raise UserError(_no_such_set(tfds, root, name))
    found = [file.parent for file in (root / name).glob("*/**/dataset_info.json")]
    if not found:
        problem = f"{root / name} has no prepared set"
        raise UserError(_how_to_prepare(name, root, problem))
    found.sort(key=lambda folder: [int(number) for number in re.findall(r"\d+", folder.name)])
    newest = {
        folder.parent.relative_to(root / name).as_posix(): folder
        for folder in found
        if version in (None, folder.name)
    }
    wanted = next(iter(newest), None) if config is None and len(newest) == 1 else config or "."
    if wanted in newest:
        return newest[wanted]
    sets = (f"tfds:{folder.parent.relative_to(root).as_posix()}:{folder.name}" for folder in found)
    raise UserError(
        f"data = 'tfds:{name}': name one that {root / name} has: {', '.join(sorted(sets))}"
    )


def _no_such_set(tfds: Any, root: Path, name: str) -> str:
    known = tfds.list_builders(with_community_datasets=False)
    if name in known:
        return _how_to_prepare(name, root, f"{name} is not prepared in {root}")
    here = sorted(path.name for path in root.iterdir() if path.is_dir())
    near = difflib.get_close_matches(name, [*here, *known], n=1)
    hint = f"; did you mean 'tfds:{near[0]}'?" if near else ""
    listed = ", ".join(here) or "nothing"
    return f"data = 'tfds:{name}': neither {root} (which has {listed}) nor TFDS has it{hint}"


def _how_to_prepare(name: str, root: Path | str, problem: str) -> str:
    missing = importlib.util.find_spec("tensorflow") is None
    needs = " (after pip install tensorflow)" if missing else ""
    command = f"tfds build {name} --file_format=array_record --data_dir={root}"
    return f"{problem}: prepare it once{needs} with '{command}'"


# Records: which feature is the sample, which one the class


def _check_key(name: str, features: Mapping[str, Any], key: str | None) -> str:
    """Return the name of a feature that has arrays of numbers."""
    listed = ", ".join(sorted(features))
    if key is None and "image" not in features:
        raise UserError(
            f"{name} has no feature 'image' but {listed}: name one with key=... (--key)"
        )
    key = checks.one_of("key", key or "image", features)
    feature = features[key]
    shape = getattr(feature, "shape", None)
    if not isinstance(shape, tuple) or not shape or np.dtype(feature.np_dtype).kind not in "biuf":
        raise UserError(
            f"key = {key!r} of {name} is {type(feature).__name__}, not arrays of numbers: choose "
            f"from {listed}"
        )
    return key


def _record_classes(
    tfds: Any, name: str, features: Mapping[str, Any], label: str | None, raw: bool
) -> Classes | None:
    """Return the classes of the feature ``label``; by default of "label", if that has classes."""
    if label == NONE:
        return None
    having = [key for key in features if isinstance(features[key], tfds.features.ClassLabel)]
    if label is None and "label" not in having:
        return None
    if not having:
        raise UserError(f"label = {label!r}: {name} has no feature of classes; leave it out")
    key = checks.one_of("label", label or "label", having)
    names = tuple(str(given) for given in features[key].names)
    if raw:  # only this feature is decoded
        return Classes(names, lambda record: int(_raw_feature(record, key).int64_list.value[0]))
    return Classes(names, lambda record: int(record[key]))


def _decoder(
    tfds: Any, key: str, feature: Any, options: Options
) -> tuple[Callable[[Any], np.ndarray], bool]:
    """Return the map from a record to a sample, and whether it takes records as raw bytes.

    8-bit images are decoded here: TFDS would decode every feature, in twice the time.
    """
    if isinstance(feature, tfds.features.Image) and feature.np_dtype == np.uint8:
        size = None if options.size is None else height_width(options.size)
        channels = feature.shape[-1]
        decode = partial(_decode_image, key=key, channels=channels, size=size, fit=options.fit)
        return decode, True
    if options.size is not None:
        raise UserError(f"size = {options.size!r} applies to images of 8 bits, not to {key!r}")
    return lambda record: np.asarray(record[key]), False


def _raw_feature(record: bytes, key: str) -> Any:
    from tensorflow_datasets.proto import tf_example_pb2

    return tf_example_pb2.Example.FromString(record).features.feature[key]


def _decode_image(
    record: bytes, *, key: str, channels: int, size: tuple[int, int] | None, fit: str | None
) -> np.ndarray:
    """Decode the image [H, W, channels] (uint8) of a raw record."""
    from PIL import Image

    encoded = _raw_feature(record, key).bytes_list.value[0]
    image: Image.Image = Image.open(io.BytesIO(encoded))
    image_folder.check_pixels(image)
    mode = _MODES.get(channels, image.mode)
    image = image if image.mode == mode else image.convert(mode)
    if size is not None:
        image = image_folder.fit_image(image, size, fit)
    pixels = np.asarray(image)
    return pixels.reshape(*pixels.shape[:2], channels)


def _open_split(tfds: Any, builder: Any, folder: Path, split: str, raw: bool) -> Sequence[Any]:
    """Return the records of a split, with random access."""
    methods = tfds.decode.DeserializeMethod
    method = methods.RAW_BYTES if raw else methods.DESERIALIZE_AND_DECODE
    try:
        records = builder.as_data_source(split=split, deserialize_method=method)
        if len(records):
            return records
    except NotImplementedError:
        about = files.json_of(files.read_bytes(folder / "dataset_info.json"))
        file_format = about.get("fileFormat", "tfrecord")
        problem = f"{folder} has the file format {file_format}, which cannot be read here"
        raise UserError(_how_to_prepare(builder.name, "ANOTHER_FOLDER", problem)) from None
    except ValueError:  # an unknown split
        pass
    except Exception as error:
        raise _damaged(folder, error) from error
    sizes = (f"{word} ({part.num_examples:,})" for word, part in builder.info.splits.items())
    raise UserError(
        f"split = {split!r} of {builder.name} is unknown or empty: choose from "
        f"{', '.join(sizes)}, or a part such as train[:10%]"
    )


def _decoded(
    folder: Path,
    records: Any,
    indices: range,
    decode: Callable[[Any], Any],
    map_in_order: Callable[..., Iterator[Any]],
) -> list[Any]:
    """Read and decode some records; damage can show in either."""
    try:
        return list(map_in_order(decode, records.__getitems__(indices)))
    except Exception as error:
        raise _damaged(folder, error) from error


def _damaged(folder: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(f"{folder} cannot be read, it is damaged or incomplete: {reason}")
