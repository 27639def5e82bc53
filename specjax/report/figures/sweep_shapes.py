"""A panel of a sweep: the learned levels of all spectra, coloured by the spectrum's slope."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from specjax.report.figures.style import GUIDE
from specjax.report.figures.sweep_rows import column, distinct, sampler_label, where
from specjax.report.figures.sweep_selection import Drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMES = 14
"""Spectra that are named beside their lines."""


class Shapes(NamedTuple):
    """The levels of one sampler, loss and S, by spectrum."""

    title: str
    levels: dict[str, np.ndarray]
    exponents: dict[str, float]


def shapes_of(drawn: Drawn) -> Shapes:
    """The levels of the first sampler and loss of the table, at the middle S."""
    sampler, options, loss = distinct(drawn.rows, "sampler", "sampler_options", "loss")[0]
    rows = where(drawn.rows, sampler=sampler, sampler_options=options, loss=loss)
    counts = np.unique(column(rows, "steps"))
    steps = int(counts[len(counts) // 2])
    rows = where(rows, steps=steps)
    found = (rows.column(name).to_pylist() for name in ("spectrum", "logsnr"))
    levels = {name: np.array(x, np.float64) for name, x in zip(*found, strict=True)}
    return Shapes(
        f"Learned levels by {_by(drawn)}: S = {steps}, {sampler_label(sampler, options)}, {loss}",
        {name: levels[name] for name in drawn.exponents if name in levels},
        drawn.exponents,
    )


def _by(drawn: Drawn) -> str:
    return "spectrum and noise" if drawn.data[-1].endswith(" noises") else "spectrum"


def draw_shapes(figure: Figure, axes: Axes, shapes: Shapes) -> None:
    """The finite levels over the fraction of the steps."""
    colours, norm = _colours([x for x in shapes.exponents.values() if math.isfinite(x)])
    many = len(shapes.exponents) > MOST_NAMES
    ends: dict[str, tuple[float, float, Any]] = {}
    for name, y in shapes.levels.items():
        x, finite = np.linspace(0, 1, y.size), np.isfinite(y)
        exponent = shapes.exponents[name]
        colour = colours(norm(exponent)) if math.isfinite(exponent) else GUIDE
        dots = "" if many or y.size > 40 else "o"
        axes.plot(
            x[finite], y[finite], color=colour, linewidth=1.1 if many else 2.0, zorder=4,
            label=name, markeredgecolor="white", markeredgewidth=0.6, marker=dots, markersize=4.5,
        )  # fmt: skip
        ends[name] = x[-2], y[-2], colour
    axes.set_xlim(-0.01, 1.01)
    axes.margins(y=0.08)
    jump = any(np.isinf(y[-1]) for y in shapes.levels.values())
    not_drawn = "; the last step, to no noise (∞), is not drawn" if jump else ""
    axes.set_xlabel(f"fraction of the steps (noisy → clean{not_drawn})")
    axes.set_ylabel(r"logsnr $= \log(\alpha^2 / \sigma^2)$")
    axes.set_title(shapes.title)
    if not many:
        _name_lines(axes, ends)
    _colour_bar(figure, axes, colours, norm)


def _colours(exponents: list[float]) -> tuple[Any, Any]:
    """Viridis without its pale end, from the least to the largest exponent."""
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    dark = colormaps["viridis"](np.linspace(0, 0.84, 64))
    low, high = (min(exponents), max(exponents)) if exponents else (0.0, 1.0)
    room = 0.5 * (high - low < 1e-6)
    return LinearSegmentedColormap.from_list("dark", dark), Normalize(low - room, high + room)


def _name_lines(axes: Axes, ends: dict[str, tuple[float, float, Any]]) -> None:
    """Names on the right, in the order of the last levels before the end, apart from each other."""
    low, high = axes.get_ylim()
    names = sorted(ends, key=lambda name: ends[name][1])
    heights = apart([(ends[name][1] - low) / (high - low) for name in names], 0.065)
    for name, height in zip(names, heights, strict=True):
        x, y, colour = ends[name]
        axes.annotate(
            shortened(name), (x, y), xytext=(1.025, height), textcoords="axes fraction",
            fontsize=9, va="center", color=colour, annotation_clip=False, fontweight="bold",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.8, "linestyle": ":",
                        "shrinkA": 0, "shrinkB": 3, "relpos": (0, 0.5)},
        )  # fmt: skip


def apart(rising: list[float], least: float) -> list[float]:
    """Places moved until they are that far apart, from 0 to 1 as long as there is room."""
    at = np.array(rising)
    for _ in range(500):
        push = np.maximum(least - np.diff(at), 0) / 2
        if (push < 1e-6).all():
            break
        at[:-1] -= push
        at[1:] += push
        at = at.clip(0, 1)
    return [float(x) for x in at]


def room_beside(names: Collection[str]) -> float:
    """Inches that the names and the colour bar take."""
    if len(names) > MOST_NAMES:
        return 1.1
    return 1.35 + 0.09 * max(len(shortened(name)) for name in names)


def shortened(name: str, most: int = 16) -> str:
    """The name, or its beginning and its end: names often differ there."""
    if len(name) <= most:
        return name
    end = max(most // 2, 1)
    return f"{name[: most - 1 - end]}…{name[-end:]}"


def _colour_bar(figure: Figure, axes: Axes, colours: Any, norm: Any) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.ticker import MaxNLocator

    place, whole = axes.get_position(), figure.get_figwidth()
    beside = figure.add_axes((1 - 0.82 / whole, place.y0, 0.14 / whole, place.height))
    figure.colorbar(ScalarMappable(norm, colours), cax=beside)
    beside.grid(visible=False)
    beside.spines[:].set_visible(False)
    beside.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
    beside.set_ylabel("exponent of the power law")
