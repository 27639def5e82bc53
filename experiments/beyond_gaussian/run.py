"""Judge schedules and plans on priors whose denoisers are exact. Plans are kept in the work folder.

All synthetic priors have the covariance ``4 k^-2``, k = 1..32, so one Gaussian describes all.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import specjax as sx
from experiments import methods
from experiments.beyond_gaussian.priors import PRIORS, Case, case_of, negentropy
from experiments.experiment import Experiment, Part
from experiments.learned_plans.plans import load_plan
from experiments.methods import HEURISTICS
from experiments.session import Session
from specjax.evaluate.energy_mmd import energy_distance
from specjax.evaluate.frechet import frechet, frechet_of_moments

SAMPLERS = ("ddim", "ddpm", "dpmpp_2m")
LEARNED = "learned W2"
SPECTRAL = ("spectral W2", "spectral KL", LEARNED)
"""Schedules from the spectrum: both closed forms, and the fit for the sampler."""

PLANS = ("plan: gaussian", "plan: own")
FINE = "fine solution"
_NOISE, _DRAWS = 30_000, 40_000  # the first of the seeds of noise, and of draws

FAMILIES = {
    "mixture of 4 Gaussians, separation": (
        "gaussian", "mixture-4-0.5", "mixture-4-0.9", "mixture-4-0.99", "mixture-4-0.999",
    ),
    "mixture of separation 9.95, components": (
        "gaussian", "mixture-2-0.99", "mixture-4-0.99", "mixture-8-0.99", "mixture-16-0.99",
    ),
    "heavy tails": ("gaussian", "tails-10", "tails-5", "tails-3", "tails-2.5"),
    "half of the digits, kernel width": (
        "digits-likely", "digits-0.1", "digits-0.05", "digits-0.02",
    ),
    "half of 3,000 patches 8x8, kernel width": (
        "patches-likely", "patches-0.1", "patches-0.05", "patches-0.02",
    ),
}  # fmt: skip
"""What is varied, from the most Gaussian on."""


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment.

    Attributes:
      steps: denoiser calls. seeds: of noise and draws, and of the halves of data.
      n: samples that judge. pairs: of them in the energy distance. draws: for the negentropy.
      fine: steps of the fine solution. noises, iterations: of the learning, None for the default.
      tolerance: of the teacher. samplers: all by default.
    """

    steps: tuple[int, ...] = (3, 5, 8, 10, 20)
    seeds: int = 3
    n: int = 2000
    pairs: int = 1000
    draws: int = 20_000
    fine: int = 512
    noises: int | None = None
    iterations: int = 300
    tolerance: float = 0.05
    samplers: tuple[str, ...] = SAMPLERS


# No plan is learned for 4 calls: compiling that would take most of the time.
SMALLEST = Config(
    steps=(4,), seeds=2, n=400, pairs=50, draws=400, fine=32, noises=16, iterations=3,
    tolerance=0.9, samplers=("ddim",),
)  # fmt: skip


EXPERIMENT = Experiment(
    "beyond_gaussian",
    "Schedules of a Gaussian help on data that are not Gaussian, up to where?",
    tuple(
        Part.of_seeds(title, names, Config.seeds, 25.0 if title.startswith("half") else 15.0)
        for title, names in FAMILIES.items()
    ),
    Config(),
    SMALLEST,
    smallest_cases=("gaussian", "mixture-4-0.9"),
)


def run(session: Session) -> None:
    """Make what is missing of every prior, seed and S."""
    config, pieces = session.config, [("steps", str(s)) for s in session.config.steps]
    for seed in session.seeds:
        for name in session.cases:
            document = session.document(f"{name}-{seed}", pieces, subject=name, seed=seed)
            if not document.missing:
                continue
            case = case_of(PRIORS[name], seed)
            samples = Samples(case, seed, config)
            if FINE not in document.content:
                document.content |= facts_of(case, samples, seed, config)
            for keys in list(document.missing):
                made = plans_of(name, case, seed, int(keys[1]), config, session.work)
                found = {x: {**samples.judge(plan), **facts} for x, (plan, facts) in made.items()}
                document.add(keys, found)


def facts_of(case: Case, samples: Samples, seed: int, config: Config) -> dict[str, Any]:
    """Give how far from Gaussian a prior is, and how far from the data its fine solution."""
    facts: dict[str, Any] = {"negentropy": negentropy(case, config.draws, seed)}
    if hasattr(case.prior, "kernel_width"):
        facts["kernel_width"] = float(np.asarray(case.prior.kernel_width))
    return {**facts, FINE: samples.distances(samples.fine)}


