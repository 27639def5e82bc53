"""The row of the trained network: measured power of bands beside the Gaussian's prediction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

import specjax as sx
from experiments.bands import predicted
from experiments.high_frequencies.config import ENDS, Config
from experiments.high_frequencies.schedules import learned
from experiments.high_frequencies.spectra import stationary
from experiments.learned_plans import config as plans
from experiments.learned_plans import subjects
from specjax.evaluate.frechet import frechet
from specjax.evaluate.power_spectrum import band_power

FINE = "fine solution, 64 steps"
_FINE_STEPS = 64
_NOISE = 20_000  # the first of the seeds of the noise


def run_of(config: Config, work: Path) -> sx.nn.Run:
    """The network of experiments/learned_plans, from its folder; trained where it is not there."""
    training = replace(plans.CONFIG, updates=config.updates, width=config.width)
    return subjects.network(work, training, lambda done, most, text: None)


def plans_of(sampler: str, steps: int, config: Config) -> Iterator[tuple[str, sx.SamplerPlan]]:
    """Along the schedules of the digits' shift-invariant spectrum, and heuristics."""
    spectrum = stationary("digits", None)
    for target in config.targets:
        yield target, sx.plan(sampler, learned(spectrum, target, sampler, steps).schedule)
    for name in config.heuristics:
        yield name, sx.plan(sampler, sx.family(name, steps, alpha_bar_range=ENDS))


def fine_plan(spectrum: sx.Spectrum) -> sx.SamplerPlan:
    """What the network makes of the noise in many steps."""
    levels = sx.spectral(spectrum, _FINE_STEPS, alpha_bar_range=ENDS)
    return sx.plan("dpmpp_2m", levels)


def measured(
    run: sx.nn.Run, plan: sx.SamplerPlan, data: np.ndarray, seed: int, n: int
) -> dict[str, float | list[float]]:
    """Band powers and the Fréchet distance of samples, and the prediction."""
    samples = sx.generate(plan, run.denoiser(), n, run.shape, seed=_NOISE + seed)
    samples = samples.reshape(-1, *data.shape[1:])
    power = band_power(samples, data)
    return {
        "decibel": [round(float(x), 4) for x in power.decibel],
        "predicted": [round(float(x), 4) for x in predicted(plan, run.spectrum)],
        "rms": power.rms,
        "frechet": frechet(samples, data),
    }
