"""How good, and how dear, are plans learned through networks that others have published?"""

from __future__ import annotations

import base64
import functools
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import specjax as sx
from experiments.data import AbsentError
from experiments.experiment import HERE, Experiment, Part
from experiments.published_networks.networks import ENDS, SHAPE, boxed, published
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

PEER, SAMPLES = "peer", "samples"
_JUDGING, _REFERENCE = 10_000, 50_000  # the first of the seeds of noise


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment.

    Attributes:
      seeds: of the noise that is learned on, and of that which judges.
      calls: S, and the answers of the denoiser that learning a plan of it may take.
      memory: past estimates that a step leans on, beside the default of a network, which is 2.
      noises: that are learned on, None for the default.
      n, fine: noises that judge, and steps of their fine solutions.
      drawn, fine_drawn: samples of a seed for Fréchet distances, and steps of fine ones; the
        reference has twice as many. components: of the principal components they are taken in.
      pictured: samples in the picture, the first ones.
      peer, peer_n: the commit of version 0.1 before plans were learned by least squares, and the
        noises it learns on.
    """

    seeds: int = 3
    calls: tuple[tuple[int, int], ...] = ((3, 15_000), (4, 30_000), (5, 50_000), (8, 100_000))
    memory: tuple[int, ...] = (1, 4)
    noises: int | None = None
    n: int = 256
    fine: int = 128
    drawn: int = 1000
    fine_drawn: int = 32
    components: int = 64
    pictured: int = 8
    peer: str = "a1c7ad5"
    peer_n: int = 256


SMALLEST = Config(
    seeds=1, calls=((5, 600),), memory=(1,), noises=4, n=4, fine=16, drawn=8, fine_drawn=16,
    components=4, pictured=2, peer_n=4,
)  # fmt: skip


class Lesson(NamedTuple):
    """A plan to learn: through which network, in how many calls, with what options."""

    network: str
    steps: int
    options: dict[str, Any]
    box: bool = False


def lessons(case: str, config: Config) -> dict[str, Lesson]:
    """Name the plans of a case."""
    bound = dict(config.calls)

    def ztf(**options: Any) -> Lesson:
        return Lesson("ztf", STEPS, {"max_calls": bound[STEPS], "n": config.noises, **options})

    def hsc(steps: int, box: bool = False, **more: Any) -> Lesson:
        options = {
            "objective": {"teacher_mean": 1.0},
            "max_calls": bound[steps],
            "n": config.noises,
            **more,
        }
        return Lesson("hsc", steps, options, box)

    every = {
        "hsc": {str(steps): hsc(steps) for steps in bound},
        "memory": {str(memory): hsc(STEPS, memory=memory) for memory in config.memory},
        "box": {"box": hsc(STEPS, True)},
        "ztf": {ROBUST: ztf(), MEAN: ztf(objective={"teacher_mean": 1.0})},
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
        Part("beside version 0.1", (f"{PEER}.json",), None, (PEER,), quiet=True),
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
        if what == "plans":
            result = learned(case, name, seed, session)
            judge = judge_of(known[name].network, seed, session.config)
            found = {"learning": facts(result), "judged": judge(result.plan_in("vp"))}
        else:
            judge = judge_of(next(iter(known.values())).network, seed, session.config)
            plans = heuristic_plans(judge.prior, int(name))
            found = {x: judge(plan) for x, plan in plans.items()}
        document.add((what, name), found)


def learned(case: str, name: str, seed: int, session: Session) -> sx.PlanResult:
    """Load the plan that is kept, or learn it."""
    path = session.work / "plans" / f"{case}-{name}-{seed}.json"
    if path.exists():
        return sx.load(path)
    one = lessons(case, session.config)[name]
    through = boxed(one.network) if one.box else published(one.network)
    result = sx.learn(through, one.steps, alpha_bar_range=ENDS, seed=seed, **one.options)
    path.parent.mkdir(parents=True, exist_ok=True)
    sx.save(path, result)
    return result


def facts(result: sx.PlanResult) -> dict[str, Any]:
    """Give what is kept of a learning; a teacher that the process knew costs next to nothing."""
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


judge_of = functools.cache(Judge)
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
    """Learn in 5 calls by version 0.1 and by this one, each in a process of its own."""
    config, root = session.config, HERE.parent
    old = session.work / "peer"
    old.mkdir(parents=True, exist_ok=True)
    packed = subprocess.run(
        ["git", "archive", config.peer, "specjax"], cwd=root, check=True, capture_output=True
    )
    subprocess.run(["tar", "-x", "-C", str(old)], input=packed.stdout, check=True)
    options = lessons("hsc", config)[str(STEPS)].options
    # The distance to the teacher was their mean then, and its name "teacher".
    before = {"objective": {"teacher": 1.0}, "n": config.peer_n}
    judge = judge_of("hsc", 0, config)
    found = {}
    for name, folder, given in (("0.1", old, before), ("now", root, options)):
        path = (session.work / f"{PEER}-{name}.json").resolve()
        fact = _in_process(folder, root, ["hsc", str(STEPS), json.dumps(given), str(path)])
        found[name] = {"seconds": fact["seconds"], "judged": judge(sx.load(path).plan_in("vp"))}
        say(f"{name}: {fact['seconds']:.0f} s")
    return found


def _in_process(folder: Path, root: Path, arguments: list[str]) -> dict[str, Any]:
    """Run ``peer`` with the specjax of a folder, which a process finds before that of its path.

    Nothing that was compiled before is used.
    """
    environment = {**os.environ, "PYTHONPATH": str(root)}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    command = [sys.executable, "-m", "experiments.published_networks.peer", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    fact: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if not Path(fact["package"]).is_relative_to(folder.resolve()):
        raise UserError(f"{fact['package']} was imported, not that of {folder}")
    return fact
