"""The tables of ``specjax bench``: a row for each method, a column for each number of calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from specjax.bench.bench import FINE, FLOOR, LEARNED, LEARNED_NAMES, Bench
from specjax.bench.measures import DISTANCES, HIGHER, MEASURES
from specjax.evaluate.error_bars import Estimate
from specjax.files import plain
from specjax.report.evaluate import with_error
from specjax.report.table import Block, Column, Table, print_blocks
from specjax.report.words import wrote


def bench_json(bench: Bench) -> dict[str, Any]:
    """Give a bench for machines."""
    return {
        "measure": bench.measure,
        "noises": bench.n,
        "source": plain(bench.source),
        "fine": plain(bench.fine),
        "floor": plain(bench.floor),
        "rows": [
            {"method": row.method, "calls": row.calls, "schedule": list(row.schedule),
             **{x: plain(getattr(row, x)) for x in ("values", "bands", "learning")}}
            for row in bench.rows
        ],
    }  # fmt: skip


def bench_blocks(bench: Bench, written: Sequence[str] = ()) -> list[Block]:
    """Report the measure that plans were learned by, the Fréchet distance, and the others once."""
    lines = [_gain(bench, calls) for calls in bench.calls]
    answers = bench.source.get("answers", {})
    total = sum(answers.values())
    told = [f"{total:,} answers of the denoiser in all, {answers['learning']:,} of them to learn"]
    return [
        _table(bench, bench.measure),
        _table(bench, "frechet"),
        _others(bench, bench.calls[len(bench.calls) // 2]),
        *filter(None, lines),
        *(told if answers else []),
        *wrote(written),
    ]


def print_bench(bench: Bench, written: Sequence[str] = ()) -> None:
    """Print :func:`bench_blocks`."""
    print_blocks(bench_blocks(bench, written))


def _table(bench: Bench, measure: str) -> Table:
    """Make the table of a measure."""
    seeds = len(bench.fine["frechet"])
    cells: list[list[object]] = []
    for method in bench.methods:
        rows = [bench.row(method, calls) for calls in bench.calls]
        cells.append([method, *(None if row is None else row.estimate(measure) for row in rows)])
    styles = _best(cells, [measure] * len(bench.calls))
    for row in _limits(bench, [measure] * len(bench.calls)):
        styles[len(cells)] = "dim"
        cells.append(row)
    columns = [Column(f"{calls} calls", _cell, "right") for calls in bench.calls]
    notes = [f"mean and standard error of {seeds} seeds"] if seeds > 1 else []
    return Table(MEASURES[measure], ["method", *columns], cells, notes, styles)


def _others(bench: Bench, calls: int) -> Table:
    """Make the table of all measures that have no table of their own, at a number of calls."""
    names = [x for x in bench.measures if x not in DISTANCES and x != "frechet"]
    known = [row for row in bench.rows if row.calls == calls]
    cells: list[list[object]] = [[row.method, *map(row.estimate, names)] for row in known]
    styles = _best(cells, names)
    for row in _limits(bench, names):
        styles[len(cells)] = "dim"
        cells.append(row)
    columns = [Column(name, _cell, "right") for name in names]
    notes = ["more is better of precision and recall, less of all others"]
    return Table(f"{calls} calls, all samples", ["method", *columns], cells, notes, styles)


def _best(cells: list[list[object]], measures: Sequence[str]) -> dict[Any, str]:
    """Mark the best of each column."""
    styles: dict[Any, str] = {}
    for j, measure in enumerate(measures, 1):
        known = {i: x.value for i, row in enumerate(cells) if isinstance(x := row[j], Estimate)}
        best = max if measure in HIGHER else min
        if known:
            styles[best(known, key=known.__getitem__), j] = "bold"
    return styles


def _limits(bench: Bench, measures: Sequence[str]) -> list[list[object]]:
    """Make the rows of the fine solutions and of the floor; distances to the former have none."""
    names = {FINE: bench.fine, f"{FLOOR}: reference against itself": bench.floor}
    return [
        [name, *(Estimate.of(values[x]) for x in measures)]
        for name, values in names.items()
        if not set(measures) & DISTANCES.keys()
    ]


def _cell(cell: Estimate | None) -> str:
    """Write a number above its error: one line would be too wide."""
    if cell is None:
        return "-"
    value, _, error = with_error(cell).partition(" ± ")
    return f"{value}\n± {error}" if error else value


def _gain(bench: Bench, calls: int) -> str:
    """Say how the learned plan stands beside the best rival."""
    learned = bench.row(LEARNED["plan"].name, calls)
    if learned is None or all(row.method in LEARNED_NAMES for row in bench.rows):
        return ""
    rival = bench.best_rival(calls)
    ours, theirs = (row.estimate(bench.measure).value for row in (learned, rival))
    along = ", ".join(dict.fromkeys(rival.schedule))
    more = [x for x in bench.calls if bench.best_rival(x).estimate(bench.measure).value <= ours]
    fewest = f"rivals need {more[0]} calls" if more else f"no rival in {bench.calls[-1]} calls"
    return f"{calls} calls: {ours / theirs:.3g} times {rival.method} ({along}); {fewest} for it"
