"""How results show themselves: as text, as a table in a notebook, as a figure, as a data frame.

What belongs to which class is one table, :mod:`specjax.report.results`. Reports know all classes
and are above them; so the table is looked up by name, when something is shown.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

T = TypeVar("T")
_MOST_LETTERS = 80  # of what is no array


def _report() -> Any:
    return importlib.import_module("specjax.report.results")


class Brief:
    """A dataclass with large fields: it prints arrays by their shape, networks by their size."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Say in a line what it is."""
        fields: Any = dataclasses.fields(self)  # type: ignore[arg-type]
        parts = (f"{one.name}={_brief(getattr(self, one.name))}" for one in fields)
        return f"{type(self).__name__}({', '.join(parts)})"


def _brief(x: Any) -> str:
    import jax

    if isinstance(x, Brief):
        return repr(x)
    arrays = [one for one in jax.tree.leaves(x) if hasattr(one, "shape") and hasattr(one, "dtype")]
    if len(arrays) == 1 and arrays[0] is x:
        return f"{x.dtype}{list(x.shape)}"
    if arrays:
        return f"{type(x).__name__} of {sum(one.size for one in arrays):,} numbers"
    text = " ".join(repr(x).split())
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}..."


class Shown:
    """A result that prints, and shows in a notebook, as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Say in a few lines what it is."""
        return str(_report().text_of(self))

    def _repr_html_(self) -> str:
        return str(_report().html_of(self))

    def plot(self, **options: Any) -> Figure:
        """Draw it, as the command line does.

        Args:
          options: of the function of :mod:`specjax.plots` that draws such results.

        Returns:
          A matplotlib figure, which a notebook shows.

        Raises:
          UserError: where there is nothing to draw.

        Example:
          >>> import specjax as sx
          >>> figure = sx.Spectrum.power_law(64, 2.0).plot()
        """
        figure: Figure = _report().figure_of(self, **options)
        return figure

    def to_pandas(self) -> pandas.DataFrame:
        """Give its numbers, unrounded, as a data frame.

        Raises:
          UserError: where pandas is not installed.

        Example:
          >>> import specjax as sx
          >>> list(sx.family("cosine", 3).to_pandas()["level"])
          [0, 1, 2, 3]
        """
        frame: pandas.DataFrame = _report().frame_of(self)
        return frame

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it to a file, as :func:`specjax.save` does.

        Args:
          path: of a .json or .npz file.

        Raises:
          UserError: where there are no files of its kind, and where it cannot be written.
        """
        written: Path = importlib.import_module("specjax.files").save(path, self)
        return written


class Results(Shown, list[T]):
    """A list of results of one kind, which shows them in one table."""

    __slots__ = ()
