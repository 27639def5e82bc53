"""The picture of learned plans: four panels, and samples below them where there are any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from specjax.fitting.learned import PlanResult
from specjax.report.figures.learn_panels import (
    draw_corrections,
    draw_history,
    draw_levels,
    draw_steps,
    draw_values,
)
from specjax.report.figures.learn_samples import check_samples, draw_samples
from specjax.report.figures.style import INK, RC
from specjax.schedules.schedule import NoiseSchedule

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH, _PANELS = 11.0, 8.2  # inches
_SAMPLES, _SOUNDS = 0.45, 2.6  # inches: titles of samples, sounds below one another
_LEGEND_WIDTH = 150  # in letters
_LEGEND_KEY = 10  # the line beside a name


def learn_figure(
    results: Sequence[PlanResult],
    heuristics: Mapping[str, NoiseSchedule] | None = None,
    limits: Mapping[int, float] | None = None,
    samples: Mapping[str, np.ndarray] | None = None,
    *,
    shown: int | None = None,
) -> Figure:
    """Draw learned plans.

    Panels: the levels of one plan beside those of heuristics; what it does with the answers; its
    values while it was learned; and what it is worth, beside the heuristic plans of the same S or,
    of plans of several S, over S. Values are drawn as the terms of the objective: of several, their
    weighted geometric mean.

    Args:
      results: learned plans, each of another S. heuristics: schedules of the S of ``shown``.
      limits: the least possible value for some S, in the units of the objective's one term.
      samples: by name, [n, height, width(, C)] images or [n, length] sounds in [-1, 1], all from
        the same noises; at most 16 images or 4 sounds of each are drawn, at most 6 names.
      shown: S of the plan of the first three panels; the last of ``results`` by default.

    Returns:
      A matplotlib figure that belongs to nobody else; see :func:`save_figure`.

    Raises:
      ValueError: without results, for two of the same S, for an S that is not among them, and for
        samples that are neither images nor sounds.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    result = _one_of(results, shown)
    arrays = check_samples(samples or {})
    row = _sample_height(arrays)
    with matplotlib.rc_context(RC):
        layout = ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.1, hspace=0.04, wspace=0.03)
        figure = Figure(figsize=(_WIDTH, _PANELS + row), layout=layout)
        parts: Any = figure.subfigures(2, 1, height_ratios=(_PANELS, row)) if arrays else [figure]
        panels = parts[0].subplots(2, 2).ravel()
        draw_levels(panels[0], result, heuristics or {})
        draw_corrections(panels[1], result)
        draw_history(panels[2], result)
        if len(results) > 1:
            draw_steps(panels[3], results, limits or {})
        else:
            draw_values(panels[3], result, (limits or {}).get(result.steps))
        _legend(parts[0], panels[0])
        if arrays:
            draw_samples(parts[1], arrays)
        figure.suptitle(
            title(results, result), fontsize=14, fontweight="bold", color=INK, x=0.02, ha="left"
        )
    return figure


def title(results: Sequence[PlanResult], result: PlanResult) -> str:
    """Data, calls, what was learned through what, and under which noise."""
    data = result.source.get("name", "data")
    steps = sorted(one.steps for one in results)
    several = f" (one of S = {steps[0]} to {steps[-1]})" if len(steps) > 1 else ""
    calls = f"{result.steps} call{'s' * (result.steps > 1)}"
    fell = "" if result.kept == "learned" else f", fell back to {result.kept}"
    noise = "" if result.noise is None else f"\n{result.noise.name} noise"
    return f"{data}: a plan of {calls}{several}, prior {result.prior}{fell}{noise}"


def _one_of(results: Sequence[PlanResult], shown: int | None) -> PlanResult:
    steps = [one.steps for one in results]
    if not steps:
        raise ValueError("results = []: give at least one learned plan")
    if len(set(steps)) < len(steps):
        raise ValueError(f"results have S = {', '.join(map(str, steps))}: give one plan for each S")
    if shown is not None and shown not in steps:
        raise ValueError(f"shown = {shown!r}: choose S from {', '.join(map(str, steps))}")
    return results[-1 if shown is None else steps.index(shown)]


def _sample_height(samples: Mapping[str, np.ndarray]) -> float:
    """Inches: square places for images."""
    if not samples:
        return 0.0
    images = any(x.ndim > 2 for x in samples.values())
    return _SAMPLES + (_WIDTH / max(len(samples), 3) if images else _SOUNDS)


def _legend(figure: Any, axes: Any) -> None:
    """Of the levels, below the panels."""
    handles, names = axes.get_legend_handles_labels()
    columns = int(_LEGEND_WIDTH // (max(map(len, names)) + _LEGEND_KEY))
    legend = figure.legend(
        handles, names, loc="outside lower center", ncols=max(1, min(columns, len(names), 5)),
        title="levels", handlelength=3.2,
    )  # fmt: skip
    legend.get_texts()[0].set_fontweight("bold")
