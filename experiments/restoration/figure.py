"""The picture of restoration: W2 over S, learned beside constant and customary weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.figure import Figures, panels
from experiments.restoration.run import METHODS
from experiments.restoration.summary import KINDS, spectra_of
from specjax.report.figures.style import LEARNED, MUTED

_STYLES = {"learned": {"color": LEARNED}, "constant": {"color": MUTED[0], "linestyle": "--"},
           "customary": {"color": MUTED[5], "linestyle": ":"}}  # fmt: skip


def figures(results: Path) -> Figures:
    """Draw the spectra that have been run."""
    found = spectra_of(results)
    if found:
        yield "distances", _distances(found)


def _distances(found: dict[str, dict[str, Any]]) -> Figure:
    """Draw a row a spectrum, a column a method; deblurring."""
    kind, methods = next(iter(KINDS)), METHODS[:4]
    figure, every = panels(len(found), len(methods), (2.9, 2.4), sharex=True, sharey="row")
    for row, (name, by_steps) in zip(every, found.items(), strict=True):
        for axes, method in zip(row, methods, strict=True):
            known = {s: x[kind][method]["losses"] for s, x in by_steps.items() if method in x[kind]}
            for label, style in _STYLES.items():
                values = [one[label]["w2"] for one in known.values()]
                axes.plot([int(s) for s in known], values, marker="o", label=label, **style)
            axes.set(xscale="log", yscale="log")
            axes.set_title(f"{name}: {method}", fontsize=9)
    steps = [int(s) for s in next(iter(found.values()))]
    for axes in every[-1]:
        axes.set_xticks(steps, map(str, steps))
        axes.set_xticks([], minor=True)
        axes.set_xlabel("S")
    for row in every:
        row[0].set_ylabel("squared W2")
    every[0, 0].legend(fontsize=8)
    return figure
