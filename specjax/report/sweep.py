"""The tables and the JSON of ``specjax sweep``."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from specjax.files import plain
from specjax.gaussian.losses import LOSSES
from specjax.report.sweep_rows import column, distinct, noise_columns, row_label, usable, where
from specjax.report.table import Column, Table, report_console
from specjax.report.words import count, spread, wrote

if TYPE_CHECKING:
    import pyarrow as pa

    from specjax.sweep.run import SweepResult

_MOST_COLUMNS = 8
_AXES = {
    "spectra": ("spectrum", "spectra"), "steps": ("S", "S"), "samplers": ("sampler", "samplers"),
    "losses": ("loss", "losses"), "processes": ("process", "processes"),
    "alpha_bar_ranges": ("range", "ranges"), "seeds": ("seed", "seeds"),
    "noises": ("noise", "noises"),
}  # fmt: skip
"""The axes of a sweep in words, one and several."""


class _Cell(NamedTuple):
    """The fits of a sampler at an S, over the spectra (and processes, and ends).

    Attributes:
      fits: how many. loss: the median of the learned loss. ratio: of the best heuristic's loss
        over the learned one, the median; NaN where there is none.
    """

    fits: int
    loss: float
    ratio: float


def print_sweep(result: SweepResult, written: Sequence[str] = ()) -> None:
    """Print the tables of ``specjax sweep``: what learning is worth, by sampler and steps.

    A cell is the loss of the best heuristic (of the schedule families, each S its own) over the
    learned one, as the median over spectra; with one spectrum, the learned loss is above it.
    """
    console = report_console()
    console.print(_title(result))
    console.print(_outcome(result))
    for error, number in _errors(result.table).items():
        console.print(f"  {number:,} failed: {error}", style="red")
    if np.isfinite(column(result.table, "value")).any():
        rows = usable(result.table)
        for (loss,) in distinct(rows, "loss"):
            _loss_table(where(rows, loss=loss), loss).print(console)
    else:
        console.print("no fit has a finite loss: there is nothing to compare")
    for line in wrote(_files(result, written)):
        console.print(line)


def sweep_json(result: SweepResult, written: Sequence[str] = ()) -> dict[str, Any]:
    """Give counts, errors and the cells of all S for machines; the fits are in the Parquet."""
    table, losses = result.table, []
    if np.isfinite(column(table, "value")).any():
        rows = usable(table)
        losses = [
            {"loss": loss, "samplers": _cells_json(where(rows, loss=loss))}
            for (loss,) in distinct(rows, "loss")
        ]
    return {
        "axes": _axis_lengths(result),
        "counts": {**_counts(table), "made_now": result.fits},
        "errors": [{"error": error, "fits": n} for error, n in _errors(table).items()],
        "losses": losses,
        "folder": None if result.folder is None else str(result.folder),
        "files": _files(result, written),
    }


def _files(result: SweepResult, written: Sequence[str]) -> list[str]:
    folder = [] if result.folder is None else [str(result.folder / "table")]
    return folder + list(written)


def _axis_lengths(result: SweepResult) -> dict[str, int]:
    names = [name for name in _AXES if name != "noises" or result.sweep.has_noise]
    return {name: len(getattr(result.sweep, name)) for name in names}


def _title(result: SweepResult) -> str:
    """Write ``sweep: 7 spectra x 3 S x 2 samplers x 1 loss``, and other axes of several values."""
    words = [
        count(length, *_AXES[name])
        for name, length in _axis_lengths(result).items()
        if length > 1 or name in ("spectra", "steps", "samplers", "losses")
    ]
    return f"sweep: {' x '.join(words)}"


def _counts(table: pa.Table) -> dict[str, int]:
    known = np.isfinite(column(table, "value"))
    converged = known & column(table, "converged").astype(bool)
    failed = sum(_errors(table).values())
    return {
        "fits": table.num_rows,
        "converged": int(converged.sum()),
        "not_converged": int((known & ~converged).sum()),
        "not_finite": int((~known).sum()) - failed,
        "failed": failed,
    }


def _outcome(result: SweepResult) -> str:
    counts = _counts(result.table)
    words = [f"{counts['fits']:,} fits"]
    if result.fits < counts["fits"]:
        words[0] += f" ({result.fits:,} made now, the others kept from before)"
    words.append(f"{counts['converged']:,} converged")
    for name in ("not_converged", "not_finite", "failed"):
        if counts[name]:
            words.append(f"{counts[name]:,} {name.replace('_', ' ')}")
    return ", ".join(words)


def _errors(table: pa.Table) -> dict[str, int]:
    """Count the rows with each error, the most frequent first."""
    return dict(Counter(x for x in table.column("error").to_pylist() if x).most_common())


def _cells(rows: pa.Table) -> dict[tuple[str, ...], dict[int, _Cell]]:
    """Summarise fits by sampler (and noise, where the sweep has noises) and steps."""
    cells: dict[tuple[str, ...], dict[int, _Cell]] = {}
    names = ["sampler", "sampler_options", *noise_columns(rows)]
    for key in distinct(rows, *names):
        own = where(rows, **dict(zip(names, key, strict=True)))
        steps, loss, heuristic = (column(own, x) for x in ("steps", "value", "family_value"))
        ratio = np.where(loss > 0, heuristic / np.where(loss > 0, loss, 1), np.nan)
        cells[key] = {}
        for s in np.unique(steps):
            known = ratio[(steps == s) & np.isfinite(ratio)]
            cells[key][int(s)] = _Cell(
                fits=int((steps == s).sum()),
                loss=float(np.median(loss[steps == s])),
                ratio=float(np.median(known)) if known.size else math.nan,
            )
    return cells


def _loss_table(rows: pa.Table, loss: str) -> Table:
    spectra = distinct(rows, "spectrum")
    one = len(distinct(rows, "spectrum", "process", "alpha_bar_noisy", "alpha_bar_clean")) == 1
    what = "best heuristic / learned"
    what = f"learned loss, and under it {what}" if one else f"{what}, median over {_over(rows)}"
    name = f"{spectra[0][0]}, " if len(spectra) == 1 else ""
    steps = sorted(s for (s,) in distinct(rows, "steps"))
    shown = [steps[i] for i in spread(len(steps), _MOST_COLUMNS)]
    notes = [_winners(rows)]
    if len(shown) < len(steps):
        notes.append(f"{len(shown)} of {len(steps)} S shown")
    return Table(
        f"{name}{loss}: {LOSSES[loss].summary}; {what}",
        [
            " and ".join(["sampler", *noise_columns(rows)[:1]]),
            *(Column(f"S = {s}", _loss_and_ratio if one else _ratio, "right") for s in shown),
        ],
        [[row_label(*key), *(row.get(s) for s in shown)] for key, row in _cells(rows).items()],
        notes,
    )


def _over(rows: pa.Table) -> str:
    """Say what a median is over."""
    counts = {
        "spectra": len(distinct(rows, "spectrum")),
        "processes": len(distinct(rows, "process")),
        "ranges": len(distinct(rows, "alpha_bar_noisy", "alpha_bar_clean")),
    }
    return " x ".join(f"{number:,} {name}" for name, number in counts.items() if number > 1)


def _ratio(cell: _Cell | None) -> str:
    if cell is None or math.isnan(cell.ratio):
        return "-"
    digits = f"{cell.ratio:,.0f}" if 100 <= cell.ratio < 1e5 else f"{cell.ratio:#.3g}"
    return f"{digits}x"


def _loss_and_ratio(cell: _Cell | None) -> str:
    return "-" if cell is None else f"{cell.loss:.3g}\n{_ratio(cell)}"


def _winners(rows: pa.Table) -> str:
    """Write ``best heuristic: cosine in 60 %, sigmoid in 30 %``."""
    best = column(rows, "family")[np.isfinite(column(rows, "family_value"))]
    words = [
        f"{name} in {100 * number / best.size:.0f} %"
        for name, number in Counter(best.tolist()).most_common(3)
    ]
    return f"best heuristic: {', '.join(words)}" if words else "no heuristic has a finite loss"


def _cells_json(rows: pa.Table) -> list[dict[str, Any]]:
    return [
        {
            "sampler": sampler,
            "sampler_options": json.loads(options),
            **({"noise": noise[0], "noise_parameters": json.loads(noise[1])} if noise else {}),
            "steps": [
                {
                    "steps": steps,
                    "fits": cell.fits,
                    "median_loss": plain(cell.loss),
                    "median_best_heuristic_over_learned": plain(cell.ratio),
                }
                for steps, cell in row.items()
            ],
        }
        for (sampler, options, *noise), row in _cells(rows).items()
    ]
