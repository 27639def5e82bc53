"""The picture of a sweep: loss over cost, and how the schedule follows the spectrum's slope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from specjax.report.figures.style import INK, RC
from specjax.report.figures.sweep_losses import (
    HALO,
    calls_label,
    draw_losses,
    loss_label,
    sampler_style,
)
from specjax.report.figures.sweep_rows import column, distinct, sampler_label, usable
from specjax.report.figures.sweep_selection import Drawn, chosen, count
from specjax.report.figures.sweep_shapes import draw_shapes, room_beside, shapes_of, shortened

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = {1: 1, 2: 2, 3: 3, 4: 2, 5: 3, 6: 3}  # of so many panels
_WIDTHS = {1: 8.0, 2: 9.6, 3: 12.4}  # in inches, by columns
_HEIGHTS = {1: 4.0, 2: 3.3, 3: 2.9}
_SHAPES = 3.4
_LEFT, _RIGHT, _BETWEEN, _BELOW = 0.98, 0.2, 0.72, 0.88


def sweep_figure(table: pa.Table) -> Figure:
    """Draw a sweep.

    Panels: the loss over the calls of the denoiser (S, or about 2 S for Heun), one for each
    spectrum and loss, at most six. Learned schedules are strong, the best heuristic of each
    sampler and S is dashed, and a halo is behind the learned ones on the Pareto front: no other
    is as cheap and better. With several spectra also the learned levels of each of them at the
    middle S, coloured by the exponent of the spectrum's power law. Of several noises a spectrum
    under each of them is one.

    Args:
      table: of a sweep, see :func:`specjax.sweep.sweep`. Of several processes or ends the first
        is drawn, of several seeds the best. Rows without a finite loss are left out.

    Returns:
      A matplotlib figure that belongs to nobody else; see :func:`save_figure`.

    Raises:
      ValueError: if no row has a finite loss.
    """
    import matplotlib
    from matplotlib.figure import Figure

    drawn = chosen(usable(table))
    with matplotlib.rc_context(RC):
        places = _places(drawn)
        figure = Figure(figsize=(places.width, places.height))
        for (name, loss), place in zip(drawn.cells, places.losses, strict=True):
            axes = _axes(figure, place)
            draw_losses(axes, drawn, name, loss)
            if place.labelled_left:
                axes.set_ylabel(loss_label(loss))
            if place.labelled_below:
                axes.set_xlabel(calls_label(drawn))
        if places.shapes:
            draw_shapes(figure, _axes(figure, places.shapes), shapes_of(drawn))
        _words(figure, drawn, table.num_rows)
        _draw_legend(figure, drawn, 1 - _under_title(drawn) / places.height)
    return figure


class _Place(NamedTuple):
    """A panel, in inches from the lower left."""

    left: float
    bottom: float
    width: float
    height: float
    labelled_left: bool = True
    labelled_below: bool = True


class _Places(NamedTuple):
    """The figure and its panels: inches, since a layout engine's last digits differ each time."""

    width: float
    height: float
    losses: list[_Place]
    shapes: _Place | None


def _places(drawn: Drawn) -> _Places:
    cells = len(drawn.cells)
    aligned = len(drawn.losses) > 1 and len(drawn.shown) > 1  # a row a loss
    across = len(drawn.shown) if aligned else _COLUMNS[cells]
    down = -(-cells // across)
    labelled = len(drawn.losses) > 1 and not aligned
    width, panel = _WIDTHS[across], _HEIGHTS[across]
    between = _LEFT if labelled else _BETWEEN
    each = (width - _LEFT - _RIGHT - between * (across - 1)) / across
    entries = _legend_entries(drawn)
    rows = -(-len(entries) // _legend_columns(entries, width))
    foot = 0.62 + 0.2 * bool(drawn.footnote)
    shapes = None
    bottom = foot
    if len(drawn.exponents) > 1:
        shapes = _Place(_LEFT, foot, width - _LEFT - room_beside(drawn.exponents), _SHAPES)
        bottom += _SHAPES + _BELOW
    top = bottom + down * (panel + _BELOW) - _BELOW
    losses = [
        _Place(
            _LEFT + i % across * (each + between), top - panel - i // across * (panel + _BELOW),
            each, panel, i % across == 0 or labelled, i + across >= cells,
        )
        for i in range(cells)
    ]  # fmt: skip
    return _Places(width, top + 0.42 + 0.22 * rows + _under_title(drawn), losses, shapes)


def _under_title(drawn: Drawn) -> float:
    """Inches from the upper edge to the legend."""
    return 0.56 + 0.2 * len(drawn.notes)


def _axes(figure: Figure, place: _Place) -> Axes:
    width, height = figure.get_size_inches()
    left, bottom, across, up = place[:4]
    return figure.add_axes((left / width, bottom / height, across / width, up / height))


def _legend_entries(drawn: Drawn) -> list[tuple[Any, str]]:
    from matplotlib.lines import Line2D

    bold: dict[str, Any] = {"linewidth": 2.3, "markersize": 5, "markeredgecolor": "white"}
    entries: list[tuple[Any, str]] = [
        (Line2D([], [], **bold, **sampler_style(drawn, one)), sampler_label(*one))
        for one in drawn.samplers
    ]
    dashed = Line2D([], [], color=INK, linewidth=1.1, linestyle=(0, (4, 2)))
    entries.append((dashed, "best heuristic"))
    if len(drawn.samplers) > 1:
        entries.append((Line2D([], [], **HALO), "on the Pareto front"))
    return entries


def _legend_columns(entries: list[tuple[Any, str]], width: float) -> int:
    """All in a row if they fit, by the width of a letter and of a key in inches."""
    each = [0.75 + 0.077 * len(label) for _, label in entries]
    if sum(each) <= width:
        return len(entries)
    return max(1, int(width / max(each)))


def _draw_legend(figure: Figure, drawn: Drawn, top: float) -> None:
    entries, width = _legend_entries(drawn), figure.get_figwidth()
    figure.legend(
        [key for key, _ in entries], [label for _, label in entries], loc="upper left",
        bbox_to_anchor=(0.02, top), ncols=_legend_columns(entries, width),
        borderaxespad=0, borderpad=0, handlelength=2.4, columnspacing=2.0,
    )  # fmt: skip


def _words(figure: Figure, drawn: Drawn, fits: int) -> None:
    height = figure.get_figheight()
    steps = column(drawn.rows, "steps")
    samplers = [sampler_label(*one) for one in drawn.samplers]
    counts = [
        *(shortened(words, 40) for words in drawn.data),
        f"{len(samplers)} samplers" if len(samplers) > 1 else samplers[0],
        f"S = {steps.min()}" + (f" to {steps.max()}" if steps.max() > steps.min() else ""),
        count(fits, "fit"),
        *(name for (name,) in distinct(drawn.rows, "process") if name != "vp"),
    ]
    style: dict[str, Any] = {"fontsize": 9.5, "color": INK}
    figure.text(
        0.02, 1 - 0.36 / height, f"Sweep: {', '.join(counts)}", fontsize=14, fontweight="bold",
        color=INK, gid="title",
    )  # fmt: skip
    for i, note in enumerate(drawn.notes):
        figure.text(0.02, 1 - (0.58 + 0.2 * i) / height, note, gid="note", **style)
    figure.text(0.02, 0.1 / height, drawn.footnote, gid="foot", **style)
