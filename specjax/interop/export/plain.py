"""Forms that need no library: CSV, npz and JSON.

Levels are a row each, noisy to clean, as learned and not clipped. ``timestep`` is interpolated on
the grid and clamped to it; it is empty (NaN, null) at a noise-free end, where no network is called.
A plan with corrections is a row a call, in its own process (see ``docs/plans.md``):

    d <- denoise(r[0], alpha, sigma);  r <- keep r + pull d + push z
"""

from __future__ import annotations

import io
import json
from typing import Any, NamedTuple

import numpy as np

from specjax.files.codec import numbers
from specjax.files.kinds import ROWS, noise_field, rows_of
from specjax.fitting.learned import LearnedResult, in_float64
from specjax.interop.export.target import SAMPLING_NOTE, Content, about, noise_note
from specjax.schedules.grids import TrainingGrid

VERSION = 1


class _Table(NamedTuple):
    """Columns [n, ...] of a format, what counts their rows, and what is said of all of them."""

    format: str
    counter: str
    columns: dict[str, np.ndarray]
    about: dict[str, Any]
    notes: list[str]


def write_csv(result: LearnedResult, grid: TrainingGrid | None, shift: float) -> Content:
    """Write a header and a row per level or call.

    In a plan ``keep_i_j`` is what register i takes of register j.
    """
    table = _table(result, grid)
    columns = {}
    for name, array in table.columns.items():
        for index in np.ndindex(array.shape[1:]):
            columns["_".join([name, *map(str, index)])] = array[:, *index].tolist()
    lines = [",".join([table.counter, *columns])]
    for k, row in enumerate(zip(*columns.values(), strict=True)):
        lines.append(",".join([str(k), *("" if x != x else repr(x) for x in row)]))
    return "\n".join(lines) + "\n", table.notes


def write_npz(result: LearnedResult, grid: TrainingGrid | None, shift: float) -> Content:
    """Write arrays without pickle: ``numpy.load(file)["logsnr"]``; ``about`` is JSON text."""
    table, buffer = _table(result, grid), io.BytesIO()
    about = json.dumps({"version": VERSION, **table.about}, allow_nan=False)
    arrays: dict[str, Any] = {**table.columns, "about": np.array(about)}
    np.savez(buffer, **arrays)
    return buffer.getvalue(), table.notes


def write_json(result: LearnedResult, grid: TrainingGrid | None, shift: float) -> Content:
    """Write plain lists in strict JSON; an infinite logsnr is "inf", which float() reads."""
    table = _table(result, grid)
    document: dict[str, Any] = {"format": table.format, "version": VERSION, **table.about}
    for name, column in table.columns.items():
        document[name] = column.tolist() if column.ndim > 1 else _without_nan(numbers(column))
    document["notes"] = table.notes
    return json.dumps(document, indent=2, allow_nan=False) + "\n", table.notes


def _without_nan(column: list[Any]) -> list[Any]:
    return [None if x == "nan" else x for x in column]


def _table(result: LearnedResult, grid: TrainingGrid | None) -> _Table:
    return _table_of_levels(result, grid) if result.corrections is None else _table_of_calls(result)


def _table_of_levels(result: LearnedResult, grid: TrainingGrid | None) -> _Table:
    schedule = result.schedule
    columns = {
        "logsnr": schedule.logsnr,
        "alpha_bar": schedule.alpha_bar,
        "sigma_ve": schedule.sigmas,
        "flow_time": schedule.flow_time,
    }
    outside: list[str] = []
    if grid is not None:
        outside = grid.clip(schedule)[1]
        timestep = np.asarray(grid.timestep(np.asarray(schedule.logsnr, np.float64)))
        columns["timestep"] = np.where(np.isinf(np.asarray(schedule.logsnr)), np.nan, timestep)
        if outside:
            least, greatest = grid.sigma_range
            outside = [
                f"levels outside grid {grid.name!r} (sigma {least:.4g} to {greatest:.4g}) are "
                "kept; their timesteps are clamped"
            ]
    return _Table(
        format="specjax-levels",
        counter="step",
        columns={name: np.asarray(column, np.float64) for name, column in columns.items()},
        about={**about(result), "order": "noisy to clean"},
        notes=[*outside, *noise_note(result), SAMPLING_NOTE],
    )


def _table_of_calls(result: LearnedResult) -> _Table:
    plan = in_float64(result).plan
    rows = rows_of(plan)
    start = float(rows["start"])
    facts = {
        "steps": result.steps,
        "process": result.process,
        "sampler": result.sampler,
        "stochastic": bool(plan.stochastic),
        **noise_field(result.noise),
        "start": start,
    }
    note = (
        f"rows of a plan in {result.process}: r[0] starts from noise of standard deviation "
        f"{start:.6g}, other registers from 0; r <- keep r + pull d + push z"
    )
    columns = {name: rows[name] for name in (*ROWS, "guidance") if name in rows}
    return _Table("specjax-rows", "call", columns, facts, [note, *noise_note(result)])
