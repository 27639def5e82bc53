"""Learn schedules under losses that weigh frequencies, and judge each band.

The network is that of experiments/learned_plans, in its working folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import specjax as sx
from experiments import methods
from experiments.bands import bands_of, predicted
from experiments.data import AbsentError, digits
from experiments.experiment import Experiment, Part
from experiments.high_frequencies.spectra import stationary, weighted
from experiments.methods import HEURISTICS, rounded
from experiments.session import Session, say
from specjax.evaluate.frechet import frechet
from specjax.evaluate.power_spectrum import band_power

SAMPLERS = ("ddim", "ddpm", "dpmpp_2m")
W2, KL, EVERY, BANDS = "w2", "kl", "relative (p = 1)", "bands alike"
TARGETS: dict[str, float | None] = {
    W2: 0.0, "p = 0.25": 0.25, "p = 0.5": 0.5, "p = 0.75": 0.75, EVERY: 1.0, BANDS: None, KL: None,
}  # fmt: skip
"""What a schedule is learned for, and p of the weights ``lambda^-p`` in W2.

With p = 1 it is the loss ``relative`` to the last digit, so no program is compiled for that one.
"bands alike" is p = 1 over the number of frequencies in the band: a low band counts as a high one.
"""

DATASETS = {
    "digits": "1,797 digits, 8x8",
    "patches": "20,000 patches of photographs, 32x32x3",
    "tfds:fashion_mnist": "60,000 pieces of clothing, 28x28",
    "tfds:cifar10": "50,000 photographs, 32x32x3",
}
NETWORK = "network"
"""The case of the UNet of 0.69 M parameters that was trained on the digits."""

FINE = "fine solution, 64 steps"
_FINE_STEPS = 64
_NOISE = 20_000  # the first of the seeds of the noise


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment.

    Attributes:
      steps: denoiser calls. limit: samples that a spectrum is estimated from, None for all.
      seeds: of the noise that the network starts from. network_steps: calls there.
      samplers: of both. targets, heuristics: schedules along which the network is sampled.
      n: samples of a seed. updates, width: of the network's training.
    """

    steps: tuple[int, ...] = (5, 10, 20, 50)
    limit: int | None = None
    seeds: int = 3
    network_steps: tuple[int, ...] = (5, 10)
    samplers: tuple[str, ...] = SAMPLERS
    targets: tuple[str, ...] = (W2, "p = 0.5", EVERY, BANDS)
    heuristics: tuple[str, ...] = ("cosine",)
    n: int = 600
    updates: int = 2000
    width: int = 32


SMALLEST = Config(
    steps=(3,), limit=200, seeds=2, network_steps=(3,), samplers=("ddim",), targets=(W2, EVERY),
    n=24, updates=2, width=4,
)  # fmt: skip

EXPERIMENT = Experiment(
    "high_frequencies",
    "Losses that weigh every frequency alike make high frequencies right, and what it costs",
    (
        *(
            Part(words, (f"{data.removeprefix('tfds:')}.json",), 8.0, (data,))
            for data, words in DATASETS.items()
        ),
        Part.of_seeds("a UNet on the digits", [NETWORK], Config.seeds, 30.0),
    ),
    Config(),
    SMALLEST,
    work="learned_plans",
)


def run(session: Session) -> None:
    """Make what is missing; a dataset that is not on this machine is left out."""
    for name in [x for x in session.cases if x != NETWORK]:
        try:
            closed_form(session, name)
        except AbsentError as error:
            say(f"{name} is left out: {error}")
    for seed in session.seeds if NETWORK in session.cases else ():
        through_network(session, seed)


def _pieces(samplers: Any, steps: Any) -> list[tuple[str, ...]]:
    return [("samplers", sampler, str(s)) for sampler in samplers for s in steps]