Made = tuple[sx.SamplerPlan, dict[str, Any]]
"""A plan, and facts of how it was found: whether a fit converged."""


def plans_of(
    name: str, case: Case, seed: int, steps: int, config: Config, work: Path
) -> dict[str, Made]:
    """Make every sampler along every schedule, and the learned plans.

    Plans of synthetic priors are learned once; those of data on the other half of each seed.
    """
    found = {
        f"{sampler} {words}": made
        for sampler in config.samplers
        for words, made in schedules_of(case.prior.spectrum, sampler, steps).items()
    }
    subject = PRIORS[name]
    if steps not in subject.learned:
        return found
    data = subject.kind == "empirical"
    whose = f"{name}-{seed}" if data else "synthetic"
    rungs = {PLANS[0]: (f"{whose}-{steps}-gaussian", case.learned_on.spectrum)}
    if subject.kind != "gaussian":
        whose = whose if data else name
        rungs[PLANS[1]] = (f"{whose}-{steps}-own", case.learned_on)
    for words, (file, prior) in rungs.items():
        result = learned(work / "plans" / f"{file}.json", prior, steps, config)
        found[words] = (methods.learned_plan(result), {})
    return found


def schedules_of(spectrum: sx.Spectrum, sampler: str, steps: int) -> dict[str, Made]:
    """Make a sampler's plans along heuristics, and along schedules made from the spectrum."""
    found = {name: methods.heuristic(name, steps) for name in HEURISTICS}
    for words, loss in zip(SPECTRAL, ("w2", "kl"), strict=False):
        found[words] = methods.spectral(spectrum, steps, loss)
    best = methods.fit(spectrum, steps, sampler)
    made: dict[str, Made] = {x: (sx.plan(sampler, schedule), {}) for x, schedule in found.items()}
    facts = {"converged": bool(best.converged)}
    return {**made, LEARNED: (sx.plan(sampler, best.schedule), facts)}


def learned(path: Path, prior: Any, steps: int, config: Config) -> sx.PlanResult:
    """Load the plan that is kept at a path, or learn it."""
    if not path.exists():
        result = sx.learn(
            prior, steps, n=config.noises, max_iterations=config.iterations,
            teacher_tolerance=config.tolerance, alpha_bar_range=methods.ENDS,
        )  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        sx.save(path, result)
    return load_plan(path)


class Samples:
    """The samples of plans on a prior, all from the noise of a seed, and their distances.

    Attributes:
      fine: the fine solution.
    """

    def __init__(self, case: Case, seed: int, config: Config):
        self.case, self.seed, self.config = case, seed, config
        self.real = case.draw(config.pairs, np.random.default_rng(_DRAWS + seed))
        self.fine = self.made(methods.fine_plan(case.prior, config.fine))

    def made(self, plan: sx.SamplerPlan) -> np.ndarray:
        """Draw samples [n, d] in float64."""
        n, prior = self.config.n, self.case.prior
        found = sx.generate(plan, prior, n, prior.shape, seed=_NOISE + self.seed, batch=n)
        return found.reshape(n, -1).astype(np.float64)

    def judge(self, plan: sx.SamplerPlan) -> dict[str, float | None]:
        """Measure the samples of a plan, see :meth:`distances`."""
        return self.distances(self.made(plan), plan.stochastic)

    def distances(self, samples: np.ndarray, stochastic: bool = False) -> dict[str, float | None]:
        """Measure samples [n, d]; all distances are None where these are not finite.

        "squared" is the mean squared distance to the fine solution, summed over a sample (None
        with noise); "to_fine": Fréchet, squared, to the fine solutions; "frechet": to the moments
        of the data; "energy": to draws.
        """
        names = ("squared", "to_fine", "frechet", "energy")
        if not np.isfinite(samples).all():
            return dict.fromkeys(names)
        squared = None if stochastic else float(((samples - self.fine) ** 2).sum(1).mean())
        mean, covariance = samples.mean(0), np.cov(samples.T)
        own = frechet_of_moments(mean, covariance, self.case.mean, self.case.covariance)
        energy = energy_distance(samples[: self.config.pairs], self.real)
        found = zip(names, (squared, frechet(samples, self.fine), own, energy), strict=True)
        return {name: None if x is None else float(f"{x:.5g}") for name, x in found}
