"""The picture, from the results: ``python -m experiments.erring_denoiser.plot``."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.erring_denoiser.config import CONFIG, of_part
from experiments.erring_denoiser.found import HERE, Results, results_of
from experiments.trained_networks.curves import MEASURES
from specjax.report.figures import save_figure
from specjax.report.figures.style import GUIDE, RC, STRONG

_NOTHING = 0.003
"""Where no error is drawn on an axis of logarithms."""


def figure_of(found: Results) -> Figure:
    """A panel for each sampler: what is gained over the error, a colour for each S."""
    figure = Figure(figsize=(3.6 * len(found.samplers), 3.4), layout="constrained")
    panels = figure.subplots(1, len(found.samplers), squeeze=False)[0]
    for axes, sampler in zip(panels, found.samplers, strict=True):
        for colour, steps in zip(STRONG, found.steps, strict=False):
            _curve(axes, found, sampler, steps, colour)
        axes.axhline(0, color=GUIDE, linewidth=0.8)
        axes.set(xscale="log", title=sampler, xlabel="denoiser's error (left: none)")
    panels[0].set_ylabel(f"{MEASURES['features']}:\n% below the best heuristic")
    panels[-1].legend(fontsize=7)
    return figure


def _curve(axes: Axes, found: Results, sampler: str, steps: int, colour: str) -> None:
    parts = {x: found.below(sampler, of_part(x), None, steps) for x in CONFIG.parts}
    known = {max(x, _NOTHING): one for x, one in parts.items() if one}
    error = [100 * x.error if x.seeds > 1 else 0 for x in known.values()]
    mean = [100 * x.mean for x in known.values()]
    axes.errorbar([*known], mean, error, fmt="o-", ms=3, color=colour, label=f"S = {steps}")


def main(results: Path = HERE / "results", folder: Path = HERE) -> None:
    """Write ``errors.png`` of what has been run."""
    import matplotlib

    found = results_of(results)
    with matplotlib.rc_context(RC):
        if found.own:
            save_figure(figure_of(found), folder / "errors.png")


if __name__ == "__main__":
    main()
