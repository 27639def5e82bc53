"""The figure of an evaluation: power per band of frequencies, generated and real."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from specjax._core.checks import UserError
from specjax.evaluate import Evaluation
from specjax.report.figures.panels import label_of, legend_below, log_ticks, new_figure, styled
from specjax.report.figures.style import GUIDE, INK, learned_style, muted_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SPREAD = 0.32  # of the width of a band, over which the schedules' points are spread


@styled
def bands_figure(rows: Sequence[Evaluation], *, data: str = "data") -> Figure:
    """Draw the power per band of several schedules beside that of the data.

    Panels: power per band on a logarithmic scale; generated over real in decibel with its error
    bars, and grey around zero what real against real makes of the same n. Bands are evenly spaced,
    the constant (frequency 0) first. A single row has the strong colour.

    Args:
      rows: evaluations with the spectrum, against the same data; those without finite numbers are
        left out.
      data: what the data are called.

    Raises:
      UserError: if no row has the spectrum.
    """
    drawn = {
        row.name: row.bands for row in rows
        if row.bands is not None and np.isfinite(row.bands.decibel).all()
    }  # fmt: skip
    if not drawn:
        raise UserError("no row has the power per band: measure the spectrum, of finite samples")
    title = f"{data}: power per band of frequencies, {rows[0].n:,} samples against {rows[0].n:,}"
    figure = new_figure(11.0, 4.9 + 0.2 * (len(drawn) // 3), title)
    power, ratio = figure.subplots(1, 2)
    first = next(iter(drawn.values()))
    at = np.arange(first.real.size)
    power.plot(at, first.real, color=INK, linewidth=4.5, alpha=0.35, label="real", gid="real")
    ratio.bar(
        at, 2 * first.floor, bottom=-first.floor, width=0.9, color=GUIDE, alpha=0.25, zorder=1,
        gid="floor",
    )  # fmt: skip
    ratio.axhline(0, color=INK, linewidth=1.0, zorder=2)
    shifts = np.linspace(-_SPREAD, _SPREAD, len(drawn)) if len(drawn) > 1 else np.zeros(1)
    for i, ((name, bands), shift) in enumerate(zip(drawn.items(), shifts, strict=True)):
        style = muted_style(i) if len(drawn) > 1 else {**learned_style(), "linewidth": 2.0}
        style |= {"zorder": 4, "label": label_of(name)}
        power.plot(at, bands.generated, marker="o", markersize=3.5, **style)
        ratio.errorbar(
            at + shift, bands.decibel, np.nan_to_num(bands.error), fmt="o", markersize=4.5,
            color=style["color"], elinewidth=1.4, capsize=2.5, zorder=4, label=label_of(name),
        )  # fmt: skip
    power.set_yscale("log")
    log_ticks(power.yaxis)
    power.set_title("Mean power of a frequency")
    power.set_ylabel("power (squared units of the samples)")
    ratio.set_title("Generated / real (grey: real against real)")
    ratio.set_ylabel("decibel (0 = exact)")
    for axes in (power, ratio):
        axes.set_xticks(at, ["0", *(f"{f:.2g}" for f in first.frequency[1:])])
        axes.set_xlabel("frequency (cycles per sample or pixel; 0 = the constant)")
        axes.grid(visible=False, axis="x")
    legend_below(figure, *power.get_legend_handles_labels())
    return figure
