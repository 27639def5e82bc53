"""The figure of a sweep: loss over cost, and how the schedule follows the spectrum's slope."""

from __future__ import annotations

import itertools
import math
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from specjax.report.figures import panels
from specjax.report.figures.style import GUIDE, INK, STRONG
from specjax.report.sweep_rows import (
    Sampler,
    Selection,
    column,
    distinct,
    loss_heading,
    pareto_front,
    row_label,
    select,
    where,
)
from specjax.report.words import count, shortened

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMES = 14
"""Spectra whose lines are named."""

_HALO: dict[str, Any] = {"color": "#f6dc9c", "marker": "o", "markersize": 11, "linestyle": "none"}
_MARKERS = "osD^v<>"
_COLUMNS = {1: 1, 2: 2, 3: 3, 4: 2, 5: 3, 6: 3}  # of so many panels
_SIZES = {1: (8.0, 4.6), 2: (9.6, 3.9), 3: (12.4, 3.5)}  # width, and height of a row, by columns
_LEVELS = 4.3  # inches: the height of the panel of levels


@panels.styled
def sweep_figure(table: pa.Table) -> Figure:
    """Draw a sweep.

    Panels: the loss over the calls of the denoiser (S, or about 2 S for Heun), one for each
    spectrum and loss, at most six. Learned schedules are strong, the best heuristic of each
    sampler and S is dashed, and a halo is behind the learned ones on the Pareto front: no other
    is as cheap and better. With several spectra also the learned levels of each of them at the
    middle S, coloured by the exponent of the spectrum's power law. A spectrum under each of several
    noises is one.

    Args:
      table: of a sweep, see :func:`specjax.sweep.sweep`. Of several processes or ends the first
        is drawn, of several seeds the best. Rows without a finite loss are left out.

    Raises:
      UserError: if no row has a finite loss.
    """
    chosen = select(table)
    by_row = len(chosen.losses) > 1 and len(chosen.shown) > 1  # a row of panels for each loss
    cells = [(name, loss) for loss in chosen.losses for name in chosen.shown]
    across = len(chosen.shown) if by_row else _COLUMNS[len(cells)]
    down = -(-len(cells) // across)
    width, height = _SIZES[across]
    levels = _LEVELS * (len(chosen.exponents) > 1)
    height_of_all = 0.9 + down * height + levels + 0.2 * len(chosen.notes)
    figure = panels.new_figure(width, height_of_all, _title(chosen, table.num_rows))
    figure.supxlabel("\n".join(chosen.notes), x=0.02, ha="left", fontsize=9.5, color=INK)
    parts: Any = [figure.subfigures()]
    if levels:
        parts = figure.subfigures(2, 1, height_ratios=(down * height + 0.3, levels))
        _draw_all_levels(parts[1], chosen)
    places = parts[0].subplots(down, across, squeeze=False).ravel()
    for i, (axes, (name, loss)) in enumerate(zip(places, cells, strict=False)):
        _draw_losses(axes, chosen, name, loss)
        axes.set_title(_panel_title(name, chosen.exponents[name], width / across))
        if i % across == 0 or (len(chosen.losses) > 1 and not by_row):
            axes.set_ylabel(textwrap.fill(loss_heading(loss), 34))
        if i + across >= len(cells):
            axes.set_xlabel(_calls_label(chosen))
    for axes in places[len(cells) :]:
        axes.set_axis_off()
    _draw_legend(parts[0], chosen)
    return figure


def _title(chosen: Selection, fits: int) -> str:
    steps = column(chosen.rows, "steps")
    samplers = [row_label(*one) for one in chosen.samplers]
    words = [
        *(shortened(name, 40) for name in chosen.data),
        f"{len(samplers)} samplers" if len(samplers) > 1 else samplers[0],
        f"S = {steps.min()}" + (f" to {steps.max()}" if steps.max() > steps.min() else ""),
        count(fits, "fit"),
        *(name for (name,) in distinct(chosen.rows, "process") if name != "vp"),
    ]
    return f"Sweep: {', '.join(words)}"


def _panel_title(name: str, exponent: float, width: float) -> str:
    """Name the spectrum and its exponent, where the name does not have it, within the panel."""
    letters = int((width - 0.8) / 0.093)
    if math.isnan(exponent) or f"{exponent:.3g}" in name:
        return shortened(name, letters)
    more = f"  (exponent {exponent:.2f})"
    return shortened(name, letters - len(more)) + more


def _calls_label(chosen: Selection) -> str:
    """Label the cost by the steps, where every step is one call."""
    cost, steps = column(chosen.rows, "calls"), column(chosen.rows, "steps")
    if (cost == steps).all():
        return "number of steps S"
    twice = sorted(set(column(chosen.rows, "sampler")[cost > steps]))
    return f"denoiser calls ({', '.join(twice)}: two a step)"


def _draw_losses(axes: Axes, chosen: Selection, name: str, loss: str) -> None:
    """Draw the learned schedules and the best heuristics of all samplers on one spectrum."""
    panel = where(chosen.rows, spectrum=name, loss=loss)
    axes.set_xscale("log")
    axes.set_yscale("log")
    if not (column(panel, "value") > 0).any():
        axes.text(0.5, 0.5, "no loss to draw", transform=axes.transAxes, ha="center", color=GUIDE)
    for sampler in chosen.samplers:
        own = where(panel, sampler=sampler[0], sampler_options=sampler[1]).sort_by("steps")
        if own.num_rows:
            _draw_sampler(axes, own, chosen, sampler)
    if len(chosen.samplers) > 1:
        cost, value = column(panel, "calls"), column(panel, "value")
        cost, value = cost[value > 0], value[value > 0]
        best = pareto_front(cost, value)
        axes.plot(cost[best], value[best], zorder=2, gid="front", label="_front", **_HALO)
    cost = column(chosen.rows, "calls")
    axes.set_xlim(cost.min() / 1.12, cost.max() * 1.12)
    panels.log_ticks(axes.xaxis, cost)
    panels.log_ticks(axes.yaxis)


def _draw_sampler(axes: Axes, own: pa.Table, chosen: Selection, sampler: Sampler) -> None:
    cost, style, label = column(own, "calls"), _sampler_style(chosen, sampler), row_label(*sampler)
    y = column(own, "value")
    wide = len(chosen.samplers) <= len(STRONG)
    axes.plot(
        cost[y > 0], y[y > 0], linewidth=2.3 if wide else 1.6, markersize=4.5, zorder=5,
        label=label, markeredgecolor="white", markeredgewidth=0.6, **style,
    )  # fmt: skip
    y = column(own, "family_value")
    axes.plot(
        cost[y > 0], y[y > 0], linewidth=1.1, linestyle=panels.DASHED, zorder=3, gid="heuristic",
        label=f"_best heuristic, {label}", color=style["color"], markersize=15,
        marker="_" if (y > 0).sum() == 1 else "",
    )  # fmt: skip


def _sampler_style(chosen: Selection, sampler: Sampler) -> dict[str, Any]:
    """Give each sampler a colour; after seven of them other markers, too."""
    index = chosen.samplers.index(sampler)
    marker = _MARKERS[(index + index // len(STRONG)) % len(_MARKERS)]
    return {"color": STRONG[index % len(STRONG)], "marker": marker}


def _draw_legend(figure: Any, chosen: Selection) -> None:
    from matplotlib.lines import Line2D

    bold: dict[str, Any] = {"linewidth": 2.3, "markersize": 5, "markeredgecolor": "white"}
    entries = {
        row_label(*one): Line2D([], [], **bold, **_sampler_style(chosen, one))
        for one in chosen.samplers
    }
    entries["best heuristic"] = Line2D([], [], color=INK, linewidth=1.1, linestyle=panels.DASHED)
    if len(chosen.samplers) > 1:
        entries["on the Pareto front"] = Line2D([], [], **_HALO)
    panels.legend_below(figure, list(entries.values()), list(entries))


def _draw_all_levels(figure: Any, chosen: Selection) -> None:
    """Draw the learned levels of all spectra: first sampler and loss, middle S."""
    sampler, options, loss = distinct(chosen.rows, "sampler", "sampler_options", "loss")[0]
    rows = where(chosen.rows, sampler=sampler, sampler_options=options, loss=loss)
    every_s = np.unique(column(rows, "steps"))
    steps = int(every_s[len(every_s) // 2])
    rows = where(rows, steps=steps)
    names = rows.column("spectrum").to_pylist()
    levels = dict(zip(names, map(np.array, rows.column("logsnr").to_pylist()), strict=True))
    axes = figure.subplots()
    colours = _colours(list(chosen.exponents.values()))
    many = len(chosen.exponents) > MOST_NAMES
    for name, marker in zip(chosen.exponents, itertools.cycle(_MARKERS)):
        if name not in levels:
            continue
        finite = np.isfinite(levels[name])
        exponent = chosen.exponents[name]
        axes.plot(
            np.linspace(0, 1, finite.size)[finite], levels[name][finite],
            label=panels.label_of(name), zorder=4,
            color=colours.to_rgba(exponent) if math.isfinite(exponent) else GUIDE,
            marker="" if many or finite.size > 40 else marker, markersize=5,
            markeredgecolor="white", markeredgewidth=0.6, linewidth=1.1 if many else 2.0,
        )  # fmt: skip
    axes.set_xlim(-0.01, 1.01)
    axes.margins(y=0.08)
    jump = any(np.isinf(y[-1]) for y in levels.values())
    not_drawn = "; the last step, to no noise (∞), is not drawn" if jump else ""
    axes.set_xlabel(f"fraction of the steps (noisy → clean{not_drawn})")
    axes.set_ylabel("logsnr = log(α² / σ²)")
    by = "spectrum and noise" if chosen.data[-1].endswith(" noises") else "spectrum"
    label = row_label(sampler, options)
    axes.set_title(f"Learned levels by {by}: S = {steps}, {label}, {loss}")
    if not many:  # levels rise: there is room on the lower right
        handles, names = axes.get_legend_handles_labels()
        labels = [shortened(name, 24) for name in names]
        axes.legend(handles, labels, loc="lower right", ncols=1 + (len(names) > 7))
    bar = figure.colorbar(colours, ax=axes, aspect=25, pad=0.02, label="exponent of the power law")
    bar.outline.set_visible(False)
    bar.ax.grid(visible=False)


def _colours(exponents: list[float]) -> Any:
    """Map exponents to viridis without its pale end."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    known = [x for x in exponents if math.isfinite(x)] or [0.0, 1.0]
    room = 0.5 * (max(known) - min(known) < 1e-6)
    dark = LinearSegmentedColormap.from_list("dark", colormaps["viridis"](np.linspace(0, 0.84, 64)))
    return ScalarMappable(Normalize(min(known) - room, max(known) + room), dark)
