"""The figure of ``specjax fit``: what was learned, what it is worth, and where it is better."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import numpy as np

from specjax._core import checks
from specjax.fitting.compare import Comparison, heuristics, losses_over_steps
from specjax.gaussian.task import GaussianTask, TaskOptions
from specjax.gaussian.transfer import transfer
from specjax.report.figures import panels
from specjax.report.figures.panels import label_of
from specjax.report.figures.style import INK, LEARNED, learned_style, muted_style
from specjax.report.words import count, error_text, loss_title, with_options
from specjax.schedules.schedule import NoiseSchedule, sigmoid
from specjax.spectra.spectrum import Spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_POINTS = 300
"""Eigenvalues drawn of a large spectrum, evenly over their rank and over their logarithm."""

_TITLE_WIDTH = 88  # in letters


_CURVE_STEPS = (1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120)


class _Line(NamedTuple):
    """A schedule with its levels [S + 1], std [d] over the true one, loss and style."""

    name: str
    logsnr: np.ndarray
    std_ratio: np.ndarray
    loss: float
    style: dict[str, Any]


def comparison_figure(comparison: Comparison) -> Figure:
    """Draw a comparison by :func:`fit_figure`, with the losses of the heuristics over S.

    Args:
      comparison: of :func:`specjax.compare`.
    """
    task = comparison.task
    curves = {
        name: dict(zip(_CURVE_STEPS, losses_over_steps(task, make, _CURVE_STEPS), strict=True))
        for name, make in heuristics(task).items()
    }
    schedules = {row.name: row.schedule for row in comparison.rows}
    return fit_figure(task, schedules, learned="learned", over_steps=curves)


@panels.styled
def fit_figure(
    spectrum: Spectrum | GaussianTask,
    schedules: Mapping[str, NoiseSchedule],
    *,
    learned: str,
    over_steps: Mapping[str, Mapping[int, float]] | None = None,
    **task: Unpack[TaskOptions],
) -> Figure:
    """Draw a learned schedule beside others on one spectrum.

    Panels: alpha_bar and logsnr over steps, generated over true standard deviation for each
    eigenvalue, loss over the number of steps. The learned schedule is bold and comes first; the
    others follow by rising loss.

    Args:
      spectrum: of the data, or a task; its ``source`` has the name of the data and whether a range
        was mapped to [-1, 1].
      schedules: by name.
      learned: the name of the one to bring out.
      over_steps: by name, the losses of schedules of that name by S; for others the loss at their
        own S is drawn.
      task: sampler, loss, process, ..., see :class:`specjax.gaussian.task.TaskOptions`.

    Raises:
      UserError: for an unknown sampler, process, loss or learned name.
    """
    checks.one_of("learned", learned, schedules)
    resolved = GaussianTask.resolve(spectrum, **task)
    lam = np.asarray(resolved.modes.eigenvalues, np.float64)
    others = sorted(set(schedules) - {learned})  # colours go by name, not by rank
    lines = []
    for name, schedule in schedules.items():
        moments = transfer(resolved.plan(schedule), resolved.modes)
        std_ratio = np.asarray(moments.std, np.float64) / np.sqrt(np.where(lam > 0, lam, np.nan))
        value = float(resolved.value(schedule))
        style = learned_style() if name == learned else muted_style(others.index(name))
        lines.append(
            _Line(name, np.asarray(schedule.logsnr, np.float64), std_ratio, value, style)
        )  # fmt: skip
    lines.sort(key=lambda one: (one.name != learned, one.loss))
    steps = schedules[learned].steps
    source, loss = resolved.source, resolved.loss.name
    noise = "" if resolved.noise is None else f"noise: {resolved.noise.name}"
    title = (
        f"{source.get('name', 'spectrum')}: {count(steps, 'step')} of "
        f"{with_options(resolved.sampler, resolved.sampler_options)}, {resolved.process}, "
        f"fitted to {loss} = {_number(lines[0].loss, 4)}{error_text(resolved.modes)}"
    )
    figure = panels.new_figure(11.0, 8.2, "\n".join([title, *textwrap.wrap(noise, _TITLE_WIDTH)]))
    power, levels, ratio, losses = figure.subplots(2, 2).ravel()
    marked = [_with_dots(one, learned, steps) for one in lines]
    for one, style in zip(lines, marked, strict=True):
        power.plot(range(len(one.logsnr)), sigmoid(one.logsnr), label=label_of(one.name), **style)
    power.set(ylabel="ᾱ  (1 = clean)", ylim=(-0.03, 1.03))
    power.set_title("Signal power")
    panels.whole_numbers(power, "level (noisy → clean)")
    panels.draw_levels(
        levels, {one.name: (one.logsnr, x) for one, x in zip(lines, marked, strict=True)}
    )  # fmt: skip
    _draw_ratios(ratio, lines, resolved)
    _draw_losses(losses, lines, steps, over_steps or {})
    losses.set_ylabel(loss_title(resolved.loss))
    labels = [f"{one.name}  ({_number(one.loss, 3)})" for one in lines]
    handles = power.get_legend_handles_labels()[0]
    legend = panels.legend_below(figure, handles, labels, f"schedule (its {loss} at S = {steps})")
    legend.get_texts()[0].set_fontweight("bold")
    return figure


def _with_dots(one: _Line, learned: str, steps: int) -> dict[str, Any]:
    """Put dots on the learned levels, and on all where a line is a point."""
    if one.name != learned and steps > 1:
        return one.style
    return panels.dots(one.style, len(one.logsnr), 5 if one.name == learned else 3.5)


def _draw_ratios(axes: Axes, lines: Sequence[_Line], task: GaussianTask) -> None:
    """Draw generated over true standard deviation over the eigenvalue."""
    lam = np.asarray(task.modes.eigenvalues, np.float64)
    shown = shown_eigenvalues(lam)
    axes.set_xscale("log")
    for one in lines:
        axes.plot(lam[shown], one.std_ratio[shown], label=label_of(one.name), **one.style)
    axes.axhline(1.0, color=INK, linewidth=1.0, zorder=2, gid="true")
    every = np.concatenate([one.std_ratio[shown] for one in lines])
    if every.max(initial=0.0) > 2 and every.min(initial=1.0) > 0:
        axes.set_yscale("log")
        panels.log_ticks(axes.yaxis)
    axes.minorticks_off()
    zeros = int((lam <= 0).sum())
    left_out = f"; {count(zeros, 'zero')} left out" if zeros else ""
    units = "[-1, 1] units" if task.source.get("data_range") else "network units"
    what = f"of the data in {units}" if task.noise is None else "of data over noise, λ / ν"
    axes.set_xlabel(f"eigenvalue (variance {what}{left_out})")
    axes.set_ylabel("generated / true std")
    axes.set_title("Standard deviation per eigenvalue (1 = exact)")


def shown_eigenvalues(eigenvalues: np.ndarray) -> np.ndarray:
    """Choose the positive eigenvalues to draw, by number, rising; both ends are among them."""
    rising = np.argsort(eigenvalues, kind="stable")
    rising = rising[eigenvalues[rising] > 0]
    if rising.size <= MOST_POINTS:
        return rising
    log = np.log(eigenvalues[rising])
    half = MOST_POINTS // 2
    by_rank = np.linspace(0, rising.size - 1, half).round().astype(int)
    by_log = np.searchsorted(log, np.linspace(log[0], log[-1], half)).clip(0, rising.size - 1)
    return rising[np.unique(np.concatenate([by_rank, by_log]))]


def _draw_losses(
    axes: Axes, lines: Sequence[_Line], steps: int, over_steps: Mapping[str, Mapping[int, float]]
) -> None:
    """Draw the loss over the number of steps, and the fitted one as a star."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    for one in lines:
        curve = over_steps.get(one.name, {})
        curve = {s: x for s, x in curve.items() if np.isfinite(x) and x > 0}
        if curve:
            axes.plot(list(curve), list(curve.values()), label=label_of(one.name), **one.style)
        elif one.loss > 0:
            axes.plot([steps], [one.loss], "o", label=label_of(one.name), color=one.style["color"])
    if lines[0].loss > 0:
        axes.plot(
            [steps], [lines[0].loss], marker="*", markersize=17, color=LEARNED, zorder=7,
            markeredgecolor="white", linestyle="none", label="_fitted", gid="fitted",
        )  # fmt: skip
    panels.log_ticks(axes.yaxis)
    panels.log_ticks(axes.xaxis, [steps, *(s for curve in over_steps.values() for s in curve)])
    axes.set_title(f"Loss over steps (★ fitted here, S = {steps})")
    axes.set_xlabel("number of steps S")


def _number(x: float, digits: int) -> str:
    """Write significant digits, without an exponent where the number is short anyway."""
    return f"{x:,.0f}" if 10**digits <= x < 1e6 else f"{x:.{digits}g}"
