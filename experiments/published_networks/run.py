"""How good, and how dear, are plans learned through networks that others have published?"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

import specjax as sx
from experiments import methods
from experiments.data import AbsentError
from experiments.experiment import Experiment, Part
from experiments.published_networks import galaxies, trained
from experiments.published_networks.learning import ROOT, Lesson, learn_apart, unpack_commit
from experiments.published_networks.networks import ENDS, SHAPE, published
from experiments.session import Session, say
from specjax.learning.teacher import fine_plan
from specjax.schedules.level_range import LevelRange

STEPS, PICTURED = 5, (3, 5, 8)
"""The S of the plans that are learned in other ways, and those of the pictures."""

BY_MEAN = {"teacher_mean": 1.0}
CLOTHING, SPOKEN, PEER, PARTS = "clothing", "spoken", "peer", "parts"
MEASURES_OF = {"hsc": "mean", "ztf": "geometric_mean", CLOTHING: "mean", SPOKEN: "mean"}
"""The networks that are benched, and by what; *ztf* by the default objective."""

PARTS_OF_PLANS = ("levels", "coefficients", "pas")
"""What is learned alone, as LD3, S4S and PAS do."""

_JUDGING = 10_000  # the first of the seeds of noise


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment.

    Attributes:
      seeds: of the noise that is learned on, and of that which judges.
      calls: S, and the answers of the denoiser that learning a plan of it may take.
      hsc_calls, ztf_calls: those of them that the networks are benched at.
      trained_calls: those of the networks that are trained here, trained_n: noises that judge them,
        known: data that their samples are to be like. width, updates: of the UNet of clothing.
        features: updates of the classifier of the pieces.
      part_calls: S of which parts of plans are learned alone, and the answers for each.
      memory: past estimates that a step leans on, beside the default of a network, which is 2.
      rivals: names in ``specjax.bench.RIVALS``; None for all.
      noises, batch: that are learned on, and denoised in one call; None for the defaults.
      n, fine: noises that judge, and steps of their fine solutions.
      components: of the principal components that Fréchet distances are taken in.
      pictured: samples in the picture, the first ones.
      peer, peer_n: a commit from before plans were learned by least squares, and the noises it
        learns on.
    """

    seeds: int = 3
    calls: tuple[tuple[int, int], ...] = (
        (2, 10_000), (3, 15_000), (4, 30_000), (5, 50_000), (6, 65_000), (8, 100_000), (10, 130_000)
    )  # fmt: skip
    hsc_calls: tuple[int, ...] = (2, 3, 4, 5, 6, 8, 10)
    ztf_calls: tuple[int, ...] = (3, 5, 8)
    trained_calls: tuple[int, ...] = (3, 5)
    trained_n: int = 256
    known: int = 2048
    width: int = 16
    updates: int = 5000
    features: int = 1000
    part_calls: tuple[tuple[int, int], ...] = ((3, 10_000), (5, 30_000), (8, 60_000))
    memory: tuple[int, ...] = (1, 4)
    rivals: tuple[str, ...] | None = None
    noises: int | None = None
    batch: int | None = None
    n: int = 512
    fine: int = 128
    components: int = 64
    pictured: int = 8
    peer: str = "a1c7ad5"
    peer_n: int = 256


SMALLEST = Config(
    seeds=1, calls=((5, 300),), hsc_calls=(5,), ztf_calls=(5,), trained_calls=(5,), trained_n=4,
    known=16, width=4, updates=2, features=2, part_calls=((5, 200),), memory=(1,),
    rivals=("DDIM", "UniPC-2"), noises=4,
    batch=4, n=4, fine=16, components=4, pictured=2, peer_n=4,
)  # fmt: skip


def lessons(case: str, config: Config) -> dict[str, Lesson]:
    """Name the plans of a case, which are learned in processes of their own."""
    shared = {
        "max_calls": dict(config.calls)[STEPS], "n": config.noises, "batch": config.batch,
        "objective": BY_MEAN,
    }  # fmt: skip
    if case == "box":
        return {"box": Lesson("hsc", STEPS, shared, True), "own": Lesson("hsc", STEPS, shared)}
    return {
        str(memory): Lesson("hsc", STEPS, {**shared, "memory": memory}) for memory in config.memory
    }


EXPERIMENT = Experiment(
    "published_networks",
    "Plans learned through published networks beat the samplers and schedules of others",
    (
        Part.of_seeds("bench on galaxies of HSC, 2 to 10 calls", ["hsc"], Config.seeds, None),
        Part.of_seeds("bench on galaxies of ZTF, 3 to 8 calls", ["ztf"], Config.seeds, None),
        Part.of_seeds("bench on pieces of clothing, 3 and 5 calls", [CLOTHING], Config.seeds, None),
        Part.of_seeds("bench on spoken digits, 3 and 5 calls", [SPOKEN], Config.seeds, None),
        Part.of_seeds("parts of plans learned alone, 3 to 8 calls", [PARTS], Config.seeds, None),
        Part.of_seeds("memory of the steps", ["memory"], Config.seeds, None),
        Part("through a black box", ("box-0.json",), None, ("box",)),
        Part("beside BFGS and reverse mode", (f"{PEER}.json",), None, (PEER,), quiet=True),
    ),
    Config(),
    SMALLEST,
    smallest_cases=("hsc", "ztf"),
)


