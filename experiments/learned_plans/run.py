"""Learn and judge all plans: ``python -m experiments.learned_plans.run``.

Started again, it goes on where it was ended; plans and the network are kept in the working folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from experiments.common import (
    WORK,
    add_folders,
    check_smallest,
    circumstances,
    plain_config,
    say,
    write_json,
)
from experiments.learned_plans import network, plans, subjects
from experiments.learned_plans.config import CONFIG, ROWS, SMALLEST, Config
from experiments.learned_plans.judging import heuristic_plans, judge, of_half
from experiments.resuming import result_at

RESULTS = Path(__file__).parent / "results"


def exact_row(row: str, seed: int, steps: int, config: Config, work: Path) -> dict[str, Any]:
    """Learned on one half, judged on the exact denoiser of the other, for each kernel width."""
    made, facts = {}, {}
    for name, result, fact in plans.learned(row, seed, steps, config, work):
        made[name], facts[name] = result.plan_in("vp"), fact
        say(f"{row}, seed {seed}, S = {steps}: {name} learned, {fact['seconds'] or 0:.1f} s")
    judged, widths = {}, {}
    for width in config.widths:
        prior = subjects.exact(row, width, seed, config).held_out
        assert prior is not None
        widths[str(width)] = float(prior.kernel_width)
        judged[str(width)] = judge(
            {**heuristic_plans(prior, steps), **made}, prior, of_half(prior),
            n=config.n, seed=seed, fine=config.fine, batch=min(config.n, 1000),
        )  # fmt: skip
        say(f"{row}, seed {seed}, S = {steps}: judged at width {width}")
    return {"learning": facts, "widths": widths, "judged": judged}


def one(
    row: str, seed: int, config: Config, work: Path, results: Path, about: dict[str, Any]
) -> None:
    """What is missing of a row's seed; ``about`` are the circumstances of this start."""
    path = results / f"{row}-{seed}.json"
    document = result_at(path, plain_config(config, "seeds"))
    for steps in config.steps:
        if str(steps) in document.get("steps", {}):
            continue
        make = network.row if row == "network" else exact_row
        found = make(row, seed, steps, config, work)
        document = {
            "experiment": "learned_plans", "row": row, "seed": seed,
            "config": plain_config(config, "seeds"), **about,
            "steps": {**document.get("steps", {}), str(steps): found},
        }  # fmt: skip
        write_json(path, document)


def main(argv: list[str] | None = None) -> None:
    """Run the rows asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--seeds", type=int, nargs="+", help="by default all of the config")
    add_folders(parser, RESULTS, WORK / "learned_plans")
    args = parser.parse_args(argv)
    check_smallest(parser, args)
    config = SMALLEST if args.smallest else CONFIG
    about = circumstances()
    for seed in args.seeds if args.seeds is not None else range(config.seeds):
        for row in args.rows:
            one(row, seed, config, args.work, args.results, about)


if __name__ == "__main__":
    main()
