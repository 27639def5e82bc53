"""The figure of a spectrum: its slope, how few directions matter, and what they look like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from specjax.report.figures.panels import new_figure, styled
from specjax.report.figures.style import GUIDE, INK, LEARNED, MUTED
from specjax.report.spectrum import VARIANCE_SHARES
from specjax.report.words import count
from specjax.spectra.basis import Basis
from specjax.spectra.power_law import directions_for, power_law_fit, ranked, variance_beyond
from specjax.spectra.spectrum import Spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_POINTS = 800
"""Eigenvalues drawn of a large spectrum, evenly over the logarithm of their rank."""

_LEAST_REST = 1e-5  # of the variance: where its curve ends
_VECTORS = 7
_DATA = MUTED[0]


@styled
def spectrum_figure(spectrum: Spectrum) -> Figure:
    """Draw a spectrum.

    Panels: eigenvalues over rank with the fitted power law, and below them their bootstrap
    intervals in percent, where the spectrum has them; the share of the variance in the first
    directions, on a scale on which 90 %, 99 % and 99.9 % are evenly spaced; and, for a basis of
    images or sounds, the mean and the first seven eigenvectors.

    Args:
      spectrum: its ``source`` has the name of the data, the number of samples and the units.
    """
    kind = _kind(spectrum.basis)
    figure = new_figure(11.0, 6.6 if kind else 4.9, _title(spectrum))
    parts: Any = [figure]
    if kind:
        parts = figure.subfigures(2, 1, height_ratios=(4.9, 1.7))
        _draw_vectors(parts[1], spectrum, kind)
    if spectrum.intervals:
        panels = parts[0].subplot_mosaic("vs;bs", height_ratios=(3.2, 1))
        panels["b"].sharex(panels["v"])
        _draw_intervals(panels["b"], spectrum)
        panels["v"].tick_params(labelbottom=False)
    else:
        panels = parts[0].subplot_mosaic("vs")
    _draw_eigenvalues(panels["v"], spectrum)
    _draw_shares(panels["s"], spectrum)
    zeros = float(np.sum(np.asarray(spectrum.weights)[np.asarray(spectrum.eigenvalues) <= 0]))
    left_out = f"  ({count(round(zeros), 'zero')} left out)" if zeros else ""
    panels["b" if spectrum.intervals else "v"].set_xlabel(f"rank{left_out}")
    return figure


def _title(spectrum: Spectrum) -> str:
    source = spectrum.source or {}
    words = [count(int(source.get("dimension", spectrum.dimension)), "dimension")]
    if "samples" in source:
        words.append(count(source["samples"], "sample"))
    if "method" in source:
        words.append(f"{source['method']} covariance")
    return f"{source.get('name', 'spectrum')}: {', '.join(words)}"


def _thinned(first: np.ndarray) -> np.ndarray:
    """Choose at most ``MOST_POINTS`` eigenvalues, evenly over log rank, both ends among them."""
    if first.size <= MOST_POINTS:
        return np.arange(first.size)
    wanted = np.linspace(0, np.log(first[-1]), MOST_POINTS)
    return np.unique(np.searchsorted(np.log(first), wanted).clip(0, first.size - 1))


def _shown(spectrum: Spectrum) -> tuple[np.ndarray, np.ndarray]:
    """Give the middle ranks and the indices of the eigenvalues to draw."""
    order, first, counts = ranked(spectrum)
    thinned = _thinned(first)
    return (first + (counts - 1) / 2)[thinned], order[thinned]


def _line(points: int) -> dict[str, Any]:
    """Style a line of the data, with dots while they can be told apart."""
    marker = {"marker": "o", "markersize": 3} if points <= 80 else {}
    return {"color": _DATA, "linewidth": 2.2, "zorder": 4, **marker}


def _draw_eigenvalues(axes: Axes, spectrum: Spectrum) -> None:
    """Draw eigenvalues over rank, their power law, and where a low-rank one is extrapolated."""
    rank, order = _shown(spectrum)
    axes.set_xscale("log")
    axes.set_yscale("log")
    eigenvalues = np.asarray(spectrum.eigenvalues, np.float64)[order]
    axes.plot(rank, eigenvalues, label="eigenvalues", **_line(rank.size))
    if rank.size >= 3:
        law = power_law_fit(spectrum)
        ends = rank[[0, -1]]
        axes.plot(
            ends, law.at(ends), color=LEARNED, linewidth=1.6, linestyle=(0, (5, 2)), zorder=5,
            label=f"∝ rank^(-{law.exponent:.2f})  (± {law.standard_error:.2f}, "
            f"R² = {law.r_squared:.3f})",
        )  # fmt: skip
    source = spectrum.source or {}
    if source.get("rank") is not None:
        axes.axvline(source["rank"], color=GUIDE, linewidth=1.0, linestyle=":", gid="tail")
        axes.annotate(
            " extrapolated", (source["rank"], 0.97), xycoords=("data", "axes fraction"),
            fontsize=8.5, color=INK, va="top",
        )  # fmt: skip
    axes.set_title("Eigenvalues")
    axes.set_ylabel(f"variance in {'[-1, 1]' if source.get('data_range') else 'network'} units")
    axes.legend(loc="lower left")


def _draw_intervals(axes: Axes, spectrum: Spectrum) -> None:
    """Draw intervals over the eigenvalues: on seven decades a band of some percent is a line."""
    rank, order = _shown(spectrum)
    intervals: Any = spectrum.intervals
    eigenvalues = np.asarray(spectrum.eigenvalues, np.float64)[order]
    lower, upper = (
        (100 * (x[order] / eigenvalues - 1)).clip(-100, 1e4)
        for x in (intervals.lower, intervals.upper)
    )
    axes.fill_between(rank, lower, upper, color=_DATA, alpha=0.28, linewidth=0, step="mid")
    axes.axhline(0, color=_DATA, linewidth=1.2)
    half, most = np.quantile(np.abs([lower, upper]), (0.5, 0.95))
    wide = max(min(1.15 * most, 4 * half), 0.1)
    axes.set_ylim(-min(wide, 100.0), wide)
    title = f"{100 * intervals.level:g} % intervals (bootstrap, {intervals.method})"
    axes.set_title(title, fontsize=9)
    axes.set_ylabel("%")


def _draw_shares(axes: Axes, spectrum: Spectrum) -> None:
    """Draw the share of the variance in the first directions."""
    from matplotlib.ticker import FixedLocator, NullLocator

    last, rest = variance_beyond(spectrum)
    drawn = _thinned(ranked(spectrum)[1])
    drawn = drawn[rest[drawn] > _LEAST_REST]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.plot(last[drawn], rest[drawn], **_line(last.size))
    axes.set_xlim(0.9, 1.15 * last[-1])
    axes.set_ylim(1.0, min(0.5 * 10 ** np.floor(np.log10(rest[drawn].min(initial=1e-3))), 5e-4))
    for share in VARIANCE_SHARES:
        rank = directions_for(spectrum, share)
        right = rank < float(last[-1]) ** 0.45  # below the rising curve, else above it
        axes.plot([rank], [1 - share], "o", color=LEARNED, markersize=7, zorder=6, gid="share",
                  markeredgecolor="white")  # fmt: skip
        axes.annotate(
            f"{100 * share:g} % in {rank:,.0f}", (rank, 1 - share), textcoords="offset points",
            xytext=(7, -6) if right else (-8, 5), ha="left" if right else "right",
            va="top" if right else "bottom", fontsize=9.5, color=INK, zorder=7,
        )  # fmt: skip
    axes.yaxis.set_major_locator(FixedLocator([0.5, 0.1, 0.01, 1e-3, 1e-4, 1e-5]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda left, _: f"{100 * (1 - left):.6g} %")
    axes.set_title("Variance in the first directions")
    axes.set_xlabel("number of directions")


def _kind(basis: Basis | None) -> str | None:
    """Say what one sample can be drawn as: "image", "sound" or None."""
    shape = () if basis is None else tuple(basis.shape)
    if len(shape) == 1 or (len(shape) == 2 and shape[1] <= 2):
        return "sound" if shape[0] >= 16 else None
    channels = shape[2] if len(shape) == 3 else 1
    return "image" if len(shape) in (2, 3) and channels in (1, 3) else None


def _draw_vectors(figure: Any, spectrum: Spectrum, kind: str) -> None:
    """Draw the mean and the first eigenvectors in a row of panels."""
    order = ranked(spectrum)[0][:_VECTORS]
    draw = _draw_image if kind == "image" else _draw_sound
    for i, axes in enumerate(figure.subplots(1, 1 + _VECTORS)):
        if i > order.size:
            axes.set_axis_off()
            continue
        coefficients = np.array(spectrum.mean, np.float64)
        if i > 0:
            coefficients = np.zeros_like(coefficients)
            coefficients[order[i - 1]] = 1
        one = np.asarray(spectrum.lift(coefficients))
        draw(axes, one if i == 0 or one.sum() >= 0 else -one, signed=i > 0)
        axes.set_title("mean" if i == 0 else f"eigenvector {i}", fontsize=9, loc="center")
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)


def _draw_image(axes: Axes, image: np.ndarray, signed: bool) -> None:
    """Draw a mean between its ends (within [-1, 1] as it is), or a vector around middle grey."""
    image = image.reshape(*image.shape[:2], -1)
    low, high = image.min(), image.max()
    if signed:
        low, high = -np.abs(image).max(), np.abs(image).max()
    elif image.shape[-1] == 3:
        low, high = min(low, -1.0), max(high, 1.0)
    scaled = (image - low) / max(high - low, 1e-12)
    shown = scaled if scaled.shape[-1] == 3 else scaled[..., 0]
    axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def _draw_sound(axes: Axes, sound: np.ndarray, signed: bool) -> None:
    axes.axhline(0, color=GUIDE, linewidth=0.7)
    for channel, line in enumerate(sound.reshape(len(sound), -1).T):
        axes.plot(line, color=MUTED[channel] if signed else LEARNED, linewidth=1.0)
