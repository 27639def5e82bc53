"""Fit schedules with and without a denoiser's error, and judge them on a network.

The network and the features are those of experiments/trained_networks, in its working folder.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import specjax as sx
from experiments import methods
from experiments.experiment import Experiment, Part
from experiments.session import Session
from experiments.trained_networks import config as trained_networks
from experiments.trained_networks.network import TrainedNetwork, open_network
from experiments.trained_networks.run import judged

ROW = "digits"


def error_name(part: float) -> str:
    """Name the schedule that is fitted with an error."""
    return f"error {part:g}"


PART = 0.1
IDEAL, USUAL = error_name(0.0), error_name(PART)
PROBED, PROBED_ERROR = f"probed, {IDEAL}", f"probed, {USUAL}"
"""With the linear response that a probe of the network measures in the place of Wiener's."""


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment.

    Attributes:
      steps, samplers: each with each. parts: of the denoiser's error, 0 is the ideal denoiser.
      seeds: of the noise that judges. probe: samples that the network is probed on.
      network: the config of experiments/trained_networks, whose network judges.
    """

    steps: tuple[int, ...] = (5, 8, 10, 20)
    samplers: tuple[str, ...] = ("ddim", "heun", "dpmpp_2m")
    parts: tuple[float, ...] = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
    seeds: int = 3
    probe: int = 500
    network: trained_networks.Config = trained_networks.EXPERIMENT.config

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the schedules that are fitted."""
        return (*map(error_name, self.parts), PROBED, PROBED_ERROR)


SMALLEST = Config(
    steps=(3,), samplers=("ddim",), parts=(0.0, 0.1), seeds=2, probe=8,
    network=trained_networks.SMALLEST,
)  # fmt: skip

_STEMS = [f"{ROW}-{steps}" for steps in Config.steps]
EXPERIMENT = Experiment(
    "erring_denoiser",
    "What schedules gain on a network by counting what a real denoiser errs by",
    (Part.of_seeds(trained_networks.ROWS[ROW].title, _STEMS, Config.seeds, 20.0, cases=()),),
    Config(),
    SMALLEST,
    selection=("seeds", "steps"),
    options=("steps",),
    work="trained_networks",
)


def run(session: Session) -> None:
    """Make what is missing of every S and seed."""
    fits = Fits(session.config, session.work)
    for steps in session.config.steps:
        for seed in session.seeds:
            about = {"row": ROW, "steps": steps, "seed": seed}
            document = session.document(f"{ROW}-{steps}-{seed}", **about)
            if document.missing:
                begun = time.perf_counter()
                found = in_steps(fits, steps, seed)
                document.add((), {"seconds": time.perf_counter() - begun, **found})


class Fits:
    """The schedules of a network, each fitted once."""

    def __init__(self, config: Config, work: Path) -> None:
        self.config, self.work = config, work
        self.of = functools.cache(self._of)

    @functools.cached_property
    def network(self) -> TrainedNetwork:
        """The network, its data and features."""
        return open_network(ROW, self.config.network, self.work)

    @functools.cached_property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """The denoiser and its error that each column is fitted with."""
        one, count = self.network, self.config.probe
        probe = sx.probe(one.prior, one.data, one.run.spectrum, n=count, seed=0)
        parts = {error_name(x): {"denoiser_error": x} for x in self.config.parts}
        probed = {"denoiser": probe}
        return {**parts, PROBED: probed, PROBED_ERROR: {**probed, "denoiser_error": PART}}

    def _of(self, sampler: str, steps: int) -> dict[str, sx.FitResult]:
        """Fit a schedule for each column."""
        spectrum = self.network.run.spectrum
        return {x: methods.fit(spectrum, steps, sampler, **how) for x, how in self.tasks.items()}

    def losses(self, sampler: str, steps: int) -> dict[str, dict[str, float]]:
        """Give each column's loss of the heuristics: their order, without a network."""
        made = {x: methods.heuristic(x, steps) for x in trained_networks.HEURISTICS}
        spectrum = self.network.run.spectrum

        def loss(one: sx.NoiseSchedule, how: dict[str, Any]) -> float:
            return float(sx.loss(spectrum, one, sampler=sampler, **how))

        return {
            name: {x: loss(one, how) for x, one in made.items()} for name, how in self.tasks.items()
        }


def in_steps(fits: Fits, steps: int, seed: int) -> dict[str, Any]:
    """Judge all columns of all samplers, and give what was predicted."""
    columns, predicted = {}, {}
    for sampler in fits.config.samplers:
        for name, fit in fits.of(sampler, steps).items():
            plan = sx.plan(sampler, fit.schedule)
            found = judged(fits.network, plan, seed, fits.config.network)
            facts = {"loss": fit.value, "converged": fit.converged, "iterations": fit.iterations}
            levels = [float(x) for x in fit.schedule.logsnr[:-1]]
            columns[f"{sampler} {name}"] = {**found, **facts, "logsnr": levels}
        predicted[sampler] = fits.losses(sampler, steps)
    return {"columns": columns, "predicted": predicted}
