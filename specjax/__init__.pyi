from . import data, evaluate, nn, plots, priors
from ._core.cache import enable_cache
from ._core.checks import UserError
from .bench import Bench, bench
from .files import load, save
from .fitting import limits
from .fitting.compare import Comparison, compare
from .fitting.fit import fit
from .fitting.learned import FitResult, LearnedResult, PlanResult
from .fitting.noise_fit import fit_noise
from .fitting.spectral import spectral
from .gaussian.losses import LOSSES, Loss
from .gaussian.probe import Probe, probe
from .gaussian.task import GaussianTask, loss
from .gaussian.transfer import Transfer, transfer
from .interop.export import export
from .learning import learn, learn_all, verdicts
from .learning.recording import Recording
from .noise.families import NOISES, noise_spectrum
from .noise.noise_spectrum import NoiseSpectrum
from .noise.whitening import effective
from .sampling.black_box import BlackBox
from .sampling.corrections import Corrections
from .sampling.denoisers import from_edm, from_eps, from_flow, from_v, from_x0, linearised, wiener
from .sampling.generate import generate
from .sampling.guidance import guided
from .sampling.sample import sample
from .sampling.samplers import (
    SAMPLERS,
    Sampler,
    ddim,
    ddpm,
    deis,
    dpmpp_2m,
    dpmpp_2m_sde,
    dpmpp_3m,
    euler_ancestral,
    heun,
    ipndm,
    lms,
    plan,
    unipc,
)
from .sampling.step import SamplerPlan, advance
from .schedules.families import SCHEDULES, Family, family
from .schedules.grids import GRIDS, FlowGrid, TrainingGrid
from .schedules.schedule import NoiseSchedule
from .spectra.bootstrap import Intervals, bootstrap
from .spectra.estimate import check_units
from .spectra.moments import Moments
from .spectra.power_law import PowerLaw, power_law_fit
from .spectra.spectrum import Spectrum
from .sweep import Recommendation, Sweep, SweepResult, recommend, sweep

__version__: str
__all__ = [
    "GRIDS",
    "LOSSES",
    "NOISES",
    "SAMPLERS",
    "SCHEDULES",
    "Bench",
    "BlackBox",
    "Comparison",
    "Corrections",
    "Family",
    "FitResult",
    "FlowGrid",
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
    "Recording",
    "Sampler",
    "SamplerPlan",
    "Spectrum",
    "Sweep",
    "SweepResult",
    "TrainingGrid",
    "Transfer",
    "UserError",
    "advance",
    "bench",
    "bootstrap",
    "check_units",
    "compare",
    "data",
    "ddim",
    "ddpm",
    "deis",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_3m",
    "effective",
    "enable_cache",
    "euler_ancestral",
    "evaluate",
    "export",
    "family",
    "fit",
    "fit_noise",
    "from_edm",
    "from_eps",
    "from_flow",
    "from_v",
    "from_x0",
    "generate",
    "guided",
    "heun",
    "ipndm",
    "learn",
    "learn_all",
    "limits",
    "linearised",
    "lms",
    "load",
    "loss",
    "nn",
    "noise_spectrum",
    "plan",
    "plots",
    "power_law_fit",
    "priors",
    "probe",
    "recommend",
    "sample",
    "save",
    "spectral",
    "sweep",
    "transfer",
    "unipc",
    "verdicts",
    "wiener",
]
