"""Tables and JSON of recommendations, for the command line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from specjax.files import numbers, plain
from specjax.report.fit import amplified

if TYPE_CHECKING:
    from specjax.sweep.recommend import Recommendation


def print_recommendations(rows: Sequence[Recommendation], target: float, loss: str = "w2") -> None:
    """The table of ``specjax recommend``; its first line is the answer.

    Args:
      rows: as :func:`specjax.sweep.recommend` gives them. target: the loss. loss: its name.
    """
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(_answer(rows, target, loss))
    if not rows:
        return
    table = Table()
    table.add_column("sampler", no_wrap=True)
    for name in ("steps", "denoiser calls", loss, "best heuristic", f"its {loss}"):
        table.add_column(
            name,
            justify="left" if name == "best heuristic" else "right",
            no_wrap=name != "denoiser calls",
        )
    table.add_column("state")
    for i, row in enumerate(rows):
        table.add_row(
            _label(row), str(row.steps), str(row.calls), f"{row.value:.5g}", row.best_heuristic,
            f"{row.best_heuristic_value:.5g}", _state(row),
            style="bold" if i == 0 and row.reached else None if row.reached else "dim",
        )  # fmt: skip
    console.print(table)
    warning = amplified(rows[0].amplification, loss, rows[0].denoiser_error)
    if warning:
        console.print(f"{_label(rows[0])}: {warning}")
    sigmas = ", ".join(f"{x:.5g}" for x in np.asarray(rows[0].schedule.sigmas))
    console.print(f"sigmas of the first, noisy to clean: {sigmas}")


def _answer(rows: Sequence[Recommendation], target: float, loss: str) -> str:
    if not rows:
        return f"no sampler has a finite {loss}"
    first = rows[0]
    if first.denoiser_error is not None:
        loss += f" (a denoiser that errs by {first.denoiser_error:g})"
    if not first.reached:
        nearest = min(rows, key=lambda row: row.value)
        return (
            f"no sampler reaches {loss} = {target:g}: the nearest is {_label(nearest)} with "
            f"{nearest.value:.4g} at {_cost(nearest)}"
        )
    beside = ""
    if math.isfinite(first.best_heuristic_value):
        beside = f"; the best heuristic there, {first.best_heuristic}, has "
        beside += f"{first.best_heuristic_value:.4g}"
    return f"{_label(first)} reaches {loss} = {target:g} with {_cost(first)}{beside}"


def _label(row: Recommendation) -> str:
    words = [f"{name} = {value}" for name, value in row.sampler_options.items()]
    return f"{row.sampler} ({', '.join(words)})" if words else row.sampler


def _cost(row: Recommendation) -> str:
    steps = f"{row.steps} step{'s' * (row.steps != 1)}"
    return steps if row.calls == row.steps else f"{steps} ({row.calls} denoiser calls)"


def _state(row: Recommendation) -> str:
    reached = "reached" if row.reached else "not reached"
    return reached if row.converged else f"{reached}; NOT converged"


def recommendations_json(rows: Sequence[Recommendation], target: float) -> dict[str, Any]:
    """Recommendations for machines, in the same order; ``reached`` is whether any does."""
    return {
        "target": target,
        "reached": any(row.reached for row in rows),
        "rows": [
            {
                "sampler": row.sampler,
                "sampler_options": dict(row.sampler_options),
                "reached": row.reached,
                "steps": row.steps,
                "denoiser_calls": row.calls,
                "value": plain(row.value),
                "converged": row.converged,
                "best_heuristic": row.best_heuristic,
                "best_heuristic_value": plain(row.best_heuristic_value),
                "amplification": plain(row.amplification),
                "denoiser_error": row.denoiser_error,
                "logsnr": numbers(row.schedule.logsnr),
            }
            for row in rows
        ],
    }
