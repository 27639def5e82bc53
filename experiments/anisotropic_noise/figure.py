"""The pictures of noise with a spectrum."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from experiments.anisotropic_noise.run import DATASETS, stem_of
from experiments.anisotropic_noise.summary import Measured, read
from experiments.figure import Figures, panels
from specjax.report.figures.style import GUIDE, LEARNED, MUTED


def figures(results: Path) -> Figures:
    """Draw the bands of each dataset that has been run."""
    for data, words in DATASETS.items():
        found = read(data, results)
        if found:
            yield f"bands-{stem_of(data)}", figure_of(words, found)


def figure_of(title: str, found: list[Measured]) -> Figure:
    """Draw for each plan the power of bands against that of clean data, measured and predicted."""
    plans = list(found[0].seeds)
    figure, (row,) = panels(1, len(plans), (6.4, 4.6), sharey=True)
    for axes, plan in zip(row, plans, strict=True):
        for i, one in enumerate(found):
            colour = LEARNED if i == 0 else MUTED[(i - 1) % len(MUTED)]
            bands, x = one.bands[plan], range(len(one.bands[plan]["frequency"]))
            axes.plot(x, bands["decibel"], "o-", color=colour, markersize=3, label=one.name)
            axes.plot(x, bands["predicted_decibel"], ":", color=colour, linewidth=1)
        axes.axhline(0, color=GUIDE, linewidth=0.8)
        frequency = found[0].bands[plan]["frequency"]
        axes.set_xticks(range(len(frequency)), [f"{f:.2f}" for f in frequency])
        axes.set_xlabel("frequency, cycles per pixel")
        axes.set_title(f"{title}: {plan}", fontsize=9)
    row[0].set_ylabel("power over that of clean data, dB\n(dotted: Gaussian prediction)")
    row[-1].legend(fontsize=6.5)
    return figure
