"""How good, and how dear, are plans learned through networks that others have published?"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

import specjax as sx
from experiments.data import AbsentError
from experiments.experiment import Experiment, Part
from experiments.published_networks.learning import ROOT, Lesson, learn_apart, unpack_commit
from experiments.published_networks.networks import ENDS, SHAPE, published
from experiments.session import Session, read_all, say
from specjax._core.checks import UserError
from specjax.learning.heuristics import heuristics
from specjax.learning.parameters import DETERMINISTIC
from specjax.learning.teacher import fine_plan
from specjax.sampling.samplers import sampler_of
from specjax.schedules.grids import LevelRange

FINE, LEARNED, BEST = "fine solution", "learned plan", "best heuristic"
STEPS = 5
"""The S of all but the first table."""

MEAN, ROBUST = "mean", "default"
"""Objectives: the mean of the squared distances to the teacher, and that of their logarithms."""

BY_MEAN = {"teacher_mean": 1.0}

PEER, SAMPLES = "peer", "samples"
_JUDGING, _REFERENCE = 10_000, 50_000  # the first of the seeds of noise


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment.

    Attributes:
      seeds: of the noise that is learned on, and of that which judges.
      calls: S, and the answers of the denoiser that learning a plan of it may take.
      memory: past estimates that a step leans on, beside the default of a network, which is 2.
      noises, batch: that are learned on, and denoised in one call; None for the defaults.
      n, fine: noises that judge, and steps of their fine solutions.
      drawn, fine_drawn: samples of a seed for Fréchet distances, and steps of fine ones; the
        reference has twice as many. components: of the principal components they are taken in.
      pictured: samples in the picture, the first ones.
      peer, peer_n: a commit from before plans were learned by least squares, and the noises it
        learns on.
    """

    seeds: int = 3
    calls: tuple[tuple[int, int], ...] = ((3, 15_000), (4, 30_000), (5, 50_000), (8, 100_000))
    memory: tuple[int, ...] = (1, 4)
    noises: int | None = None
    batch: int | None = None
    n: int = 256
    fine: int = 128
    drawn: int = 1000
    fine_drawn: int = 32
    components: int = 64
    pictured: int = 8
    peer: str = "a1c7ad5"
    peer_n: int = 256


SMALLEST = Config(
    seeds=1, calls=((5, 300),), memory=(1,), noises=4, batch=4, n=4, fine=16, drawn=8,
    fine_drawn=16, components=4, pictured=2, peer_n=4,
)  # fmt: skip


def lessons(case: str, config: Config) -> dict[str, Lesson]:
    """Name the plans of a case."""
    bound = dict(config.calls)

    def of(network: str, steps: int, box: bool = False, **options: Any) -> Lesson:
        shared = {"max_calls": bound[steps], "n": config.noises, "batch": config.batch}
        return Lesson(network, steps, {**shared, **options}, box)

    ztf, hsc = partial(of, "ztf"), partial(of, "hsc", objective=BY_MEAN)
    every = {
        "hsc": {str(steps): hsc(steps) for steps in bound},
        "memory": {str(memory): hsc(STEPS, memory=memory) for memory in config.memory},
        "box": {"box": hsc(STEPS, box=True)},
        "ztf": {ROBUST: ztf(STEPS), MEAN: ztf(STEPS, objective=BY_MEAN)},
    }
    return every[case]


EXPERIMENT = Experiment(
    "published_networks",
    "Plans learned through published networks beat every schedule, for few of their answers",
    (
        Part.of_seeds("galaxies of HSC, 3 to 8 calls", ["hsc"], Config.seeds, None),
        Part.of_seeds("memory of the steps", ["memory"], Config.seeds, None),
        Part("through a black box", ("box-0.json",), None, ("box",)),
        Part.of_seeds("galaxies of ZTF", ["ztf"], Config.seeds, None),
        Part("Fréchet distances and pictures", (f"{SAMPLES}.json",), None, (SAMPLES,)),
        Part("beside BFGS and reverse mode", (f"{PEER}.json",), None, (PEER,), quiet=True),
    ),
    Config(),
    SMALLEST,
    smallest_cases=("hsc", "ztf", SAMPLES),
)


def run(session: Session) -> None:
    """Make what is missing of every case and seed."""
    try:
        for case in (x for x in session.cases if x not in (SAMPLES, PEER)):
            for seed in session.seeds if case != "box" else (0,):
                learn_and_judge(case, seed, session)
        for case, make in ((SAMPLES, drawn), (PEER, beside_peer)):
            if case in session.cases and (document := session.document(case)).missing:
                document.add((), make(session))
    except AbsentError as error:
        say(f"left out: {error}")


def learn_and_judge(case: str, seed: int, session: Session) -> None:
    """Learn the plans of a case, and judge them and all heuristics of as many calls."""
    known = lessons(case, session.config)
    steps = {str(one.steps) for one in known.values()} if case in ("hsc", "ztf") else ()
    pieces = [("plans", name) for name in known] + [("heuristics", s) for s in sorted(steps)]
    document = session.document(f"{case}-{seed}", pieces, case=case, seed=seed)
    for what, name in list(document.missing):
        judge = judge_of(next(iter(known.values())).network, seed, session.config)
        if what == "plans":
            result = learned(case, name, seed, session)
            found = {"learning": facts(result), "judged": judge(result.plan_in("vp"))}
        else:
            plans = heuristic_plans(judge.prior, int(name))
            found = {x: judge(plan) for x, plan in plans.items()}
        document.add((what, name), found)


