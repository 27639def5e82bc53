"""The pictures of Gaussians."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

import specjax as sx
from experiments.figure import Figures, panels
from experiments.synthetic_gaussian.run import CONFIG, PAPER, RANGES
from experiments.synthetic_gaussian.summary import FAMILIES, NAMES, Fits, centred, distance, read
from specjax.report.figures.style import GUIDE, STRONG, learned_style, muted_style

DRAWN = ("exponential", "k^-2", "unit k^-2")
"""Covariances whose losses are drawn."""


def figures(results: Path) -> Figures:
    """Draw levels and losses."""
    every = read(results)
    if every:
        yield "levels", levels_figure(centred(every), max(CONFIG.kept))
        yield "losses", losses_figure(every)


def levels_figure(every: list[Fits], steps: int) -> Figure:
    """Draw alpha_bar over steps of what was learned: a panel for each sampler and loss."""
    shape = (len(CONFIG.samplers), len(CONFIG.losses))
    figure, rows = panels(*shape, (5.75, 3.8), sharex=True, sharey=True)
    for axes, (sampler, loss) in zip(rows.ravel(), CONFIG.cases, strict=True):
        _levels(axes, every, sampler, loss, steps)
        axes.set_title(f"{NAMES[sampler]}, {NAMES[loss]}, {steps} steps")
    for axes in rows[:, 0]:
        axes.set_ylabel("alpha_bar")
    for axes in rows[-1]:
        axes.set_xlabel("share of the steps, noisy to clean")
    handles, labels = rows[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=8.5)
    return figure


def _levels(axes: Axes, every: list[Fits], sampler: str, loss: str, steps: int) -> None:
    t = np.linspace(0, 1, steps + 1)
    cosine = sx.family("cosine_chen", steps, alpha_bar_range=RANGES[PAPER]).alpha_bar
    laws = [x for x in every if "k^-" in x.name and not x.name.startswith("unit")]
    units = [x for x in every if x.name.startswith("unit")]
    others = [x for x in every if x not in laws and x not in units]
    for i, one in enumerate(others):
        style = {"color": STRONG[i], "linewidth": 2.4}
        axes.plot(t, one.alpha_bar(sampler, loss, steps), label=one.name, **style)
    for dashes, group in (("-", laws), ((0, (4, 1.5)), units)):
        for i, one in enumerate(group):
            shade = (0.15 + 0.7 * i / max(len(group) - 1, 1),) * 3
            curve = one.alpha_bar(sampler, loss, steps)
            axes.plot(t, curve, color=shade, linestyle=dashes, linewidth=1.2, label=one.name)
    axes.plot(t, cosine, ":", color="black", linewidth=2.2, label="cosine", zorder=6)
    axes.plot([0, 1], cosine[[0, -1]], color=GUIDE, linewidth=0.8)


def losses_figure(every: dict[str, Fits]) -> Figure:
    """Draw the losses of all schedules over S."""
    figure, rows = panels(len(DRAWN), len(CONFIG.cases), (3.7, 3.0), sharex=True)
    for row, one in zip(rows, (every[name] for name in DRAWN), strict=True):
        for axes, (sampler, loss) in zip(row, CONFIG.cases, strict=True):
            _losses(axes, one, sampler, loss)
            axes.set_title(f"{one.name}: {NAMES[sampler]}, {NAMES[loss]}", fontsize=9)
    for axes in rows[-1]:
        axes.set_xlabel("steps S")
    handles, labels = rows[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=8.5)
    return figure


def _losses(axes: Axes, one: Fits, sampler: str, loss: str) -> None:
    group = one.group(sampler, loss)
    for i, name in enumerate(FAMILIES):
        axes.loglog(
            one.steps, [distance(loss, x) for x in group[name]], label=name, **muted_style(i)
        )
    closed = [distance(loss, x) for x in group["spectral"]]
    axes.loglog(one.steps, closed, "o", color="black", markersize=4, label="closed form", zorder=6)
    learned = [distance(loss, x) for x in group["learned"]]
    axes.loglog(one.steps, learned, label="learned", **learned_style())
    axes.set_xticks(one.steps, [str(s) for s in one.steps])
    axes.xaxis.set_minor_locator(NullLocator())
