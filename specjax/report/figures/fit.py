"""The picture of a fit: four panels with one legend.

Levels and loss over steps answer "what was learned" and "what is it worth"; the standard
deviation of each eigenvalue answers "where is it better".
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from specjax.gaussian.losses import LOSSES
from specjax.report.figures.picture import Drawn, FitPicture, LossCurve
from specjax.report.figures.style import INK, LEARNED, RC, learned_style, muted_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_POINTS = 300
"""Eigenvalues drawn of a large spectrum, evenly over their rank and over their logarithm."""

_MOST_MARKERS = 40
_TITLE_WIDTH = 88  # in letters
_LEGEND_WIDTH = 165  # in letters
_LEGEND_KEY = 12  # the line beside a name


def fit_figure(picture: FitPicture) -> Figure:
    """Draw a fit.

    Panels: alpha_bar and logsnr over steps, generated over true standard deviation per
    eigenvalue, loss over the number of steps. The learned schedule is bold, the others thin.

    Args:
      picture: what to draw, see :func:`specjax.report.figures.fit_picture`.

    Returns:
      A matplotlib figure that belongs to nobody else; see :func:`save_figure`.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.rc_context(RC):
        layout = ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.1, hspace=0.04, wspace=0.03)
        figure = Figure(figsize=(11.0, 8.2), layout=layout)
        levels, snr, ratio, losses = figure.subplots(2, 2).ravel()
        _draw_alpha_bar(levels, picture)
        _draw_logsnr(snr, picture)
        _draw_ratio(ratio, picture)
        _draw_losses(losses, picture)
        _title(figure, picture)
        _legend(figure, levels, picture)
    return figure


def _styled(picture: FitPicture) -> Iterator[tuple[Drawn, dict[str, Any]]]:
    """Each schedule with its style. Colours go by name, so that they do not follow the ranking."""
    others = sorted(one.name for one in picture.schedules if one.name != picture.learned)
    for one in picture.schedules:
        learned = one.name == picture.learned
        yield one, learned_style() if learned else muted_style(others.index(one.name))


def _markers(one: Drawn, picture: FitPicture) -> dict[str, Any]:
    """Dots on the learned levels while they can be told apart; on all where a line is a point."""
    if len(one.logsnr) > _MOST_MARKERS or (one.name != picture.learned and picture.steps > 1):
        return {}
    return {"marker": "o", "markersize": 5 if one.name == picture.learned else 3.5}


