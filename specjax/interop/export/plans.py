"""Plain forms of a plan: the rows that run, in its own process (see ``docs/plans.md``).

d <- denoise(r[0], alpha, sigma);  r <- keep r + pull d + push z
"""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np

from specjax.files.noise_file import noise_field
from specjax.files.plan_file import ROWS, on_host, rows_document
from specjax.fitting.learned import LearnedResult
from specjax.interop.export.form import Written, noise_note
from specjax.noise.noise_spectrum import anisotropic

VERSION = 1


def write_csv(result: LearnedResult) -> Written:
    """A header and a row per call: ``keep_i_j`` is what register i takes of register j."""
    rows = rows_document(on_host(result).plan)
    columns = {}
    for name in ROWS:
        array = np.array(rows[name])
        for index in np.ndindex(array.shape[1:]):
            columns["_".join([name, *map(str, index)])] = array[:, *index]
    lines = [",".join(["call", *columns])]
    for k in range(len(rows["alpha"])):
        lines.append(",".join([str(k), *(repr(float(column[k])) for column in columns.values())]))
    return "\n".join(lines) + "\n", _notes(result, rows)


def write_npz(result: LearnedResult) -> Written:
    """Arrays without pickle: ``numpy.load(file)["keep"]``; ``about`` is JSON text."""
    rows = rows_document(on_host(result).plan)
    arrays: dict[str, Any] = {name: np.array(rows[name]) for name in (*ROWS, "start")}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays, about=np.array(json.dumps(_about(result, rows))))
    return buffer.getvalue(), _notes(result, rows)


def write_json(result: LearnedResult) -> Written:
    """Plain lists in strict JSON."""
    rows = rows_document(on_host(result).plan)
    lists = {name: rows[name] for name in (*ROWS, "start")}
    document = {"format": "specjax-rows", "version": VERSION, **_about(result, rows), **lists}
    return json.dumps(document, indent=2, allow_nan=False) + "\n", _notes(result, rows)


def _about(result: LearnedResult, rows: dict[str, Any]) -> dict[str, Any]:
    return {
        "steps": result.steps,
        "process": result.process,
        "sampler": result.sampler,
        "stochastic": rows["stochastic"],
        **noise_field(anisotropic(result.noise)),
    }


def _notes(result: LearnedResult, rows: dict[str, Any]) -> list[str]:
    begun = (
        f"rows of a plan in {result.process}: r[0] starts from noise of standard deviation "
        f"{rows['start']:.6g}, other registers from 0; r <- keep r + pull d + push z"
    )
    return [begun, *noise_note(anisotropic(result.noise))]
