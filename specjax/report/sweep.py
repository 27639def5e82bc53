"""Tables and JSON of sweeps, for the command line."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from specjax.files import plain
from specjax.gaussian.losses import LOSSES
from specjax.report.figures.sweep_rows import (
    column,
    distinct,
    names_of,
    row_label,
    spread,
    usable,
    where,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from specjax.sweep.run import SweepResult

_MOST_COLUMNS = 8
_MOST_WIDE_COLUMNS = 6  # with two numbers in a cell


class _Cell(NamedTuple):
    """A sampler at an S, over the spectra (and processes, and ends).

    Attributes:
      fits: how many. loss: the median of the learned loss. ratio: of the best heuristic's loss
        over the learned one, the median; NaN where there is none.
    """

    fits: int
    loss: float
    ratio: float


def print_sweep(result: SweepResult, written: Sequence[str] = ()) -> None:
    """The tables of ``specjax sweep``: what learning is worth, by sampler and steps.

    A cell is the loss of the best heuristic (of the schedule families, each S of its own) over the
    learned one, as the median over spectra; with one spectrum, the learned loss is above it.
    """
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(_title(result))
    console.print(_counts(result.table, result.fits))
    for error, count in _errors(result.table).items():
        console.print(f"  {count:,} failed: {error}", style="red")
    if np.isfinite(column(result.table, "value")).any():
        best = usable(result.table).table
        for (loss,) in distinct(best, "loss"):
            console.print(_loss_table(where(best, loss=loss), loss))
    else:
        console.print("no fit has a finite loss: there is nothing to compare")
    files = _files(result, written)
    if files:
        console.print("wrote " + ", ".join(files))


def _files(result: SweepResult, written: Sequence[str]) -> list[str]:
    folder = [] if result.folder is None else [str(result.folder / "results.parquet")]
    return folder + list(written)


def _axes(result: SweepResult) -> dict[str, int]:
    sweep = result.sweep
    return {
        "spectra": len(sweep.spectra),
        "steps": len(sweep.steps),
        "samplers": len(sweep.samplers),
        "losses": len(sweep.losses),
        "processes": len(sweep.processes),
        "alpha_bar_ranges": len(sweep.alpha_bar_ranges),
        "seeds": len(sweep.seeds),
        **({"noises": len(sweep.noises)} if sweep.has_noise else {}),
    }


_ONE = {"spectra": "spectrum", "steps": "S", "losses": "loss", "processes": "process",
        "alpha_bar_ranges": "range"}  # fmt: skip
_SEVERAL = {"steps": "S", "alpha_bar_ranges": "ranges"}


def _title(result: SweepResult) -> str:
    """``sweep: 7 spectra x 3 S x 2 samplers x 1 loss``; the other axes where they are one."""
    said = []
    for name, count in _axes(result).items():
        if count > 1 or name in ("spectra", "steps", "samplers", "losses"):
            one = _ONE.get(name, name[:-1])
            said.append(f"{count:,} {one if count == 1 else _SEVERAL.get(name, name)}")
    return f"sweep: {' x '.join(said)}"


def _numbers(table: pa.Table) -> dict[str, int]:
    finite = np.isfinite(column(table, "value"))
    converged = finite & column(table, "converged").astype(bool)
    return {
        "fits": table.num_rows,
        "converged": int(converged.sum()),
        "not_converged": int((finite & ~converged).sum()),
        "not_finite": int((~finite).sum()) - sum(_errors(table).values()),
        "failed": sum(_errors(table).values()),
    }


def _counts(table: pa.Table, made: int) -> str:
    found = _numbers(table)
    words = [f"{found['fits']:,} fits"]
    if made < found["fits"]:
        words[0] += f" ({made:,} made now, the others were there)"
    words.append(f"{found['converged']:,} converged")
    for name in ("not_converged", "not_finite", "failed"):
        if found[name]:
            words.append(f"{found[name]:,} {name.replace('_', ' ')}")
    return ", ".join(words)


def _errors(table: pa.Table) -> dict[str, int]:
    """Distinct errors and how many rows have each, the most frequent first."""
    found = Counter(x for x in table.column("error").to_pylist() if x is not None)
    return dict(found.most_common())


def _cells(rows: pa.Table) -> dict[tuple[str, ...], dict[int, _Cell]]:
    """By sampler (and noise, where the sweep has that) and steps."""
    found: dict[tuple[str, ...], dict[int, _Cell]] = {}
    names = names_of(rows, ("sampler", "sampler_options"))
    for key in distinct(rows, *names):
        own = where(rows, **dict(zip(names, key, strict=True)))
        steps, loss, best = (column(own, x) for x in ("steps", "value", "family_value"))
        ratio = np.where(loss > 0, best / np.where(loss > 0, loss, 1), np.nan)
        row = found[key] = {}
        for s in np.unique(steps):
            known = ratio[(steps == s) & np.isfinite(ratio)]
            row[int(s)] = _Cell(
                fits=int((steps == s).sum()),
                loss=float(np.median(loss[steps == s])),
                ratio=float(np.median(known)) if known.size else math.nan,
            )
    return found


def _loss_table(rows: pa.Table, loss: str) -> Table:
    spectra = [name for (name,) in distinct(rows, "spectrum")]
    one = len(distinct(rows, "spectrum", "process", "alpha_bar_noisy", "alpha_bar_clean")) == 1
    over = "best heuristic / learned"
    what = f"learned loss, and under it {over}" if one else f"{over}, median over {_over(rows)}"
    name = f"{spectra[0]}, " if len(spectra) == 1 else ""
    title = f"{name}{loss}: {LOSSES[loss].summary}; {what}"
    table = Table(title=title, title_justify="left")
    axes = names_of(rows, ("sampler",))[:2]
    table.add_column(" and ".join(axes), no_wrap=len(axes) == 1)
    every = sorted({s for (s,) in distinct(rows, "steps")})
    shown = [every[i] for i in spread(len(every), _MOST_WIDE_COLUMNS if one else _MOST_COLUMNS)]
    for s in shown:
        table.add_column(f"S = {s}", justify="right", no_wrap=True)
    for key, row in _cells(rows).items():
        table.add_row(row_label(*key), *(_cell_text(row.get(s), one) for s in shown))
    table.caption = _winners(rows) + _left_out(every, shown)
    table.caption_justify = "left"
    return table


def _over(rows: pa.Table) -> str:
    """What a median is over."""
    names = {"spectrum": "spectra", "process": "processes", "alpha_bar_clean": "ranges"}
    counts = {several: len(distinct(rows, name)) for name, several in names.items()}
    counts["ranges"] = len(distinct(rows, "alpha_bar_noisy", "alpha_bar_clean"))
    return " x ".join(f"{count:,} {name}" for name, count in counts.items() if count > 1)


def _cell_text(cell: _Cell | None, one: bool) -> str:
    if cell is None:
        return "-"
    ratio = "-" if math.isnan(cell.ratio) else f"{_three_digits(cell.ratio)}x"
    return f"{cell.loss:.3g}\n{ratio}" if one else ratio


def _three_digits(ratio: float) -> str:
    return f"{ratio:,.0f}" if 100 <= ratio < 1e5 else f"{ratio:#.3g}"


def _winners(rows: pa.Table) -> str:
    """``best heuristic: cosine in 60 %, sigmoid in 30 %``."""
    known = column(rows, "family")[np.isfinite(column(rows, "family_value"))]
    counted = Counter(known.tolist()).most_common(3)
    said = [f"{name} in {100 * count / known.size:.0f} %" for name, count in counted]
    return f"best heuristic: {', '.join(said)}" if said else "no heuristic has a finite loss"


def _left_out(every: list[int], shown: list[int]) -> str:
    return f"; {len(shown)} of {len(every)} S shown" if len(shown) < len(every) else ""


def sweep_json(result: SweepResult, written: Sequence[str] = ()) -> dict[str, Any]:
    """A sweep for machines: counts, errors and the cells of all S; the fits are in the Parquet."""
    table, losses = result.table, []
    if np.isfinite(column(table, "value")).any():
        best = usable(table).table
        losses = [
            {"loss": loss, "samplers": _cells_json(where(best, loss=loss))}
            for (loss,) in distinct(best, "loss")
        ]
    return {
        "axes": _axes(result),
        "counts": {**_numbers(table), "made_now": result.fits},
        "errors": [{"error": error, "fits": n} for error, n in _errors(table).items()],
        "losses": losses,
        "folder": None if result.folder is None else str(result.folder),
        "files": _files(result, written),
    }


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
