"""The pictures of the ideal denoiser."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.bands import frequencies
from experiments.figure import Figures, errorbar, frequency_ticks, panels
from experiments.ideal_denoiser.run import EXACT, FIT, WIENER, Size
from experiments.ideal_denoiser.summary import (
    GRID,
    IDEAL,
    PROBED,
    Case,
    Measured,
    cases_of,
    networks_of,
    read,
)
from specjax.report.figures.style import MUTED, STRONG

SHOWN = "5"
"""The S whose bands are drawn, if it has been run."""

SHORT = {WIENER: "digits' Gaussian, ideal", EXACT: "half of the digits, exact"}


def figures(results: Path) -> Figures:
    """Draw bands and gaps of what has been run."""
    found = read(results)
    if found:
        yield "bands", bands_figure(found)
    if networks_of(found):
        yield "gaps", gaps_figure(found)


def bands_figure(found: dict[str, Measured]) -> Figure:
    """Draw a row of panels a sampler: a panel for the references, and one for each width."""
    cases = cases_of(list(found.values()))
    shown = SHOWN if SHOWN in {s for _, s in cases} else cases[-1][1]
    chosen = [case for case in cases if case[1] == shown]
    groups = _groups(found)
    figure, every = panels(len(chosen), len(groups), (3.6, 3.1), sharey="row")
    for row, case in zip(every, chosen, strict=True):
        for axes, (title, members) in zip(row, groups.items(), strict=True):
            _bands(axes, case, members)
            axes.set_title(f"{title}\n{case[0]}, S = {case[1]}, {FIT}", fontsize=9)
        row[0].set_ylabel("power over the data's, dB\n(dashed: ideal, dotted: probed)")
    for axes in every[0]:
        axes.legend(fontsize=6.5)
    for axes in every[-1]:
        axes.set_xlabel("frequency, cycles per pixel")
    return figure


def _groups(found: dict[str, Measured]) -> dict[str, dict[str, Measured]]:
    references = {words: found[name] for name, words in SHORT.items() if name in found}
    groups = {"no training": references} if references else {}
    for size, one in networks_of(found).items():
        groups.setdefault(f"width {size.width}", {})[f"{size.updates:,} updates"] = one
    return groups


def _bands(axes: Axes, case: Case, members: dict[str, Measured]) -> None:
    """Draw measured bands, and predictions: of the ideal denoiser dashed, of the probed dotted."""
    there = {name: one for name, one in members.items() if case in one.cases}
    for colour, (name, one) in zip(STRONG, there.items(), strict=False):
        real = one.bands(case, FIT)
        x = range(len(real))
        errorbar(axes, x, real, fmt="o-", ms=3, color=colour, label=name)
        for by, line in ((IDEAL, "--"), (PROBED, ":")):
            axes.plot(x, [a.mean for a in one.bands(case, FIT, by)], line, color=colour)
    frequency_ticks(axes, frequencies(GRID), 7)


def gaps_figure(found: dict[str, Measured]) -> Figure:
    """Draw the gap over the updates: a panel for each sampler and S, a colour for each width."""
    sizes = networks_of(found)
    cases = cases_of(list(sizes.values()))
    across = max(sum(a == sampler for a, _ in cases) for sampler, _ in cases)
    down = len({a for a, _ in cases})
    figure, every = panels(down, across, (3.6, 3.1))
    for axes, case in zip(every.ravel(), cases, strict=False):
        _gaps(axes, case, sizes)
        for style, name in zip(MUTED, (x for x in SHORT if x in found), strict=False):
            if case in found[name].cases:
                level = found[name].mean_gap([case], IDEAL).mean
                axes.axhline(level, color=style, linewidth=1.2, label=SHORT[name])
        axes.set_title(f"{case[0]}, S = {case[1]}", fontsize=9)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("updates")
    every[0, 0].set_ylabel("measured less predicted, RMS dB\n(dotted: by the probed network)")
    every[0, 0].legend(fontsize=6.5)
    return figure


def _gaps(axes: Axes, case: Case, sizes: dict[Size, Measured]) -> None:
    for colour, width in zip(STRONG, sorted({x.width for x in sizes}), strict=False):
        row = {x.updates: y for x, y in sizes.items() if x.width == width and case in y.cases}
        for by, line in ((IDEAL, "o-"), (PROBED, "o:")):
            known = [one.mean_gap([case], by) for one in row.values()]
            label = f"width {width}" if by == IDEAL else None
            errorbar(axes, row, known, fmt=line, ms=3, color=colour, label=label)
    axes.set_xscale("log")
    ticks = sorted({x.updates for x in sizes})
    axes.set_xticks(ticks, [f"{x:,}" for x in ticks], fontsize=7.5)
    axes.minorticks_off()
