"""How the pictures look: one strong colour for what is learned, muted ones for the rest.

The colours are Okabe and Ito's vermilion and Paul Tol's muted set without its reds, so that
they stay apart for colour-blind readers; dashes tell the muted ones apart in print.
"""

from __future__ import annotations

import math
from typing import Any

LEARNED = "#D55E00"
MUTED = (
    "#332288", "#44AA99", "#AA4499", "#88CCEE", "#117733", "#777777", "#999933", "#882255",
    "#CFAE3A", "#6F8FAF", "#8C6D5A",
)  # fmt: skip
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.5, 1.5)))
STRONG = (LEARNED, "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5B4A9E")
"""Okabe and Ito's colours and a violet, for several learned schedules in one picture."""

GUIDE = "#9a9a9a"
INK = "#333333"

RC: dict[Any, Any] = {
    "font.size": 10.0,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.edgecolor": GUIDE,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "svg.hashsalt": "specjax",  # the same picture is the same file
}


def learned_style() -> dict[str, Any]:
    """Bold, in front of everything."""
    return {"color": LEARNED, "linewidth": 2.8, "zorder": 5, "solid_capstyle": "round"}


def muted_style(index: int) -> dict[str, Any]:
    """Thin. 11 colours and 4 dashes: 44 heuristics before two look the same."""
    colour, dashes = MUTED[index % len(MUTED)], DASHES[index % len(DASHES)]
    return {"color": colour, "linewidth": 1.3, "linestyle": dashes, "zorder": 3}


def log_ticks(axis: Any) -> None:
    """Powers of ten, or plain numbers between them where there are few."""
    from matplotlib.ticker import FixedLocator, NullFormatter

    low, high = sorted(axis.get_view_interval())
    if high < 1000 * low:
        axis.set_major_locator(FixedLocator(_plain_ticks(low, high)))
        axis.set_major_formatter(lambda x, _: f"{x:.6g}")
    axis.set_minor_formatter(NullFormatter())


def _plain_ticks(low: float, high: float) -> list[float]:
    """Round numbers within three decades; evenly apart where these are too far apart."""
    from matplotlib.ticker import MaxNLocator

    between = (1, 2, 5) if high > 12 * low else (1, 1.5, 2, 3, 5, 7)
    first = math.floor(math.log10(low))
    nice = [m * 10.0 ** (first + p) for p in range(4) for m in between]
    inside = [x for x in nice if low <= x <= high]
    even = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(low, high)
    return inside if len(inside) > 1 else [float(x) for x in even if low <= x <= high]
