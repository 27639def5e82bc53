"""specjax: learn the sampling of diffusion models from the spectrum of the data.

See the README for a tour; ``specjax.schedule`` states the conventions.
"""

from __future__ import annotations

import importlib
from typing import Any

from specjax import data, limits, priors
from specjax.bootstrap import bootstrap
from specjax.compare import Comparison, compare
from specjax.corrections import Corrections
from specjax.denoisers import from_edm, from_eps, from_v, linearised, wiener
from specjax.effective import effective
from specjax.export import export
from specjax.families import SCHEDULES, family
from specjax.fit import fit
from specjax.generate import generate
from specjax.grids import GRIDS, TrainingGrid
from specjax.intervals import Intervals
from specjax.io import load, save
from specjax.learning import learn, learn_all, verdicts
from specjax.losses import LOSSES
from specjax.moments import Moments
from specjax.noise import NoiseSpectrum
from specjax.noise_families import NOISES, noise_spectrum
from specjax.noise_fit import fit_noise
from specjax.objective import loss
from specjax.plan_result import PlanResult
from specjax.power_law import PowerLaw, power_law_fit
from specjax.probe import Probe, probe
from specjax.result import FitResult
from specjax.sample import sample
from specjax.samplers import SAMPLERS, plan
from specjax.schedule import NoiseSchedule
from specjax.spectral import spectral
from specjax.spectrum import Spectrum
from specjax.steps import SamplerPlan, advance
from specjax.sweep import Recommendation, Sweep, SweepResult, recommend, sweep
from specjax.transfer import Transfer, transfer
from specjax.units import check_units

__version__ = "0.1.0"

__all__ = [
    "GRIDS",
    "LOSSES",
    "NOISES",
    "SAMPLERS",
    "SCHEDULES",
    "Comparison",
    "Corrections",
    "FitResult",
    "Intervals",
    "Moments",
    "NoiseSchedule",
    "NoiseSpectrum",
    "PlanResult",
    "PowerLaw",
    "Probe",
    "Recommendation",
    "SamplerPlan",
    "Spectrum",
    "Sweep",
    "SweepResult",
    "TrainingGrid",
    "Transfer",
    "advance",
    "bootstrap",
    "check_units",
    "compare",
    "data",
    "effective",
    "export",
    "family",
    "fit",
    "fit_noise",
    "from_edm",
    "from_eps",
    "from_v",
    "generate",
    "learn",
    "learn_all",
    "limits",
    "linearised",
    "load",
    "loss",
    "noise_spectrum",
    "plan",
    "power_law_fit",
    "priors",
    "probe",
    "recommend",
    "sample",
    "save",
    "spectral",
    "sweep",
    "transfer",
    "verdicts",
    "wiener",
]


def __getattr__(name: str) -> Any:
    """``specjax.nn`` and ``specjax.evaluate``, loaded (with Flax) when they are used."""
    if name in ("evaluate", "nn"):
        return importlib.import_module(f"specjax.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
