from . import data, evaluate, nn, plots, priors
from ._core.cache import enable_cache
from ._core.checks import UserError
from .advise.advice import Advice, Advised, AdvisedSteps, advise
from .advise.shift import BestShift, best_shift, frequency_power_law
from .bench import Bench, bench
from .evaluate.trajectory import trajectory
from .files import load, save
from .fitting import limits
from .fitting.any_steps import PlanSet
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
from .learning import compare_on, learn, learn_all, verdicts
from .learning.recording import Recording
from .noise.families import NOISES, noise_spectrum
from .noise.noise_spectrum import NoiseSpectrum
from .noise.whitening import effective
from .restoration import measure
from .restoration.fit import PosteriorResult, fit_posterior, steered_plan
from .restoration.learn import learn_posterior
from .restoration.methods import METHODS
from .restoration.posterior import perception_distortion, posterior_transfer
from .restoration.steered import restore, steered
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
    "METHODS",
    "NOISES",
    "SAMPLERS",
    "SCHEDULES",
    "Advice",
    "Advised",
    "AdvisedSteps",
    "Bench",
    "BestShift",
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
    "PlanSet",
    "PosteriorResult",
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
    "advise",
    "bench",
    "best_shift",
    "bootstrap",
    "check_units",
    "compare",
    "compare_on",
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
    "fit_posterior",
    "frequency_power_law",
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
    "learn_posterior",
    "limits",
    "linearised",
    "lms",
    "load",
    "loss",
    "measure",
    "nn",
    "noise_spectrum",
    "perception_distortion",
    "plan",
    "plots",
    "posterior_transfer",
    "power_law_fit",
    "priors",
    "probe",
    "recommend",
    "restore",
    "sample",
    "save",
    "spectral",
    "steered",
    "steered_plan",
    "sweep",
    "trajectory",
    "transfer",
    "unipc",
    "verdicts",
    "wiener",
]