def _step_axis(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("sampling step (noisy → clean)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10, steps=[1, 2, 5, 10]))
    axes.margins(x=0.03)


def _draw_alpha_bar(axes: Axes, picture: FitPicture) -> None:
    for one, style in _styled(picture):
        at = np.arange(len(one.logsnr))
        axes.plot(at, expit(one.logsnr), label=one.name, **style, **_markers(one, picture))
    axes.set_title("Signal power")
    axes.set_ylabel(r"$\bar\alpha$  (1 = clean)")
    axes.set_ylim(-0.03, 1.03)
    _step_axis(axes)


def _draw_logsnr(axes: Axes, picture: FitPicture) -> None:
    finite = [one.logsnr[np.isfinite(one.logsnr)] for one in picture.schedules]
    least, most = min(x.min() for x in finite), max(x.max() for x in finite)
    room = 0.14 * max(most - least, 10.0)
    top = most + room
    axes.set_ylim(least - room / 3, top)
    jumps = [len(x) < len(one.logsnr) for one, x in zip(picture.schedules, finite, strict=True)]
    for (one, style), levels, jump in zip(_styled(picture), finite, jumps, strict=True):
        axes.plot(range(len(levels)), levels, label=one.name, **style, **_markers(one, picture))
        if jump:
            _mark_jump(axes, len(levels) - 1, levels[-1], top, style)
    if any(jumps):
        axes.annotate(
            "last step: to ∞ (no noise)", (0.98, 1.0), xycoords="axes fraction",
            ha="right", va="bottom", fontsize=8.5, color=INK,
        )  # fmt: skip
    axes.set_title("Log signal-to-noise ratio")
    axes.set_ylabel(r"logsnr $= \log(\alpha^2 / \sigma^2)$")
    _step_axis(axes)


def _mark_jump(axes: Axes, at: int, level: float, top: float, style: dict[str, Any]) -> None:
    """A faint line from the last finite level to the upper edge, where infinity would be."""
    axes.plot(
        [at, at + 1], [level, top], color=style["color"], linewidth=0.8, linestyle=":",
        alpha=0.8, zorder=2, gid="jump", label="_jump",
    )  # fmt: skip


def _draw_ratio(axes: Axes, picture: FitPicture) -> None:
    from matplotlib.ticker import NullLocator

    shown = shown_eigenvalues(picture.eigenvalues)
    eigenvalues = picture.eigenvalues[shown]
    for one, style in _styled(picture):
        axes.plot(eigenvalues, one.std_ratio[shown], label=one.name, **style)
    axes.axhline(1.0, color=INK, linewidth=1.0, zorder=2, gid="true")
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    every = np.concatenate([one.std_ratio[shown] for one in picture.schedules])
    if every.max(initial=0.0) > 2 and every.min(initial=1.0) > 0:
        axes.set_yscale("log")
        _plain_numbers(axes.yaxis)
    zeros = int((picture.eigenvalues <= 0).sum())
    left_out = f"; {zeros} zero{'s' * (zeros > 1)} left out" if zeros else ""
    of = f"of the data in {picture.units}" if picture.noise is None else "of data over noise, λ / ν"
    axes.set_xlabel(f"eigenvalue (variance {of}{left_out})")
    axes.set_ylabel("generated / true std")
    axes.set_title("Standard deviation per eigenvalue (1 = exact)")


def shown_eigenvalues(eigenvalues: np.ndarray) -> np.ndarray:
    """Indices of the positive eigenvalues to draw, rising; the smallest and largest among them."""
    rising = np.argsort(eigenvalues, kind="stable")
    rising = rising[eigenvalues[rising] > 0]
    if rising.size <= MOST_POINTS:
        return rising
    log = np.log(eigenvalues[rising])
    half = MOST_POINTS // 2
    by_rank = np.linspace(0, rising.size - 1, half).round().astype(int)
    by_log = np.searchsorted(log, np.linspace(log[0], log[-1], half)).clip(0, rising.size - 1)
    return rising[np.unique(np.concatenate([by_rank, by_log]))]


def _draw_losses(axes: Axes, picture: FitPicture) -> None:
    curves = {curve.name: _positive(curve) for curve in picture.over_steps}
    nothing = np.zeros(0), np.zeros(0)
    for one, style in _styled(picture):
        steps, loss = curves.get(one.name, nothing)
        if steps.size:
            axes.plot(steps, loss, label=one.name, **style)
        elif one.loss > 0:
            axes.plot(
                [picture.steps], [one.loss], label=one.name, color=style["color"], marker="o",
                linestyle="none",
            )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    fitted = picture.brought_out
    if fitted.loss > 0:
        axes.plot(
            [picture.steps], [fitted.loss], marker="*", markersize=17, color=LEARNED, zorder=7,
            markeredgecolor="white", linestyle="none", label="_fitted", gid="fitted",
        )  # fmt: skip
    _step_ticks(axes, picture)
    axes.set_title(f"Loss over steps (★ fitted here, S = {picture.steps})")
    axes.set_xlabel("number of steps S")
    axes.set_ylabel(f"{picture.loss}: {LOSSES[picture.loss].summary}")


def _positive(curve: LossCurve) -> tuple[np.ndarray, np.ndarray]:
    steps, loss = np.asarray(curve.steps), np.asarray(curve.loss, np.float64)
    drawn = np.isfinite(loss) & (loss > 0)
    return steps[drawn], loss[drawn]


def _step_ticks(axes: Axes, picture: FitPicture) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    every = [picture.steps, *(s for curve in picture.over_steps for s in curve.steps)]
    nice = [m * 10**p for p in range(7) for m in (1, 2, 5)]
    inside = [s for s in nice if min(every) <= s <= max(every)]
    axes.xaxis.set_major_locator(FixedLocator(inside or [picture.steps]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda s, _: f"{s:g}")


def _plain_numbers(axis: Any) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(lambda y, _: f"{y:g}")


def _title(figure: Figure, picture: FitPicture) -> None:
    fitted = picture.brought_out
    steps = f"{picture.steps} step{'s' * (picture.steps > 1)}"
    figure.suptitle(
        f"{picture.data}: {steps} of {picture.sampler} ({picture.process}), "
        f"fitted to {picture.loss} = {_number(fitted.loss, 4)}"
        + _noise_line(picture.noise),
        fontsize=14, fontweight="bold", color=INK, x=0.02, ha="left",
    )  # fmt: skip


def _noise_line(noise: str | None) -> str:
    """Under the title, in as many lines as the width of the picture takes."""
    return "" if noise is None else "\n" + textwrap.fill(f"noise: {noise}", _TITLE_WIDTH)


def _legend(figure: Figure, axes: Axes, picture: FitPicture) -> None:
    handles, names = axes.get_legend_handles_labels()
    labels = [
        f"{name}  ({_number(one.loss, 3)})"
        for name, one in zip(names, picture.schedules, strict=True)
    ]
    columns = int(_LEGEND_WIDTH // (max(map(len, labels)) + _LEGEND_KEY))
    legend = figure.legend(
        handles, labels, loc="outside lower center", ncols=max(1, min(columns, len(labels), 4)),
        title=f"schedule (its {picture.loss} at S = {picture.steps})", handlelength=3.2,
    )  # fmt: skip
    legend.get_texts()[names.index(picture.learned)].set_fontweight("bold")


def _number(x: float, digits: int) -> str:
    """Significant digits, without an exponent where the number is short anyway."""
    return f"{x:,.0f}" if 10**digits <= x < 1e6 else f"{x:.{digits}g}"
