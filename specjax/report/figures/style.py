"""The look of the figures: one strong colour for what is learned, muted ones for the rest.

The colours are Okabe and Ito's vermilion and Paul Tol's muted set without its reds, so that
they stay apart for colour-blind readers; dashes tell the muted ones apart in print.
"""

from __future__ import annotations

from typing import Any

LEARNED = "#D55E00"
MUTED = (
    "#332288", "#44AA99", "#AA4499", "#88CCEE", "#117733", "#777777", "#999933", "#882255",
    "#CFAE3A", "#6F8FAF", "#8C6D5A",
)  # fmt: skip
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.5, 1.5)))
STRONG = (LEARNED, "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5B4A9E")
"""Okabe and Ito's colours and a violet, for several learned schedules in one figure."""

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
    "svg.hashsalt": "specjax",  # the same figure is the same file
}


def learned_style() -> dict[str, Any]:
    """Draw a learned schedule bold, in front of everything."""
    return {"color": LEARNED, "linewidth": 2.8, "zorder": 5, "solid_capstyle": "round"}


def muted_style(index: int) -> dict[str, Any]:
    """Draw a heuristic thin; 11 colours and 4 dashes make 44 before two look the same."""
    colour, dashes = MUTED[index % len(MUTED)], DASHES[index % len(DASHES)]
    return {"color": colour, "linewidth": 1.3, "linestyle": dashes, "zorder": 3}
