"""The classes of a prepared TFDS set: one feature of its records."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from specjax.data.labels import NONE

DEFAULT = "label"


class RecordClasses(NamedTuple):
    """The names of the classes, and which one a record has."""

    names: tuple[str, ...]
    of: Callable[[Any], int]


def find(
    tfds: Any, name: str, features: Mapping[str, Any], key: str | None, raw: bool
) -> RecordClasses | None:
    """The classes of the feature ``key``; by default of "label", if it is one of classes.

    Args:
      name: of the set. raw: whether its records are read as bytes.

    Raises:
      ValueError: for a key that is no feature, or one without classes.
    """
    if key == NONE:
        return None
    having = [word for word in features if isinstance(features[word], tfds.features.ClassLabel)]
    word = key or DEFAULT
    if word in having:
        names = tuple(str(given) for given in features[word].names)
        return RecordClasses(names, RawClass(word) if raw else DecodedClass(word))
    if key is None:
        return None
    near = difflib.get_close_matches(key, having, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(sorted(having)) or "none"
    raise ValueError(
        f"label = {key!r} is no feature of classes of {name}, which has {listed}{hint}"
    )


@dataclass(frozen=True)
class RawClass:
    """A raw record to the number of its class, without decoding the rest."""

    key: str

    def __call__(self, record: bytes) -> int:
        """The class of a record."""
        from tensorflow_datasets.proto import tf_example_pb2

        found = tf_example_pb2.Example.FromString(record).features.feature[self.key]
        return int(found.int64_list.value[0])


@dataclass(frozen=True)
class DecodedClass:
    """A decoded record to the number of its class."""

    key: str

    def __call__(self, record: Any) -> int:
        """The class of a record."""
        return int(record[self.key])
