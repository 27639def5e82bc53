"""Does DDIM gain on published networks by a schedule of the spectrum what the paper says?

The schedules are those of 2502.00180: learned for DDIM with the ideal denoiser, by W2 and by KL, on
the spectrum of the samples. Nothing else is learned; plans are in experiments/published_networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import specjax as sx
from experiments.data import AbsentError
from experiments.experiment import Experiment, Part
from experiments.published_networks.networks import ENDS, SHAPE, published
from experiments.session import Session, say
from specjax.fitting.compare import pinned_families
from specjax.learning.teacher import fine_plan
from specjax.schedules.level_range import LevelRange

LEARNED = {
    "learned, W2": {"loss": "w2"},
    "learned, KL": {"loss": "kl"},
    "learned, W2 without the mean": {"loss": "w2", "mean": "ignore"},
}
"""The schedules of the spectrum, with what they are learned by."""

MEAN, FRECHET = "mean", "frechet"
MEASURES = {
    FRECHET: "Fréchet distance (squared), 64 principal components",
    MEAN: "mean squared distance to the fine solution",
}


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment.

    Attributes:
      steps: of DDIM. seeds: of the noise of the spectrum's samples, and of that which judges.
      n, fine: noises that judge, and the steps of their fine solutions.
      known: fine samples of other noise, for the spectrum and for Fréchet distances, and
        known_steps, the steps of these.
      components: principal components that Fréchet distances are taken in.
    """

    steps: tuple[int, ...] = (3, 5, 9, 10, 18)
    seeds: int = 3
    n: int = 256
    fine: int = 128
    known: int = 1024
    known_steps: int = 64
    components: int = 64


EXPERIMENT = Experiment(
    "paper_claims",
    "What a schedule of the spectrum gains for DDIM on published networks, beside what was claimed",
    tuple(
        Part.of_seeds(f"galaxies of {name.upper()}", [name], Config.seeds, None)
        for name in ("hsc", "ztf")
    ),
    Config(),
    Config(steps=(3,), seeds=1, n=8, fine=8, known=16, known_steps=8, components=4),
    smallest_cases=("hsc",),
)


def run(session: Session) -> None:
    """Make what is missing of every network, seed and S."""
    try:
        for case in session.cases:
            for seed in session.seeds:
                pieces = [("steps", str(steps)) for steps in session.config.steps]
                document = session.document(f"{case}-{seed}", pieces, case=case, seed=seed)
                if document.missing:
                    fill(document, Judge(case, seed, session.config))
    except AbsentError as error:
        say(f"left out: {error}")


def fill(document: Any, judge: Judge) -> None:
    """Judge the schedules of every S that is missing."""
    document.content["fine"] = judge(judge.solved)
    for keys in list(document.missing):
        plans = {
            name: sx.plan("ddim", schedule)
            for name, schedule in schedules(judge.spectrum, int(keys[1])).items()
        }
        document.add(keys, {name: judge(judge.sampled(plan)) for name, plan in plans.items()})


def schedules(spectrum: sx.Spectrum, steps: int) -> dict[str, sx.NoiseSchedule]:
    """Make every family and the schedules of the spectrum, between the same ends."""
    families = pinned_families(LevelRange(ENDS))
    ideal = {"alpha_bar_range": ENDS, "denoiser_error": 0.0}
    learned = {x: sx.fit(spectrum, steps, **y, **ideal).schedule for x, y in LEARNED.items()}
    return {**{name: make(steps) for name, make in families.items()}, **learned}


class Judge:
    """Judges samples of a network from the noise of a seed."""

    def __init__(self, case: str, seed: int, config: Config) -> None:
        self.prior, self._seed, self._n = published(case), seed, config.n
        known = self._of(config.known_steps, config.known, 2000 + seed).reshape(config.known, -1)
        self.spectrum = sx.Spectrum.from_samples(known, shrinkage="ledoit-wolf")
        self.solved = self._of(config.fine, config.n, 1000 + seed)
        self._mean = known.mean(0)
        axes = np.linalg.svd(known - self._mean, full_matrices=False)[2]
        self._axes = axes[: config.components].T
        self._known = (known - self._mean) @ self._axes

    def __call__(self, samples: np.ndarray) -> dict[str, float]:
        """Measure the distance to the fine solutions, and the Fréchet distance to others."""
        flat, solved = (x.reshape(len(x), -1).astype(np.float64) for x in (samples, self.solved))
        return {
            MEAN: float(((flat - solved) ** 2).sum(1).mean()),
            FRECHET: float(sx.evaluate.frechet((flat - self._mean) @ self._axes, self._known)),
        }

    def sampled(self, plan: sx.SamplerPlan) -> np.ndarray:
        """Sample from the judging noise."""
        return sx.generate(plan, self.prior, self._n, SHAPE, seed=1000 + self._seed)

    def _of(self, steps: int, n: int, seed: int) -> np.ndarray:
        plan = fine_plan(self.prior, steps, LevelRange(ENDS))
        found = sx.generate(plan, self.prior, n, SHAPE, seed=seed)
        return np.asarray(found, np.float64)
