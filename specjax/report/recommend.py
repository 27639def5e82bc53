"""The table and the JSON of ``specjax recommend``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from specjax.files import numbers, plain
from specjax.gaussian.losses import LOSSES
from specjax.report.table import Block, Column, Table, print_blocks
from specjax.report.words import (
    amplification_warning,
    count,
    share_text,
    share_title,
    with_options,
    wrote,
)

if TYPE_CHECKING:
    from specjax.sweep.recommend import Recommendation

_FACTS = (
    "sampler", "sampler_options", "reached", "steps", "value", "converged", "best_heuristic",
    "best_heuristic_value", "amplification", "denoiser_error", "share",
)  # fmt: skip


def print_recommendations(
    rows: Sequence[Recommendation], target: float, loss: str = "w2", written: Sequence[str] = (),
    remarks: Sequence[str] = (),
) -> None:  # fmt: skip
    """Print :func:`recommendation_blocks`."""
    print_blocks([*recommendation_blocks(rows, target, loss, written), *remarks])


def recommendation_blocks(
    rows: Sequence[Recommendation], target: float, loss: str = "w2", written: Sequence[str] = ()
) -> list[Block]:
    """Report the table of ``specjax recommend``; its first line is the answer.

    Args:
      rows: as :func:`specjax.sweep.recommend` gives them. target: the loss. loss: its name.
    """
    answer = _answer(rows, target, loss)
    if not rows:
        return [answer]
    first, kind = rows[0], LOSSES[loss]
    warning = amplification_warning(first.amplification, kind, first.denoiser_error)
    sigmas = ", ".join(f"{x:.5g}" for x in np.asarray(first.schedule.sigmas))
    table = Table(
        "",
        [
            "sampler",
            *(Column(name, align="right") for name in ("S", "calls")),
            Column("loss", "{:.5g}", "right"),
            Column(share_title(kind), lambda share: share_text(share, kind), "right"),
            "best heuristic",
            Column("its loss", "{:.5g}", "right"),
            "state",
        ],
        [
            [_label(row), row.steps, row.calls, row.value, row.share, row.best_heuristic,
             row.best_heuristic_value, _state(row)]
            for row in rows
        ],
        [
            *(f"{_label(first)}: {line}" for line in warning),
            f"sigmas of the first, noisy to clean: {sigmas}",
            *wrote(written),
        ],
        {i: "bold" if row.reached else "dim" for i, row in enumerate(rows)
         if row is first or not row.reached},
    )  # fmt: skip
    return [answer, table]


def recommendations_json(rows: Sequence[Recommendation], target: float) -> dict[str, Any]:
    """Give recommendations for machines, in the same order; ``reached`` is whether any does."""
    return {
        "target": target,
        "reached": any(row.reached for row in rows),
        "rows": [
            {
                **{name: plain(getattr(row, name)) for name in _FACTS},
                "denoiser_calls": row.calls,
                "logsnr": numbers(row.schedule.logsnr),
            }
            for row in rows
        ],
    }


def _answer(rows: Sequence[Recommendation], target: float, loss: str) -> str:
    if not rows:
        return f"no sampler has a finite {loss}"
    first = rows[0]
    if first.denoiser_error is not None:
        loss += f" (with a denoiser's error of {first.denoiser_error:g})"
    if not first.reached:
        nearest = min(rows, key=lambda row: row.value)
        return (
            f"no sampler reaches {loss} = {target:g}: the nearest is {_label(nearest)} with "
            f"{nearest.value:.4g} at {_cost(nearest)}"
        )
    answer = f"{_label(first)} reaches {loss} = {target:g} with {_cost(first)}"
    if not math.isfinite(first.best_heuristic_value):
        return answer
    return (
        f"{answer}; the best heuristic there, {first.best_heuristic}, has "
        f"{first.best_heuristic_value:.4g}"
    )


def _label(row: Recommendation) -> str:
    return with_options(row.sampler, row.sampler_options)


def _cost(row: Recommendation) -> str:
    calls = "" if row.calls == row.steps else f" ({row.calls} denoiser calls)"
    return count(row.steps, "step") + calls


def _state(row: Recommendation) -> str:
    reached = "reached" if row.reached else "not reached"
    return reached if row.converged else f"{reached}; NOT converged"
