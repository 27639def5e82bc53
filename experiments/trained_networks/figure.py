"""The picture of the distances of trained networks over denoiser calls."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator, ScalarFormatter

from experiments.figure import Figures, errorbar, panels
from experiments.trained_networks.comparison import (
    MEASURES,
    Distances,
    Point,
    best,
    contenders,
    point,
    points,
    read,
)
from experiments.trained_networks.config import FINE, ROWS
from experiments.trained_networks.summary import GROUPS
from specjax.report.figures.style import GUIDE, STRONG

MEASURE = "features"


def figures(results: Path) -> Figures:
    """Draw a line of panels for each row that was run: the samplers, and the learned plans."""
    rows = {name: found for name in ROWS if (found := read(name, results))}
    figure, every = panels(len(rows), len(GROUPS), (3.2, 4.2), sharey="row")
    for line, (name, found) in zip(every, rows.items(), strict=True):
        for axes, sampler in zip(line, GROUPS, strict=True):
            _panel(axes, found, sampler)
        line[0].set_ylabel(f"{ROWS[name].title}\n{MEASURES[MEASURE]}", fontsize=8)
    for axes in filter(Axes.get_visible, every[0]):
        axes.legend(fontsize=6.5)
    yield "curves", figure


def _panel(axes: Axes, found: Distances, sampler: str | None) -> None:
    frontier = best(found, sampler, MEASURE)
    if not frontier:
        axes.set_visible(False)
        return
    _curve(axes, frontier, "best heuristic", "black")
    if sampler is not None:
        _curve(axes, points(found, [f"{sampler} cosine"], MEASURE), "cosine", GUIDE)
    for colour, name in zip(STRONG, contenders(sampler), strict=False):
        known = points(found, [name], MEASURE)
        if known:
            _curve(axes, known, name.removeprefix(f"{sampler} "), colour)
    fine = point(found, 0, FINE, MEASURE)
    if fine is not None:
        axes.axhline(fine.estimate.mean, color=GUIDE, linewidth=1, linestyle=":")
    axes.set(xscale="log", yscale="log", xlabel="denoiser calls")
    axes.set_xticks(apart({x.calls for x in frontier}))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(axis="x", labelsize=7)
    axes.set_title("learned plans, against all" if sampler is None else sampler, fontsize=9)


def apart(calls: Iterable[int], least: float = 1.2) -> list[int]:
    """Leave out numbers of calls whose labels would lie on the one before."""
    kept: list[int] = []
    for one in sorted(calls):
        if not kept or one >= least * kept[-1]:
            kept.append(one)
    return kept


def _curve(axes: Axes, known: list[Point], label: str, colour: str) -> None:
    style = {"color": colour, "label": label, "marker": "o", "markersize": 3, "linewidth": 1.2}
    errorbar(axes, [x.calls for x in known], [x.estimate for x in known], **style)
