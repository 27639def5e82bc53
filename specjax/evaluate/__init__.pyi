from .energy_mmd import energy_distance, polynomial_mmd
from .error_bars import Bands, Estimate, Evaluation
from .evaluation import evaluate, evaluate_schedules
from .feature_spaces import Features, principal
from .frechet import frechet, frechet_of_moments
from .measures import MEASURES, Measure
from .power_spectrum import BandPower, band_power
from .precision_recall import (
    DensityCoverage,
    PrecisionRecall,
    density_coverage,
    precision_recall,
)
from .reference import Reference
from .sliced_wasserstein import sliced_wasserstein

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
