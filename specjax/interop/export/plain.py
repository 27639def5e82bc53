"""Forms that need no library: CSV, npz and JSON, one number per level, noisy to clean.

Levels are as learned, not clipped. ``timestep`` is interpolated on the grid and clamped to it;
it is empty (NaN, null) at a noise-free end, where no network is called.
"""

from __future__ import annotations

import io
import json
import math
from typing import Any

import numpy as np

from specjax.interop.export.form import SAMPLING_NOTE, Request, Written, noise_note

VERSION = 1


def write_csv(request: Request) -> Written:
    """A header and a row per level."""
    columns = {"step": np.arange(request.schedule.steps + 1), **_columns(request)}
    lines = [",".join(columns)]
    for row in zip(*(column.tolist() for column in columns.values()), strict=True):
        lines.append(",".join("" if x != x else repr(x) for x in row))
    return "\n".join(lines) + "\n", _notes(request)


def write_npz(request: Request) -> Written:
    """Arrays without pickle: ``numpy.load(file)["logsnr"]``; ``about`` is JSON text."""
    buffer = io.BytesIO()
    about = np.array(json.dumps({"version": VERSION, **request.about()}, allow_nan=False))
    arrays: dict[str, Any] = {**_columns(request), "about": about}
    np.savez(buffer, **arrays)
    return buffer.getvalue(), _notes(request)


def write_json(request: Request) -> Written:
    """Plain lists in strict JSON; an infinite logsnr is the text "inf", which float() reads."""
    document: dict[str, Any] = {"format": "specjax-levels", "version": VERSION}
    document |= {**request.about(), "order": "noisy to clean"}
    for name, column in _columns(request).items():
        document[name] = [_strict(x) for x in column.tolist()]
    document["notes"] = _notes(request)
    return json.dumps(document, indent=2, allow_nan=False) + "\n", _notes(request)


def _strict(x: float) -> float | str | None:
    if math.isnan(x):
        return None
    return x if math.isfinite(x) else repr(x)


def _columns(request: Request) -> dict[str, np.ndarray]:
    """Each form of the levels, float64 [S + 1]."""
    schedule = request.schedule
    columns = {
        "logsnr": schedule.logsnr,
        "alpha_bar": schedule.alpha_bar,
        "sigma_ve": schedule.sigmas,
        "flow_time": schedule.flow_time,
    }
    if request.grid is not None:
        timestep = np.asarray(request.grid.timestep(np.asarray(schedule.logsnr, np.float64)))
        columns["timestep"] = np.where(np.isinf(np.asarray(schedule.logsnr)), np.nan, timestep)
    return {name: np.asarray(column, np.float64) for name, column in columns.items()}


def _notes(request: Request) -> list[str]:
    _, outside = request.clipped()
    if outside and request.grid:
        least, greatest = request.grid.sigma_range
        outside = [
            f"levels outside grid {request.grid.name!r} (sigma {least:.4g} to {greatest:.4g}) are "
            "kept; their timesteps are clamped"
        ]
    return [*outside, *noise_note(request.noise), SAMPLING_NOTE]
