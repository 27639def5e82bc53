"""A panel of a sweep: the loss of one spectrum over the calls of the denoiser."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from specjax.gaussian.losses import LOSSES
from specjax.report.figures.style import GUIDE, STRONG, log_ticks
from specjax.report.figures.sweep_rows import calls, column, sampler_label, spread, where
from specjax.report.figures.sweep_selection import Drawn, Sampler
from specjax.report.figures.sweep_shapes import shortened

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes

HALO: dict[str, Any] = {"color": "#f6dc9c", "marker": "o", "markersize": 11, "linestyle": "none"}
"""Behind the points of the Pareto front."""

_MARKERS = "osD^v<>"


def draw_losses(axes: Axes, drawn: Drawn, name: str, loss: str) -> None:
    """The learned schedules and the best heuristics of all samplers on one spectrum."""
    panel = where(drawn.rows, spectrum=name, loss=loss)
    axes.set_xscale("log")
    axes.set_yscale("log")
    if not (column(panel, "value") > 0).any():
        axes.text(0.5, 0.5, "no loss to draw", transform=axes.transAxes, ha="center", color=GUIDE)
    for sampler in drawn.samplers:
        own = where(panel, sampler=sampler[0], sampler_options=sampler[1])
        if own.num_rows:
            _draw_sampler(axes, own.sort_by("steps"), drawn, sampler)
    if len(drawn.samplers) > 1:
        _draw_front(axes, panel)
    _call_ticks(axes, calls(drawn.rows))
    log_ticks(axes.yaxis)
    axes.set_title(_panel_title(axes, name, drawn.exponents[name]))


def _draw_sampler(axes: Axes, own: pa.Table, drawn: Drawn, sampler: Sampler) -> None:
    cost, style, label = calls(own), sampler_style(drawn, sampler), sampler_label(*sampler)
    y = column(own, "value")
    axes.plot(
        cost[y > 0], y[y > 0], linewidth=2.3 if len(drawn.samplers) <= len(STRONG) else 1.6,
        markersize=4.5, zorder=5, label=label, markeredgecolor="white", markeredgewidth=0.6,
        **style,
    )  # fmt: skip
    y = column(own, "family_value")
    axes.plot(
        cost[y > 0], y[y > 0], linewidth=1.1, linestyle=(0, (4, 2)), zorder=3, gid="heuristic",
        label=f"_best heuristic, {label}", color=style["color"], markersize=15,
        marker="_" if (y > 0).sum() == 1 else "",
    )  # fmt: skip


def _panel_title(axes: Axes, name: str, exponent: float) -> str:
    """The spectrum with its exponent, where the name does not say that; no wider than the panel."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    letters = int(axes.get_position().width * figure.get_size_inches()[0] / 0.093)
    if math.isnan(exponent) or f"{exponent:.3g}" in name:
        return shortened(name, letters)
    more = f"  (exponent {exponent:.2f})"
    return shortened(name, letters - len(more)) + more


def sampler_style(drawn: Drawn, sampler: Sampler) -> dict[str, Any]:
    """A colour for each sampler; after seven of them other markers, too."""
    index = drawn.samplers.index(sampler)
    marker = _MARKERS[(index + index // len(STRONG)) % len(_MARKERS)]
    return {"color": STRONG[index % len(STRONG)], "marker": marker}


def _draw_front(axes: Axes, panel: pa.Table) -> None:
    cost, value = calls(panel), column(panel, "value")
    cost, value = cost[value > 0], value[value > 0]
    best = front(cost, value)
    axes.plot(cost[best], value[best], zorder=2, gid="front", label="_front", **HALO)


def front(cost: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Indices of the points with no other that is as cheap and better, by rising cost."""
    order = np.lexsort((value, cost))
    least = np.minimum.accumulate(value[order])
    before = np.append(np.inf, least[:-1])[: order.size]
    return order[least < before]


def _call_ticks(axes: Axes, cost: np.ndarray) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    every = np.unique(cost)
    low, high = every[0], every[-1]
    axes.set_xlim(low / 1.12, high * 1.12)
    nice = [m * 10**p for p in range(7) for m in ((1,) if high > 100 * low else (1, 2, 3, 5))]
    inside = [float(x) for x in nice if low <= x <= high]
    if len(inside) < 3:
        inside = [float(every[i]) for i in spread(every.size, 4)]
    axes.xaxis.set_major_locator(FixedLocator(inside))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")


def calls_label(drawn: Drawn) -> str:
    """Steps, where that is all the same."""
    cost, steps = calls(drawn.rows), column(drawn.rows, "steps")
    if (cost == steps).all():
        return "number of steps S"
    twice = {
        name for name, more in zip(column(drawn.rows, "sampler"), cost > steps, strict=True) if more
    }
    return f"denoiser calls ({', '.join(sorted(twice))}: two a step)"


def loss_label(loss: str) -> str:
    """The loss and what it is, in lines that a panel has room for."""
    return textwrap.fill(f"{loss}: {LOSSES[loss].summary}", 34)
