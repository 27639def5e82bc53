"""Pictures to files, all or nothing."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from specjax.files import write_atomically
from specjax.report.figures.style import RC

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "pdf", "svg")

_NO_DATE = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}


def check_path(path: str | os.PathLike[str]) -> Path:
    """The path, if a picture can be written there: its suffix is known and its folder exists."""
    path = Path(path)
    if path.suffix.lower().lstrip(".") not in FORMATS:
        known = ", ".join(f".{one}" for one in FORMATS)
        raise ValueError(f"picture {str(path)!r} has the suffix {path.suffix!r}: give {known}")
    if path.is_dir():
        raise ValueError(f"picture {str(path)!r} is a folder: give a file name")
    if not path.parent.is_dir():
        raise ValueError(f"the folder of the picture {str(path)!r} does not exist: make it first")
    return path


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure in the format of the suffix (.png, .pdf, .svg); equal figures, equal files.

    The file appears complete or not at all: it is written beside its place and then moved.

    Raises:
      ValueError: for another suffix, a folder that does not exist, or a disk that refuses (full,
        read-only); no partial file stays.
    """
    import matplotlib

    path = check_path(path)
    kind = path.suffix.lower().lstrip(".")
    picture = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": RC["svg.hashsalt"]}):
        figure.savefig(picture, format=kind, dpi=150, metadata=_NO_DATE[kind])
    return write_atomically(path, picture.getvalue())
