from .bands import bands_figure
from .bench import bench_figure
from .fit import comparison_figure, fit_figure
from .learn import learn_figure
from .levels import levels_figure
from .probe import probe_figure
from .samples import samples_figure
from .save import save_figure
from .spectrum import spectrum_figure
from .sweep import sweep_figure
from .trajectory import trajectory_figure

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
    "trajectory_figure",
]
