"""The figure of noise levels: schedules, and the calls of plans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from specjax._core.checks import UserError
from specjax.report.figures import panels
from specjax.report.figures.style import learned_style, muted_style
from specjax.report.words import count
from specjax.schedules.schedule import NoiseSchedule

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@panels.styled
def levels_figure(schedules: Mapping[str, NoiseSchedule | np.ndarray]) -> Figure:
    """Draw noise levels over their number.

    Args:
      schedules: by name, schedules or levels of logsnr [n]; the first has the strong colour.

    Raises:
      UserError: without schedules.
    """
    if not schedules:
        raise UserError("schedules = {}: give at least one schedule")
    lines = {}
    for i, (name, one) in enumerate(schedules.items()):
        logsnr = np.asarray(one.logsnr if isinstance(one, NoiseSchedule) else one, np.float64)
        style = muted_style(i - 1) if i else learned_style()
        lines[name] = logsnr, panels.dots(style, len(logsnr))
    figure = panels.new_figure(6.5, 4.4, count(len(lines), "schedule") if len(lines) > 1 else "")
    axes = figure.subplots()
    panels.draw_levels(axes, lines)
    if len(lines) > 1:
        panels.legend_below(figure, *axes.get_legend_handles_labels())
    return figure
