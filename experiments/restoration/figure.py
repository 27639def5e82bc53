"""The picture of restoration: W2 over S, learned beside constant and customary weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.figure import Figures, panels
from experiments.restoration.run import METHODS, TRADE
from experiments.restoration.summary import KINDS, spectra_of
from experiments.session import read_all
from specjax.report.figures.style import LEARNED, MUTED

_STYLES = {"learned": {"color": LEARNED}, "constant": {"color": MUTED[0], "linestyle": "--"},
           "customary": {"color": MUTED[5], "linestyle": ":"}}  # fmt: skip


def figures(results: Path) -> Figures:
    """Draw the spectra that have been run."""
    found = spectra_of(results)
    if found:
        yield "distances", _distances(found)
    for one in read_all(results, f"{TRADE}.json"):
        yield "perception", _trade(one)


def _trade(found: dict[str, Any]) -> Figure:
    """Draw what was learned for MSE and perception, beside the curve that bounds both."""
    figure, ((axes,),) = panels(1, 1, (4.6, 3.4))
    curve = found["curve"]
    axes.plot(curve["perception"], curve["mse"], color="black", label="least MSE of estimators")
    learned = list(found["learned"].values())
    x, y = ([one[name] for one in learned] for name in ("perception", "mse"))
    axes.plot(x, y, marker="o", color=LEARNED, label="learned for MSE + w perception")
    for (w, _), px, py in zip(found["learned"].items(), x, y, strict=True):
        axes.annotate(f"w = {float(w):g}", (px, py), (4, 4), textcoords="offset points", fontsize=8)
    for name, marker in (("learned for W2", "s"), ("constant", "^"), ("posterior", "*")):
        one = found["others"][name]
        axes.plot([one["perception"]], [one["mse"]], marker=marker, linestyle="", label=name,
                  color=MUTED[0])  # fmt: skip
    axes.set(xlabel="perception: squared W2 to the data", ylabel="mean squared error")
    axes.legend(fontsize=8)
    return figure


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
