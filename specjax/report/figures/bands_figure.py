"""The picture of an evaluation: power per band of frequencies, generated and real."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from specjax.evaluate import Bands, Evaluation
from specjax.report.figures.style import GUIDE, INK, RC, learned_style, muted_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SPREAD = 0.32  # of the width of a band, over which the schedules' points are spread


def bands_figure(rows: Sequence[Evaluation], *, data: str = "data") -> Figure:
    """Draw the power per band of several schedules beside that of the data.

    Panels: power per band on a logarithmic scale; generated over real in decibel with its error
    bars, and grey around zero what real against real makes of the same n. Bands are evenly spaced,
    the constant (frequency 0) first. A single row has the strong colour.

    Args:
      rows: evaluations with the spectrum, against the same data; those without finite numbers are
        left out. data: what the data are called.

    Returns:
      A matplotlib figure that belongs to nobody else; see :func:`save_figure`.

    Raises:
      ValueError: if no row has the spectrum.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    drawn = [
        (row.name, row.bands) for row in rows
        if row.bands is not None and np.isfinite(row.bands.decibel).all()
    ]  # fmt: skip
    if not drawn:
        raise ValueError("no row has the power per band: measure the spectrum, of finite samples")
    with matplotlib.rc_context(RC):
        layout = ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.1, wspace=0.03)
        figure = Figure(figsize=(11.0, 4.9 + 0.2 * (len(drawn) // 3)), layout=layout)
        power, ratio = figure.subplots(1, 2)
        _draw_power(power, drawn)
        _draw_ratio(ratio, drawn)
        figure.suptitle(
            f"{data}: power per band of frequencies, {rows[0].n:,} samples against {rows[0].n:,}",
            fontsize=14, fontweight="bold", color=INK, x=0.02, ha="left",
        )  # fmt: skip
        handles, names = power.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=min(4, len(names)),
                      handlelength=3.2)  # fmt: skip
    return figure


def _styles(drawn: Sequence[tuple[str, Bands]]) -> list[dict[str, Any]]:
    if len(drawn) == 1:
        return [{**learned_style(), "linewidth": 2.0}]
    return [{**muted_style(i), "zorder": 4} for i in range(len(drawn))]


def _draw_power(axes: Axes, drawn: Sequence[tuple[str, Bands]]) -> None:
    real = drawn[0][1].real
    at = np.arange(real.size)
    axes.plot(at, real, color=INK, linewidth=4.5, alpha=0.35, label="real", zorder=2, gid="real")
    for (name, bands), style in zip(drawn, _styles(drawn), strict=True):
        axes.plot(at, bands.generated, marker="o", markersize=3.5, label=name, **style)
    axes.set_yscale("log")
    axes.set_title("Mean power of a frequency")
    axes.set_ylabel("power (squared units of the samples)")
    _band_axis(axes, drawn[0][1].frequency)


def _draw_ratio(axes: Axes, drawn: Sequence[tuple[str, Bands]]) -> None:
    floor = drawn[0][1].floor
    at = np.arange(floor.size)
    axes.bar(
        at, 2 * floor, bottom=-floor, width=0.9, color=GUIDE, alpha=0.25, zorder=1, gid="floor"
    )
    axes.axhline(0, color=INK, linewidth=1.0, zorder=2)
    shifts = np.linspace(-_SPREAD, _SPREAD, len(drawn)) if len(drawn) > 1 else np.zeros(1)
    for (name, bands), style, shift in zip(drawn, _styles(drawn), shifts, strict=True):
        colour = style["color"]
        axes.errorbar(
            at + shift, bands.decibel, np.nan_to_num(bands.error), fmt="o", markersize=4.5,
            color=colour, ecolor=colour, elinewidth=1.4, capsize=2.5, zorder=4, label=name,
        )  # fmt: skip
    axes.set_title("Generated / real (grey: real against real)")
    axes.set_ylabel("decibel (0 = exact)")
    _band_axis(axes, drawn[0][1].frequency)


def _band_axis(axes: Axes, frequency: np.ndarray) -> None:
    axes.set_xticks(range(frequency.size), ["0", *(f"{f:.2g}" for f in frequency[1:])])
    axes.set_xlabel("frequency (cycles per sample or pixel; 0 = the constant)")
    axes.grid(visible=False, axis="x")
