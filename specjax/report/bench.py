"""The tables of ``specjax bench``: a row for each method, a column for each number of calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from specjax.bench.bench import FINE, LEARNED, MEASURES, Bench
from specjax.evaluate.error_bars import Estimate
from specjax.files import plain
from specjax.report.evaluate import with_error
from specjax.report.table import Block, Column, Styles, Table, print_blocks
from specjax.report.words import wrote


def bench_json(bench: Bench) -> dict[str, Any]:
    """Give a bench for machines."""
    return {
        "measure": bench.measure,
        "noises": bench.n,
        "source": plain(bench.source),
        "fine": {"frechet": list(bench.fine)},
        "rows": [
            {"method": row.method, "calls": row.calls, "schedule": list(row.schedule),
             "values": plain(row.values), "learning": plain(row.learning)}
            for row in bench.rows
        ],
    }  # fmt: skip


def bench_blocks(bench: Bench, written: Sequence[str] = ()) -> list[Block]:
    """Report the measure that plans were learned by, and the Fréchet distance."""
    lines = [_gain(bench, calls) for calls in bench.calls]
    answers = bench.source.get("answers", {})
    total = sum(answers.values())
    told = [f"{total:,} answers of the denoiser in all, {answers['learning']:,} of them to learn"]
    return [
        _table(bench, bench.measure),
        _table(bench, "frechet"),
        *filter(None, lines),
        *(told if answers else []),
        *wrote(written),
    ]


def print_bench(bench: Bench, written: Sequence[str] = ()) -> None:
    """Print :func:`bench_blocks`."""
    print_blocks(bench_blocks(bench, written))


def _table(bench: Bench, measure: str) -> Table:
    """Make the table of a measure."""
    seeds = len(bench.fine)
    cells: list[list[object]] = []
    for method in bench.methods:
        rows = [bench.row(method, calls) for calls in bench.calls]
        cells.append([method, *(None if row is None else row.estimate(measure) for row in rows)])
    styles: Styles = {}
    for j in range(1, len(bench.calls) + 1):
        known = {i: row[j].value for i, row in enumerate(cells) if isinstance(row[j], Estimate)}
        styles[min(known, key=known.__getitem__), j] = "bold"
    if measure == "frechet":
        styles[len(cells)] = "dim"
        cells.append([FINE, *[Estimate.of(bench.fine)] * len(bench.calls)])
    columns = [Column(f"{calls} calls", _cell, "right") for calls in bench.calls]
    notes = [f"mean and standard error of {seeds} seeds"] if seeds > 1 else []
    return Table(MEASURES[measure], ["method", *columns], cells, notes, styles)


def _cell(cell: Estimate | None) -> str:
    """Write a number above its error: one line would be too wide."""
    if cell is None:
        return "-"
    value, _, error = with_error(cell).partition(" ± ")
    return f"{value}\n± {error}" if error else value


def _gain(bench: Bench, calls: int) -> str:
    """Say how the learned plan stands beside the best rival."""
    learned = bench.row(LEARNED["plan"][0], calls)
    if learned is None:
        return ""
    rival = bench.best_rival(calls)
    ours, theirs = (row.estimate(bench.measure).value for row in (learned, rival))
    along = ", ".join(dict.fromkeys(rival.schedule))
    more = [x for x in bench.calls if bench.best_rival(x).estimate(bench.measure).value <= ours]
    fewest = f"rivals need {more[0]} calls" if more else f"no rival in {bench.calls[-1]} calls"
    return f"{calls} calls: {ours / theirs:.3g} times {rival.method} ({along}); {fewest} for it"
