"""Fit schedules under every choice that has a default, and judge them on networks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

import specjax as sx
from experiments import methods
from experiments.data import AbsentError
from experiments.experiment import Experiment, Part
from experiments.learned_plans.run import Config as DigitsConfig
from experiments.published_networks import networks as galaxies
from experiments.session import Session, say
from specjax.advise.by_steps import ends_for
from specjax.cli.python_denoiser import PythonDenoiser, fine_spectrum
from specjax.fitting.compare import amplification, pinned_families
from specjax.gaussian.task import GaussianTask
from specjax.learning.answers import Answers
from specjax.learning.teacher import fine_plan
from specjax.learning.terms import Distances
from specjax.learning.trajectories import Noises, end_of
from specjax.priors.prior import Prior, as_denoiser
from specjax.sampling.sample import mean_at_start
from specjax.schedules.level_range import LevelRange

CASES = {
    "hsc": "galaxies of HSC, 32x32, published",
    "ztf": "galaxies of ZTF, 32x32, published",
    "unet": "a UNet of 0.69 M parameters on the digits",
    "digits": "the empirical denoiser of the digits",
    "patches": "the empirical denoiser of patches",
}
MEASURES = {"mean": "teacher_mean", "geometric_mean": "teacher"}
FAMILY, FAMILY_AUTO = "best family", "best family, ends auto"
USUAL = 0.1
"""The denoiser's error with which ends and means are tried."""


def column(loss: str = "w2", error: float = 0.0, more: str = "") -> str:
    """Name what a schedule was fitted with."""
    return f"{loss}, error {error:g}" + (f", {more}" if more else "")


