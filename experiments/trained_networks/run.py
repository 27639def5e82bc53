"""Sample and judge: ``python -m experiments.trained_networks.run``.

Started again, it goes on where it was ended; networks, features and plans are kept in the working
folder.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

import specjax as sx
from experiments.common import (
    WORK,
    add_folders,
    check_smallest,
    circumstances,
    plain_config,
    say,
    write_json,
)
from experiments.real_spectra.sources import AbsentError
from experiments.resuming import result_at
from experiments.trained_networks.config import CONFIG, ENDS, ROWS, SMALLEST, Config
from experiments.trained_networks.plans import Made
from experiments.trained_networks.subjects import Subject, distances, subject_of
from specjax.learning.teacher import fine_plan

FINE, REAL = "fine solution", "real samples"
_NOISE = 30_000  # the first of the seeds of the noise that judges

RESULTS = Path(__file__).parent / "results"


def judged(
    subject: Subject, plan: sx.SamplerPlan, seed: int, config: Config
) -> dict[str, float | int]:
    """The distances of one column, and its denoiser calls."""
    n, shape = config.n or ROWS[subject.row].n, subject.run.shape
    samples = sx.generate(plan, subject.prior, n, shape, seed=_NOISE + seed)
    return {"calls": plan.calls, **distances(subject, samples)}


def of_real(subject: Subject, seed: int, config: Config) -> dict[str, float | int]:
    """The distances of as many of the data, drawn with replacement: what so few can reach."""
    n, rng = config.n or ROWS[subject.row].n, np.random.default_rng(_NOISE + seed)
    return {"calls": 0, **distances(subject, subject.data[rng.integers(len(subject.data), size=n)])}


def in_steps(subject: Subject, steps: int, seed: int, made: Made) -> dict[str, Any]:
    """All columns in so many steps."""
    columns, learning = {}, {}
    for name, plan in made.sampled(steps).items():
        columns[name] = judged(subject, plan, seed, made.config)
    for name, result, facts in made.learned(steps):
        columns[name] = judged(subject, result.plan_in("vp"), seed, made.config)
        learning[name] = facts
    return {
        "columns": columns, "learning": learning, "unconverged": made.unconverged(steps),
        "refused": made.refused,
    }  # fmt: skip


def about_subject(subject: Subject, seed: int, config: Config) -> dict[str, Any]:
    """What the network makes of the noise in many steps, and how sure the features are."""
    fine = fine_plan(subject.prior, config.fine, ENDS)
    return {
        "parameters": sum(x.size for x in jax.tree.leaves(subject.run.network)),
        "accuracy": subject.features.source["accuracy"],
        "columns": {
            FINE: judged(subject, fine, seed, config),
            REAL: of_real(subject, seed, config),
        },
    }


def settings_of(row: str, config: Config) -> dict[str, Any]:
    """All numbers that a result depends on, as JSON returns them."""
    own = plain_config(ROWS[row], "title", "gpu")
    return json.loads(json.dumps({**plain_config(config, "seeds", "steps"), "row": own}))


class Missing:
    """Makes the results of a row that are not there; opens it only if some are not."""

    def __init__(self, row: str, config: Config, work: Path, results: Path) -> None:
        self.row, self.config, self.work, self.results = row, config, work, results
        self._made: Made | None = None
        self._about = circumstances()

    @property
    def made(self) -> Made:
        """The row, opened once."""
        if self._made is None:
            begun = time.perf_counter()
            self._made = Made(subject_of(self.row, self.config, self.work), self.config, self.work)
            say(f"{self.row}: ready after {time.perf_counter() - begun:.0f} s")
        return self._made

    def one(self, seed: int, steps: int | None) -> None:
        """The columns in so many steps, or the fine solution."""
        name = FINE.split()[0] if steps is None else str(steps)
        path = self.results / f"{self.row}-{name}-{seed}.json"
        settings = settings_of(self.row, self.config)
        known = result_at(path, settings)
        if known:
            return
        made, begun = self.made, time.perf_counter()
        if steps is None:
            found = about_subject(made.subject, seed, self.config)
        else:
            found = in_steps(made.subject, steps, seed, made)
        seconds = time.perf_counter() - begun
        write_json(path, {
            "experiment": "trained_networks", "row": self.row, "steps": steps, "seed": seed,
            "config": settings, **self._about, "seconds": seconds, **found,
        })  # fmt: skip
        say(f"{self.row}, seed {seed}: S = {name}, {seconds:.0f} s")


def main(argv: list[str] | None = None) -> None:
    """Run the rows asked for."""
    on_cpu = [name for name, row in ROWS.items() if not row.gpu]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=on_cpu)
    parser.add_argument("--steps", type=int, nargs="+", help="by default all of the config")
    parser.add_argument("--seeds", type=int, nargs="+", help="by default all of the config")
    add_folders(parser, RESULTS, WORK / "trained_networks")
    args = parser.parse_args(argv)
    check_smallest(parser, args)
    config = SMALLEST if args.smallest else CONFIG
    args.work.mkdir(parents=True, exist_ok=True)
    for row in args.rows:
        missing = Missing(row, config, args.work, args.results)
        try:
            for steps in (None, *(args.steps or config.steps)):
                for seed in args.seeds if args.seeds is not None else range(config.seeds):
                    missing.one(seed, steps)
        except AbsentError as error:
            say(f"{row}: {error}")


if __name__ == "__main__":
    main()
