"""The pictures of real spectra and their schedules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figure import Figures, in_two_columns
from experiments.real_spectra.schedules import families
from experiments.real_spectra.summary import HELD_OUT, Matrix, Results, plain, read
from specjax.report.figures.style import GUIDE, INK, STRONG

_DEEPEST = 16.0
"""The logsnr at which pictures of schedules end; a noise-free end is further still."""


def figures(results: Path) -> Figures:
    """Draw spectra, schedules and what these cost elsewhere, of what has been run."""
    known = read(results)
    if known.estimates:
        yield "spectra", spectra_figure(known)
    for steps in sorted({int(x.split("= ")[1]) for x in known.regimes}):
        yield f"schedules-{steps}", schedules_figure(known, steps)
        if known.cross:
            yield f"cross-{steps}", cross_figure(known, steps)


def spectra_figure(results: Results) -> Figure:
    """Draw eigenvalues over rank: the full covariance, dashed the shift-invariant estimate."""
    figure = Figure(figsize=(8.6, 5.4), layout="constrained")
    axes = figure.subplots()
    for colour, (name, document) in zip(STRONG, results.estimates.items(), strict=False):
        full, shift = (document["estimates"][x] for x in ("full", "shift-invariant"))
        dimension = np.prod(document["source"]["shape"])
        label = f"{plain(name)}, d = {dimension}, k^-{full['exponent']:.2f}"
        axes.plot(full["rank"], full["eigenvalue"], color=colour, linewidth=1.8, label=label)
        axes.plot(shift["rank"], shift["eigenvalue"], "--", color=colour, linewidth=1)
    axes.set(
        xscale="log", yscale="log", xlabel="rank", ylabel="eigenvalue, units of [-1, 1] squared"
    )
    axes.set_ylim(bottom=1e-8)
    axes.set_title("Spectra: full covariance, and (dashed) shift-invariant estimate")
    axes.legend(fontsize=8.5)
    return figure


def schedules_figure(results: Results, steps: int) -> Figure:
    """Draw the learned levels over time, beside cosine."""
    some = [x for x in results.regimes if x.endswith(f"= {steps}")]
    figure, panels = in_two_columns(len(some), (5.5, 4.3), sharex=True, sharey=True)
    for axes, regime in zip(panels, some, strict=True):
        for colour, (name, document) in zip(STRONG, results.schedules.items(), strict=False):
            _levels(
                axes, document["regimes"][regime]["logsnr"], steps, color=colour, label=plain(name)
            )
        cosine = families(steps)["cosine"]
        _levels(axes, cosine[np.isfinite(cosine)], steps, color=INK, linestyle="--", label="cosine")
        axes.set_title(f"{regime}")
        axes.set_ylim(-11, _DEEPEST)
    for axes in panels[-2:]:
        axes.set_xlabel("time, noisy to clean")
    for axes in panels[::2]:
        axes.set_ylabel("logsnr")
    panels[0].legend(fontsize=8.5)
    return figure


def _levels(axes: Axes, levels: Any, steps: int, **style: Any) -> None:
    axes.plot(np.arange(len(levels)) / steps, levels, linewidth=1.6, **style)


def cross_figure(results: Results, steps: int) -> Figure:
    """Draw what a schedule costs elsewhere, in every regime of that many steps."""
    some = [x for x in results.regimes if x.endswith(f"= {steps}")]
    figure, panels = in_two_columns(len(some), (6.25, 5.2))
    for axes, regime in zip(panels, some, strict=True):
        _heat(axes, results.matrix(regime))
        axes.set_title(f"{regime}: loss over the optimum")
    return figure


def _heat(axes: Axes, matrix: Matrix) -> None:
    """Draw numbers on a logarithmic scale of colours; the diagonal is that of the other half."""
    columns, names = matrix.columns, [*matrix.columns, "cosine"]
    rows = [
        [matrix.cells[HELD_OUT if row == x else row, x].value for x in columns] for row in names
    ]
    rows.append([matrix.best(x)[1].value for x in columns])
    values = np.array(rows)
    shade = np.log10(np.maximum(values - 1, 1e-4))
    axes.imshow(shade, cmap="YlOrRd", vmin=-3.5, vmax=1.5, aspect="auto")
    axes.grid(False)
    axes.axhline(len(columns) - 0.5, color="white", linewidth=4)
    for (i, j), value in np.ndenumerate(values):
        ink = "white" if shade[i, j] > 0.3 else INK
        axes.text(j, i, _short(value), ha="center", va="center", color=ink, fontsize=9)
    axes.set_xticks(range(len(columns)), [plain(x).replace(" ", "\n") for x in columns])
    axes.set_yticks(range(len(rows)), [*map(plain, names), "best heuristic"])
    axes.tick_params(length=0, colors=INK)
    axes.set(xlabel="judged on", ylabel="learned on")
    for side in axes.spines.values():
        side.set_color(GUIDE)


def _short(value: float) -> str:
    """Give enough digits to see what is above 1."""
    if value < 1.1:
        return f"{value:.4f}"
    return f"{value:.3g}" if value >= 2 else f"{value:.2f}"
