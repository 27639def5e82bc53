"""Learn and judge on every prior: ``python -m experiments.beyond_gaussian.run``.

Started again, it goes on where it was ended; plans are kept in the working folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from experiments.beyond_gaussian.config import CONFIG, PLANS, SMALLEST, SUBJECTS, Config
from experiments.beyond_gaussian.judging import Judge, Made, learned, schedules_of
from experiments.beyond_gaussian.subjects import Case, case_of, negentropy
from experiments.common import (
    WORK,
    add_folders,
    check_smallest,
    circumstances,
    plain_config,
    say,
    write_json,
)
from experiments.resuming import result_at, same_code

RESULTS = Path(__file__).parent / "results"
FINE = "fine solution"


def plans_of(
    name: str, case: Case, seed: int, steps: int, config: Config, work: Path
) -> dict[str, Made]:
    """Every sampler along every schedule, and the learned plans.

    Plans of synthetic priors are learned once; those of data on the other half of each seed.
    """
    found = {
        f"{sampler} {words}": made
        for sampler in config.samplers
        for words, made in schedules_of(case.prior.spectrum, sampler, steps).items()
    }
    subject = SUBJECTS[name]
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
        found[words] = Made(result.plan_in("vp"))
    return found


def one(
    name: str, seed: int, config: Config, work: Path, results: Path, now: dict[str, Any]
) -> None:
    """What is missing of a subject's seed; ``now`` are the circumstances of this process."""
    path = results / f"{name}-{seed}.json"
    document = result_at(path, plain_config(config, "seeds", "subjects"))
    waiting = [s for s in config.steps if str(s) not in document.get("steps", {})]
    if not waiting:
        return
    if document:
        same_code(path, document, now)
    case = case_of(SUBJECTS[name], seed)
    judge = Judge(case, seed, config)
    if not document:
        document = _begun(name, seed, case, judge, config, now)
    for steps in waiting:
        plans = plans_of(name, case, seed, steps, config, work)
        document["steps"][str(steps)] = {
            words: {**judge(made.plan), **made.facts} for words, made in plans.items()
        }
        document["complete"] = len(document["steps"]) == len(config.steps)
        write_json(path, document)
    say(f"{name}, seed {seed}")


def _begun(
    name: str, seed: int, case: Case, judge: Judge, config: Config, now: dict[str, Any]
) -> dict[str, Any]:
    about: dict[str, Any] = {"negentropy": negentropy(case, config.draws, seed)}
    if hasattr(case.prior, "kernel_width"):
        about["kernel_width"] = float(np.asarray(case.prior.kernel_width))
    return {
        "experiment": "beyond_gaussian", "subject": name, "seed": seed,
        "config": plain_config(config, "seeds", "subjects"), **now, **about,
        FINE: judge.of(judge.fine), "complete": False, "steps": {},
    }  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    """Run the subjects asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", nargs="+", choices=SUBJECTS, help="by default all")
    parser.add_argument("--seeds", type=int, nargs="+", help="by default all of the config")
    add_folders(parser, RESULTS, WORK / "beyond_gaussian")
    args = parser.parse_args(argv)
    check_smallest(parser, args)
    now = circumstances()
    config = SMALLEST if args.smallest else CONFIG
    for seed in args.seeds if args.seeds is not None else range(config.seeds):
        for name in args.subjects or config.subjects:
            one(name, seed, config, args.work, args.results, now)


if __name__ == "__main__":
    main()
