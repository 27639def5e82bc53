"""Learn plans on every rung of the ladder of priors, and judge them on denoisers they never saw.

Plans and the network are kept in the working folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import specjax as sx
from experiments import methods
from experiments.data import LIKELY, digits
from experiments.experiment import Experiment, Part
from experiments.learned_plans import plans
from experiments.session import Session, say
from specjax.evaluate.frechet import frechet, frechet_of_moments
from specjax.learning.heuristics import heuristics
from specjax.schedules.level_range import LevelRange

FINE = "fine solution"
ROWS = {
    "digits": "exact denoiser of half of 1,797 digits, 8x8",
    "patches": "exact denoiser of half of 3,000 grey patches, 8x8",
    "network": "a UNet of 0.69 M parameters trained on the digits",
}
NAMED = ("ddim cosine", "ddim spectral", "dpmpp_2m uniform_logsnr", "dpmpp_2m karras")
"""Heuristics that are always shown: sampler and schedule."""

TIMING = "timing"
_TIMED_STEPS, _TIMED_SEEDS = 5, 6
_NOISE, _RANKING = 10_000, 50_000  # the first of the seeds of noise that judges, and that ranks


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment.

    Attributes:
      steps: denoiser calls. seeds: of the split of the data and of all noise.
      patches: how many are cut. widths: of the kernels of the exact denoisers that are learned on
        and that judge. noises, iterations: of the learning, None for the defaults.
      n: samples that judge the exact denoisers, n_network: the network, n_ranked:
        of the network that say which heuristics are best, of which ``best`` are then judged.
      fine, fine_network: steps of the fine solutions that judge. mixture: components, or None.
      updates, width: of the training of the network. probe: samples that it is probed on.
      columns: the plans of the data's priors, all by default.
    """

    steps: tuple[int, ...] = (5, 8)
    seeds: int = 5
    patches: int = 3000
    widths: tuple[float | str, ...] = (0.05, LIKELY)
    noises: int | None = None
    iterations: int = 300
    n: int = 5000
    n_network: int = 2000
    n_ranked: int = 400
    best: int = 3
    fine: int = 256
    fine_network: int = 64
    mixture: int | None = None
    updates: int = 2000
    width: int = 32
    probe: int = 500
    columns: tuple[str, ...] = ()


SMALLEST = Config(
    steps=(3,), seeds=1, patches=200, widths=(0.05,), noises=32, iterations=10, n=64, n_network=32,
    n_ranked=16, best=1, fine=32, fine_network=16, mixture=2, updates=2, width=4, probe=8,
    columns=("empirical @ 0.05",),
)  # fmt: skip


EXPERIMENT = Experiment(
    "learned_plans",
    "Plans learned through a ladder of priors beat every schedule at 5 and 8 denoiser calls",
    (
        Part.of_seeds("exact denoisers of digits", ["digits"], Config.seeds, 25),
        Part.of_seeds("exact denoisers of patches", ["patches"], Config.seeds, 25),
        Part.of_seeds("a UNet on the digits", ["network"], Config.seeds, 120),
        Part("seconds of learning", ("timing.json",), 10, (TIMING,), quiet=True),
    ),
    Config(),
    SMALLEST,
)


def run(session: Session) -> None:
    """Make what is missing of every row and seed."""
    for seed in session.seeds:
        for row in [x for x in session.cases if x != TIMING]:
            pieces = [("steps", str(steps)) for steps in session.config.steps]
            document = session.document(f"{row}-{seed}", pieces, row=row, seed=seed)
            for keys in list(document.missing):
                make = through_network if row == "network" else on_halves
                document.add(keys, make(row, seed, int(keys[1]), session))
    if TIMING in session.cases:
        document = session.document(TIMING, steps=_TIMED_STEPS)
        if document.missing:
            document.add((), {"digits": time_digits(), "network": time_network(session)})


def on_halves(row: str, seed: int, steps: int, session: Session) -> dict[str, Any]:
    """Learn on one half and judge on the exact denoiser of the other, for each kernel width."""
    config = session.config
    made, facts = {}, {}
    for name, result, fact in plans.learned(row, seed, steps, config, session.work):
        made[name], facts[name] = methods.learned_plan(result), fact
        say(f"{row}, seed {seed}, S = {steps}: {name} learned, {fact['seconds'] or 0:.1f} s")
    judged, widths = {}, {}
    for width in config.widths:
        prior = plans.exact(row, width, seed, config).held_out
        assert prior is not None
        widths[str(width)] = float(prior.kernel_width)
        judged[str(width)] = judge(
            {**heuristic_plans(prior, steps), **made}, prior, distances_to_half(prior),
            n=config.n, seed=seed, fine=config.fine, batch=min(config.n, 1000),
        )  # fmt: skip
    return {"learning": facts, "widths": widths, "judged": judged}


