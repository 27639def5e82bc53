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
    save_figure(trajectory_figure(geometry), "trajectories.png")
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
