"""What the pictures of experiments share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.estimates import Estimate
from specjax.report.figures.style import GUIDE

Figures = Iterator[tuple[str, Figure]]
"""Names of files, and pictures."""


def panels(rows: int, columns: int, size: tuple[float, float], **shared: Any) -> tuple[Figure, Any]:
    """Make a figure with panels [rows, columns] of a size in inches."""
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **shared)


def in_two_columns(count: int, size: tuple[float, float], **shared: Any) -> tuple[Figure, Any]:
    """Make a figure with so many panels, two in a row."""
    columns = min(2, count)
    figure, every = panels(-(-count // columns), columns, size, **shared)
    for axes in every.ravel()[count:]:
        axes.set_visible(False)
    return figure, every.ravel()[:count]


def errorbar(axes: Axes, x: Iterable[Any], values: Sequence[Estimate], **style: Any) -> None:
    """Draw estimates with their standard errors, where there is more than one seed."""
    errors = [one.error if one.seeds > 1 else 0.0 for one in values]
    axes.errorbar(list(x), [one.mean for one in values], errors, **style)


def frequency_ticks(axes: Axes, frequency: Iterable[float], size: float = 7.5) -> None:
    """Label bands by their frequency, and draw the line of 0 dB."""
    labels = [f"{f:.2g}" for f in frequency]
    axes.set_xticks(range(len(labels)), labels, fontsize=size)
    axes.axhline(0, color=GUIDE, linewidth=0.8)
