"""The picture of distances over the shift."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from experiments.figure import Figures, panels
from experiments.shift.run import NAMED, SAMPLERS
from experiments.shift.summary import TITLES, Row, read


def figures(results: Path) -> Figures:
    """Draw a panel for each network and sampler: a curve for each S, a star where it is named."""
    known = {case: rows for case in TITLES if (rows := read(results, case))}
    if not known:
        return
    samplers = [x for x in SAMPLERS if any(r.sampler == x for r in next(iter(known.values())))]
    figure, every = panels(len(samplers), len(known), (3.9, 3.2))
    for column, (case, rows) in zip(every.T, known.items(), strict=True):
        for axes, sampler in zip(column, samplers, strict=True):
            _draw(axes, [row for row in rows if row.sampler == sampler])
            axes.set_title(f"{TITLES[case]}, {SAMPLERS[sampler]}", fontsize=9)
    for axes in every[-1]:
        axes.set_xlabel("shift")
    for axes in every[:, 0]:
        axes.set_ylabel("squared distance to the fine solution", fontsize=8)
    every[0, 0].legend(fontsize=7)
    yield "shifts", figure


def _draw(axes: Axes, rows: list[Row]) -> None:
    for row in rows:
        grid = {name: x for name, x in row.shifts.items() if name != NAMED}
        (line,) = axes.loglog(
            list(grid.values()), [row.of(name).mean for name in grid], "o-", markersize=3,
            linewidth=1.2, label=f"S = {row.steps}",
        )  # fmt: skip
        axes.plot(row.shifts[NAMED], row.of(NAMED).mean, "*", color=line.get_color(), markersize=13,
                  markeredgecolor="white")  # fmt: skip
    axes.set_xticks([0.5, 1, 2, 4, 8, 16], ["0.5", "1", "2", "4", "8", "16"])
    axes.xaxis.set_minor_formatter(NullFormatter())
