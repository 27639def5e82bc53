"""The picture of what is gained over a denoiser's error."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes

from experiments.erring_denoiser.run import EXPERIMENT, error_name
from experiments.erring_denoiser.summary import Results, read
from experiments.estimates import Estimate
from experiments.figure import Figures, errorbar, panels
from experiments.trained_networks.comparison import MEASURES
from specjax.report.figures.style import GUIDE, STRONG

_NO_ERROR = 0.003
"""Where the ideal denoiser is drawn on an axis of logarithms."""


def figures(results: Path) -> Figures:
    """Draw a panel for each sampler, a colour for each S."""
    found = read(results)
    if not found.own:
        return
    figure, (row,) = panels(1, len(found.samplers), (3.6, 3.4))
    for axes, sampler in zip(row, found.samplers, strict=True):
        for colour, steps in zip(STRONG, found.steps, strict=False):
            _curve(axes, found, sampler, steps, colour)
        axes.axhline(0, color=GUIDE, linewidth=0.8)
        axes.set(xscale="log", title=sampler, xlabel="denoiser's error (left: none)")
    row[0].set_ylabel(f"{MEASURES['features']}:\n% below the best heuristic")
    row[-1].legend(fontsize=7)
    yield "errors", figure


def _curve(axes: Axes, found: Results, sampler: str, steps: int, colour: str) -> None:
    parts = {x: found.below(sampler, error_name(x), None, steps) for x in EXPERIMENT.config.parts}
    known = {max(x, _NO_ERROR): one for x, one in parts.items() if one}
    share = [Estimate(100 * x.mean, 100 * x.error, x.seeds) for x in known.values()]
    errorbar(axes, known, share, fmt="o-", ms=3, color=colour, label=f"S = {steps}")
