"""Pictures, drawn without matplotlib's global state (pyplot).

matplotlib is imported when a picture is drawn, not before::

    picture = fit_picture(spectrum, {"learned": schedule, "cosine": other}, learned="learned")
    save_figure(fit_figure(picture), "schedule.png")
    save_figure(spectrum_figure(spectrum), "spectrum.png")
    save_figure(sweep_figure(result.table), "sweep.png")
    save_figure(bands_figure([evaluation]), "bands.png")
    save_figure(learn_figure([plan_result]), "plan.png")
"""

from specjax.report.figures.bands_figure import bands_figure
from specjax.report.figures.figure import fit_figure
from specjax.report.figures.learn_figure import learn_figure
from specjax.report.figures.picture import Drawn, FitPicture, LossCurve, fit_picture
from specjax.report.figures.save import FORMATS, save_figure
from specjax.report.figures.spectrum_figure import spectrum_figure
from specjax.report.figures.sweep_figure import sweep_figure

__all__ = [
    "FORMATS",
    "Drawn",
    "FitPicture",
    "LossCurve",
    "bands_figure",
    "fit_figure",
    "fit_picture",
    "learn_figure",
    "save_figure",
    "spectrum_figure",
    "sweep_figure",
]
