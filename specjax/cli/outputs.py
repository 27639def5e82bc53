"""The outputs of a command: ``--force``, and the gate that all of them pass."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from specjax import data as datasets
from specjax import files

BESIDE = "OUT.png"
"""The default of ``--plot``: the name of ``--out`` with this suffix."""


def picture_of(plot: str | None, out: str) -> str | None:
    """Return where the picture goes; None for none."""
    return str(Path(out).with_suffix(".png")) if plot == BESIDE else plot


@dataclass(frozen=True, kw_only=True)
class Writing:
    """The options and checks that commands which write files share."""

    force: bool = False
    """replace files that exist"""

    def check_outputs(
        self, outputs: Mapping[str, str | os.PathLike[str] | None], *, folders: bool = False
    ) -> None:
        """Refuse what :func:`specjax.files.check_outputs` refuses, before anything is read.

        Every text among the other options may be the name of an input, and counts as one.

        Args:
          outputs: by the names of their options; None is not written.
          folders: whether they may be folders.
        """
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        others = [value for name, value in given.items() if name not in outputs]
        inputs = [one for one in _texts(others) if one not in datasets.BUILTIN]
        files.check_outputs(outputs, inputs, force=self.force, folders=folders)


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in an option or a group of options."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _texts(getattr(value, field.name))
