"""What are plans worth that are learned through pipelines of diffusers, and run in them?"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import specjax as sx
from experiments.data import AbsentError
from experiments.diffusers_pipelines.configs import (
    CONFIGS,
    EPS,
    FLOW,
    KINDS,
    SMALLEST_CONFIGS,
    ZERO_SNR,
    NetworkConfig,
)
from experiments.experiment import Experiment, Part
from experiments.session import Session, read_json, say

FINE = "fine solution"
BY_STEPS, BY_CALLS = "steps", "calls"
SHIFTS = "shifts"
_JUDGING, _CHOOSING = 10_000, 9_999  # the first of the seeds of noise


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment.

    Attributes:
      seeds: of the noise that is learned on, and of that which judges.
      steps: of the plans that are learned, by kind. rival_steps: of diffusers' own schedulers.
      weight: of the guidance of the flow, so that each step is two calls of the network.
      calls: budget of a plan whose weights are learned, too, and 1 in some steps; its steps.
      noises, max_calls: that a plan is learned on; samples that may be denoised for it.
      tolerance: of the teacher.
      n, fine: noises that judge, and steps of their fine solutions.
      shifts: of the flow's schedulers, each of which has the best of them. choosing: noises that
        choose it.
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
    calls: tuple[int, int] = (6, 4)
    noises: int = 64
    max_calls: int = 20_000
    tolerance: float = 0.01
    n: int = 256
    fine: int = 64
    shifts: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 5.0)
    choosing: int = 128
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
