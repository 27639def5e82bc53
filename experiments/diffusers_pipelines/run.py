"""What are plans worth that are learned through pipelines of diffusers, and run in them?"""

from __future__ import annotations

import base64
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import specjax as sx
from experiments.data import AbsentError
from experiments.diffusers_pipelines.configs import (
    CONFIGS,
    EPS,
    FLOW,
    SMALLEST_CONFIGS,
    ZERO_SNR,
)
from experiments.experiment import Experiment, Part
from experiments.session import Session, say

if TYPE_CHECKING:
    from experiments.diffusers_pipelines.judging import Judge

SHIFTS, FLOW_LONGER = "shifts", "flow_longer"
_CHOOSING, _JUDGING = 9_999, 10_000  # the first of the seeds of noise


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment.

    Attributes:
      seeds: of the noise that is learned on, and of that which judges.
      weight: of the guidance of the flow, so that each step is two calls of the network.
      noises, max_calls: that a plan is learned on; samples that may be denoised for it.
      tolerance: of the teacher.
      n, fine: noises that judge, and steps of their fine solutions.
      shifts: of the flow's schedulers. choosing: noises that choose which of them are judged, as
        many as kept by each measure.
      batch: samples in one call of the network.
      components: of the principal components of held-out images, for Fréchet distances.
      pictured: samples in the picture, the first ones.
    """

    seeds: int = 3
    weight: float = 2.0
    noises: int = 40
    max_calls: int = 6_000
    tolerance: float = 0.05
    n: int = 200
    fine: int = 32
    shifts: tuple[float, ...] = (0.5, 0.7, 1.0, 1.5, 2.0)
    choosing: int = 100
    kept: int = 2
    batch: int = 100
    components: int = 32
    pictured: int = 10


SMALLEST = Config(
    seeds=1, noises=2, max_calls=60, tolerance=10.0, n=4, fine=16, shifts=(1.0,), choosing=4,
    components=2, pictured=2,
)  # fmt: skip


class Case(NamedTuple):
    """What is compared.

    Attributes:
      kind: of the network. plans: steps of the learned plans. rivals: of diffusers' schedulers.
      budgets: steps and network calls of plans whose weights of guidance are learned, too.
    """

    kind: str
    plans: tuple[int, ...]
    rivals: tuple[int, ...]
    budgets: tuple[tuple[int, int], ...] = ()


CASES = {
    FLOW: Case(FLOW, (3,), (3, 5), ((4, 6),)),
    FLOW_LONGER: Case(FLOW, (6,), (6, 10)),
    ZERO_SNR: Case(ZERO_SNR, (6,), (6, 10)),
    EPS: Case(EPS, (5, 6), (5, 6, 10)),
}

EXPERIMENT = Experiment(
    "diffusers_pipelines",
    "Plans learned through pipelines of diffusers in 6 network calls match its schedulers at 10",
    (
        Part.of_seeds("a guided flow, 6 network calls", [FLOW], Config.seeds, 22),
        Part.of_seeds("a guided flow, 12 network calls", [FLOW_LONGER], Config.seeds, 10),
        Part.of_seeds("v, zero terminal SNR", [ZERO_SNR], Config.seeds, 4),
        Part.of_seeds("eps, DDPM's grid", [EPS], Config.seeds, 5),
    ),
    Config(),
    SMALLEST,
)


def run(session: Session) -> None:
    """Make what is missing of every case and seed."""
    try:
        for case in session.cases:
            for seed in session.seeds:
                judge_all(case, seed, session)
    except AbsentError as error:
        say(f"left out: {error}")


def judge_all(case: str, seed: int, session: Session) -> None:
    """Learn the plans of a case, and judge them and diffusers' own schedulers."""
    kind, plans, steps, budgets = CASES[case]
    pieces = [("fine",), *(("plans", str(x)) for x in plans)]
    pieces += [("rivals", str(x)) for x in steps]
    pieces += [("guided", f"{x} of {calls}") for x, calls in budgets]
    document = session.document(f"{case}-{seed}", pieces, case=case, seed=seed)
    if not document.missing:
        return
    chosen = shifts_of(session) if kind == FLOW else {}
    judge = judge_of(kind, _JUDGING + seed, session.config.n, session)
    for piece in list(document.missing):
        what, at = piece[0], piece[-1]
        if what == "fine":
            found = {"training": judge.training, **judge.of_fine()}
        elif what == "plans":
            found = learned_and_judged(judge, int(at), seed, session)
        elif what == "guided":
            found = learned_with_weights(judge, *map(int, at.split(" of ")), seed, session)
        else:
            names = chosen.get(at, next(reversed(chosen.values()), None))
            found = judge.rivals(int(at), names)
        document.add(piece, found)


