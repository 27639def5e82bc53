"""The picture of defaults: fits over the best family, with a denoiser's error and without."""

from __future__ import annotations

from pathlib import Path

from experiments.defaults.run import CASES, FAMILY, USUAL, column
from experiments.defaults.summary import read
from experiments.figure import Figures, in_two_columns
from specjax.report.figures.style import GUIDE, STRONG


def figures(results: Path) -> Figures:
    """Draw a panel for each case, a colour for each sampler; dashed without an error."""
    known = {case: found for case in CASES if (found := read(results, case))}
    if not known:
        return
    figure, panels = in_two_columns(len(known), (4.4, 3.2))
    for axes, (case, found) in zip(panels, known.items(), strict=False):
        for colour, sampler in zip(STRONG, found.samplers, strict=False):
            for error, style in ((0.0, "o--"), (USUAL, "o-")):
                ratios = found.ratios(column("w2", error), FAMILY, [sampler])
                label = sampler if error else None
                steps = [s for _, s in ratios]
                axes.plot(steps, list(ratios.values()), style, ms=3, color=colour, label=label)
        axes.axhline(1, color=GUIDE, linewidth=0.8)
        axes.set(yscale="log", title=CASES[case], xlabel="steps")
        axes.title.set_fontsize(8)
        axes.legend(fontsize=6)
    panels[0].set_ylabel("squared distance over the best family's")
    yield "defaults", figure
