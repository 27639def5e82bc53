"""The figure of trajectories: how far from straight, where they bend, and what holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from specjax.evaluate.trajectory import TrajectoryGeometry
from specjax.report.figures.panels import new_figure, styled
from specjax.report.figures.style import LEARNED, MUTED

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def trajectory_figure(found: TrajectoryGeometry) -> Figure:
    """Draw the geometry of trajectories.

    Panels: the distance from the chord over sigma (median, and the middle 80 %); the angle by which
    paths turn a unit of log sigma; the share of the variance that is left beyond so many principal
    components.

    Args:
      found: what :func:`specjax.trajectory` returned.
    """
    ratio = np.mean(found.length_ratio)
    figure = new_figure(11.0, 3.9, f"Trajectories, {ratio:.3f} times as long as their chords")
    away, bends, held = figure.subplots(1, 3)
    sigmas = np.asarray(found.schedule.sigmas)
    low, middle, high = np.quantile(found.deviation[:, :-1], (0.1, 0.5, 0.9), axis=0)
    away.fill_between(sigmas[:-1], low, high, color=MUTED[3], alpha=0.4, linewidth=0)
    away.plot(sigmas[:-1], middle, color=LEARNED)
    away.set(xscale="log", xlabel="sigma", title="distance from the chord, over its length")
    bends.plot(sigmas[1:-1], found.bend, color=LEARNED)
    bends.set(xscale="log", xlabel="sigma", title="turning a unit of log sigma, radians")
    for axes in (away, bends):
        axes.invert_xaxis()
    rest = np.maximum(1 - found.explained.mean(0), 1e-12)
    held.plot(np.arange(1, rest.size + 1), rest, "o-", color=LEARNED)
    held.set(yscale="log", xlabel="principal components", title="share of variance beyond")
    return figure
