"""The picture of galaxies (5 learned calls, the best rival, finely), and those of the benches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from experiments.figure import Figures
from experiments.published_networks.run import MEASURES_OF, STEPS, unpacked
from experiments.published_networks.summary import TITLES, Benched, read
from experiments.session import read_json
from specjax.bench.bench import FINE, Bench, BenchRow
from specjax.report.figures import bench_figure

_DARKEST, _BRIGHTEST = 5.0, 99.8  # percentiles of the fine solution


def figures(results: Path) -> Figures:
    """Draw the galaxies of the first seed, and all methods over calls."""
    known = read_json(results / "hsc-0.json")
    if str(STEPS) in known.get("pictures", {}):
        yield "galaxies", galaxies_figure(known)
    for case, title in TITLES.items():
        benched = read(case, results)
        if benched is not None:
            yield f"bench_{case}", bench_figure(bench_of(benched, case, title))


def bench_of(benched: Benched, case: str, title: str) -> Bench:
    """Put the seeds of a bench together."""
    rows = [
        BenchRow(method, calls, tuple(row["schedule"] for row in known.values()),
                 _by_measure([row["values"] for row in known.values()]))
        for calls in benched.calls
        for method in benched.methods
        if (known := benched.row(method, calls))
    ]  # fmt: skip
    fine, floor = (_by_measure([one[x] for one in benched.seeds]) for x in ("fine", "floor"))
    samples = {
        int(calls): {name: unpacked(x) for name, x in pictures.items()}
        for calls, pictures in benched.seeds[0]["pictures"].items()
    }
    n = benched.seeds[0]["config"]["n"]
    return Bench(tuple(rows), MEASURES_OF[case], fine, floor, n, {"name": title}, samples)


def _by_measure(each: list[dict[str, float]]) -> dict[str, tuple[float, ...]]:
    return {name: tuple(one[name] for one in each) for name in each[0]}


def galaxies_figure(known: dict) -> Figure:
    """Draw a column for each noise; its greys are those of the fine solution's percentiles."""
    fine = f"{FINE},\n{known['config']['fine']} calls"
    every = {
        fine if name == FINE else f"{name},\n{STEPS} calls": unpacked(x)
        for name, x in known["pictures"][str(STEPS)].items()
    }
    mine, *others = [name for name in every if name != fine]
    columns = len(every[fine])
    lower, upper = np.percentile(every[fine], (_DARKEST, _BRIGHTEST), axis=(1, 2))
    figure = Figure(figsize=(columns + 1.2, 3.1), layout="constrained")
    panels = figure.subplots(len(every), columns, squeeze=False)
    for row, title in zip(panels, (mine, fine, *others), strict=True):
        for axes, image, low, high in zip(row, every[title], lower, upper, strict=True):
            axes.imshow(image, cmap="gray", vmin=low, vmax=high)
            axes.set_axis_off()
        row[0].text(
            -0.12, 0.5, title, ha="right", va="center", transform=row[0].transAxes, fontsize=9
        )
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
    return figure
