"""The figures of all commands, drawn without matplotlib's global state (pyplot).

Each function returns a matplotlib figure that belongs to its caller. matplotlib is imported when a
figure is drawn, not before::

    save_figure(fit_figure(spectrum, {"learned": a, "cosine": b}, learned="learned"), "fit.png")
    save_figure(comparison_figure(comparison), "fit.png")
    save_figure(levels_figure({"learned": schedule}), "levels.png")
    save_figure(spectrum_figure(spectrum), "spectrum.png")
    save_figure(sweep_figure(result.table), "sweep.png")
    save_figure(bands_figure([evaluation]), "bands.png")
    save_figure(bench_figure(bench), "bench.png")
    save_figure(learn_figure([plan_result]), "plan.png")
    save_figure(probe_figure(probe), "probe.png")
    save_figure(samples_figure({"learned": x, "cosine": y}), "samples.png")
"""

from specjax.report.figures.bands import bands_figure
from specjax.report.figures.bench import bench_figure
from specjax.report.figures.fit import comparison_figure, fit_figure
from specjax.report.figures.learn import learn_figure
from specjax.report.figures.levels import levels_figure
from specjax.report.figures.probe import probe_figure
from specjax.report.figures.samples import samples_figure
from specjax.report.figures.save import save_figure
from specjax.report.figures.spectrum import spectrum_figure
from specjax.report.figures.sweep import sweep_figure

__all__ = [
    "bands_figure",
    "bench_figure",
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
