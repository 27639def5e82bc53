"""Estimate, learn and judge: ``python -m experiments.real_spectra.run``.

Started again, it goes on where it was ended; spectra are kept in the working folder.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
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
from experiments.real_spectra.ablations import WITHOUT, ranks, units
from experiments.real_spectra.config import CONFIG, DATASETS, SMALLEST, SOUNDS, Config
from experiments.real_spectra.crossing import crossed
from experiments.real_spectra.schedules import in_regime
from experiments.real_spectra.sources import AbsentError
from experiments.real_spectra.spectra import ESTIMATES, Subject, facts_of
from experiments.resuming import result_at

RESULTS = Path(__file__).parent / "results"


def unit(path: Path, config: Config, make: Callable[[], dict[str, Any]], **known: Any) -> dict:
    """What is in the file; made, with its circumstances, where it is missing or knows less."""
    there = result_at(path, plain_config(config))
    if there and all(set(known[x]) <= set(there[x]) for x in known):
        return there
    began = time.perf_counter()
    circumstanced = {"experiment": "real_spectra", "config": plain_config(config)} | circumstances()
    document = circumstanced | known | make()
    document["seconds"] = round(time.perf_counter() - began, 1)
    write_json(path, document)
    say(f"{path.stem}: {document['seconds']:.0f} s")
    return document


def estimates(subject: Subject) -> dict[str, Any]:
    """The three estimates of a dataset, kept, and their facts."""
    found, data = {}, subject.samples()
    for method in ESTIMATES:
        spectrum, cost = subject.estimate(method)
        subject.kept(method, lambda made=spectrum: made)
        found[method] = {**cost, **facts_of(spectrum)}
    known = {k: v for k, v in data.source.items() if isinstance(v, int | float | str | list)}
    parts = len(set(data.part.tolist()))
    return {"source": known, "samples": len(data.x), "parts": parts, "estimates": found}


def schedules(subject: Subject, config: Config, names: tuple[str, ...]) -> dict[str, Any]:
    """What is learned on the estimates in every regime."""
    full = subject.spectrum()
    return {
        "samples": (full.source or {})["samples"],
        "exponent": facts_of(full)["exponent"],
        "regimes": {str(x): in_regime(subject, x, config, names) for x in config.regimes},
    }


def matrices(subjects: list[Subject], found: list[dict], config: Config) -> dict[str, Any]:
    """Everything on everything, in every regime."""
    return {"regimes": {str(x): crossed(subjects, found, x, config) for x in config.regimes}}


def one(name: str, config: Config, work: Path, results: Path) -> None:
    """All units of a dataset that are its own."""
    subject = Subject(name, config.window, config, work)
    unit(results / f"estimates-{name}.json", config, lambda: estimates(subject))
    learned(subject, config, results, ESTIMATES)
    unit(results / f"ranks-{name}.json", config, lambda: {"ranks": ranks(subject, config)})
    if name in WITHOUT:
        unit(results / f"units-{name}.json", config, lambda: units(subject, config))
    if name in SOUNDS:
        others = [Subject(name, window, config, work) for window in config.windows]
        together(f"windows-{name}", others, config, results)


def learned(subject: Subject, config: Config, results: Path, names: tuple[str, ...]) -> dict:
    """The schedules of a spectrum."""
    path = results / f"schedules-{subject.title}.json"
    return unit(path, config, lambda: schedules(subject, config, names))


def together(name: str, subjects: list[Subject], config: Config, results: Path) -> None:
    """The matrices of several spectra; made again where there are more than before."""
    found = [learned(x, config, results, ESTIMATES[:1]) for x in subjects]
    titles = [x.title for x in subjects]
    path = results / f"{name}.json"
    unit(path, config, lambda: matrices(subjects, found, config), datasets=titles)


def main(argv: list[str] | None = None) -> None:
    """Run what was asked for; a dataset that is not here is skipped with the reason."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="*", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--cross", action="store_true", help="only the datasets on each other")
    add_folders(parser, RESULTS, WORK / "real_spectra")
    args = parser.parse_args(argv)
    check_smallest(parser, args)
    config = SMALLEST if args.smallest else CONFIG
    for name in [] if args.cross else args.data:
        try:
            one(name, config, args.work, args.results)
        except AbsentError as reason:
            say(f"{name} is skipped: {reason}")
    here = [x for x in DATASETS if (args.results / f"schedules-{x}.json").exists()]
    subjects = [Subject(x, config.window, config, args.work) for x in here]
    if len(subjects) > 1:
        together("cross", subjects, config, args.results)


if __name__ == "__main__":
    main()
