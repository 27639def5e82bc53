"""Fit, judge and confirm: ``python -m experiments.synthetic_gaussian.run``.

All fits are one sweep, kept in the working folder and gone on with; a JSON for each spectrum.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

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
from experiments.resuming import result_at
from experiments.synthetic_gaussian import monte_carlo
from experiments.synthetic_gaussian.config import (
    CONFIG,
    PAPER,
    RANGES,
    SMALLEST,
    Config,
)
from experiments.synthetic_gaussian.measures import losses_of
from experiments.synthetic_gaussian.spectra import MEAN, spectra

RESULTS = Path(__file__).parent / "results"
_DIGITS = 7


def file_of(name: str) -> str:
    """The file of a spectrum."""
    return name.replace(MEAN, "_mean").replace(" ", "_").replace("^-", "") + ".json"


def key_of(sampler: str, loss: str, process: str, clean: str) -> str:
    """What a group of fits is called in the results."""
    return f"{sampler} {loss} {process} {clean}"


def swept(config: Config, work: Path) -> list[dict[str, Any]]:
    """All fits: with the paper's ends all spectra in VP and VE, noise-free those without mean."""
    every = spectra(config)
    centred = {name: one for name, one in every.items() if not name.endswith(MEAN)}
    rows = []
    for clean, some, processes in ((PAPER, every, config.processes), ("1", centred, ("vp",))):
        say(f"fits with the clean end {clean}")
        found = sx.sweep(
            some, config.steps, samplers=config.samplers, losses=config.losses,
            processes=processes,
            alpha_bar_ranges=[RANGES[clean]], restarts=config.restarts, nodes=config.nodes,
            seeds=[config.seed], out=work / f"sweep-{clean}",
            progress=lambda done, total: say(f"{done} of {total} fits"),
        )  # fmt: skip
        assert found is not None
        rows += [{**row, "clean": clean} for row in found.table.to_pylist()]
    return rows


def again(spectrum: sx.Spectrum, row: dict[str, Any], config: Config) -> dict[str, Any]:
    """A fit that did not converge, or is above a heuristic, from more starts if that is better."""
    heuristics = [row[x] for x in row if x.startswith("heuristic_")]
    if row["converged"] and row["value"] <= min(heuristics) * (1 + 1e-9):
        return {**row, "starts": config.restarts}
    found = sx.fit(
        spectrum, row["steps"], sampler=row["sampler"], loss=row["loss"], process=row["process"],
        alpha_bar_range=RANGES[row["clean"]], restarts=config.more, nodes=config.nodes,
        seed=config.seed,
    )  # fmt: skip
    if not found.node_value < row["value"]:
        return {**row, "starts": config.restarts}
    better = {"value": found.node_value, "converged": found.converged, "starts": config.more}
    return {**row, **better, "logsnr": np.asarray(found.schedule.logsnr).tolist()}


def judged(spectrum: sx.Spectrum, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Groups of fits: lists over S of the losses of all schedules."""
    groups: dict[str, Any] = {}
    for row in sorted(rows, key=lambda row: row["steps"]):
        facts = facts_of(spectrum, row)
        own = groups.setdefault(key_of(*(row[x] for x in _KEYS)), {x: [] for x in facts})
        for name, value in facts.items():
            own[name].append(value)
    return groups


_KEYS = ("sampler", "loss", "process", "clean")


def facts_of(spectrum: sx.Spectrum, row: dict[str, Any]) -> dict[str, Any]:
    """Losses on the nodes of learned schedule and heuristics, and more of the first and cosine."""
    how = (row["sampler"], row["loss"], row["process"])
    learned = sx.NoiseSchedule(np.array(row["logsnr"]))
    cosine = sx.family("cosine", row["steps"], alpha_bar_range=RANGES[row["clean"]])
    own, other = (losses_of(spectrum, x, *how) for x in (learned, cosine))
    heuristics = {x.removeprefix("heuristic_"): row[x] for x in row if x.startswith("heuristic_")}
    numbers = {"learned": row["value"], **own, "cosine_marginal": other["marginal"], **heuristics}
    flags = {"converged": row["converged"], "starts": row["starts"]}
    return {**flags, **{x: rounded(y) for x, y in numbers.items()}}


def rounded(x: float) -> float:
    """To the digits that are kept."""
    return float(f"{x:.{_DIGITS}g}")


def levels_of(rows: list[dict[str, Any]], config: Config) -> dict[str, Any]:
    """logsnr of what was learned in VP with the paper's ends: "sampler loss" -> S -> levels."""
    found: dict[str, Any] = {}
    for row in rows:
        if row["process"] == "vp" and row["clean"] == PAPER and row["steps"] in config.kept:
            own = found.setdefault(f"{row['sampler']} {row['loss']}", {})
            own[str(row["steps"])] = [rounded(x) for x in row["logsnr"]]
    return found


def checks_of(
    spectrum: sx.Spectrum, rows: list[dict[str, Any]], config: Config, first: int
) -> list[dict]:
    """Monte Carlo along the schedules learned for W2 and the cosine one, seeds from ``first`` on.

    No two plans share noise, so that their scores are independent.
    """
    found: list[dict] = []
    wanted = [x for x in rows if x["loss"] == "w2" and x["clean"] == PAPER]
    chosen = [x for x in wanted if x["steps"] in config.checked_steps]
    for row, name in itertools.product(chosen, ("learned", "cosine")):
        schedule = sx.NoiseSchedule(np.array(row["logsnr"]))
        if name == "cosine":
            schedule = sx.family("cosine", row["steps"], alpha_bar_range=RANGES[PAPER])
        how = {x: row[x] for x in ("sampler", "process")}
        options = {"n": config.n, "groups": config.groups, "seed": first + len(found)}
        numbers = monte_carlo.measured(spectrum, schedule, **how, **options)
        about = {**how, "steps": row["steps"], "schedule": name}
        found.append({**about, **{x: rounded(y) for x, y in numbers.items()}})
    return found


def main(argv: list[str] | None = None) -> None:
    """Make what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_folders(parser, RESULTS, WORK / "synthetic_gaussian")
    args = parser.parse_args(argv)
    check_smallest(parser, args)
    config = SMALLEST if args.smallest else CONFIG
    frozen, every = plain_config(config), spectra(config)
    there = {name: result_at(args.results / file_of(name), frozen) for name in every}
    if all(there.values()):
        return
    about, rows = circumstances(), swept(config, args.work)
    for name in [x for x in every if not there[x]]:
        spectrum = every[name]
        own = [again(spectrum, row, config) for row in rows if row["spectrum"] == name]
        document = {
            "experiment": "synthetic_gaussian", "spectrum": name, "config": frozen, **about,
            "fits": judged(spectrum, own), "levels": levels_of(own, config),
            "checks": [],
        }  # fmt: skip
        if name in config.checked:
            first = config.seed + 1000 * (1 + config.checked.index(name))
            document["checks"] = checks_of(spectrum, own, config, first)
        write_json(args.results / file_of(name), document)
        say(f"{name}: judged")


if __name__ == "__main__":
    main()
