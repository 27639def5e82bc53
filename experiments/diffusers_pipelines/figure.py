"""The pictures: the same noise by learned plans, diffusers' schedulers, and finely."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from experiments.diffusers_pipelines.run import unpacked
from experiments.diffusers_pipelines.summary import MINE, NAMES, THEIRS, TITLES, Case, read
from experiments.figure import Figures


def figures(results: Path) -> Figures:
    """Draw the samples of each kind."""
    for kind in TITLES:
        case = read(kind, results)
        if case is not None:
            yield kind, samples_figure(case)


def samples_figure(case: Case) -> Figure:
    """Draw a row for each sampler and a column for each noise."""
    rows = {
        title: np.concatenate([*unpacked(texts)], axis=1) for title, texts in _rows(case).items()
    }
    columns = len(next(iter(case.seeds))["fine"]["pictured"])
    size = 0.55
    figure = Figure(figsize=(size * columns + 2.3, size * len(rows) + 0.1), layout="constrained")
    panels = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    for axes, (title, image) in zip(panels, rows.items(), strict=True):
        axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_axis_off()
        axes.set_anchor("E")
        axes.text(-0.01, 0.5, title, ha="right", va="center", transform=axes.transAxes, fontsize=8)
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
    return figure


def _rows(case: Case) -> dict[str, list[str]]:
    """Title the images of the first seed: of plans, and of the best schedulers by the mean."""
    first = case.seeds[0]
    rows = {f"fine solution,\n{first['config']['fine']} steps": first["fine"]["pictured"]}
    for kind, steps in case.plans():
        judged = first[kind][steps]["judged"]
        rows[f"{NAMES[kind]},\n{judged['calls']:g} calls"] = judged["pictured"]
        for calls in (judged["calls"], judged["calls"] * THEIRS / MINE):
            if case.with_calls(calls):
                name = case.best(calls, "mean")
                at = next(x for x, other in case.with_calls(calls) if other == name)
                rows[f"{name},\n{calls:g} calls"] = first["rivals"][at][name]["pictured"]
    return rows
