"""The picture of the paper's claims: Fréchet distance over the steps of DDIM."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from experiments.estimates import estimate
from experiments.figure import Figures, errorbar, panels
from experiments.paper_claims.run import FRECHET, LEARNED, MEASURES
from experiments.paper_claims.summary import TITLES, best, documents, read
from specjax.report.figures.style import GUIDE


def figures(results: Path) -> Figures:
    """Draw a panel for each network."""
    known = [case for case in TITLES if documents(case, results)]
    if known:
        yield "distances", distances_figure(known, results)


def distances_figure(known: list[str], results: Path) -> Figure:
    """Draw the schedules of the spectrum, the best family of every S and the fine solution."""
    figure, every = panels(1, len(known), (4.6, 3.6))
    for axes, case in zip(every[0], known, strict=True):
        found = read(case, FRECHET, results)
        for name in LEARNED:
            errorbar(axes, found, [estimate(x[name]) for x in found.values()], label=name)
        families = [estimate(found[steps][best(found, steps)]) for steps in found]
        errorbar(axes, found, families, label="best family", color="black", linestyle=":")
        fine = estimate([one["fine"][FRECHET] for one in documents(case, results)])
        axes.axhline(fine.mean, color=GUIDE, linewidth=0.8, label="fine solution")
        axes.set(xlabel="steps of DDIM", title=TITLES[case], yscale="log")
        axes.legend(fontsize=8)
    every[0][0].set_ylabel(MEASURES[FRECHET].split(",")[0])
    return figure
