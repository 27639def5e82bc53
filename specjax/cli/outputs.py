"""The outputs of a command: ``--force``, the gate that all of them pass, and ``--html``."""

from __future__ import annotations

import contextvars
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specjax import data as datasets
from specjax import files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from specjax.report.table import Block

ARGUMENTS: contextvars.ContextVar[Sequence[str]] = contextvars.ContextVar("ARGUMENTS", default=())
"""The arguments of the command that runs, as typed."""

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


@dataclass(frozen=True, kw_only=True)
class Reporting(Writing):
    """The option of commands that write a report, and what all such reports have."""

    html: str | None = None
    """a report to write (.html): tables, pictures, settings and code in one file"""

    def write_html(
        self,
        title: str,
        blocks: Sequence[Block],
        figures: Sequence[Figure],
        code: Mapping[str, str],
    ) -> list[str]:
        """Write the report if it is asked for, and return its path.

        Args:
          title, blocks, figures, code: see :class:`specjax.report.html.HtmlReport`.
        """
        from specjax.report.html import HtmlReport

        if self.html is None:
            return []
        command = shlex.join(["specjax", *ARGUMENTS.get()])
        report = HtmlReport(title, blocks, figures, dict(_settings(self)), command, code)
        return [str(report.save(self.html))]


def _settings(options: Any) -> Iterator[tuple[str, Any]]:
    """Yield every option by its name on the command line, with its value."""
    for field in fields(options):
        value = getattr(options, field.name)
        if is_dataclass(value):
            yield from _settings(value)
        else:
            yield field.name.replace("_", "-"), value


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
