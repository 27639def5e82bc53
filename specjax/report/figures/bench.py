"""The figure of a bench: what each method reaches over the number of calls, and samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from specjax._core import checks
from specjax.bench.bench import LEARNED, MEASURES, Bench
from specjax.report.figures import panels
from specjax.report.figures.samples import as_pictures, draw_samples, height_of
from specjax.report.figures.style import GUIDE, learned_style, muted_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _PANELS = 11.0, 4.6  # inches


@panels.styled
def bench_figure(bench: Bench, *, shown: int | None = None) -> Figure:
    """Draw the bench: its measure and the Fréchet distance over calls, and samples side by side.

    Args:
      bench: what :func:`specjax.bench` returned.
      shown: the number of calls whose samples are drawn; the least by default.

    Raises:
      UserError: for a number of calls that the bench does not have.
    """
    calls = bench.calls[0] if shown is None else shown
    checks.one_of("shown", calls, bench.calls)
    pictures = {
        f"{name}, {calls} calls" if name != "fine solution" else name: as_pictures(x)
        for name, x in bench.samples.get(calls, {}).items()
    }
    arrays = {name: x for name, x in pictures.items() if x is not None}
    below = height_of(arrays) if arrays else 0.0
    title = f"{bench.source.get('name', 'A denoiser')}: a learned plan beside its rivals"
    figure = panels.new_figure(_WIDTH, _PANELS + below, title)
    parts = figure.subfigures(2, 1, height_ratios=(_PANELS, below)) if arrays else [figure]
    left, right = parts[0].subplots(1, 2)
    for axes, measure in ((left, bench.measure), (right, "frechet")):
        _draw(axes, bench, measure)
    fine = float(np.mean(bench.fine))
    right.axhline(fine, color=GUIDE, linewidth=1, linestyle="--", label="fine solution", zorder=0)
    handles, names = right.get_legend_handles_labels()
    panels.legend_below(parts[0], handles, names, "methods")
    if arrays:
        draw_samples(parts[1], arrays)
    return figure


def _draw(axes: Axes, bench: Bench, measure: str) -> None:
    """Draw a line for each method, with its standard errors."""
    names = {name for name, _ in LEARNED.values()}
    rivals = [name for name in bench.methods if name not in names]
    for method in bench.methods:
        rows = [row for row in map(lambda c, m=method: bench.row(m, c), bench.calls) if row]
        estimates = [row.estimate(measure) for row in rows]
        style = muted_style(rivals.index(method)) if method in rivals else learned_style()
        axes.errorbar(
            [row.calls for row in rows], [one.value for one in estimates],
            [np.nan_to_num(one.error) for one in estimates], label=method, capsize=2, **style,
        )  # fmt: skip
    axes.set(xlabel="calls of the denoiser", yscale="log")
    axes.set_title(MEASURES[measure].replace(" to the fine solutions", ""), fontsize="medium")
    axes.set_xticks(bench.calls, map(str, bench.calls))
    axes.minorticks_off()