def closed_form(session: Session, name: str) -> None:
    """Judge all schedules on the spectrum of a dataset."""
    config = session.config
    pieces = _pieces(config.samplers, config.steps)
    document = session.document(name.removeprefix("tfds:"), pieces, data=name)
    if not document.missing:
        return
    spectrum = stationary(name, config.limit)
    bands = bands_of(spectrum)
    document.content["bands"] = {
        "frequency": bands.frequency.tolist(),
        "eigenvalues": bands.sizes.tolist(),
        "variance": bands.mean(spectrum.eigenvalues).tolist(),
    }
    for keys in list(document.missing):
        _, sampler, steps = keys
        document.add(keys, {
            target: {**facts, **judged(spectrum, schedule, sampler)}
            for target, schedule, facts in schedules_of(spectrum, sampler, int(steps))
        })  # fmt: skip


def learned(spectrum: sx.Spectrum, target: str, sampler: str, steps: int) -> sx.FitResult:
    """Learn the schedule of a target."""
    if target == KL:
        return methods.fit(spectrum, steps, sampler, "kl")
    return methods.fit(weighted(spectrum, TARGETS[target]), steps, sampler)


def schedules_of(
    spectrum: sx.Spectrum, sampler: str, steps: int
) -> Iterator[tuple[str, sx.NoiseSchedule, dict[str, Any]]]:
    """Give those that are learned, with the facts of it, and the heuristics."""
    for target in TARGETS:
        found = learned(spectrum, target, sampler, steps)
        facts = {"converged": bool(found.converged), "objective": float(found.value)}
        yield target, found.schedule, facts
    for name in HEURISTICS:
        yield name, methods.heuristic(name, steps), {}


def judged(spectrum: sx.Spectrum, schedule: sx.NoiseSchedule, sampler: str) -> dict[str, Any]:
    """Give levels, the power of bands in dB, its root mean square over bands, and three losses."""
    variance = np.asarray(sx.transfer(sx.plan(sampler, schedule), spectrum).variance)
    decibel = bands_of(spectrum).decibel(variance, np.asarray(spectrum.eigenvalues))
    names = ("w2", "kl", "relative")
    losses = {x: float(sx.loss(spectrum, schedule, sampler=sampler, loss=x)) for x in names}
    return {
        "logsnr": rounded(schedule.logsnr[:-1]),
        "decibel": rounded(decibel, 6),
        "rms": float(np.sqrt(np.mean(decibel**2))),
        **losses,
    }


def through_network(session: Session, seed: int) -> None:
    """Measure the power of bands of samples that the network makes of a seed's noise."""
    config = session.config
    pieces = _pieces(config.samplers, config.network_steps)
    document = session.document(f"{NETWORK}-{seed}", pieces, data="digits", seed=seed)
    if not document.missing:
        return
    network = methods.digits_network(session.work, config.width, config.updates)

    def measure(plan: sx.SamplerPlan) -> dict[str, Any]:
        return measured(network, plan, digits(), seed, config.n)

    if FINE not in document.content:
        levels = methods.spectral(network.spectrum, _FINE_STEPS)
        document.content[FINE] = measure(sx.plan("dpmpp_2m", levels))
    spectrum = stationary("digits", None)
    for keys in list(document.missing):
        _, sampler, steps = keys
        schedules = {x: learned(spectrum, x, sampler, int(steps)).schedule for x in config.targets}
        schedules |= {x: methods.heuristic(x, int(steps)) for x in config.heuristics}
        document.add(keys, {x: measure(sx.plan(sampler, y)) for x, y in schedules.items()})


def measured(
    network: sx.nn.Run, plan: sx.SamplerPlan, data: np.ndarray, seed: int, n: int
) -> dict[str, Any]:
    """Measure band powers and the Fréchet distance of samples beside the Gaussian's prediction."""
    samples = sx.generate(plan, network.denoiser(), n, network.shape, seed=_NOISE + seed)
    samples = samples.reshape(-1, *data.shape[1:])
    power = band_power(samples, data)
    return {
        "decibel": rounded(power.decibel, 4),
        "predicted": rounded(predicted(plan, network.spectrum), 4),
        "rms": power.rms,
        "frechet": frechet(samples, data),
    }
