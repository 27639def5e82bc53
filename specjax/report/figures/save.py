"""Figures are written to files whole, or not at all."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from specjax._core.checks import UserError
from specjax.files import check_output, write_atomically
from specjax.report.figures.style import RC

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_METADATA = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
"""By format: no dates, so that equal figures are equal files."""

_DPI = 150


def check_path(path: str | os.PathLike[str]) -> Path:
    """Check that a figure can be written to a path: it has a known suffix and a folder.

    Raises:
      UserError: if it cannot.
    """
    suffix = Path(path).suffix
    if suffix.lower().lstrip(".") not in _METADATA:
        known = ", ".join(f".{one}" for one in _METADATA)
        raise UserError(f"figure {str(path)!r} has the suffix {suffix!r}: give {known}")
    return check_output(path)


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure in the format of the suffix (.png, .pdf, .svg); equal figures, equal files.

    Args:
      figure: matplotlib's.
      path: the file.

    Raises:
      UserError: for another suffix, a folder that does not exist, or a disk that refuses (full,
        read-only); no partial file stays.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    path = check_path(path)
    kind = path.suffix.lower().lstrip(".")
    content = io.BytesIO()
    with (
        matplotlib.rc_context({"svg.hashsalt": RC["svg.hashsalt"]}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # of a name: shown as a box
        if kind == "png":  # at once: savefig draws all twice to arrange it
            canvas, dpi = figure.canvas, figure.dpi
            try:
                figure.set_dpi(_DPI)
                FigureCanvasAgg(figure).print_png(content, metadata=_METADATA[kind])
            finally:  # the figure may be somebody's own, and shown
                figure.set_canvas(canvas)
                figure.set_dpi(dpi)
        else:
            figure.savefig(content, format=kind, dpi=_DPI, metadata=_METADATA[kind])
    return write_atomically(path, content.getvalue())
