"""What are plans worth that are learned through pipelines of diffusers, and run in them?"""

from __future__ import annotations

import base64
import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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

SHIFTS = "shifts"
_CHOOSING, _JUDGING = 9_999, 10_000  # the first of the seeds of noise


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment.

    Attributes:
      seeds: of the noise that is learned on, and of that which judges.
      steps: of the plans that are learned, by kind. rival_steps: of diffusers' own schedulers.
      weight: of the guidance of the flow, so that each step is two calls of the network.
      noises, max_calls: that a plan is learned on; samples that may be denoised for it.
      tolerance: of the teacher.
      n, fine: noises that judge, and steps of their fine solutions.
      shifts: of the flow's schedulers, each of which has the best of them. choosing: noises that
        choose it.
      batch: samples in one call of the network.
      components: of the principal components of held-out images, for Fréchet distances.
      pictured: samples in the picture, the first ones.
    """

    seeds: int = 3
    steps: tuple[tuple[str, tuple[int, ...]], ...] = (
        (EPS, (5, 6)), (ZERO_SNR, (6,)), (FLOW, (3, 6)),
    )  # fmt: skip
    rival_steps: tuple[tuple[str, tuple[int, ...]], ...] = (
        (EPS, (5, 6, 10)), (ZERO_SNR, (6, 10)), (FLOW, (3, 5, 6, 10)),
    )  # fmt: skip
    weight: float = 2.0
    noises: int = 64
    max_calls: int = 20_000
    tolerance: float = 0.01
    n: int = 256
    fine: int = 64
    shifts: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 5.0)
    choosing: int = 128
    batch: int = 100
    components: int = 32
    pictured: int = 10


SMALLEST = Config(
    seeds=1, steps=((EPS, (2,)), (ZERO_SNR, (2,)), (FLOW, (2,))),
    rival_steps=((EPS, (2,)), (ZERO_SNR, (2,)), (FLOW, (2,))), noises=2, max_calls=60,
    tolerance=10.0, n=4, fine=16, shifts=(1.0,), choosing=4, components=2, pictured=2,
)  # fmt: skip

EXPERIMENT = Experiment(
    "diffusers_pipelines",
    "Plans learned through pipelines of diffusers in 6 network calls match its schedulers at 10",
    (
        Part.of_seeds("eps, DDPM's grid", [EPS], Config.seeds, None),
        Part.of_seeds("v, zero terminal SNR", [ZERO_SNR], Config.seeds, None),
        Part.of_seeds("a guided flow", [FLOW], Config.seeds, None),
    ),
    Config(),
    SMALLEST,
)


def run(session: Session) -> None:
    """Make what is missing of every case and seed."""
    try:
        for kind in session.cases:
            for seed in session.seeds:
                judge_all(kind, seed, session)
    except AbsentError as error:
        say(f"left out: {error}")


def judge_all(kind: str, seed: int, session: Session) -> None:
    """Learn the plans of a kind, and judge them and diffusers' own schedulers."""
    pieces = [("fine",)]
    for what, of_kind in (("plans", session.config.steps), ("rivals", session.config.rival_steps)):
        pieces += [(what, str(steps)) for steps in dict(of_kind)[kind]]
    document = session.document(f"{kind}-{seed}", pieces, case=kind, seed=seed)
    if not document.missing:
        return
    chosen = shifts_of(session) if kind == FLOW else {}
    judge = judge_of(kind, _JUDGING + seed, session.config.n, session)
    for piece in list(document.missing):
        what, steps = piece[0], piece[-1]
        if what == "fine":
            found = {"training": judge.training, **judge.of_fine()}
        elif what == "plans":
            found = learned_and_judged(judge, int(steps), seed, session)
        else:
            found = judge.rivals(int(steps), chosen.get(steps))
        document.add(piece, found)


def judge_of(kind: str, seed: int, n: int, session: Session) -> Judge:
    """Make the judge of a kind, by n noises of a seed.

    Raises:
      AbsentError: where torch, diffusers or the data are not on this machine.
    """
    if any(importlib.util.find_spec(name) is None for name in ("torch", "diffusers")):
        raise AbsentError("no torch or diffusers: pip install 'specjax[interop]'")
    from experiments.diffusers_pipelines.judging import Judge
    from experiments.diffusers_pipelines.train import open_pipeline

    config = session.config
    network = (SMALLEST_CONFIGS if config == SMALLEST else CONFIGS)[kind]
    pipe, training = open_pipeline(network, session.work / kind)
    return Judge(pipe, network, training, config, seed, n)


def learned_and_judged(judge: Judge, steps: int, seed: int, session: Session) -> dict[str, Any]:
    """Learn a plan through the pipeline, or load it, and run it in the pipeline."""
    from specjax.interop.diffusers import PlanScheduler, learn

    path = session.work / "plans" / f"{judge.kind}-{steps}-{seed}.json"
    if not path.exists():
        config = session.config
        path.parent.mkdir(parents=True, exist_ok=True)
        result = learn(
            judge.pipe, steps, batch=config.batch, n=config.noises, max_calls=config.max_calls,
            teacher_tolerance=config.tolerance, seed=seed, progress=False, **judge.guidance,
        )  # fmt: skip
        sx.save(path, result)
    result = sx.load(path)
    about = {
        "calls": result.source["calls"], "network_calls": result.source["network_calls"],
        "seconds": result.seconds, "terms": result.terms, "kept": result.kept,
    }  # fmt: skip
    scheduler = PlanScheduler.from_file(path, judge.pipe.scheduler.config)
    return {"learning": about, "judged": judge.of(scheduler, steps)}


def shifts_of(session: Session) -> dict[str, list[str]]:
    """Choose the best shifts of the flow's schedulers by noise of its own, or read the choice.

    Returns:
      For each number of steps the names of the schedulers with the shifts that are the best by
      the mean distance and by the Fréchet distance.
    """
    config = session.config
    document = session.document(SHIFTS)
    if document.missing:
        judge = judge_of(FLOW, _CHOOSING, config.choosing, session)
        steps = dict(config.rival_steps)[FLOW]
        document.add((), {"judged": {str(x): judge.rivals(x, pictured=False) for x in steps}})
    chosen = {}
    for steps, judged in document.content["judged"].items():
        methods: dict[str, list[str]] = {}
        for name in judged:
            methods.setdefault(name.split(", shift")[0], []).append(name)
        best = [
            min(names, key=lambda name: judged[name][measure])
            for names in methods.values()
            for measure in ("mean", "frechet")
        ]
        chosen[steps] = list(dict.fromkeys(best))
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
