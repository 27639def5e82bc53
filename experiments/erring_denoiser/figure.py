"""The picture of what is gained over a denoiser's error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.erring_denoiser.run import EXPERIMENT, error_name
from experiments.erring_denoiser.summary import Results, read
from experiments.trained_networks.comparison import MEASURES
from specjax.report.figures.style import GUIDE, STRONG

_NO_ERROR = 0.003
"""Where the ideal denoiser is drawn on an axis of logarithms."""


def figures(results: Path) -> Iterator[tuple[str, Figure]]:
    """Draw a panel for each sampler, a colour for each S."""
    found = read(results)
    if not found.own:
        return
    figure = Figure(figsize=(3.6 * len(found.samplers), 3.4), layout="constrained")
    panels = figure.subplots(1, len(found.samplers), squeeze=False)[0]
    for axes, sampler in zip(panels, found.samplers, strict=True):
        for colour, steps in zip(STRONG, found.steps, strict=False):
            _curve(axes, found, sampler, steps, colour)
        axes.axhline(0, color=GUIDE, linewidth=0.8)
        axes.set(xscale="log", title=sampler, xlabel="denoiser's error (left: none)")
    panels[0].set_ylabel(f"{MEASURES['features']}:\n% below the best heuristic")
    panels[-1].legend(fontsize=7)
    yield "errors", figure


def _curve(axes: Axes, found: Results, sampler: str, steps: int, colour: str) -> None:
    parts = {x: found.below(sampler, error_name(x), None, steps) for x in EXPERIMENT.config.parts}
    known = {max(x, _NO_ERROR): one for x, one in parts.items() if one}
    error = [100 * x.error if x.seeds > 1 else 0 for x in known.values()]
    mean = [100 * x.mean for x in known.values()]
    axes.errorbar([*known], mean, error, fmt="o-", ms=3, color=colour, label=f"S = {steps}")
