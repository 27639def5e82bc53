"""The figure of learned plans: four panels, and samples below them where there are any."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from specjax._core.checks import UserError
from specjax.fitting.learned import LearnedResult
from specjax.report.figures import panels
from specjax.report.figures.samples import checked_samples, draw_samples, height_of
from specjax.report.figures.style import (
    GUIDE,
    INK,
    LEARNED,
    STRONG,
    learned_style,
    muted_style,
)
from specjax.report.learn import geometric_mean
from specjax.report.words import count, shortened
from specjax.schedules.schedule import NoiseSchedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANELS, _WIDTH = 8.2, 11.0  # inches
_MOST_HEURISTICS = 10  # in the panel of values
_LIMIT = "Gaussian limit"


@panels.styled
def learn_figure(
    results: Sequence[LearnedResult],
    heuristics: Mapping[str, NoiseSchedule] | None = None,
    limits: Mapping[int, float] | None = None,
    samples: Mapping[str, np.ndarray] | None = None,
    *,
    shown: int | None = None,
) -> Figure:
    """Draw learned plans.

    Panels: the levels of one plan beside those of heuristics; what it does with the denoiser's
    answers; its values while it was learned; and what it is worth, beside the heuristic plans of
    the same S or, of plans of several S, over S. Values are drawn as the terms of the objective: of
    several, their weighted geometric mean.

    Args:
      results: learned plans, each of another S.
      heuristics: schedules of the S of ``shown``.
      limits: the least possible value for some S, in the units of the objective's one term.
      samples: by name, [n, height, width(, C)] images or [n, length] sounds in [-1, 1], all from
        the same noises; at most 16 images or 4 sounds of each are drawn, at most 6 names.
      shown: S of the plan of the first three panels; the last of ``results`` by default.

    Raises:
      UserError: without results, for two of the same S, for an S that is not among them, and for
        samples that are neither images nor sounds.
    """
    result = _result_of(results, shown)
    arrays = checked_samples(samples or {})
    below = height_of(arrays) if arrays else 0.0
    figure = panels.new_figure(_WIDTH, _PANELS + below, _title(results, result))
    parts: Any = figure.subfigures(2, 1, height_ratios=(_PANELS, below)) if arrays else [figure]
    levels, corrections, history, values = parts[0].subplots(2, 2).ravel()
    lines = {"learned": (result.schedule, panels.dots(learned_style(), result.steps))}
    for i, (name, schedule) in enumerate((heuristics or {}).items()):
        lines[name] = schedule, panels.dots(muted_style(i), schedule.steps, 2.5)
    panels.draw_levels(
        levels, {k: (np.asarray(x.logsnr), style) for k, (x, style) in lines.items()}
    )
    _draw_corrections(corrections, result)
    _draw_history(history, result)
    if len(results) > 1:
        _draw_over_steps(values, results, limits or {})
    else:
        _draw_values(values, result, (limits or {}).get(result.steps))
    handles, names = levels.get_legend_handles_labels()
    legend = panels.legend_below(parts[0], handles, names, "levels")
    legend.get_texts()[0].set_fontweight("bold")
    if arrays:
        draw_samples(parts[1], arrays)
    return figure


def _title(results: Sequence[LearnedResult], result: LearnedResult) -> str:
    """Name data, calls, what was learned through what, and under which noise."""
    steps = sorted(one.steps for one in results)
    several = f" (one of S = {steps[0]} to {steps[-1]})" if len(steps) > 1 else ""
    fell_back = "" if result.kept == "learned" else f", fell back to {result.kept}"
    noise = "" if result.noise is None else f"\n{result.noise.name} noise"
    return (
        f"{result.source.get('name', 'data')}: a plan of {count(result.steps, 'call')}{several}, "
        f"prior {result.prior}{fell_back}{noise}"
    )


def _result_of(results: Sequence[LearnedResult], shown: int | None) -> LearnedResult:
    """Choose the plan of the first three panels."""
    steps = [one.steps for one in results]
    if not steps:
        raise UserError("results = []: give at least one learned plan")
    if len(set(steps)) < len(steps):
        raise UserError(f"results have S = {', '.join(map(str, steps))}: give one plan for each S")
    if shown is not None and shown not in steps:
        raise UserError(f"shown = {shown!r}: choose S from {', '.join(map(str, steps))}")
    return results[-1 if shown is None else steps.index(shown)]


def _values_label(result: LearnedResult) -> str:
    terms = [name for name, weight in result.objective.items() if weight]
    return terms[0] if len(terms) == 1 else f"geometric mean of {', '.join(terms)}"


def _draw_corrections(axes: Axes, result: LearnedResult) -> None:
    """Draw what each step does with the answers, beside DDIM's zeros."""
    axes.set_title("Corrections of the steps (0: DDIM)")
    by = result.corrections
    if by is None:
        _say_instead(
            axes, f"only the levels were learned:\nthe steps are those of {result.sampler}"
        )
        return
    at = np.arange(1, result.steps + 1)
    axes.bar(
        at, np.asarray(by.ratio), width=0.6, color=LEARNED, alpha=0.45, zorder=3,
        label="c, of the ratio",
    )  # fmt: skip
    series = {f"w_{j + 1}": np.asarray(by.weights)[:, j] for j in range(by.memory)}
    if by.noise is not None:
        series["g, noise"] = np.asarray(by.noise)
    for (name, y), colour, marker in zip(series.items(), STRONG[1:], "osD", strict=False):
        axes.plot(
            at, y, color=colour, marker=marker, markersize=6, linestyle=(0, (1.5, 1.5)),
            linewidth=1.0, markeredgecolor="white", label=name, zorder=5,
        )  # fmt: skip
    axes.axhline(0, color=INK, linewidth=1.0, zorder=2)
    axes.set_ylabel("correction")
    panels.whole_numbers(axes, "step (noisy → clean)")
    _legend_above(axes)


