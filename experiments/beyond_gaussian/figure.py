"""The picture of ratios over the best heuristic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from experiments.beyond_gaussian.run import FAMILIES
from experiments.beyond_gaussian.summary import (
    candidates,
    distance_from_gaussian,
    level,
    pooled,
    ratio,
    read,
)
from experiments.experiment import NOT_YET
from experiments.figure import Figures, panels
from experiments.summary import NO
from specjax.report.figures.style import GUIDE, STRONG

CUT = 0.02
"""Ratios below it are drawn there: on the Gaussian itself they are next to nothing."""

TICKS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


def figures(results: Path) -> Figures:
    """Draw a panel for each family: ratios over the best heuristic; above 1 nothing is gained."""
    figure, every = panels(2, 3, (13 / 3, 4))
    every = every.ravel()
    for axes, (title, names) in zip(every, FAMILIES.items(), strict=False):
        _family(axes, title, [name for name in names if read(name, results)], results)
    for axes in every[len(FAMILIES) :]:
        axes.set_axis_off()
    handles, labels = every[0].get_legend_handles_labels()
    every[-1].legend(handles, labels, loc="center", fontsize=9)
    for axes in every[::3]:
        axes.set_ylabel(f"over the best heuristic\n(geometric mean; cut at {CUT})")
    yield "ratios", figure


def _family(axes: Axes, title: str, names: list[str], results: Path) -> None:
    axes.set_title(title, fontsize=9)
    if not names:
        axes.text(0.5, 0.5, NOT_YET, ha="center", transform=axes.transAxes)
        return
    steps = pooled(title, read(names[0], results))
    axes.set_title(f"{title}\nS = {', '.join(steps)} together", fontsize=9)
    for (column, measure), colour in zip(candidates(), STRONG, strict=False):
        every = (ratio(read(x, results), column, measure, steps) for x in names)
        known = {k: x for k, x in enumerate(every) if x is not None}
        if known:
            mean, error = ([getattr(x, what) for x in known.values()] for what in ("mean", "error"))
            error = np.nan_to_num(error)
            axes.errorbar(
                list(known), np.maximum(mean, CUT), error, fmt="o-", color=colour, markersize=4,
                label=f"{column} ({measure})",
            )  # fmt: skip
        worse = {k: x.mean for k, x in known.items() if x.verdict == NO}
        axes.plot(list(worse), list(worse.values()), "x", color=colour, markersize=10)
    axes.axhline(1, color=GUIDE, linewidth=1)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(FixedLocator(TICKS))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    nats = [distance_from_gaussian(read(x, results)).mean for x in names]
    words = [level(x, title).replace("degrees of freedom", "d.o.f.") for x in names]
    words = [word.replace("separation ", "separation\n") for word in words]
    ticks = [f"{word}\n{_nats(x)} nats" for word, x in zip(words, nats, strict=True)]
    axes.set_xticks(range(len(names)), ticks, fontsize=7)


def _nats(x: float) -> str:
    return f"{x:.0f}" if x >= 10 else f"{x:.2g}"
