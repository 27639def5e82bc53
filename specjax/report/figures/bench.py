"""The figure of a bench: what each method reaches over the number of calls, and samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from specjax._core import checks
from specjax.bench.bench import FINE, FLOOR, LEARNED_NAMES, Bench
from specjax.bench.measures import MEASURES
from specjax.report.figures import panels
from specjax.report.figures.samples import as_pictures
from specjax.report.figures.style import GUIDE, STRONG, learned_style, muted_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _PANELS = 11.0, 4.6  # inches
_SHOWN = (3, 5, 8)  # the numbers of calls whose samples are drawn, where there are such
_COLUMNS, _MARGIN = 12, 1.6  # samples of a method, and inches for its name


@panels.styled
def bench_figure(bench: Bench, *, shown: int | Sequence[int] | None = None) -> Figure:
    """Draw the bench: its measure and the Fréchet distance over calls, and samples side by side.

    Args:
      bench: what :func:`specjax.bench` returned.
      shown: the numbers of calls whose samples are drawn; by default those nearest 3, 5 and 8.

    Raises:
      UserError: for a number of calls that the bench does not have.
    """
    if shown is None:
        known = np.array(bench.calls)
        shown = sorted({int(known[np.abs(known - x).argmin()]) for x in _SHOWN})
    every = [shown] if isinstance(shown, int) else list(shown)
    for calls in every:
        checks.one_of("shown", str(calls), map(str, bench.calls))
    strips = _strips(bench, every)
    below = 0.3 + len(strips) * (_WIDTH - _MARGIN) / _COLUMNS if strips else 0.0
    title = f"{bench.source.get('name', 'A denoiser')}: learned plans beside their rivals"
    figure = panels.new_figure(_WIDTH, _PANELS + below, title)
    parts: Any = figure.subfigures(2, 1, height_ratios=(_PANELS, below)) if strips else [figure]
    left, right = parts[0].subplots(1, 2)
    for axes, measure in ((left, bench.measure), (right, "frechet")):
        _draw(axes, bench, measure)
    limits = {FINE: (bench.fine, "--"), FLOOR: (bench.floor, ":")}
    for name, (values, dashes) in limits.items():
        level = float(np.mean(values["frechet"]))
        right.axhline(level, color=GUIDE, linewidth=1.2, linestyle=dashes, label=name, zorder=0)
    for axes in (left, right):
        panels.log_ticks(axes.yaxis)
    handles, names = right.get_legend_handles_labels()
    panels.legend_below(parts[0], handles, names, "methods")
    if strips:
        _draw_strips(parts[1], strips)
    return figure


def _strips(bench: Bench, every: Sequence[int]) -> dict[str, np.ndarray]:
    """Return images [n, height, width(, colours)] by what made them, the fine solutions first."""
    known = {calls: bench.samples[calls] for calls in every if bench.samples.get(calls)}
    found = {FINE: next(iter(known.values()))[FINE]} if known else {}
    for calls, samples in known.items():
        found |= {f"{name},\n{calls} calls": x for name, x in samples.items() if name != FINE}
    pictures = {name: as_pictures(x) for name, x in found.items()}
    return {name: x[:_COLUMNS] for name, x in pictures.items() if x is not None and x.ndim > 2}


def _draw_strips(figure: Any, strips: Mapping[str, np.ndarray]) -> None:
    """Draw a row for each method; a column has one noise, in the greys of its fine solution."""
    fine = strips[FINE]
    inner = tuple(range(1, fine.ndim))
    low, high = fine.min(inner, keepdims=True), fine.max(inner, keepdims=True)
    if low.min() > -1.5 and high.max() < 1.5:  # units of a network
        low, high = np.full_like(low, -1), np.full_like(high, 1)
    rows = figure.subplots(len(strips), 1, squeeze=False)[:, 0]
    for axes, (name, x) in zip(rows, strips.items(), strict=True):
        scaled = ((x - low) / np.maximum(high - low, 1e-12)).clip(0, 1)
        pixel = np.pad(
            scaled, ((0, 0), (0, 0), (0, 1), *[(0, 0)] * (x.ndim - 3)), constant_values=1
        )
        axes.imshow(np.concatenate(list(pixel), 1).squeeze(), cmap="gray", vmin=0, vmax=1,
                    interpolation="nearest")  # fmt: skip
        axes.set_axis_off()
        axes.text(-0.01, 0.5, name, ha="right", va="center", transform=axes.transAxes, fontsize=9)


def _draw(axes: Axes, bench: Bench, measure: str) -> None:
    """Draw a line for each method, with its standard errors."""
    rivals = [name for name in bench.methods if name not in LEARNED_NAMES]
    for method in bench.methods:
        found = (bench.row(method, calls) for calls in bench.calls)
        rows = [row for row in found if row is not None]
        estimates = [row.estimate(measure) for row in rows]
        if method in rivals:
            style = muted_style(rivals.index(method))
        else:
            style = learned_style() | {"color": STRONG[LEARNED_NAMES.index(method)]}
        axes.errorbar(
            [row.calls for row in rows], [one.value for one in estimates],
            [np.nan_to_num(one.error) for one in estimates], label=method, capsize=2,
            **panels.dots(style, len(rows), 3),
        )  # fmt: skip
    axes.set(xlabel="calls of the denoiser", yscale="log")
    axes.set_title(MEASURES[measure].replace(" to the fine solutions", ""), fontsize="medium")
    axes.set_xticks(bench.calls, map(str, bench.calls))
    axes.xaxis.minorticks_off()
