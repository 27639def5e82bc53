"""The pictures, from the results: ``python -m experiments.ideal_denoiser.plot``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.bands import frequencies
from experiments.estimates import estimate
from experiments.ideal_denoiser.config import EXACT, FIT, WIENER, Size
from experiments.ideal_denoiser.found import (
    HERE,
    IDEAL,
    PROBED,
    Case,
    Found,
    found_of,
    sizes_of,
)
from experiments.ideal_denoiser.tables import GRID, cases_of
from specjax.report.figures import save_figure
from specjax.report.figures.style import GUIDE, MUTED, RC, STRONG

SHOWN = "5"
"""The S whose bands are drawn, if it has been run."""

SHORT = {WIENER: "digits' Gaussian, ideal", EXACT: "half of the digits, exact"}


def bands_figure(found: dict[str, Found]) -> Figure:
    """A row of panels a sampler: a panel for the references, and one for each width."""
    cases = cases_of(list(found.values()))
    shown = SHOWN if SHOWN in {s for _, s in cases} else cases[-1][1]
    chosen = [case for case in cases if case[1] == shown]
    groups = _groups(found)
    figure = Figure(figsize=(3.6 * len(groups), 3.1 * len(chosen)), layout="constrained")
    panels = figure.subplots(len(chosen), len(groups), squeeze=False, sharey="row")
    for row, case in zip(panels, chosen, strict=True):
        for axes, (title, members) in zip(row, groups.items(), strict=True):
            _bands(axes, case, members)
            axes.set_title(f"{title}\n{case[0]}, S = {case[1]}, {FIT}", fontsize=9)
        row[0].set_ylabel("power over the data's, dB\n(dashed: ideal, dotted: probed)")
    for axes in panels[0]:
        axes.legend(fontsize=6.5)
    for axes in panels[-1]:
        axes.set_xlabel("frequency, cycles per pixel")
    return figure


def _groups(found: dict[str, Found]) -> dict[str, dict[str, Found]]:
    references = {words: found[name] for name, words in SHORT.items() if name in found}
    groups = {"no training": references} if references else {}
    for size, one in sizes_of(found).items():
        groups.setdefault(f"width {size.width}", {})[f"{size.updates:,} updates"] = one
    return groups


def _bands(axes: Axes, case: Case, members: dict[str, Found]) -> None:
    """Dots and lines are measured, dashes the ideal denoiser's, dots the probed one's."""
    there = {name: one for name, one in members.items() if case in one.cases}
    for colour, (name, one) in zip(STRONG, there.items(), strict=False):
        real = one.bands(case, FIT)
        x, error = np.arange(len(real)), [a.error if a.seeds > 1 else 0 for a in real]
        axes.errorbar(x, [a.mean for a in real], error, fmt="o-", ms=3, color=colour, label=name)
        for by, line in ((IDEAL, "--"), (PROBED, ":")):
            axes.plot(x, [a.mean for a in one.bands(case, FIT, by)], line, color=colour)
    axes.axhline(0, color=GUIDE, linewidth=0.8)
    labels = [f"{f:.2g}" for f in frequencies(GRID)]
    axes.set_xticks(range(len(labels)), labels, fontsize=7)


def gaps_figure(found: dict[str, Found]) -> Figure:
    """The gap over the updates: a panel for each sampler and S, a colour for each width."""
    sizes = sizes_of(found)
    cases = cases_of(list(sizes.values()))
    across = max(sum(a == sampler for a, _ in cases) for sampler, _ in cases)
    down = len({a for a, _ in cases})
    figure = Figure(figsize=(3.6 * across, 3.1 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False)
    for axes, case in zip(panels.ravel(), cases, strict=False):
        _gaps(axes, case, sizes)
        for style, name in zip(MUTED, (x for x in SHORT if x in found), strict=False):
            if case in found[name].cases:
                level = estimate([*found[name].gap([case], IDEAL).values()]).mean
                axes.axhline(level, color=style, linewidth=1.2, label=SHORT[name])
        axes.set_title(f"{case[0]}, S = {case[1]}", fontsize=9)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("updates")
    panels[0, 0].set_ylabel("measured less predicted, RMS dB\n(dotted: by the probed network)")
    panels[0, 0].legend(fontsize=6.5)
    return figure


def _gaps(axes: Axes, case: Case, sizes: dict[Size, Found]) -> None:
    for colour, width in zip(STRONG, sorted({x.width for x in sizes}), strict=False):
        row = {x.updates: y for x, y in sizes.items() if x.width == width and case in y.cases}
        for by, line in ((IDEAL, "o-"), (PROBED, "o:")):
            known = [estimate([*one.gap([case], by).values()]) for one in row.values()]
            error = [a.error if a.seeds > 1 else 0 for a in known]
            label = f"width {width}" if by == IDEAL else None
            axes.errorbar(list(row), [a.mean for a in known], error, fmt=line, ms=3,
                          color=colour, label=label)  # fmt: skip
    axes.set_xscale("log")
    ticks = sorted({x.updates for x in sizes})
    axes.set_xticks(ticks, [f"{x:,}" for x in ticks], fontsize=7.5)
    axes.minorticks_off()


def main(results: Path = HERE / "results", folder: Path = HERE) -> None:
    """Write ``bands.png`` and ``gaps.png`` of what has been run."""
    import matplotlib

    found = found_of(results)
    with matplotlib.rc_context(RC):
        if found:
            save_figure(bands_figure(found), folder / "bands.png")
        if sizes_of(found):
            save_figure(gaps_figure(found), folder / "gaps.png")


if __name__ == "__main__":
    main()