def through_network(row: str, seed: int, steps: int, session: Session) -> dict[str, Any]:
    """Judge plans of the digits' priors, of the probed network and through the network."""
    config, work, data = session.config, session.work, digits()
    network = methods.digits_network(work, config.width, config.updates)
    prior = sx.priors.Network(
        network.denoiser(), network.shape, network.spectrum, source=network.source
    )
    made, facts = {}, {}
    for column, result, fact in plans.learned("digits", seed, steps, config, work):
        made[column], facts[column] = result, fact

    def probed() -> sx.priors.Gaussian:
        spectrum, samples = network.spectrum, data[: config.probe]
        return sx.priors.Gaussian(spectrum, response=sx.probe(prior, samples, spectrum, seed=seed))

    rungs = {
        "probed": plans.Rung(probed, {}),
        "network": plans.Rung(lambda: prior, {"start": list(made.values())}),
    }
    for column, rung in rungs.items():
        path = plans.plan_path(work, row, seed, steps, column)
        made[column], facts[column] = plans.learn_one(path, column, rung, steps, seed, config)
        say(f"network, seed {seed}, S = {steps}: {column} learned")

    def distances(samples: np.ndarray) -> dict[str, float]:
        return {"frechet": frechet(samples, data)}

    known, fine = heuristic_plans(prior, steps), config.fine_network
    ranked = judge(known, prior, distances, n=config.n_ranked, seed=_RANKING + seed, fine=fine)
    order = sorted((x for x in ranked if x != FINE), key=lambda x: ranked[x]["frechet"])
    chosen = {x: known[x] for x in dict.fromkeys((*NAMED, *order[: config.best]))}
    chosen |= {x: methods.learned_plan(result) for x, result in made.items()}
    judged = judge(chosen, prior, distances, n=config.n_network, seed=seed, fine=fine)
    ranking = {x: ranked[x]["frechet"] for x in order}
    return {"learning": facts, "ranking": ranking, "judged": {"network": judged}}


def heuristic_plans(prior: Any, steps: int) -> dict[str, sx.SamplerPlan]:
    """Make DDIM and DPM-Solver++(2M) along every family, pinned to the ends, and "spectral"."""
    known = heuristics(prior, steps, [sx.ddim(), sx.dpmpp_2m()], LevelRange(methods.ENDS), "w2")
    return {name: one.plan("vp", 1) for name, one in known.items()}


def judge(
    made: Mapping[str, sx.SamplerPlan], prior: Any,
    distances: Callable[[np.ndarray], dict[str, float]], *, n: int, seed: int, fine: int,
    batch: int | None = None,
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Measure each plan from the same noise.

    Args:
      prior: the denoiser that judges. distances: of samples [n, ...] to the data. fine: steps of
        the fine solution.

    Returns:
      For each plan ``distances``, "to_fine" (Fréchet distance, squared, to the fine solutions) and
      "squared" (the mean squared distance to the fine solution from the same noise).
    """

    def sampled(plan: sx.SamplerPlan) -> np.ndarray:
        return sx.generate(plan, prior, n, prior.shape, seed=_NOISE + seed, batch=batch)

    solved = sampled(methods.fine_plan(prior, fine))
    found = {FINE: {**distances(solved), "to_fine": 0.0, "squared": 0.0}}
    for name, plan in made.items():
        samples = sampled(plan)
        squared = float(((samples - solved) ** 2).sum() / n)
        own = {"to_fine": frechet(samples, solved), "squared": squared}
        found[name] = {**distances(samples), **own}
    return found


def distances_to_half(prior: sx.priors.Empirical) -> Callable[[np.ndarray], dict[str, float]]:
    """Measure distances to a prior's own half: to its samples, and to what it stands for.

    What an exact denoiser with a kernel of width h generates at best is each sample and noise of
    variance h^2, not the samples: where h is large, plans that lose variance look good beside
    the samples alone.
    """
    data = np.asarray(prior.samples, np.float64).reshape(len(prior.offsets), -1)
    mean, covariance = data.mean(0), np.cov(data.T, bias=True)
    widened = covariance + float(prior.kernel_width) ** 2 * np.eye(len(mean))

    def distances(samples: np.ndarray) -> dict[str, float]:
        flat = np.asarray(samples, np.float64).reshape(len(samples), -1)
        own = frechet_of_moments(flat.mean(0), np.cov(flat.T), mean, widened)
        return {"frechet": frechet(samples, data.reshape(-1, *prior.shape)), "own": own}

    return distances


def timed(learn: Callable[[], sx.PlanResult]) -> dict[str, float]:
    """Measure seconds on the clock and of all cores, and the value reached."""
    begun, used = time.perf_counter(), time.process_time()
    result = learn()
    seconds, cores = time.perf_counter() - begun, time.process_time() - used
    return {"seconds": seconds, "of_all_cores": cores, "value": result.value}


def time_digits() -> list[dict[str, float]]:
    """Time a learning for each seed on the likeliest exact denoiser; the first compiles."""
    priors = [plans.exact("digits", LIKELY, seed, Config()) for seed in range(_TIMED_SEEDS)]
    return [timed(lambda p=p, s=s: sx.learn(p, _TIMED_STEPS, seed=s)) for s, p in enumerate(priors)]


def time_network(session: Session) -> list[dict[str, float]]:
    """Time a learning through the network, from the plans of seed 0 that are kept."""
    config = session.config
    network = methods.digits_network(session.work, config.width, config.updates)
    paths = [
        plans.plan_path(session.work, "digits", 0, _TIMED_STEPS, name)
        for name in plans.rungs_of("digits", 0, config)
    ]
    start = [sx.load(path) for path in paths if path.exists()]
    return [timed(lambda: sx.learn(network, _TIMED_STEPS, start=start))]