def _draw_history(axes: Axes, result: LearnedResult) -> None:
    """Draw values in learning and held out, and that of the best heuristic plan."""
    axes.set_title("While learning")
    history = geometric_mean(np.reshape(result.history, (-1, 2)), result.objective)
    if not len(history):
        _say_instead(axes, "nothing was iterated")
        return
    axes.set_yscale("log")
    at = np.arange(len(history))
    in_learning = {"color": STRONG[1], "linewidth": 1.4, "zorder": 4}
    axes.plot(at, history[:, 0], label="in learning", **panels.dots(in_learning, len(at), 4))
    axes.plot(at, history[:, 1], label="held out", **panels.dots(learned_style(), len(at), 4))
    if result.baselines:
        name = min(result.baselines, key=result.baselines.__getitem__)
        axes.axhline(
            geometric_mean(result.baselines[name], result.objective), color=INK, linewidth=1.1,
            linestyle=panels.DASHED, label=f"best heuristic: {shortened(name, 24)}",
        )  # fmt: skip
    axes.set_ylabel(_values_label(result))
    panels.whole_numbers(axes, "checks during learning")
    panels.log_ticks(axes.yaxis)
    _legend_above(axes)


def _draw_values(axes: Axes, result: LearnedResult, limit: float | None) -> None:
    """Draw held-out values of the plan and the best heuristic ones of the same S, ranked."""
    best = sorted(result.baselines.items(), key=lambda one: one[1])[:_MOST_HEURISTICS]
    values = {
        name: float(geometric_mean(x, result.objective))
        for name, x in [("learned", result.value), *best]
    }
    if limit is not None and limit > 0:
        values[_LIMIT] = limit
    axes.set_xscale("log")
    ranking = sorted(values.items(), key=lambda one: one[1])
    for y, (name, value) in enumerate(ranking):
        axes.plot(
            [value], [y], color=LEARNED if name == "learned" else GUIDE, markersize=8, zorder=5,
            marker="^" if name == _LIMIT else "o", linestyle="none", label=name,
        )  # fmt: skip
    axes.set_yticks(
        range(len(ranking)), [shortened(name, 24).replace("$", r"\$") for name, _ in ranking]
    )
    axes.get_yticklabels()[list(dict(ranking)).index("learned")].set_fontweight("bold")
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.margins(x=0.1)
    axes.set_xlabel(_values_label(result))
    axes.set_title(f"Held out, S = {result.steps}")
    panels.log_ticks(axes.xaxis)


def _draw_over_steps(
    axes: Axes, results: Sequence[LearnedResult], limits: Mapping[int, float]
) -> None:
    """Draw held-out values over S: learned, the best heuristic, the limit."""
    ordered = sorted(results, key=lambda one: one.steps)
    learned = {one.steps: geometric_mean(one.value, one.objective) for one in ordered}
    heuristic = {
        one.steps: geometric_mean(min(one.baselines.values()), one.objective)
        for one in ordered if one.baselines
    }  # fmt: skip
    limit = {s: limits[s] for s in sorted(limits) if limits[s] > 0 and math.isfinite(limits[s])}
    axes.set_yscale("log")
    for name, values, style in (
        ("learned", learned, {**learned_style(), "marker": "o"}),
        ("best heuristic", heuristic,
         {"color": INK, "linewidth": 1.2, "linestyle": panels.DASHED, "marker": "_"}),
        (_LIMIT, limit, {"color": GUIDE, "linewidth": 1.6, "marker": "^", "markersize": 4}),
    ):  # fmt: skip
        if values:
            axes.plot(list(values), list(values.values()), label=name, **style)
    axes.set_ylabel(_values_label(ordered[0]))
    axes.set_title("Held out, over S")
    panels.whole_numbers(axes, "denoiser calls S")
    panels.log_ticks(axes.yaxis)
    _legend_above(axes)


def _say_instead(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=INK)
    axes.set_axis_off()


def _legend_above(axes: Axes) -> None:
    """Put the legend between the panel and its title, where no line can be."""
    legend = axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4, fontsize=8.5, borderaxespad=0.2,
        borderpad=0, columnspacing=1.4, handlelength=2.0,
    )  # fmt: skip
    legend.set_in_layout(False)  # the title above it keeps its place free
    axes.set_title(axes.get_title("left"), pad=20)
