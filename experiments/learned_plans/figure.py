"""The pictures of the learned plans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from experiments.figure import Figures, in_two_columns, panels
from experiments.learned_plans.run import FINE
from experiments.learned_plans.summary import Judged, judged
from experiments.session import read_json
from specjax.report.figures.style import GUIDE, LEARNED, MUTED


def figures(results: Path) -> Figures:
    """Draw distances and plans."""
    yield "distances", distances_figure(list(judged(results)))
    yield "plans", plans_figure(results)


def distances_figure(rows: list[Judged]) -> Figure:
    """Draw a panel for each row and S: every column's distance with its standard error."""
    figure, every = in_two_columns(len(rows), (6.2, 3.6))
    for axes, one in zip(every, rows, strict=True):
        _distances(axes, one)
    return figure


def _distances(axes: Axes, one: Judged) -> None:
    shown = list(one.shown.items())[::-1]
    for y, (title, name) in enumerate(shown):
        found = one.of(name)
        colour = GUIDE if name == FINE else LEARNED if title.startswith("plan") else MUTED[0]
        error = found.error if np.isfinite(found.error) else 0.0
        axes.errorbar(found.mean, y, xerr=error, fmt="o", color=colour, markersize=5)
    axes.axvline(one.of(FINE).mean, color=GUIDE, linewidth=1, linestyle=":")
    axes.set_yticks(range(len(shown)), [title for title, _ in shown], fontsize=7.5)
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())
    title = one.title.replace(", kernel", ",\nkernel").replace(" trained", "\ntrained")
    axes.set_title(title, fontsize=8.5)
    axes.set_xlabel("Fréchet distance (squared) in pixels", fontsize=8.5)


def plans_figure(results: Path, seed: int = 0) -> Figure:
    """Draw levels and corrections of the ratios of each row's plans, of one seed."""
    found = [(p.stem, read_json(p)["steps"]) for p in sorted(results.glob(f"*-{seed}.json"))]
    count = max(len(steps) for _, steps in found)
    figure, every = panels(len(found), 2 * count, (5, 3.4))
    for row, (name, steps) in zip(every, found, strict=True):
        for k, (s, one) in enumerate(steps.items()):
            _plans(row[2 * k], row[2 * k + 1], one["learning"], f"{name.split('-')[0]}, S = {s}")
    every[0, 0].legend(fontsize=6)
    return figure


def _plans(levels: Axes, ratios: Axes, learning: dict, title: str) -> None:
    for i, (name, facts) in enumerate(learning.items()):
        style = {"color": MUTED[i % len(MUTED)], "linewidth": 1.2, "marker": "o", "markersize": 3}
        levels.plot(facts["logsnr"], label=name, **style)
        if facts["ratios"]:
            ratios.plot(facts["ratios"], **style)
    levels.set_title(f"{title}: levels (logsnr)", fontsize=8.5)
    ratios.set_title(f"{title}: corrections c of the ratios", fontsize=8.5)
