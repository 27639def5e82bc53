"""Watch samplers at work, and compare rules made from that with fixed schedules.

The network is kept in the working folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import specjax as sx
from experiments import methods
from experiments.bands import bands_of
from experiments.data import digits
from experiments.experiment import Experiment, Part
from experiments.intermediate_steps.trajectory import formed, measured, placed, predicted
from experiments.session import Session

DENOISERS = {
    "gaussian": "the ideal denoiser of the digits' stationary Gaussian",
    "empirical": "exact denoiser of half of 1,797 digits, the likeliest kernel",
    "network": "a UNet of 0.69 M parameters trained on the digits",
}
SAMPLERS = ("ddim", "dpmpp_2m")
WATCHED = "placed by what was watched"
_DRAWN = 20_000  # samples of what a denoiser without a dataset of its own stands for
_MINUTES = {"gaussian": 1.0, "empirical": 3.0, "network": 25.0}


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment.

    Attributes:
      trajectory: steps of the runs that are watched. curve: levels at which the formed part of the
        spectrum is measured for the rule that places steps.
      steps: of the comparison. n: samples. seeds: of the noise.
      fine: steps of the fine solution. updates, width: of the network's training.
    """

    trajectory: int = 10
    curve: int = 16
    steps: tuple[int, ...] = (5, 8, 10)
    n: int = 1000
    seeds: int = 3
    fine: int = 64
    updates: int = 2000
    width: int = 32


EXPERIMENT = Experiment(
    "intermediate_steps",
    "Low frequencies are formed first, as predicted, and steps are best spent where that is",
    tuple(Part.of_seeds(x, [k], Config.seeds, _MINUTES[k]) for k, x in DENOISERS.items()),
    Config(),
    Config(trajectory=3, curve=4, steps=(3,), n=48, seeds=1, fine=8, updates=2, width=4),
)


def run(session: Session) -> None:
    """Make what is missing of every denoiser, seed and sampler."""
    pieces = [("samplers", sampler) for sampler in SAMPLERS]
    for seed in session.seeds:
        for name in session.cases:
            document = session.document(f"{name}-{seed}", pieces, denoiser=name, seed=seed)
            if document.missing:
                spectrum = sx.data.open("digits").spectrum(method="shift-invariant")
                one = open_denoiser(name, spectrum, session.config, session.work)
            for keys in list(document.missing):
                document.add(keys, {
                    "watched": watched(keys[1], one, spectrum, seed, session.config),
                    "compared": compared(keys[1], one, spectrum, seed, session.config),
                })  # fmt: skip


Denoiser = tuple[Any, np.ndarray]
"""A denoiser on samples [n, 8, 8], and samples of what it stands for."""


def open_denoiser(name: str, spectrum: sx.Spectrum, config: Config, work: Path) -> Denoiser:
    """Make one of DENOISERS; the network is trained where it is not there."""
    data, rng = digits(), np.random.default_rng(0)
    if name == "gaussian":
        white = rng.normal(size=(_DRAWN, spectrum.dimension))
        drawn = spectrum.lift(spectrum.mean + np.sqrt(spectrum.eigenvalues) * white)
        return sx.wiener(spectrum), np.asarray(drawn)
    if name == "empirical":
        prior = sx.priors.Empirical.from_samples(data, seed=0)
        half = np.asarray(prior.lift(prior.samples)).reshape(-1, 8, 8)
        chosen = half[rng.integers(len(half), size=_DRAWN)]
        return prior, chosen + float(prior.kernel_width) * rng.normal(size=chosen.shape)
    return methods.digits_network(work, config.width, config.updates).denoiser(), data


def watched(
    sampler: str, denoiser: Denoiser, spectrum: sx.Spectrum, seed: int, config: Config
) -> dict[str, Any]:
    """Tell when each band is formed, and what comes of stopping early."""
    denoise, data = denoiser
    bands = bands_of(spectrum)
    schedule = methods.spectral(spectrum, config.trajectory)
    plan = sx.plan(sampler, schedule)
    power, estimates = measured(plan, denoise, data, config.n, seed)
    return {
        "frequency": bands.frequency.tolist(),
        "logsnr": [float(x) for x in schedule.logsnr[:-1]],
        "predicted": formed(predicted(plan, spectrum, bands)).tolist(),
        "measured": formed(power).tolist(),
        "stopped_frechet": [sx.evaluate.frechet(x, data) for x in estimates],
    }


def compared(
    sampler: str, denoiser: Denoiser, spectrum: sx.Spectrum, seed: int, config: Config
) -> dict[str, Any]:
    """Give Fréchet distances at equal calls: of fixed schedules, and of placed steps."""
    denoise, data = denoiser
    fine = methods.spectral(spectrum, config.curve)
    plan = sx.plan(sampler, fine)
    ideal = formed(predicted(plan, spectrum, bands_of(spectrum)))
    power, _ = measured(plan, denoise, data, min(config.n, 256), 500 + seed)
    levels, ends = np.asarray(fine.logsnr[:-1]), methods.ENDS

    def distance(sampler: str, schedule: sx.NoiseSchedule) -> float:
        plan, shape = sx.plan(sampler, schedule), data.shape[1:]
        return sx.evaluate.frechet(sx.generate(plan, denoise, config.n, shape, seed=seed), data)

    found: dict[str, Any] = {}
    for steps in config.steps:
        made = {
            "cosine": methods.heuristic("cosine", steps),
            "uniform_logsnr": methods.heuristic("uniform_logsnr", steps),
            "spectral": methods.spectral(spectrum, steps),
            "placed by the prediction": placed(levels, ideal, steps, ends),
            WATCHED: placed(levels, formed(power), steps, ends),
        }
        found[str(steps)] = {label: distance(sampler, one) for label, one in made.items()}
    solution = methods.spectral(spectrum, config.fine)
    return {"steps": found, "fine": distance("dpmpp_2m", solution)}
