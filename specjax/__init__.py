"""specjax: learn the sampling of diffusion models from the spectrum of the data.

See the README for a tour; :mod:`specjax.schedules.schedule` states the conventions.
"""

from __future__ import annotations

import importlib
from typing import Any

from specjax import data, priors
from specjax._core.checks import UserError
from specjax.files import load, save
from specjax.fitting import limits
from specjax.fitting.compare import Comparison, compare
from specjax.fitting.fit import fit
from specjax.fitting.learned import FitResult, LearnedResult, PlanResult
from specjax.fitting.noise_fit import fit_noise
from specjax.fitting.spectral import spectral
from specjax.gaussian.losses import LOSSES, Loss
from specjax.gaussian.probe import Probe, probe
from specjax.gaussian.task import GaussianTask, loss
from specjax.gaussian.transfer import Transfer, transfer
from specjax.interop.export import export
from specjax.learning import learn, learn_all, verdicts
from specjax.noise.families import NOISES, noise_spectrum
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.noise.whitening import effective
from specjax.sampling.corrections import Corrections
from specjax.sampling.denoisers import from_edm, from_eps, from_v, linearised, wiener
from specjax.sampling.generate import generate
from specjax.sampling.sample import sample
from specjax.sampling.samplers import (
    SAMPLERS,
    Sampler,
    ddim,
    ddpm,
    dpmpp_2m,
    dpmpp_2m_sde,
    euler_ancestral,
    heun,
    lms,
    plan,
)
from specjax.sampling.step import SamplerPlan, advance
from specjax.schedules.families import SCHEDULES, Family, family
from specjax.schedules.grids import GRIDS, TrainingGrid
from specjax.schedules.schedule import NoiseSchedule
from specjax.spectra.bootstrap import Intervals, bootstrap
from specjax.spectra.estimate import check_units
from specjax.spectra.moments import Moments
from specjax.spectra.power_law import PowerLaw, power_law_fit
from specjax.spectra.spectrum import Spectrum
from specjax.sweep import Recommendation, Sweep, SweepResult, recommend, sweep

__version__ = "0.1.0"

__all__ = [
    "GRIDS",
    "LOSSES",
    "NOISES",
    "SAMPLERS",
    "SCHEDULES",
    "Comparison",
    "Corrections",
    "Family",
    "FitResult",
    "GaussianTask",
    "Intervals",
    "LearnedResult",
    "Loss",
    "Moments",
    "NoiseSchedule",
    "NoiseSpectrum",
    "PlanResult",
    "PowerLaw",
    "Probe",
    "Recommendation",
    "Sampler",
    "SamplerPlan",
    "Spectrum",
    "Sweep",
    "SweepResult",
    "TrainingGrid",
    "Transfer",
    "UserError",
    "advance",
    "bootstrap",
    "check_units",
    "compare",
    "data",
    "ddim",
    "ddpm",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "effective",
    "euler_ancestral",
    "export",
    "family",
    "fit",
    "fit_noise",
    "from_edm",
    "from_eps",
    "from_v",
    "generate",
    "heun",
    "learn",
    "learn_all",
    "limits",
    "linearised",
    "lms",
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
    """Load ``specjax.nn`` and ``specjax.evaluate`` (with Flax) when they are used."""
    if name in ("evaluate", "nn"):
        return importlib.import_module(f"specjax.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
