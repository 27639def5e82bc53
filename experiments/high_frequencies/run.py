"""Learn and judge all schedules: ``python -m experiments.high_frequencies.run``.

Started again, it goes on where it was ended; the network is that of experiments/learned_plans.
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
from experiments.high_frequencies import network
from experiments.high_frequencies.config import CONFIG, DATASETS, NETWORK, SMALLEST, Config
from experiments.high_frequencies.schedules import judged, schedules_of
from experiments.high_frequencies.spectra import AbsentError, bands_of, stationary
from experiments.learned_plans.subjects import samples_of
from experiments.resuming import result_at

RESULTS = Path(__file__).parent / "results"


def begun(path: Path, config: Config, **about: Any) -> dict[str, Any]:
    """The document that is there, or an empty one; refused if it is of another config."""
    document = result_at(path, plain_config(config, "seeds"))
    new = {"experiment": "high_frequencies", **about, "config": plain_config(config, "seeds")}
    return document or {**new, **circumstances(), "samplers": {}}


def kept(path: Path, document: dict[str, Any], sampler: str, steps: int, found: Any) -> None:
    """Write what was found of a sampler in S steps, with the rest."""
    document["samplers"].setdefault(sampler, {})[str(steps)] = found
    write_json(path, document)
    say(f"{path.stem}: {sampler}, S = {steps}")


def missing(document: dict[str, Any], samplers: Any, steps: Any) -> list[tuple[str, int]]:
    """Pairs of sampler and S that have not been run."""
    there = document["samplers"]
    return [(x, s) for x in samplers for s in steps if str(s) not in there.get(x, {})]


def closed_form(name: str, config: Config, results: Path) -> None:
    """All schedules on the spectrum of a dataset."""
    path = results / f"{name.removeprefix('tfds:')}.json"
    document = begun(path, config, data=name)
    waiting = missing(document, config.samplers, config.steps)
    if not waiting:
        return
    spectrum = stationary(name, config.limit)
    bands = bands_of(spectrum)
    document["bands"] = {
        "frequency": bands.frequency.tolist(),
        "eigenvalues": bands.sizes.tolist(),
        "variance": bands.mean(spectrum.eigenvalues).tolist(),
    }
    for sampler, steps in waiting:
        found = {
            target: {**facts, **judged(spectrum, schedule, sampler)}
            for target, schedule, facts in schedules_of(spectrum, sampler, steps)
        }
        kept(path, document, sampler, steps, found)


def through_network(seed: int, config: Config, results: Path, work: Path) -> None:
    """The power of bands of samples that the network makes of a seed's noise."""
    path = results / f"{NETWORK}-{seed}.json"
    document = begun(path, config, data="digits", seed=seed)
    waiting = missing(document, config.samplers, config.network_steps)
    if not waiting:
        return
    run, data = network.run_of(config, work), samples_of("digits", network.plans.CONFIG)
    if network.FINE not in document:
        plan = network.fine_plan(run.spectrum)
        document[network.FINE] = network.measured(run, plan, data, seed, config.n)
    for sampler, steps in waiting:
        found = {
            name: network.measured(run, plan, data, seed, config.n)
            for name, plan in network.plans_of(sampler, steps, config)
        }
        kept(path, document, sampler, steps, found)


def main(argv: list[str] | None = None) -> None:
    """Run the rows asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    rows = (*DATASETS, NETWORK)
    parser.add_argument("--rows", nargs="+", choices=rows, default=list(rows))
    parser.add_argument("--seeds", type=int, nargs="+", help="of the network; by default all")
    add_folders(parser, RESULTS, WORK / "learned_plans")
    args = parser.parse_args(argv)
    check_smallest(parser, args)
    config = SMALLEST if args.smallest else CONFIG
    for name in [x for x in args.rows if x != NETWORK]:
        try:
            closed_form(name, config, args.results)
        except AbsentError as error:
            say(f"{name} is left out: {error}")
    if NETWORK in args.rows:
        for seed in args.seeds if args.seeds is not None else range(config.seeds):
            through_network(seed, config, args.results, args.work)


if __name__ == "__main__":
    main()
