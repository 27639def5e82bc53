"""The panels of :func:`specjax.report.figures.learn_figure`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from specjax.fitting.learned import PlanResult
from specjax.report.figures.style import (
    GUIDE,
    INK,
    LEARNED,
    STRONG,
    learned_style,
    log_ticks,
    muted_style,
)
from specjax.report.figures.sweep_shapes import shortened
from specjax.schedules.schedule import NoiseSchedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NAMES = 10  # heuristics in the panel of values
_NAME, _LEGEND_NAME = 32, 24  # letters of a name
_MOST_MARKERS = 40
_DASHED = (0, (4, 2))
_LIMIT = "Gaussian limit"


def drawn_value(result: PlanResult, value: Any) -> np.ndarray:
    """A value, or [n], as it is drawn: the weighted geometric mean of the objective's terms."""
    return np.exp(np.asarray(value, np.float64) / sum(result.objective.values()))


def value_label(result: PlanResult) -> str:
    """What is drawn."""
    terms = [name for name, weight in result.objective.items() if weight]
    return terms[0] if len(terms) == 1 else f"mean of {', '.join(terms)}"


def draw_levels(axes: Axes, result: PlanResult, heuristics: Mapping[str, NoiseSchedule]) -> None:
    """logsnr over the steps; a last step to no noise is dotted up to the edge."""
    styles = [learned_style(), *(muted_style(i) for i in range(len(heuristics)))]
    schedules = {"learned": result.schedule, **heuristics}
    for (name, schedule), style in zip(schedules.items(), styles, strict=True):
        levels = np.asarray(schedule.logsnr)
        finite = levels[np.isfinite(levels)]
        marker: dict[str, Any] = {"marker": "o", "markersize": 5 if style is styles[0] else 2.5}
        marker = marker if len(levels) <= _MOST_MARKERS else {}
        axes.plot(range(len(finite)), finite, label=name, **style, **marker)
    axes.margins(y=0.1)
    if result.schedule.ends_clean:
        axes.annotate(
            "last step: to ∞ (no noise)", (0.98, 1.0), xycoords="axes fraction",
            ha="right", va="bottom", fontsize=8.5, color=INK,
        )  # fmt: skip
    axes.set_xlim(-0.03 * result.steps, 1.03 * result.steps)
    axes.set_title("Noise levels")
    axes.set_ylabel(r"logsnr $= \log(\alpha^2 / \sigma^2)$")
    _whole_steps(axes, "level (noisy → clean)")


def draw_corrections(axes: Axes, result: PlanResult) -> None:
    """What each step does with the answers, beside DDIM's zeros."""
    axes.set_title("Corrections of the steps (0: DDIM)")
    by = result.corrections
    if by is None:
        _say(axes, f"only the levels were learned:\nthe steps are those of {result.sampler}")
        axes.set_axis_off()
        return
    at = np.arange(1, result.steps + 1)
    axes.bar(
        at, np.asarray(by.ratio), width=0.6, color=LEARNED, alpha=0.45, label="c, of the ratio",
        zorder=3,
    )  # fmt: skip
    series = {f"$w_{j + 1}$": np.asarray(by.weights)[:, j] for j in range(by.memory)}
    if by.noise is not None:
        series["g, noise"] = np.asarray(by.noise)
    for (name, y), colour, marker in zip(series.items(), STRONG[1:], "osD", strict=False):
        axes.plot(
            at, y, color=colour, marker=marker, markersize=6, linestyle=(0, (1.5, 1.5)),
            linewidth=1.0, markeredgecolor="white", label=name, zorder=5,
        )  # fmt: skip
    axes.axhline(0, color=INK, linewidth=1.0, zorder=2)
    axes.set_ylabel("correction")
    _whole_steps(axes, "step (noisy → clean)")
    _legend_above(axes, 1 + len(series))


