"""Tables of evaluations, for the command line."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from specjax.evaluate import Estimate, Evaluation
from specjax.evaluate.measures import higher_is_better

FLOOR = "real against real"

_LOG_WIDTH = 140  # where there is no terminal to be wider than
_WIDTH = 9  # of a column: an error of seven letters


def with_error(one: Estimate) -> str:
    """A number to the two leading digits of its error.

    Example:
      >>> with_error(Estimate(0.123456, 0.0123, ()))
      '0.123 ± 0.012'
    """
    if not math.isfinite(one.value):
        return "-"
    if not math.isfinite(one.error) or one.error <= 0:
        return f"{one.value:.4g}"
    digits = min(max(0, 1 - math.floor(math.log10(one.error))), 12)
    if digits > 6:
        return f"{one.value:.1e} ± {one.error:.1e}"
    return f"{one.value:,.{digits}f} ± {one.error:,.{digits}f}"


def print_evaluations(rows: Sequence[Evaluation], data: str, written: Sequence[str]) -> None:
    """A row for each schedule and one for the floor; a column for each measure."""
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = max(console.width, _LOG_WIDTH)
    first = rows[0]
    title = f"{first.n:,} samples against {first.n:,} of {data}"
    table = Table(
        title=escape(title), title_justify="left", padding=(0, 1, 0, 0), box=box.SIMPLE_HEAD
    )
    table.add_column("samples", overflow="fold")
    for column, title in first.titles.items():
        arrow = "↑" if higher_is_better(column) else "↓"
        width = max(_WIDTH, *map(len, title.split()))
        table.add_column(f"{title} {arrow}", justify="right", min_width=width)
    best = {column: _best(rows, column) for column in first.titles}
    for row in rows:
        cells = [
            _cell(row.values[column], row.name == best[column], _times(row, column))
            for column in first.titles
        ]
        table.add_row(escape(row.name), *cells)
    table.add_section()
    table.add_row(FLOOR, *(_cell(first.floor[column]) for column in first.titles), style="dim")
    console.print(table)
    for line in _remarks(rows):
        console.print(line)
    if written:
        console.print("wrote " + ", ".join(written))


def _best(rows: Sequence[Evaluation], column: str) -> str | None:
    """The row that is brought out, of several."""
    known = [row for row in rows if math.isfinite(row.values[column].value)]
    if len(rows) == 1 or not known:
        return None
    sign = -1 if higher_is_better(column) else 1
    return min(known, key=lambda row: sign * row.values[column].value).name


def _cell(one: Estimate, best: bool = False, times: str = "") -> str:
    """The number above its error: a line of both would be too wide for seven of them."""
    value, _, error = with_error(one).partition(" ± ")
    value = f"[bold]{value}[/bold]" if best else value
    return "\n".join([value, *([f"± {error}"] if error else []), *([times] if times else [])])


def _times(row: Evaluation, column: str) -> str:
    """A distance over its floor; nothing where that is no help."""
    ratio = row.over_floor(column)
    return "" if higher_is_better(column) or not math.isfinite(ratio) else f"{ratio:.3g} x"


def _remarks(rows: Sequence[Evaluation]) -> list[str]:
    """What the numbers are of."""
    first = rows[0]
    squared = [title for column, title in first.titles.items() if _is_squared(column)]
    lines = [
        f"± standard error over {first.error}, of the floor over {first.splits} random splits of "
        f"the data; both of n = {first.n:,} against n",
        f"compared: {first.space}" + (f"; {' and '.join(squared)} squared" if squared else ""),
    ]
    if any(_times(row, column) for row in rows for column in first.titles):
        lines.append(f"x: times {FLOOR}, which is not 0 at finite n; samples of new data have 1 x")
    if first.bands is not None and len(rows) == 1 and np.isfinite(first.bands.decibel).all():
        bands = zip(first.bands.frequency, first.bands.decibel, first.bands.error, strict=True)
        words = (f"{f:.3g}: {dB:+.2f} ± {error:.2f}" for f, dB, error in bands)
        lines.append("dB per band of cycles per sample: " + ", ".join(words))
    return lines


def _is_squared(column: str) -> bool:
    return column in ("sliced", "fid") or column.endswith("frechet")
