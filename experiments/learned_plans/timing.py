"""How long does learning take on a quiet machine? ``python -m experiments.learned_plans.timing``.

The plans of 5 calls: on the exact denoiser of half of the digits (the likeliest width), and through
the network, from the plans that ``run`` has kept for its seed 0. The first learning compiles.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import specjax as sx
from experiments.common import WORK, circumstances, write_json
from experiments.learned_plans import plans, subjects
from experiments.learned_plans.config import CONFIG, LIKELY

STEPS, SEEDS = 5, 6
FILE = Path(__file__).parent / "results" / "timing.json"


def timed(learn: Callable[[], sx.PlanResult]) -> dict[str, float]:
    """Seconds on the clock and of all cores, and the value reached."""
    begun, used = time.perf_counter(), time.process_time()
    result = learn()
    seconds, cores = time.perf_counter() - begun, time.process_time() - used
    return {"seconds": seconds, "of_all_cores": cores, "value": result.value}


def digits() -> list[dict[str, float]]:
    """A learning for each seed; the priors are made before."""
    priors = [subjects.exact("digits", LIKELY, seed, CONFIG) for seed in range(SEEDS)]
    return [timed(lambda p=p, s=s: sx.learn(p, STEPS, seed=s)) for s, p in enumerate(priors)]


def network(work: Path) -> list[dict[str, float]]:
    """Through the network, from the plans that are there."""
    run = subjects.network(work, CONFIG, lambda done, most, text: None)
    there: list[Any] = []
    for name in plans.rungs_of("digits", 0, CONFIG):
        path = plans.plan_path(work, "digits", 0, STEPS, name)
        there += [sx.load(path)] if path.exists() else []
    return [timed(lambda: sx.learn(run, STEPS, start=there))]


def main(work: Path = WORK / "learned_plans") -> None:
    """Write ``results/timing.json``."""
    about = circumstances()
    found = {"digits": digits(), "network": network(work)}
    write_json(FILE, {"experiment": "learned_plans timing", "steps": STEPS, **about, **found})
    print(found)


if __name__ == "__main__":
    main()
