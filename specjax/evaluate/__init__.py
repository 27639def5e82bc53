"""How far samples are from data: distances, error bars, and real against real as the floor.

The measures are pure functions of two arrays, generated samples and data; :data:`MEASURES` lists
them. :func:`evaluate` takes several, with error bars and the floor of the same n::

    found = specjax.evaluate.evaluate(samples, data)      # [m, *shape] or [seeds, m, *shape]
    found.values["frechet"].value, found.values["frechet"].error, found.floor["frechet"].value

:func:`evaluate_schedules` draws the samples itself, with any denoiser, along several schedules.
"""

from specjax.evaluate.energy_mmd import energy_distance, polynomial_mmd
from specjax.evaluate.error_bars import Bands, Estimate, Evaluation
from specjax.evaluate.evaluation import evaluate, evaluate_schedules
from specjax.evaluate.feature_spaces import Features, principal
from specjax.evaluate.frechet import frechet, frechet_of_moments
from specjax.evaluate.measures import MEASURES, Measure
from specjax.evaluate.power_spectrum import BandPower, band_power
from specjax.evaluate.precision_recall import (
    DensityCoverage,
    PrecisionRecall,
    density_coverage,
    precision_recall,
)
from specjax.evaluate.reference import Reference
from specjax.evaluate.sliced_wasserstein import sliced_wasserstein

__all__ = [
    "MEASURES",
    "BandPower",
    "Bands",
    "DensityCoverage",
    "Estimate",
    "Evaluation",
    "Features",
    "Measure",
    "PrecisionRecall",
    "Reference",
    "band_power",
    "density_coverage",
    "energy_distance",
    "evaluate",
    "evaluate_schedules",
    "frechet",
    "frechet_of_moments",
    "polynomial_mmd",
    "precision_recall",
    "principal",
    "sliced_wasserstein",
]