def judge_of(kind: str, seed: int, n: int, session: Session) -> Judge:
    """Make the judge of a kind, by n noises of a seed.

    Raises:
      AbsentError: where torch, diffusers or the data are not on this machine.
    """
    if any(importlib.util.find_spec(name) is None for name in ("torch", "diffusers")):
        raise AbsentError("no torch or diffusers: pip install -e '.[interop]'")
    from experiments.diffusers_pipelines.judging import Judge
    from experiments.diffusers_pipelines.train import open_pipeline

    config = session.config
    network = (SMALLEST_CONFIGS if config == SMALLEST else CONFIGS)[kind]
    pipe, training = open_pipeline(network, session.work / kind)
    return Judge(pipe, network, training, config, seed, n, session.work / "fine")


def learned_and_judged(judge: Judge, steps: int, seed: int, session: Session) -> dict[str, Any]:
    """Learn a plan through the pipeline, and run it in the pipeline."""
    from specjax.interop.diffusers import PlanScheduler, learn

    path = session.work / "plans" / f"{judge.kind}-{steps}-{seed}.json"
    result = kept(path, session, seed, lambda **more: learn(
        judge.pipe, steps, batch=session.config.batch, **judge.guidance, **more
    ))  # fmt: skip
    scheduler = PlanScheduler.from_file(path, judge.pipe.scheduler.config)
    return {"learning": facts(result), "judged": judge.of(scheduler, steps)}


def learned_with_weights(
    judge: Judge, steps: int, calls: int, seed: int, session: Session
) -> dict[str, Any]:
    """Learn a plan with a weight of guidance for each call, and run it by specjax.

    diffusers' pipelines have one weight for all calls.
    """
    path = session.work / "plans" / f"{judge.kind}-{steps}of{calls}-{seed}.json"
    box, conditions = judge.guided()
    result = kept(path, session, seed, lambda **more: sx.learn(
        box, steps, network_calls=calls, process="flow", alpha_bar_range=(0.0, 1.0),
        conditions=conditions, **more,
    ))  # fmt: skip
    weights = [float(x) for x in result.guidance]
    return {"learning": {**facts(result), "weights": weights}, "judged": judge.of_plan(result)}


def kept(path: Path, session: Session, seed: int, learn: Any) -> sx.PlanResult:
    """Load the plan that is kept at a path, or learn and keep it."""
    if not path.exists():
        config, teacher = session.config, session.work / "teacher"
        for folder in (path.parent, teacher):
            folder.mkdir(parents=True, exist_ok=True)
        result = learn(
            n=config.noises, max_calls=config.max_calls, teacher_tolerance=config.tolerance,
            seed=seed, progress=False, cache=teacher,
        )  # fmt: skip
        sx.save(path, result)
    return sx.load(path)


def facts(result: sx.PlanResult) -> dict[str, Any]:
    """Give what is kept of a learning."""
    return {
        "calls": result.source["calls"], "seconds": result.seconds, "terms": result.terms,
        "kept": result.kept, "iterations": result.iterations,
    }  # fmt: skip


def shifts_of(session: Session) -> dict[str, list[str]]:
    """Choose the best shifts of the flow's schedulers by noise of its own, or read the choice.

    Returns:
      For each number of steps the names of the schedulers, with their shifts, that are the best by
      the mean distance and by the Fréchet distance. More steps have the choice of the most.
    """
    config = session.config
    document = session.document(SHIFTS)
    if document.missing:
        judge = judge_of(FLOW, _CHOOSING, config.choosing, session)
        judged = {str(x): judge.rivals(x, pictured=False) for x in CASES[FLOW].rivals}
        document.add((), {"judged": judged})
    chosen = {}
    for steps, judged in document.content["judged"].items():
        by = [sorted(judged, key=lambda x: judged[x][m]) for m in ("mean", "frechet")]
        chosen[steps] = list(dict.fromkeys(x for names in by for x in names[: config.kept]))
    return chosen


def packed(images: np.ndarray) -> list[str]:
    """Pack images [n, 1, H, W] in [-1, 1] into text: a byte a pixel, row by row, in base64."""
    grey = np.clip(np.round(127.5 * (images + 1)), 0, 255).astype(np.uint8)
    return [base64.b64encode(one.tobytes()).decode() for one in grey]


def unpacked(texts: list[str]) -> np.ndarray:
    """Give the greys [n, H, W] of :func:`packed`, for square images."""
    flat = np.stack([np.frombuffer(base64.b64decode(one), np.uint8) for one in texts])
    side = round(flat.shape[1] ** 0.5)
    return flat.reshape(-1, side, side)
