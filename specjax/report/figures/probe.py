"""The figure of a probe: gains beside Wiener's, errors over Wiener's, and all directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from specjax.gaussian.probe import Probe
from specjax.report.figures.panels import DASHED, new_figure, styled
from specjax.report.figures.style import GUIDE, INK, STRONG
from specjax.report.probe_bands import Band, bands, noise_words, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST = 4.0
"""The largest ratio of errors that the map tells apart; its inverse is the smallest."""


@styled
def probe_figure(probe: Probe) -> Figure:
    """Draw a probe.

    Panels: the gain over the noise level in bands of directions, measured (with two standard
    errors) and Wiener's (dashed); the error of a band over that of Wiener's estimates; and the
    same ratio for every direction and level as a map, with Wiener's transition, where the noise
    has the variance of the direction.

    Args:
      probe: of :func:`specjax.probe`.
    """
    every_band = bands(probe)
    title_line = f"Probe of {title(probe)}"
    figure = new_figure(13.5, 5.0, "\n".join(filter(None, [title_line, noise_words(probe)])))
    gains, errors, every_direction = figure.subplots(1, 3, width_ratios=(1, 1, 1.2))
    _draw_gains(gains, probe, every_band)
    _draw_errors(errors, probe, every_band)
    _draw_map(every_direction, probe)
    for axes in (gains, errors, every_direction):
        axes.set_xlabel("logsnr  (noisy → clean)")
        axes.set_xlim(probe.logsnr[0], probe.logsnr[-1])
    return figure


def _draw_gains(axes: Axes, probe: Probe, every_band: list[Band]) -> None:
    for band, colour in zip(every_band, STRONG, strict=False):
        low, high = (band.gain + sign * 2 * band.gain_error for sign in (-1, 1))
        axes.fill_between(probe.logsnr, low, high, color=colour, alpha=0.25, linewidth=0)
        axes.plot(probe.logsnr, band.gain, color=colour, linewidth=2, label=band.name)
        axes.plot(
            probe.logsnr, band.wiener_gain, color=INK, linewidth=1.0, linestyle=DASHED,
            zorder=5,
        )  # fmt: skip
    axes.plot([], [], color=INK, linewidth=1.0, linestyle=DASHED, label="Wiener")
    axes.set_ylim(min(-0.05, min(band.gain.min() for band in every_band)), None)
    axes.set_title("Gain of the noisy coefficient")
    axes.set_ylabel("gain")
    axes.legend(loc="upper left", title="directions (variance)", title_fontsize=8.5, fontsize=8.5)


def _draw_errors(axes: Axes, probe: Probe, every_band: list[Band]) -> None:
    axes.set_yscale("log", base=2)
    for band, colour in zip(every_band, STRONG, strict=False):
        spread = 2 * band.excess_error / band.wiener_error
        low, middle, high = (band.ratio + sign * spread for sign in (-1, 0, 1))
        axes.fill_between(probe.logsnr, low.clip(1e-3), high, color=colour, alpha=0.25, linewidth=0)
        axes.plot(probe.logsnr, middle.clip(1e-3), color=colour, linewidth=2)
    axes.axhline(1, color=INK, linewidth=1.0, linestyle=DASHED)
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, 2.0**-6), min(top, 2.0**6))
    axes.yaxis.set_major_formatter(lambda ratio, _: f"{ratio:.3g}x")
    axes.set_title("Squared error over Wiener's")
    axes.set_ylabel("ratio of squared errors")


def _draw_map(axes: Axes, probe: Probe) -> None:
    from matplotlib.colors import LogNorm

    lam = np.asarray(probe.spectrum.eigenvalues, np.float64)
    order = np.argsort(-lam, kind="stable")[: int((lam > 0).sum())]
    ratio = 1 + probe.excess[:, order] / probe.wiener_error[:, order]
    rank = np.arange(1, len(order) + 1)
    mesh = axes.pcolormesh(
        _edges(probe.logsnr), np.arange(len(order) + 1) + 0.5,
        ratio.clip(1 / _MOST, _MOST).T, cmap="RdBu_r", norm=LogNorm(1 / _MOST, _MOST),
        rasterized=True,
    )  # fmt: skip
    axes.plot(-np.log(lam[order]), rank, color=INK, linewidth=1.4, label="s² = λ")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda rank, _: f"{rank:,.0f}")
    axes.set_ylim(len(order) + 0.5, 0.5)
    axes.grid(visible=False)
    axes.set_title("Squared error over Wiener's, every direction")
    axes.set_ylabel("rank of the direction")
    axes.legend(loc="lower left", fontsize=9, frameon=True, edgecolor=GUIDE)
    bar = axes.figure.colorbar(mesh, ax=axes, pad=0.02, ticks=[1 / _MOST, 0.5, 1, 2, _MOST])
    bar.ax.minorticks_off()
    bar.ax.set_yticklabels([f"{1 / _MOST:g}x or less", "0.5x", "1x", "2x", f"{_MOST:g}x or more"])


def _edges(levels: np.ndarray) -> np.ndarray:
    """Give the edges of cells around the levels, within their range."""
    return np.concatenate([levels[:1], (levels[1:] + levels[:-1]) / 2, levels[-1:]])
