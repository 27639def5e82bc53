"""The figures of the command line by name; results draw the one that suits them by ``plot()``.

Each function returns a matplotlib figure, and matplotlib is imported when a figure is drawn::

    sx.plots.spectrum_figure(spectrum)
    sx.plots.save_figure(sx.plots.comparison_figure(comparison), "comparison.png")
"""

from specjax.report.figures import (
    bands_figure,
    comparison_figure,
    fit_figure,
    learn_figure,
    levels_figure,
    probe_figure,
    samples_figure,
    save_figure,
    spectrum_figure,
    sweep_figure,
)

__all__ = [
    "bands_figure",
    "comparison_figure",
    "fit_figure",
    "learn_figure",
    "levels_figure",
    "probe_figure",
    "samples_figure",
    "save_figure",
    "spectrum_figure",
    "sweep_figure",
]
