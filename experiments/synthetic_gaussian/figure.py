"""The pictures: ``python -m experiments.synthetic_gaussian.plot``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

import specjax as sx
from experiments.synthetic_gaussian.config import CONFIG, PAPER, RANGES
from experiments.synthetic_gaussian.results import Found, centred, distance, found
from experiments.synthetic_gaussian.run import RESULTS
from experiments.synthetic_gaussian.tables import HERE, NAMES
from specjax.report.figures import save_figure
from specjax.report.figures.style import GUIDE, RC, STRONG, learned_style, muted_style
from specjax.schedules.families import SCHEDULES

DRAWN = ("exponential", "k^-2", "unit k^-2")
"""Covariances whose losses are drawn."""


def levels_figure(every: list[Found], steps: int) -> Figure:
    """alpha_bar over steps of what was learned: a panel for each sampler and loss."""
    figure = Figure(figsize=(11.5, 7.6), layout="constrained")
    panels = figure.subplots(len(CONFIG.samplers), len(CONFIG.losses), sharex=True, sharey=True)
    cases = [(sampler, loss) for sampler in CONFIG.samplers for loss in CONFIG.losses]
    for axes, (sampler, loss) in zip(panels.ravel(), cases, strict=True):
        _levels(axes, every, sampler, loss, steps)
        axes.set_title(f"{NAMES[sampler]}, {NAMES[loss]}, {steps} steps")
    for axes in panels[:, 0]:
        axes.set_ylabel("alpha_bar")
    for axes in panels[-1]:
        axes.set_xlabel("share of the steps, noisy to clean")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=8.5)
    return figure


def _levels(axes: Axes, every: list[Found], sampler: str, loss: str, steps: int) -> None:
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


def losses_figure(every: dict[str, Found]) -> Figure:
    """Loss over S of all schedules, over the learned one's."""
    rows = [every[name] for name in DRAWN]
    cases = [(sampler, loss) for sampler in CONFIG.samplers for loss in CONFIG.losses]
    figure = Figure(figsize=(3.3 * len(cases) + 1.6, 3.0 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), len(cases), sharex=True, squeeze=False)
    for row, one in zip(panels, rows, strict=True):
        for axes, (sampler, loss) in zip(row, cases, strict=True):
            _losses(axes, one, sampler, loss)
            axes.set_title(f"{one.name}: {NAMES[sampler]}, {NAMES[loss]}", fontsize=9)
    for axes in panels[-1]:
        axes.set_xlabel("steps S")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=8.5)
    return figure


def _losses(axes: Axes, one: Found, sampler: str, loss: str) -> None:
    group = one.group(sampler, loss)
    for i, name in enumerate(SCHEDULES):
        axes.loglog(
            one.steps, [distance(loss, x) for x in group[name]], label=name, **muted_style(i)
        )
    closed = [distance(loss, x) for x in group["spectral"]]
    axes.loglog(one.steps, closed, "o", color="black", markersize=4, label="closed form", zorder=6)
    learned = [distance(loss, x) for x in group["learned"]]
    axes.loglog(one.steps, learned, label="learned", **learned_style())
    axes.set_xticks(one.steps, [str(s) for s in one.steps])
    axes.xaxis.set_minor_locator(NullLocator())


def main(results: Path = RESULTS, folder: Path = HERE) -> None:
    """Write ``levels.png`` and ``losses.png``."""
    import matplotlib

    every = found(results)
    with matplotlib.rc_context(RC):
        figure = levels_figure(centred(every), max(CONFIG.kept))
        save_figure(figure, folder / "levels.png")
        save_figure(losses_figure(every), folder / "losses.png")


if __name__ == "__main__":
    main()
