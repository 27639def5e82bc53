"""Train, probe, sample and judge: ``python -m experiments.ideal_denoiser.run``.

Started again, it goes on where it was ended; networks are kept in the working folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

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
from experiments.ideal_denoiser import subjects
from experiments.ideal_denoiser.config import CONFIG, REFERENCES, SMALLEST, Config, networks
from experiments.ideal_denoiser.judging import judged, response_of, schedules_of
from experiments.resuming import result_at, same_code

RESULTS = Path(__file__).parent / "results"


def begun(path: Path, config: Config, now: dict[str, Any], **about: Any) -> dict[str, Any]:
    """The document that is there, or an empty one made by what runs ``now``.

    Raises:
      ValueError: where it is of another config, or was left unfinished by other code or versions.
    """
    own = plain_config(config, "seeds", "widths", "updates")
    document = result_at(path, own)
    if document and missing(document, config):
        same_code(path, document, now)
    new = {"experiment": "ideal_denoiser", **about, "config": own}
    return document or {**new, **now, "complete": False, "samplers": {}}


def missing(document: dict[str, Any], config: Config) -> list[tuple[str, int]]:
    """Pairs of sampler and S that have not been run."""
    there = document["samplers"]
    pairs = [(sampler, steps) for sampler in config.samplers for steps in config.steps]
    return [(x, s) for x, s in pairs if str(s) not in there.get(x, {})]


def one(
    name: str, seed: int, config: Config, results: Path, opened: Callable[[], subjects.Subject],
    now: dict[str, Any],
) -> None:  # fmt: skip
    """What is missing of a denoiser and a seed; ``now`` are the circumstances of this process."""
    path = results / f"{name}-{seed}.json"
    document = begun(path, config, now, subject=name, seed=seed)
    waiting = missing(document, config)
    if not waiting:
        return
    subject = opened()
    say(f"{path.stem}: there")
    found = sx.probe(subject.denoise, subject.samples, subject.spectrum, n=config.probe, seed=seed)
    probed = replace(found.attach(), basis=subject.spectrum.basis)
    document["facts"], document["response"] = subject.facts, response_of(found, config)
    for sampler, steps in waiting:
        document["samplers"].setdefault(sampler, {})[str(steps)] = {
            column: {**facts, **judged(subject, probed, schedule, sampler, seed, config)}
            for column, schedule, facts in schedules_of(subject.spectrum, probed, sampler, steps)
        }
        document["complete"] = not missing(document, config)
        write_json(path, document)
        say(f"{path.stem}: {sampler}, S = {steps}")


def main(argv: list[str] | None = None) -> None:
    """Run the denoisers asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--references", action="store_true", help="only what needs no training")
    parser.add_argument("--widths", type=int, nargs="+", help="only networks, of these widths")
    parser.add_argument("--updates", type=int, nargs="+", help="of the networks; by default all")
    parser.add_argument("--seeds", type=int, nargs="+", help="by default all of the config")
    add_folders(parser, RESULTS, WORK / "ideal_denoiser")
    args = parser.parse_args(argv)
    check_smallest(parser, args)
    now = circumstances()
    config = SMALLEST if args.smallest else CONFIG
    seeds = args.seeds if args.seeds is not None else range(config.seeds)
    for seed in seeds if args.references or not args.widths else ():
        for name in REFERENCES:
            there = partial(subjects.reference, name, seed)
            one(name, seed, config, args.results, there, now)
    for size in networks(config) if args.widths or not args.references else ():
        if _asked(size.width, args.widths) and _asked(size.updates, args.updates):
            for seed in seeds:
                there = partial(subjects.network, size, seed, args.work)
                one(size.name, seed, config, args.results, there, now)


def _asked(number: int, numbers: list[int] | None) -> bool:
    return numbers is None or number in numbers


if __name__ == "__main__":
    main()