def learned(case: str, name: str, seed: int, session: Session) -> sx.PlanResult:
    """Load the plan that is kept, or learn it."""
    path = session.work / "plans" / f"{case}-{name}-{seed}.json"
    if path.exists():
        return sx.load(path)
    lesson = lessons(case, session.config)[name]
    return learn_apart(lesson._replace(options={**lesson.options, "seed": seed}), path)


def facts(result: sx.PlanResult) -> dict[str, Any]:
    """Give what is kept of a learning."""
    return {
        "calls": result.source["calls"], "teacher": result.source["teacher"],
        "seconds": result.seconds, "iterations": result.iterations, "kept": result.kept,
        "value": result.value, "terms": result.terms,
    }  # fmt: skip


class Judge:
    """Measures plans from the same noise, on which none was learned."""

    def __init__(self, network: str, seed: int, config: Config) -> None:
        self.prior, self._n, self._seed = published(network), config.n, _JUDGING + seed
        self._solved = self._sampled(fine_plan(self.prior, config.fine, LevelRange(ENDS)))

    def __call__(self, plan: sx.SamplerPlan) -> dict[str, float]:
        """Average the squared distances to the fine solutions."""
        gap = (self._sampled(plan) - self._solved).reshape(self._n, -1).astype(np.float64)
        squared = (gap**2).sum(1)
        return {
            "mean": float(squared.mean()),
            "geometric mean": float(np.exp(np.log(squared).mean())),
            "median": float(np.median(squared)),
        }

    def _sampled(self, plan: sx.SamplerPlan) -> np.ndarray:
        return sx.generate(plan, self.prior, self._n, SHAPE, seed=self._seed)


judge_of = cache(Judge)
"""The judge of a network and a seed, with its fine solutions."""


def heuristic_plans(prior: sx.priors.Network, steps: int) -> dict[str, sx.SamplerPlan]:
    """Make DDIM and DPM-Solver++(2M) along every family, pinned to the ends."""
    known = heuristics(prior, steps, list(map(sampler_of, DETERMINISTIC)), LevelRange(ENDS), "w2")
    return {name: one.plan("vp", 1) for name, one in known.items()}


def best_heuristic(results: Path, steps: int, case: str = "hsc") -> str:
    """Name the heuristic of the least mean distance over the seeds.

    Raises:
      UserError: if there are no results.
    """
    seeds = [x["heuristics"][str(steps)] for x in read_all(results, f"{case}-*.json")]
    if not seeds:
        raise UserError(f"no {results / case}-*.json: {EXPERIMENT.command(case)}")
    return min(seeds[0], key=lambda name: sum(one[name]["mean"] for one in seeds))


def drawn(session: Session) -> dict[str, Any]:
    """Draw samples in 5 calls and fine ones: Fréchet distances to other fine ones, and pictures."""
    config, prior = session.config, published("hsc")
    best = best_heuristic(session.results, STEPS)
    fine = fine_plan(prior, config.fine_drawn, LevelRange(ENDS))
    rival = heuristic_plans(prior, STEPS)[best]

    def draw(plan: sx.SamplerPlan, n: int, seed: int) -> np.ndarray:
        return sx.generate(plan, prior, n, SHAPE, seed=seed)

    sets: dict[str, list[np.ndarray]] = {LEARNED: [], BEST: [], FINE: []}
    for seed in session.seeds:
        mine = learned("hsc", str(STEPS), seed, session).plan_in("vp")
        for name, plan in zip(sets, (mine, rival, fine), strict=True):
            sets[name].append(draw(plan, config.drawn, _JUDGING + seed))
            say(f"seed {seed}: {config.drawn} samples, {name}")
    reference = draw(fine, 2 * config.drawn, _REFERENCE)
    found = {
        space: _frechet(sets, reference, config.drawn, components)
        for space, components in (("pixels", None), ("components", config.components))
    }
    pictures = {name: packed(samples[0][: config.pictured]) for name, samples in sets.items()}
    return {"best": best, "frechet": found, "pictures": pictures}


def _frechet(
    sets: dict[str, list[np.ndarray]], reference: np.ndarray, n: int, components: int | None
) -> dict[str, list[float]]:
    """Measure the sets of all seeds against fine samples of other noise."""
    measured = {
        name: sx.evaluate.evaluate(samples, reference, measures=["frechet"], n=n, pca=components)
        for name, samples in sets.items()
    }
    return {name: list(one.values["frechet"].each) for name, one in measured.items()}


def packed(samples: np.ndarray) -> list[str]:
    """Pack each sample [1, 32, 32] into text: float16, row by row, in base64."""
    return [base64.b64encode(one.astype("<f2").tobytes()).decode() for one in samples]


def unpacked(texts: list[str]) -> np.ndarray:
    """Give the samples [n, 32, 32] of :func:`packed`."""
    every = [np.frombuffer(base64.b64decode(one), "<f2") for one in texts]
    return np.stack(every).reshape(-1, *SHAPE[1:]).astype(np.float32)


def beside_peer(session: Session) -> dict[str, Any]:
    """Learn in 5 calls as before, by BFGS and reverse mode, and by least squares."""
    config, old = session.config, session.work / PEER
    unpack_commit(config.peer, old)
    now = lessons("hsc", config)[str(STEPS)]
    # The mean of the distances to the teacher was called "teacher" then.
    before = Lesson("hsc", STEPS, {"objective": {"teacher": 1.0}, "n": config.peer_n})
    judge, found = judge_of("hsc", 0, config), {}
    for name, lesson, folder in (("before", before, old), ("now", now, ROOT)):
        result = learn_apart(lesson, session.work / f"plans/{PEER}-{name}.json", folder)
        found[name] = {"seconds": result.seconds, "judged": judge(result.plan_in("vp"))}
        say(f"{name}: {result.seconds:.0f} s")
    return found
