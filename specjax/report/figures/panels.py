"""What several figures share: their outline, the panel of noise levels, axes and legends."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from specjax.report.figures.style import INK, RC
from specjax.report.words import shown, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DASHED = (0, (4, 2))
"""The line of the best heuristic, and of what is ideal."""

_Given = ParamSpec("_Given")
_MOST_MARKERS = 40  # dots on a line, as long as they can be told apart


def styled(draw: Callable[_Given, Figure]) -> Callable[_Given, Figure]:
    """Draw in the style of all figures, and restore matplotlib's settings afterwards.

    No text of the figures is a formula (numbers at the axes are), and names in it come from
    outside: they are shown as they are.
    """

    @functools.wraps(draw)
    def in_style(*args: _Given.args, **kwargs: _Given.kwargs) -> Figure:
        import matplotlib

        with matplotlib.rc_context(RC):
            figure = draw(*args, **kwargs)
            _write_powers(figure)
            _show_names(figure)
            return figure

    return in_style


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _write_powers(figure: Figure) -> None:
    """Write powers of ten as text: a formula takes a parser, whose start takes .2 s."""
    from matplotlib.axis import Axis
    from matplotlib.ticker import LogFormatterMathtext

    for axis in figure.findobj(Axis):
        given = axis.get_major_formatter()
        if (
            isinstance(given, LogFormatterMathtext)
            and getattr(axis.get_transform(), "base", 0) == 10
        ):
            axis.set_major_formatter(lambda x, _: power_of_ten(x))


def power_of_ten(x: float) -> str:
    """Write a power of ten with its exponent raised, and any other number plainly.

    Example:
      >>> power_of_ten(0.001), power_of_ten(100.0), power_of_ten(20.0)
      ('10⁻³', '10²', '20')
    """
    exponent = round(math.log10(x))
    if not math.isclose(x, 10.0**exponent, rel_tol=1e-6):
        return f"{x:g}"
    return "10" + str(exponent).translate(_RAISED)


def _show_names(figure: Figure) -> None:
    """Escape control characters, and take no name for a formula, in all but the axes' numbers."""
    from matplotlib.axis import Axis
    from matplotlib.text import Text

    numbers = {
        id(text)
        for axis in figure.findobj(Axis)
        for text in (*axis.get_ticklabels(which="both"), axis.get_offset_text())
    }
    for text in figure.findobj(Text):
        if id(text) not in numbers:
            text.set_parse_math(False)
            text.set_text(shown(text.get_text()))


def label_of(name: str) -> str:
    """Return a name as the label of a line: matplotlib would hide one that begins with ``_``."""
    return f"\N{THIN SPACE}{name}" if name.startswith("_") else name


def new_figure(width: float, height: float, title: str) -> Figure:
    """Open a figure, in inches, whose panels make room for titles, labels and legends."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.1, hspace=0.04, wspace=0.03)
    figure = _figure_class()(figsize=(width, height), layout=layout)
    figure.suptitle(title, fontsize=14, fontweight="bold", color=INK, x=0.02, ha="left")
    return figure


@functools.cache
def _figure_class() -> type[Figure]:
    """Make figures that a notebook shows, also where nobody has imported pyplot."""
    from matplotlib.figure import Figure

    class ShownFigure(Figure):
        def _repr_png_(self) -> bytes:
            content = io.BytesIO()
            self.savefig(content, format="png", dpi=100)
            return content.getvalue()

    return ShownFigure


def draw_levels(axes: Axes, lines: Mapping[str, tuple[np.ndarray, dict[str, Any]]]) -> None:
    """Draw the log-SNR [S + 1] of schedules; a step to no noise is dotted up to the edge.

    Args:
      lines: by name, the levels and the style of the line.
    """
    finite = {name: logsnr[np.isfinite(logsnr)] for name, (logsnr, _) in lines.items()}
    least, most = min(x.min() for x in finite.values()), max(x.max() for x in finite.values())
    room = 0.14 * max(most - least, 10.0)
    axes.set_ylim(least - room / 3, most + room)
    for name, (logsnr, style) in lines.items():
        levels = finite[name]
        axes.plot(range(len(levels)), levels, label=label_of(name), **style)
        if len(levels) < len(logsnr):
            axes.plot(
                [len(levels) - 1, len(levels)], [levels[-1], most + room], color=style["color"],
                linewidth=0.8, linestyle=":", alpha=0.8, zorder=2, gid="jump", label="_jump",
            )  # fmt: skip
    if any(len(finite[name]) < len(logsnr) for name, (logsnr, _) in lines.items()):
        axes.annotate(
            "last step: to ∞ (no noise)", (0.98, 1.0), xycoords="axes fraction",
            ha="right", va="bottom", fontsize=8.5, color=INK,
        )  # fmt: skip
    axes.set_title("Noise levels")
    axes.set_ylabel("logsnr = log(α² / σ²)")
    whole_numbers(axes, "level (noisy → clean)")


def dots(style: Mapping[str, Any], count: int, size: float = 5) -> dict[str, Any]:
    """Add dots to a style while that many of them can be told apart."""
    return {**style, **({"marker": "o", "markersize": size} if count <= _MOST_MARKERS else {})}


def whole_numbers(axes: Axes, label: str) -> None:
    """Label the x axis and give it whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.margins(x=0.03)


def log_ticks(axis: Any, counts: Sequence[int] | np.ndarray | None = None) -> None:
    """Give a logarithmic axis plain round numbers, or powers of ten over three decades or more.

    Args:
      counts: the whole numbers that are drawn, where the axis is one of counts.
    """
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, NullLocator

    low, high = sorted(axis.get_view_interval()) if counts is None else (min(counts), max(counts))
    axis.set_minor_formatter(NullFormatter())
    if counts is not None:
        axis.set_minor_locator(NullLocator())
    elif high >= 1000 * low:
        return
    fine = counts is None and high <= 12 * low
    between = (1, 1.5, 2, 3, 5, 7) if fine else (1, 2, 5) if high < 1000 * low else (1,)
    first = math.floor(math.log10(low))
    ticks = [m * 10.0 ** (first + p) for p in range(8) for m in between]
    ticks = [x for x in ticks if low <= x <= high]
    if counts is not None and len(ticks) < 3:
        every = sorted(set(counts))
        ticks = [float(every[i]) for i in spread(len(every), 4)]
    elif len(ticks) < 2:
        even = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(low, high)
        ticks = [float(x) for x in even if low <= x <= high]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(lambda x, _: f"{x:.6g}")


def legend_below(
    figure: Any, handles: Sequence[Any], names: Sequence[str], title: str | None = None
) -> Any:
    """Put a legend below the panels, in as many columns as its names have room for."""
    room = 15 * figure.get_figure(root=True).get_figwidth()  # in letters
    columns = int(room // (max(map(len, names)) + 12))  # 12: the line beside a name
    return figure.legend(
        handles, names, loc="outside lower center", ncols=max(1, min(columns, len(names), 5)),
        title=title, handlelength=3.2,
    )  # fmt: skip
