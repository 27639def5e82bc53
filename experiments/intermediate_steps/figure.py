"""The picture of the formation of frequencies."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from experiments.experiment import NOT_YET
from experiments.figure import Figures, panels
from experiments.intermediate_steps.run import DENOISERS, SAMPLERS
from experiments.intermediate_steps.summary import read


def figures(results: Path) -> Figures:
    """Draw what is formed of each band after each call: measured, and predicted (dotted)."""
    shape = (len(DENOISERS), len(SAMPLERS))
    figure, every = panels(*shape, (5.6, 3.4), sharex=True, sharey=True)
    for row, (name, words) in zip(every, DENOISERS.items(), strict=True):
        for axes, sampler in zip(row, SAMPLERS, strict=True):
            axes.set_title(f"{words}\n{sampler}", fontsize=8)
            seeds = read(name, sampler, results)
            if not seeds:
                axes.text(0.5, 0.5, NOT_YET, transform=axes.transAxes, ha="center")
                continue
            _formation(axes, [one["watched"] for one in seeds])
    every[0, 0].legend(fontsize=6, title="cycles per pixel", title_fontsize=6)
    for axes in every[-1]:
        axes.set_xlabel("denoiser call")
    for axes in every[:, 0]:
        axes.set_ylabel("part of the standard deviation")
    yield "formation", figure


def _formation(axes: Axes, seeds: list[dict]) -> None:
    measured = np.mean([one["measured"] for one in seeds], axis=0)
    predicted = np.array(seeds[0]["predicted"])
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, measured.shape[1]))
    for k, colour in enumerate(colours):
        label = f"{seeds[0]['frequency'][k]:.2f}"
        axes.plot(measured[:, k], "o-", color=colour, markersize=2.5, linewidth=1.2, label=label)
        axes.plot(predicted[:, k], ":", color=colour, linewidth=1.2)
    axes.set_ylim(0, 1.3)
