"""The pictures of high frequencies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.bands import frequencies
from experiments.figure import Figures, errorbar, frequency_ticks, in_two_columns, panels
from experiments.high_frequencies.run import BANDS, DATASETS, EVERY, KL, SAMPLERS, W2
from experiments.high_frequencies.summary import (
    GRID,
    Document,
    over,
    read,
    read_seeds,
    shared,
    shown,
)
from specjax.report.figures.style import MUTED, STRONG

_LEARNED = dict(zip((W2, "p = 0.5", EVERY, BANDS, KL), STRONG, strict=False))
_HEURISTICS = dict(zip(("cosine", "karras", "align_your_steps"), MUTED, strict=False))
_SHAPES = 20
"""The S whose levels are drawn, if it has been run."""

CUT = 15
"""dB at which curves are cut."""


def figures(results: Path) -> Figures:
    """Draw bands, shapes and the network, of what has been run."""
    every = {data: read(data, results) for data in DATASETS}
    every = {data: found for data, found in every.items() if found.get("samplers")}
    seeds = read_seeds(results)
    if every:
        yield "bands", bands_figure(every)
        yield "shapes", shapes_figure(every)
    if shared(seeds):
        yield "network", network_figure(seeds, frequencies(GRID))


def _style(name: str) -> dict:
    if name in _LEARNED:
        return {"color": _LEARNED[name], "linewidth": 1.8, "marker": "o", "markersize": 3}
    return {"color": _HEURISTICS[name], "linewidth": 1.1, "linestyle": "--"}


def bands_figure(every: dict[str, Document]) -> Figure:
    """Draw a row of panels for each dataset, a panel for each sampler."""
    figure, rows = panels(len(every), len(SAMPLERS), (13 / 3, 3.1))
    for row, (data, found) in zip(rows, every.items(), strict=True):
        for axes, sampler in zip(row, SAMPLERS, strict=True):
            _bands(axes, data, found, sampler)
    for axes in rows[:, 0]:
        axes.set_ylabel(f"power over the data's, dB\n(cut at {CUT})")
    for axes in rows[-1]:
        axes.set_xlabel("frequency, cycles per pixel")
    rows[0, 0].legend(fontsize=7, ncols=2)
    return figure


def _bands(axes: Axes, data: str, found: Document, sampler: str) -> None:
    by = found["samplers"].get(sampler)
    if not by:
        axes.set_visible(False)
        return
    steps = shown(by)
    for name in (*_HEURISTICS, *_LEARNED):
        axes.plot(np.clip(by[steps][name]["decibel"], -CUT, CUT), label=name, **_style(name))
    frequency_ticks(axes, found["bands"]["frequency"])
    axes.set_title(f"{DATASETS[data]}\n{sampler}, S = {steps}", fontsize=9)


def shapes_figure(every: dict[str, Document]) -> Figure:
    """Draw the levels of DDIM's schedules, a panel for each dataset."""
    figure, (row,) = panels(1, len(every), (3.6, 3.6), sharey=True)
    for axes, (data, found) in zip(row, every.items(), strict=True):
        by = found["samplers"]["ddim"]
        steps = shown(by, _SHAPES)
        for name in (*_HEURISTICS, *_LEARNED):
            levels = by[steps][name]["logsnr"]
            axes.plot(np.arange(len(levels)) / len(levels), levels, label=name, **_style(name))
        axes.set_title(f"{DATASETS[data]}\nddim, S = {steps}", fontsize=9)
        axes.set_xlabel("step / S")
    row[0].set_ylabel("logsnr")
    row[0].legend(fontsize=7)
    return figure


def network_figure(seeds: list[Document], frequency: list[float]) -> Figure:
    """Draw the measured power of bands with errors, and the prediction as a dotted line."""
    pairs = shared(seeds)
    figure, every = in_two_columns(len(pairs), (5.5, 3.1))
    for axes, (sampler, steps) in zip(every, pairs, strict=True):
        for name in [x for x in seeds[0]["samplers"][sampler][steps] if x in _LEARNED]:
            real, ideal = (over(seeds, sampler, steps, name, x) for x in ("decibel", "predicted"))
            x, colour = range(len(real)), _LEARNED[name]
            errorbar(axes, x, real, fmt="o-", color=colour, markersize=3, label=name)
            axes.plot(x, [b.mean for b in ideal], ":", color=colour)
        frequency_ticks(axes, frequency)
        axes.set_title(f"UNet on the digits: {sampler}, S = {steps}", fontsize=9)
    every[0].set_ylabel("power over the data's, dB\n(dotted: Gaussian prediction)")
    every[0].legend(fontsize=7, ncols=2, loc="upper right")
    return figure
