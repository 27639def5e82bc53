"""The tables and the JSON of ``specjax sweep``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from specjax.files import plain
from specjax.report.sweep_rows import (
    column,
    distinct,
    has_finite_loss,
    loss_heading,
    noise_columns,
    row_label,
    usable,
    where,
)
from specjax.report.table import Block, Column, Table, print_blocks
from specjax.report.words import count, spread, wrote

if TYPE_CHECKING:
    import pyarrow as pa

    from specjax.sweep.run import SweepResult

_MOST_COLUMNS = 8
_MOST_NAMES = 3
_MOST_LINES = 8
_MOST_OF_NETWORKS = 10.0
"""A gain over the best heuristic beyond which the error of a denoiser decides."""
_IDEAL = " (ideal denoiser only)"
_CAVEAT = (
    "ideal denoiser only: a network's errors undo most of gains this large; "
    "denoiser_error = 0.1 in the sweep counts them"
)
_AXES = {
    "spectra": ("spectrum", "spectra"), "steps": ("S", "S"), "samplers": ("sampler", "samplers"),
    "losses": ("loss", "losses"), "processes": ("process", "processes"),
    "alpha_bar_ranges": ("range", "ranges"), "seeds": ("seed", "seeds"),
    "noises": ("noise", "noises"),
}  # fmt: skip
"""The axes of a sweep in words, one and several."""


def print_sweep(result: SweepResult, written: Sequence[str] = ()) -> None:
    """Print :func:`sweep_blocks`."""
    print_blocks(sweep_blocks(result, written))


def sweep_blocks(result: SweepResult, written: Sequence[str] = ()) -> list[Block]:
    """Report a sweep, as ``specjax sweep`` does: what learning is worth, by sampler and steps.

    A cell is the loss of the best heuristic (of the schedule families, each S its own) over the
    learned one, as the median over spectra; with one spectrum, the learned loss is above it.
    """
    document = sweep_json(result, written)
    axes = [
        count(length, *_AXES[name])
        for name, length in document["axes"].items()
        if length > 1 or name in ("spectra", "steps", "samplers", "losses")
    ]
    blocks: list[Block] = [f"sweep: {' x '.join(axes)}"]
    counts = document["counts"]
    words = [count(counts["fits"], "fit")]
    if counts["made_now"] < counts["fits"]:
        words[0] += f" ({counts['made_now']:,} made now, the others kept from before)"
    words.append(f"{counts['converged']:,} converged")
    for name in ("not_converged", "not_finite", "failed"):
        if counts[name]:
            words.append(f"{counts[name]:,} {name.replace('_', ' ')}")
    blocks.append(", ".join(words))
    blocks += _unconverged(result.table)
    for row in document["errors"]:
        blocks.append(f"  {row['fits']:,} failed: {row['error']}")
    if document["losses"]:
        rows = usable(result.table)
        blocks += [_loss_table(where(rows, loss=one["loss"]), **one) for one in document["losses"]]
    else:
        blocks.append("no fit has a finite loss: there is nothing to compare")
    return [*blocks, *wrote(document["files"])]


def sweep_json(result: SweepResult, written: Sequence[str] = ()) -> dict[str, Any]:
    """Give counts, errors and the medians of all S for machines; the fits are in the Parquet."""
    table, folder, losses = result.table, result.folder, []
    known = has_finite_loss(table)
    if known.any():
        rows = usable(table)
        losses = [
            {"loss": loss, "samplers": _medians(where(rows, loss=loss))}
            for (loss,) in distinct(rows, "loss")
        ]
    converged = int((known & column(table, "converged").astype(bool)).sum())
    errors = Counter(error for error in table.column("error").to_pylist() if error)
    axes = [name for name in _AXES if name != "noises" or result.sweep.has_noise]
    return {
        "axes": {name: len(getattr(result.sweep, name)) for name in axes},
        "counts": {
            "fits": table.num_rows,
            "converged": converged,
            "not_converged": int(known.sum()) - converged,
            "not_finite": int((~known).sum()) - errors.total(),
            "failed": errors.total(),
            "made_now": result.fits,
        },
        "errors": [{"error": error, "fits": fits} for error, fits in errors.most_common()],
        "losses": losses,
        "folder": folder and str(folder),
        "files": [*([str(folder / "table")] if folder else []), *written],
    }


def _medians(rows: pa.Table) -> list[dict[str, Any]]:
    """Give medians over the spectra (and processes, and ends) by sampler, noise and steps."""
    documents = []
    names = ["sampler", "sampler_options", *noise_columns(rows)]
    for key in distinct(rows, *names):
        own = where(rows, **dict(zip(names, key, strict=True)))
        every_s, loss, best = (column(own, x) for x in ("steps", "value", "family_value"))
        ratio = np.where(loss > 0, best / np.where(loss > 0, loss, 1), np.nan)
        steps = []
        for s in np.unique(every_s):
            known = ratio[(every_s == s) & np.isfinite(ratio)]
            steps.append({
                "steps": int(s),
                "fits": int((every_s == s).sum()),
                "median_loss": plain(np.median(loss[every_s == s])),
                "median_best_heuristic_over_learned": plain(np.median(known))
                if known.size else None,
            })  # fmt: skip
        document = {
            name: value if name in ("sampler", "noise") else json.loads(value)
            for name, value in zip(names, key, strict=True)
        }
        documents.append({**document, "steps": steps})
    return documents


def _loss_table(rows: pa.Table, loss: str, samplers: Sequence[dict[str, Any]]) -> Table:
    """Make a table of a row a sampler (and noise), a column an S."""
    spectra = distinct(rows, "spectrum")
    over = {
        "spectra": len(spectra),
        "processes": len(distinct(rows, "process")),
        "ranges": len(distinct(rows, "alpha_bar_noisy", "alpha_bar_clean")),
    }
    medians = [f"{number:,} {name}" for name, number in over.items() if number > 1]
    what = "best heuristic / learned"
    what = f"{what}, median over {' x '.join(medians)}" if medians else f"learned loss and {what}"
    name = f"{spectra[0][0]}, " if len(spectra) == 1 else ""
    every_s = sorted(s for (s,) in distinct(rows, "steps"))
    shown = [every_s[i] for i in spread(len(every_s), _MOST_COLUMNS)]
    names = distinct(rows, "sampler", "sampler_options", *noise_columns(rows))
    cells = [{one["steps"]: one for one in sampler["steps"]} for sampler in samplers]
    text = _ratio if medians else _loss_and_ratio
    ideal = [_is_of_ideal(rows, row) for row in cells]
    return Table(
        f"{name}{loss_heading(loss)}; {what}",
        [
            " and ".join(["sampler", *noise_columns(rows)[:1]]),
            *(Column(f"S = {s}", text, "right") for s in shown),
        ],
        [
            [row_label(*key) + _IDEAL * marked, *(row.get(s) for s in shown)]
            for key, row, marked in zip(names, cells, ideal, strict=True)
        ],
        [
            _winners(rows),
            *([_CAVEAT] * any(ideal)),
            *([f"{len(shown)} of {len(every_s)} S shown"] * (shown != every_s)),
        ],
    )


def _is_of_ideal(rows: pa.Table, cells: dict[int, dict[str, Any]]) -> bool:
    """Tell gains that a denoiser has to be ideal for: its error is not counted in them."""
    if "denoiser_error" in rows.column_names and column(rows, "denoiser_error").any():
        return False
    gains = (one["median_best_heuristic_over_learned"] for one in cells.values())
    return any(gain and gain > _MOST_OF_NETWORKS for gain in gains)


def _unconverged(table: pa.Table) -> list[str]:
    """Name the fits that did not converge, a line a sampler and loss, with their S and spectra."""
    loose = has_finite_loss(table) & ~column(table, "converged").astype(bool)
    rows = table.filter(loose)
    names = ["sampler", "sampler_options", "loss"]
    lines = []
    for key in distinct(rows, *names):
        own = where(rows, **dict(zip(names, key, strict=True)))
        steps = " ".join(str(s) for (s,) in sorted(distinct(own, "steps")))
        spectra = [name for (name,) in distinct(own, "spectrum")]
        on = ", ".join(spectra) if len(spectra) <= _MOST_NAMES else f"{len(spectra)} spectra"
        label = row_label(key[0], key[1])
        lines.append(f"  {own.num_rows:,} not converged: {label}, {key[2]}, S = {steps}, on {on}")
    if len(lines) > _MOST_LINES:
        more = len(lines) - _MOST_LINES
        lines[_MOST_LINES:] = [f"  and {more} more: the column converged of the table has them"]
    return lines


def _ratio(cell: dict[str, Any] | None) -> str:
    ratio = cell and cell["median_best_heuristic_over_learned"]
    if not ratio:
        return "-"
    return f"{ratio:,.0f}x" if 100 <= ratio < 1e5 else f"{ratio:#.3g}x"


def _loss_and_ratio(cell: dict[str, Any] | None) -> str:
    return "-" if cell is None else f"{cell['median_loss']:.3g}\n{_ratio(cell)}"


def _winners(rows: pa.Table) -> str:
    """Write ``best heuristic: cosine in 60 %, sigmoid in 30 %``."""
    best = column(rows, "family")[np.isfinite(column(rows, "family_value"))]
    words = [
        f"{name} in {100 * number / best.size:.0f} %"
        for name, number in Counter(best.tolist()).most_common(3)
    ]
    return f"best heuristic: {', '.join(words)}" if words else "no heuristic has a finite loss"