IGNORED, AT_MEAN, AUTO = "mean ignored", "mean ignored, start at it", "ends auto"
_JUDGING, _RANKING = range(2)  # streams of noise
_FLOOR = 1e-4  # of eigenvalues under KL, as a part of their mean


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment.

    Attributes:
      samplers, steps: each with each. errors: of the denoiser, under W2. kl_errors: under KL.
      galaxy_errors, galaxy_kl_errors: those on the networks of galaxies.
      n: noises that judge. few: those on which the best family is chosen.
      fine: steps of the solutions that judge.
    """

    samplers: tuple[str, ...] = (
        "dpmpp_2m", "ddim", "unipc", "heun", "dpmpp_3m", "deis", "ipndm"
    )  # fmt: skip
    steps: tuple[int, ...] = (3, 5, 8)
    errors: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2)
    kl_errors: tuple[float, ...] = (0.0, 0.1)
    galaxy_errors: tuple[float, ...] = (0.0, 0.1)
    galaxy_kl_errors: tuple[float, ...] = (0.1,)
    n: int = 32
    few: int = 6
    fine: int = 64

    def of(self, case: str) -> Config:
        """Return the config of a case."""
        samplers = tuple(x for x in self.samplers if x in samplers_of(case))
        if case not in galaxies.NETWORKS:
            return replace(self, samplers=samplers)
        errors = {"errors": self.galaxy_errors, "kl_errors": self.galaxy_kl_errors}
        return replace(self, samplers=samplers, **errors)


def samplers_of(case: str) -> tuple[str, ...]:
    """Return the samplers of a case: few of them where answers are dear."""
    return Config.samplers[:4] if case in galaxies.NETWORKS else Config.samplers


SMALLEST = Config(("ddim", "dpmpp_2m"), (3,), (0.0, 0.1), (0.1,), n=4, few=2, fine=16)

EXPERIMENT = Experiment(
    "defaults",
    "What a fit without options does is what wins on networks",
    tuple(
        Part(title, tuple(f"{case}-{x}.json" for x in samplers_of(case)), None, (case,))
        for case, title in CASES.items()
    ),
    Config(),
    SMALLEST,
    smallest_cases=("digits",),
    selection=("samplers",),
    options=("samplers",),
    work="learned_plans",
)


def run(session: Session) -> None:
    """Make what is missing of every network and sampler."""
    for case in session.cases:
        config, judge = session.config.of(case), None
        for name in config.samplers:
            document = session.document(f"{case}-{name}", case=case, sampler=name)
            if not document.missing:
                continue
            try:
                judge = judge or Judge(*opened(case, session), config)
            except AbsentError as error:
                say(f"left out: {error}")
                break
            begun = time.perf_counter()
            found = {str(s): judge.in_steps(name, s) for s in config.steps}
            seconds = time.perf_counter() - begun
            document.add((), {"network": judge.facts, "seconds": seconds, "steps": found})


def opened(case: str, session: Session) -> tuple[Prior, tuple[float, float]]:
    """Open a network with a spectrum, of its data or of its fine samples; and its two ends."""
    if case in galaxies.NETWORKS:
        prior = galaxies.published(case)
        named = PythonDenoiser(name=case, denoise=prior.denoise, shape=prior.shape)
        spectrum = fine_spectrum(named, LevelRange(galaxies.ENDS), (), 0)
        return replace(prior, spectrum=spectrum), galaxies.ENDS
    if case == "unet":
        run = methods.digits_network(session.work, DigitsConfig.width, DigitsConfig.updates)
        return sx.priors.Network(run.denoiser(), run.shape, run.spectrum), methods.ENDS
    return sx.priors.prior_of("empirical", sx.data.open(case)), methods.ENDS


class Judge:
    """Measures schedules by the distance to the fine solution from the same noise."""

    def __init__(self, prior: Prior, ends: tuple[float, float], config: Config) -> None:
        self.prior, self.ends, self.config = prior, ends, config
        self.answers = Answers(as_denoiser(prior), network=prior.kind == "network", batch=64)
        self._fine = fine_plan(prior, config.fine, LevelRange(ends))
        self._solved: dict[tuple[int, bool], tuple[Noises, np.ndarray]] = {}

    @cached_property
    def spectrum(self) -> sx.Spectrum:
        """The spectrum of the data."""
        assert self.prior.spectrum is not None
        return self.prior.spectrum

    @cached_property
    def lifted(self) -> sx.Spectrum:
        """The spectrum on which KL is finite."""
        return self.spectrum.floor(_FLOOR * self.facts["variance"] / self.facts["dimension"])

    @property
    def facts(self) -> dict[str, Any]:
        """Give what is known of the data."""
        power = float(np.sum(np.asarray(self.spectrum.mean_power)))
        variance = float(np.asarray(self.spectrum.weights) @ np.asarray(self.spectrum.eigenvalues))
        source = self.spectrum.source or {}
        return {
            "dimension": int(np.prod(self.prior.shape)), "samples": source.get("samples"),
            "mean_over_variance": power / variance, "variance": variance, "ends": list(self.ends),
        }  # fmt: skip

    def solved(self, stream: int, at_mean: bool) -> tuple[Noises, np.ndarray]:
        """Return noises and their fine solutions; they may start at the marginal's mean."""
        if (stream, at_mean) not in self._solved:
            n = (self.config.n, self.config.few)[stream]
            rng = np.random.default_rng([0, stream])
            start = rng.standard_normal((n, *self.prior.shape), np.float32)
            if at_mean:
                mean = self.solved(_JUDGING, False)[1].mean(0)
                start = start + np.float32(mean_at_start(self._fine, mean, start.shape))
            noises = Noises(start)
            self._solved[stream, at_mean] = noises, end_of(self._fine, self.answers, noises)
        return self._solved[stream, at_mean]

    def values(
        self, sampler: str, schedule: sx.NoiseSchedule, stream: int = _JUDGING,
        at_mean: bool = False,
    ) -> dict[str, float]:  # fmt: skip
        """Measure a schedule."""
        noises, target = self.solved(stream, at_mean)
        with np.errstate(over="ignore", invalid="ignore"):
            samples = end_of(sx.plan(sampler, schedule), self.answers, noises)
        report = Distances.between(samples, target, 0.0).report
        return {name: float(report[x]) for name, x in MEASURES.items()}

    def in_steps(self, sampler: str, steps: int) -> dict[str, Any]:
        """Fit and judge all columns, and the families that are best on a few other noises."""
        families = self.families(steps, self.ends)
        found = {FAMILY: self.best_family(sampler, families)}
        for name, make in self.columns(sampler).items():
            task = make(steps)
            fit = sx.fit(task, steps)
            found[name] = {
                **self.values(sampler, fit.schedule, at_mean=AT_MEAN in name), "loss": fit.value,
                "converged": fit.converged, "logsnr": methods.rounded(fit.schedule.logsnr[:-1]),
                "amplification": amplification(task, fit.schedule, families.values()),
                "mean_share": task.mean_share(fit.schedule),
                "least_family_loss": min(float(task.value(x)) for x in families.values()),
            }  # fmt: skip
            if AUTO in name:
                within = self.families(steps, task.alpha_bar_range)
                found[FAMILY_AUTO] = self.best_family(sampler, within)
        return found

    def families(self, steps: int, ends: tuple[float, float]) -> dict[str, sx.NoiseSchedule]:
        """Make every family, pinned to two ends."""
        return {name: make(steps) for name, make in pinned_families(LevelRange(ends)).items()}

    def best_family(self, sampler: str, families: dict[str, sx.NoiseSchedule]) -> dict[str, Any]:
        """Choose a family on a few noises and judge it on the others."""
        known = {x: self.values(sampler, one, _RANKING) for x, one in families.items()}
        best = min(known, key=lambda x: known[x]["geometric_mean"])
        return {"family": best, **self.values(sampler, families[best])}

    def columns(self, sampler: str) -> dict[str, Callable[[int], GaussianTask]]:
        """Name the tasks that schedules are fitted to, functions of the steps."""
        config, made = self.config, {}
        usual = 0.0 if sampler == "ddim" else USUAL

        def task(loss: str, error: float, steps: int, auto: bool = False, **more: Any) -> Any:
            options = {"sampler": sampler, "loss": loss, "denoiser_error": error, **more}
            spectrum = self.spectrum if loss == "w2" else self.lifted
            one = GaussianTask.resolve(spectrum, alpha_bar_range=self.ends, **options)
            if not auto:
                return one
            noisy = max(ends_for(one, steps)[0], self.ends[0])  # which the network knows
            return GaussianTask.resolve(spectrum, alpha_bar_range=(noisy, 1.0), **options)

        for loss, errors in (("w2", config.errors), ("kl", config.kl_errors)):
            for error in errors:
                made[column(loss, error)] = partial(task, loss, error)
        for more, name in (({"mean": "ignore"}, IGNORED), ({"mean": "ignore"}, AT_MEAN),
                           ({"auto": True}, AUTO)):  # fmt: skip
            made[column("w2", usual, name)] = partial(task, "w2", usual, **more)
        return made
