"""The picture of galaxies: the same noise in 5 learned calls, by the best rival, and finely."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from experiments.figure import Figures
from experiments.published_networks.run import STEPS, unpacked
from experiments.session import read_json
from specjax.bench.bench import FINE

_DARKEST, _BRIGHTEST = 5.0, 99.8  # percentiles of the fine solution


def figures(results: Path) -> Figures:
    """Draw the galaxies of the first seed."""
    known = read_json(results / "hsc-0.json")
    if known.get("pictures"):
        yield "galaxies", galaxies_figure(known)


def galaxies_figure(known: dict) -> Figure:
    """Draw a column for each noise; its greys are those of the fine solution's percentiles."""
    fine = f"{FINE},\n{known['config']['fine']} calls"
    every = {
        fine if name == FINE else f"{name},\n{STEPS} calls": unpacked(x)
        for name, x in known["pictures"].items()
    }
    mine, *others = [name for name in every if name != fine]
    columns = len(every[fine])
    lower, upper = np.percentile(every[fine], (_DARKEST, _BRIGHTEST), axis=(1, 2))
    figure = Figure(figsize=(columns + 1.2, 3.1), layout="constrained")
    panels = figure.subplots(len(every), columns, squeeze=False)
    for row, title in zip(panels, (mine, fine, *others), strict=True):
        for axes, image, low, high in zip(row, every[title], lower, upper, strict=True):
            axes.imshow(image, cmap="gray", vmin=low, vmax=high)
            axes.set_axis_off()
        row[0].text(
            -0.12, 0.5, title, ha="right", va="center", transform=row[0].transAxes, fontsize=9
        )
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
    return figure