def draw_history(axes: Axes, result: PlanResult) -> None:
    """Values in learning and held out, and that of the best heuristic plan."""
    axes.set_title("While learning")
    history = np.asarray(result.history, np.float64).reshape(-1, 2)
    if not len(history):
        _say(axes, "nothing was iterated")
        axes.set_axis_off()
        return
    axes.set_yscale("log")
    few: dict[str, Any] = {"marker": "o", "markersize": 4} if len(history) <= _MOST_MARKERS else {}
    at = np.arange(len(history))
    axes.plot(
        at, drawn_value(result, history[:, 0]), label="in learning", color=STRONG[1],
        linewidth=1.4, zorder=4, **few,
    )  # fmt: skip
    axes.plot(at, drawn_value(result, history[:, 1]), label="held out", **learned_style(), **few)
    if result.baselines:
        name = min(result.baselines, key=result.baselines.__getitem__)
        axes.axhline(
            float(drawn_value(result, result.baselines[name])), color=INK, linewidth=1.1,
            linestyle=_DASHED, gid="heuristic",
            label=f"best heuristic: {shortened(name, _LEGEND_NAME)}",
        )  # fmt: skip
    axes.set_ylabel(value_label(result))
    axes.set_xlim(-0.03 * len(at) - 0.5, 1.03 * len(at) - 0.5)
    _whole_steps(axes, "checks during learning")
    log_ticks(axes.yaxis)
    _legend_above(axes, 3)


def draw_values(axes: Axes, result: PlanResult, limit: float | None) -> None:
    """Held-out values of the plan and of the best heuristic ones of the same S, a line each."""
    best = sorted(result.baselines.items(), key=lambda one: one[1])[:_MOST_NAMES]
    rows = {name: float(drawn_value(result, x)) for name, x in [("learned", result.value), *best]}
    if limit is not None and limit > 0:
        rows[_LIMIT] = limit
    names = sorted(rows, key=rows.__getitem__)
    axes.set_xscale("log")
    for y, name in enumerate(names):
        learned = name == "learned"
        axes.plot(
            [rows[name]], [y], color=LEARNED if learned else GUIDE, markersize=8, zorder=5,
            marker="^" if name == _LIMIT else "o", linestyle="none", label=name,
        )  # fmt: skip
    axes.margins(x=0.1)
    low, high = np.log(axes.get_xlim())
    for y, name in enumerate(names):
        left = np.log(rows[name]) > (low + high) / 2  # where there is room for the name
        axes.annotate(
            shortened(name, _NAME), (rows[name], y), xytext=(-9 if left else 9, 0),
            textcoords="offset points", ha="right" if left else "left", va="center", fontsize=8.5,
            color=INK, fontweight="bold" if name == "learned" else "normal",
        ).set_in_layout(False)  # fmt: skip
    axes.set_yticks([])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(value_label(result))
    axes.set_title(f"Held out, S = {result.steps}")
    log_ticks(axes.xaxis)


def draw_steps(axes: Axes, results: Sequence[PlanResult], limits: Mapping[int, float]) -> None:
    """Held-out values over S: learned, the best heuristic, the limit."""
    ordered = sorted(results, key=lambda one: one.steps)
    steps = [one.steps for one in ordered]
    axes.set_yscale("log")
    axes.plot(
        steps, [float(drawn_value(one, one.value)) for one in ordered], label="learned",
        marker="o", **learned_style(),
    )  # fmt: skip
    beside = [one for one in ordered if one.baselines]
    axes.plot(
        [one.steps for one in beside],
        [float(drawn_value(one, min(one.baselines.values()))) for one in beside],
        label="best heuristic", color=INK, linewidth=1.2, linestyle=_DASHED, marker="_",
    )  # fmt: skip
    floor = [(s, limits[s]) for s in sorted(limits) if limits[s] > 0 and math.isfinite(limits[s])]
    if floor:
        axes.plot(
            *zip(*floor, strict=True), label=_LIMIT, color=GUIDE, linewidth=1.6,
            marker="^", markersize=4, gid="limit",
        )  # fmt: skip
    axes.set_ylabel(value_label(ordered[0]))
    axes.set_title("Held out, over S")
    _whole_steps(axes, "calls S")
    log_ticks(axes.yaxis)
    _legend_above(axes, 3)


def _whole_steps(axes: Axes, label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=INK)


def _legend_above(axes: Axes, columns: int) -> None:
    """Between the panel and its title, where no line can be."""
    legend = axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, fontsize=8.5, borderaxespad=0.2,
        borderpad=0, columnspacing=1.4, handlelength=2.0,
    )  # fmt: skip
    legend.set_in_layout(False)  # its title keeps the place
    axes.set_title(axes.get_title("left"), pad=20)
