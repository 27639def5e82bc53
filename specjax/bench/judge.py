"""The judge of a bench: noises, fine solutions, the schedules of rivals, and measures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from specjax._core.checks import UserError
from specjax.bench import rivals as others
from specjax.bench.measures import Measure, Reference
from specjax.bench.schedules import Maker, schedules
from specjax.learning.answers import Answers
from specjax.learning.settings import LearnSettings
from specjax.learning.teacher import fine_plan
from specjax.learning.terms import MEDIAN, Distances
from specjax.learning.trajectories import Noises, end_of
from specjax.noise.noise_spectrum import colored
from specjax.priors.prior import Prior, as_denoiser, prior_noise
from specjax.sampling.scaled import SamplerLike
from specjax.sampling.step import SamplerPlan
from specjax.schedules.schedule import alpha_sigma

_TERMS = {"geometric_mean": "teacher", "mean": "teacher_mean", "median": MEDIAN}
_RANKING, _JUDGING, _REFERENCE = range(1, 4)  # streams of noise
_FEW, _FEW_STEPS = 32, 64  # noises on which rivals' schedules are chosen, and fine steps of theirs
_PROBE, _PROBED, _PROBE_LEVELS = 2147, 2, (-6.0, 0.0, 6.0)  # the seed, noises and logsnr of a probe


class Judge:
    """Judges the plans of a seed, all from the same noise; it is prepared as it is asked first."""

    def __init__(
        self, prior: Prior, settings: LearnSettings, seed: int, n: int, fine: int, data: Any,
        components: int, measures: Mapping[str, Measure],
    ) -> None:  # fmt: skip
        self.prior, self.settings, self.seed = prior, settings, seed
        self._n, self._fine, self._data, self._components = n, fine, data, components
        self._measures = measures
        self._ready: dict[str, Any] = {}
        self.answers = Answers(as_denoiser(prior), network=prior.kind == "network",
                               batch=settings.batch)  # fmt: skip

    def noises(self, stream: int, n: int) -> Noises:
        """Draw noises of a stream, and share the conditions out among them."""
        rng = np.random.default_rng([self.settings.seed, self.seed, stream])
        white: Any = rng.standard_normal((n, *self.prior.shape), np.float32)
        conditions = replace(self.settings, n=n).conditions_of(self.prior)
        return Noises(np.asarray(colored(prior_noise(self.prior), white)), conditions)

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._ready:
            self._ready[name] = make()
        return self._ready[name]

    def solved(self, stream: int, n: int, steps: int) -> tuple[Noises, np.ndarray]:
        """Return noises and their fine solutions."""

        def make() -> tuple[Noises, np.ndarray]:
            noises = self.noises(stream, n)
            plan = fine_plan(self.prior, steps, self.settings.levels, self.settings.process)
            return noises, end_of(plan, self.answers, noises)

        return self._once(f"{stream}", make)

    def makers(self) -> dict[str, Maker]:
        """Return what makes schedules."""

        def make() -> dict[str, Maker]:
            pure = self.settings.alpha_bar_range[0] == 0
            fine = None
            if not pure:
                fine = fine_plan(self.prior, _FEW_STEPS, self.settings.levels, "ve")
            few = self.noises(_RANKING, _FEW)
            return schedules(self.prior, self.settings.levels, fine, self.answers, few)

        return self._once("makers", make)

    def chosen(self, calls: int, rivals: Mapping[str, SamplerLike], measure: str) -> dict[str, Any]:
        """Return the plan and the schedule of each rival, chosen on a few noises."""
        noises, target = self.solved(_RANKING, _FEW, self._fine)
        known = others.plans(calls, self.makers(), rivals, self.settings.process)
        best: dict[str, tuple[float, str, SamplerPlan]] = {}
        for (name, schedule), plan in known.items():
            samples = end_of(plan, self.answers, noises)
            value = Distances.between(samples, target, 0.0).report[_TERMS[measure]]
            if math.isfinite(value) and value < best.get(name, (math.inf,))[0]:
                best[name] = float(value), schedule, plan
        return {name: (plan, schedule) for name, (_, schedule, plan) in best.items()}

    def values(self, samples: np.ndarray) -> dict[str, Any]:
        """Measure samples from the judging noise; with the errors of "bands"."""
        _, target = self.solved(_JUDGING, self._n, self._fine)
        report = Distances.between(samples, target, 0.0).report
        found = {name: float(report[term]) for name, term in _TERMS.items()}
        return {**found, **self._reference.compare(samples, self._measures)}

    @property
    def fine_values(self) -> dict[str, Any]:
        """The measures of the fine solutions from the judging noise."""
        return self._once(
            "fine", lambda: self._reference.compare(self.fine_samples, self._measures)
        )

    @property
    def floor(self) -> dict[str, Any]:
        """The measures of as many samples of the reference itself."""
        return self._once("floor", lambda: self._reference.floor(self._n, self._measures))

    @property
    def _reference(self) -> Reference:
        return self._once("reference", self._make_reference)

    def _make_reference(self) -> Reference:
        if self._data is None:
            x = self.solved(_REFERENCE, 2 * self._n, _FEW_STEPS)[1]
        else:
            x = np.asarray(self._data)
            if x.shape[1:] != self.prior.shape:
                raise UserError(f"data has samples of shape {x.shape[1:]}, not {self.prior.shape}")
        return Reference.of(x, self._components)

    @property
    def probe(self) -> np.ndarray:
        """The denoiser's answers to a few noises at a few levels, by which it is recognised."""
        return self._once("probe", self._probed)

    def _probed(self) -> np.ndarray:
        rng = np.random.default_rng(_PROBE)
        noise = rng.standard_normal((_PROBED, *self.prior.shape), np.float32)
        given = replace(self.settings, n=_PROBED).conditions_of(self.prior)
        levels = alpha_sigma(np.array(_PROBE_LEVELS), self.settings.process)
        asked = zip(*(one.tolist() for one in levels), strict=True)
        return np.stack(
            [self.answers(np.float32(math.hypot(a, s)) * noise, a, s, given) for a, s in asked]
        )

    def sampled(self, plan: SamplerPlan) -> np.ndarray:
        """Sample from the judging noise."""
        return end_of(plan, self.answers, self.solved(_JUDGING, self._n, self._fine)[0])

    @property
    def fine_samples(self) -> np.ndarray:
        """The fine solutions from the judging noise."""
        return self.solved(_JUDGING, self._n, self._fine)[1]
