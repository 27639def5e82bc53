"""The table of ``specjax evaluate``."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from specjax.evaluate import Estimate, Evaluation
from specjax.evaluate.measures import higher_is_better
from specjax.report.table import Block, Column, Styles, Table, print_blocks
from specjax.report.words import percent, wrote

FLOOR = "real against real"


def evaluation_blocks(
    rows: Sequence[Evaluation], data: str = "the data", written: Sequence[str] = ()
) -> list[Block]:
    """Report a row for each schedule and one for the floor, with a column for each measure."""
    first, measures = rows[0], list(rows[0].titles)
    columns = [
        Column(f"{first.titles[name]} {'↑' if higher_is_better(name) else '↓'}", _cell_text,
               "right")
        for name in measures
    ]  # fmt: skip
    cells: list[list[object]] = [
        [row.name, *((row.values[name], _over_floor(row, name)) for name in measures)]
        for row in rows
    ]
    cells.append([FLOOR, *((first.floor[name], math.nan) for name in measures)])
    best: Styles = {(_best(rows, name), j): "bold" for j, name in enumerate(measures, 1)}
    table = Table(
        f"{first.n:,} samples against {first.n:,} of {data}",
        ["samples", *columns],
        cells,
        [*_explanations(rows), *wrote(written)],
        {len(rows): "dim", **best},
    )
    return [table]


def print_evaluations(rows: Sequence[Evaluation], data: str, written: Sequence[str]) -> None:
    """Print :func:`evaluation_blocks`."""
    print_blocks(evaluation_blocks(rows, data, written))


def with_error(one: Estimate) -> str:
    """Write a number to the two leading digits of its error.

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


def _cell_text(cell: tuple[Estimate, float]) -> str:
    """Write a number above its error, and over the floor: one line would be too wide."""
    estimate, over_floor = cell
    value, _, error = with_error(estimate).partition(" ± ")
    lines = [value, f"± {error}" if error else "", _times(over_floor)]
    return "\n".join(filter(None, lines))


def _times(over_floor: float) -> str:
    return "" if math.isnan(over_floor) else f"{over_floor:.3g} x"


def _best(rows: Sequence[Evaluation], measure: str) -> int:
    """Number the best of several rows by a measure; -1 where there is none."""
    values = {i: row.values[measure].value for i, row in enumerate(rows)}
    known = [i for i, value in values.items() if math.isfinite(value)]
    if len(rows) == 1 or not known:
        return -1
    sign = -1 if higher_is_better(measure) else 1
    return min(known, key=lambda i: sign * values[i])


def _over_floor(row: Evaluation, measure: str) -> float:
    """Divide a distance by its floor; NaN where that says nothing."""
    ratio = row.over_floor(measure)
    return math.nan if higher_is_better(measure) or not math.isfinite(ratio) else ratio


def _explanations(rows: Sequence[Evaluation]) -> list[str]:
    """Say what the numbers are."""
    first = rows[0]
    squared = [title for name, title in first.titles.items() if _is_squared(name)]
    lines = [
        f"±: standard error over {first.error}; for the floor, over {first.splits} random splits "
        f"of the data; n = {first.n:,} on either side",
        f"compared: {first.space}" + (f"; {' and '.join(squared)} squared" if squared else ""),
    ]
    if first.variance and "frechet" in first.titles:
        shares = (f"{row.name} {percent(row.values['frechet'].value / first.variance)}"
                  for row in rows if math.isfinite(row.values["frechet"].value))  # fmt: skip
        lines.append(
            f"{first.titles['frechet']} as a share of the data's variance, {first.variance:.4g}: "
            + ", ".join(shares)
        )
    if any(_times(_over_floor(row, name)) for row in rows for name in first.titles):
        lines.append(
            f"x: times the floor ({FLOOR}), which is not 0 at finite n; new data would have 1 x"
        )
    if first.bands is not None and len(rows) == 1 and np.isfinite(first.bands.decibel).all():
        bands = zip(first.bands.frequency, first.bands.decibel, first.bands.error, strict=True)
        words = (f"{f:.3g}: {dB:+.2f} ± {error:.2f}" for f, dB, error in bands)
        lines.append("dB per band of cycles per sample: " + ", ".join(words))
    return lines


def _is_squared(measure: str) -> bool:
    return measure in ("sliced", "fid") or measure.endswith("frechet")