def run(session: Session) -> None:
    """Make what is missing of every case and seed."""
    try:
        for case in (x for x in session.cases if x != PEER):
            for seed in session.seeds if case != "box" else (0,):
                if case not in (*MEASURES_OF, PARTS):
                    learn_and_judge(case, seed, session)
                    continue
                document = session.document(f"{case}-{seed}", case=case, seed=seed)
                if document.missing:
                    document.add((), benched(case, seed, session))
        if PEER in session.cases and (document := session.document(PEER)).missing:
            document.add((), beside_peer(session))
    except AbsentError as error:
        say(f"left out: {error}")


def benched(case: str, seed: int, session: Session) -> dict[str, Any]:
    """Bench a network on the noises of a seed."""
    config = session.config
    found = sx.bench(
        seeds=[seed], components=config.components, fine=config.fine, n=config.noises,
        batch=config.batch, folder=session.work / f"bench-{case}", **asked(case, session),
    )  # fmt: skip
    rows = [
        {"method": row.method, "calls": row.calls, "schedule": row.schedule[0],
         "values": {name: x[0] for name, x in row.values.items()},
         "bands": [round(x, 4) for x in row.bands[0]],
         **({"learning": row.learning[0]} if row.learning else {})}
        for row in found.rows
    ]  # fmt: skip
    limits = {
        name: {measure: x[0] for measure, x in values.items()}
        for name, values in {"fine": found.fine, "floor": found.floor}.items()
    }
    pictures = {
        str(calls): {name: packed(x[: config.pictured]) for name, x in found.samples[calls].items()}
        for calls in PICTURED
        if case not in (PARTS, SPOKEN) and seed == 0 and calls in found.samples
    }
    return {"rows": rows, **limits, "pictures": pictures}


def asked(case: str, session: Session) -> dict[str, Any]:
    """Give the network of a case, and how it is benched."""
    config = session.config
    if case in trained.NETWORKS:
        opened = trained.NETWORKS[case](session.work, config)
        return {
            **opened._asdict(), "calls": config.trained_calls, "max_calls": dict(config.calls),
            "judging": config.trained_n, "measure": MEASURES_OF[case], "rivals": config.rivals,
            "alpha_bar_range": methods.ENDS,
        }  # fmt: skip
    network = "hsc" if case == PARTS else case
    bounds = dict(config.part_calls if case == PARTS else config.calls)
    every = {"hsc": config.hsc_calls, "ztf": config.ztf_calls, PARTS: tuple(bounds)}
    return {
        "denoiser": published(network), "calls": every[case], "max_calls": bounds,
        "judging": config.n, "measure": MEASURES_OF[network],
        "learned": PARTS_OF_PLANS if case == PARTS else ("plan",),
        "rivals": () if case == PARTS else config.rivals, "measures": galaxies.MEASURES,
        "alpha_bar_range": ENDS,
    }  # fmt: skip


def learn_and_judge(case: str, seed: int, session: Session) -> None:
    """Learn the plans of a case, and judge them."""
    known = lessons(case, session.config)
    document = session.document(
        f"{case}-{seed}", [("plans", name) for name in known], case=case, seed=seed
    )
    for what, name in list(document.missing):
        judge = judge_of(next(iter(known.values())).network, seed, session.config)
        result = learned(case, name, seed, session)
        found = {"learning": facts(result), "judged": judge(result.plan_in("vp"))}
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


def packed(samples: np.ndarray) -> list[str]:
    """Pack each sample of one channel into text: float16, row by row, in base64."""
    return [base64.b64encode(one.astype("<f2").tobytes()).decode() for one in samples]


def unpacked(texts: list[str]) -> np.ndarray:
    """Give the square samples [n, side, side] of :func:`packed`."""
    every = np.stack([np.frombuffer(base64.b64decode(one), "<f2") for one in texts])
    side = math.isqrt(every.shape[1])
    return every.reshape(-1, side, side).astype(np.float32)


def beside_peer(session: Session) -> dict[str, Any]:
    """Learn in 5 calls as before, by BFGS and reverse mode, and by least squares."""
    config, old = session.config, session.work / PEER
    unpack_commit(config.peer, old)
    now = lessons("box", config)["own"]
    # The mean of the distances to the teacher was called "teacher" then.
    before = Lesson("hsc", STEPS, {"objective": {"teacher": 1.0}, "n": config.peer_n})
    judge, found = judge_of("hsc", 0, config), {}
    for name, lesson, folder in (("before", before, old), ("now", now, ROOT)):
        result = learn_apart(lesson, session.work / f"plans/{PEER}-{name}.json", folder)
        found[name] = {"seconds": result.seconds, "judged": judge(result.plan_in("vp"))}
        say(f"{name}: {result.seconds:.0f} s")
    return found
