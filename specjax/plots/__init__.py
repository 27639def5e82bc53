"""The figures of the command line by name; results draw the one that suits them by ``plot()``.

Each function returns a matplotlib figure, and matplotlib is imported when a figure is drawn::

    sx.plots.spectrum_figure(spectrum)
    sx.plots.save_figure(sx.plots.comparison_figure(comparison), "comparison.png")
"""

from specjax.report.figures import *  # noqa: F403  (the same names, in one list)
from specjax.report.figures import __all__ as __all__
