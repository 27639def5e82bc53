"""The picture of galaxies: the same noise in 5 learned calls, by the best heuristic, and finely."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from experiments.figure import Figures
from experiments.published_networks.run import BEST, FINE, LEARNED, SAMPLES, STEPS, unpacked
from experiments.session import read_json

_DARKEST, _BRIGHTEST = 5.0, 99.8  # percentiles of the fine solution


def figures(results: Path) -> Figures:
    """Draw the galaxies."""
    known = read_json(results / f"{SAMPLES}.json")
    if known:
        yield "galaxies", galaxies_figure(known)


def galaxies_figure(known: dict) -> Figure:
    """Draw a column for each noise; its greys are those of the fine solution's percentiles."""
    calls = f"{STEPS} calls"
    rows = {
        f"{LEARNED},\n{calls}": LEARNED, f"{FINE},\n{known['config']['fine_drawn']} calls": FINE,
        f"{BEST},\n{calls}": BEST,
    }  # fmt: skip
    every = {name: unpacked(known["pictures"][name]) for name in rows.values()}
    columns = len(every[FINE])
    lower, upper = np.percentile(every[FINE], (_DARKEST, _BRIGHTEST), axis=(1, 2))
    figure = Figure(figsize=(columns + 1.2, 3.1), layout="constrained")
    panels = figure.subplots(3, columns, squeeze=False)
    for row, (title, name) in zip(panels, rows.items(), strict=True):
        for axes, image, low, high in zip(row, every[name], lower, upper, strict=True):
            axes.imshow(image, cmap="gray", vmin=low, vmax=high)
            axes.set_axis_off()
        row[0].text(
            -0.12, 0.5, title, ha="right", va="center", transform=row[0].transAxes, fontsize=9
        )
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
    return figure
