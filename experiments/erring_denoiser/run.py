"""Fit, sample and judge: ``python -m experiments.erring_denoiser.run``.

Started again, it goes on where it was ended. The network and the features are those of
experiments/trained_networks, in its working folder.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
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
from experiments.erring_denoiser.config import (
    CONFIG,
    ENDS,
    PART,
    PROBED,
    PROBED_ERRING,
    ROW,
    SMALLEST,
    Config,
    of_part,
)
from experiments.resuming import result_at
from experiments.trained_networks.config import HEURISTICS
from experiments.trained_networks.run import judged
from experiments.trained_networks.subjects import Subject, subject_of

RESULTS = Path(__file__).parent / "results"


class Fitted:
    """The schedules of a network, each fitted once."""

    def __init__(self, config: Config, work: Path) -> None:
        self.config, self.work = config, work

    @functools.cached_property
    def subject(self) -> Subject:
        """The network, the data and what judges."""
        return subject_of(ROW, self.config.network, self.work)

    @functools.cached_property
    def spectra(self) -> dict[str, sx.Spectrum]:
        """What is fitted on, by column."""
        one = self.subject
        plain = one.run.spectrum
        probed = sx.probe(one.prior, one.data, plain, n=self.config.probe, seed=0).attach()
        parts = {of_part(x): plain.with_denoiser_error(x) for x in self.config.parts}
        return {**parts, PROBED: probed, PROBED_ERRING: probed.with_denoiser_error(PART)}

    @functools.lru_cache(maxsize=64)  # noqa: B019 - there is one
    def fits(self, sampler: str, steps: int) -> dict[str, sx.FitResult]:
        """A fit for each column."""
        return {
            name: sx.fit(spectrum, steps, sampler=sampler, alpha_bar_range=ENDS)
            for name, spectrum in self.spectra.items()
        }

    def losses(self, sampler: str, steps: int) -> dict[str, dict[str, float]]:
        """What each column's loss is of the heuristics: their order, without a network."""
        made = {x: sx.family(x, steps, alpha_bar_range=ENDS) for x in HEURISTICS}
        return {
            name: {x: float(sx.loss(spectrum, one, sampler=sampler)) for x, one in made.items()}
            for name, spectrum in self.spectra.items()
        }


def in_steps(fitted: Fitted, steps: int, seed: int) -> dict[str, Any]:
    """All columns of all samplers, and what was predicted."""
    columns, predicted = {}, {}
    for sampler in fitted.config.samplers:
        for name, fit in fitted.fits(sampler, steps).items():
            found = judged(
                fitted.subject, sx.plan(sampler, fit.schedule), seed, fitted.config.network
            )
            facts = {"loss": fit.value, "converged": fit.converged, "iterations": fit.iterations}
            levels = [float(x) for x in fit.schedule.logsnr[:-1]]
            columns[f"{sampler} {name}"] = {**found, **facts, "logsnr": levels}
        predicted[sampler] = fitted.losses(sampler, steps)
    return {"columns": columns, "predicted": predicted}


def one(fitted: Fitted, steps: int, seed: int, results: Path, now: dict[str, Any]) -> None:
    """The result of so many steps and a seed, if it is not there.

    Raises:
      ValueError: where it is of another config.
    """
    path = results / f"{ROW}-{steps}-{seed}.json"
    settings = json.loads(json.dumps(plain_config(fitted.config, "seeds", "steps")))
    known = result_at(path, settings)
    if known:
        return
    begun = time.perf_counter()
    found = in_steps(fitted, steps, seed)
    seconds = time.perf_counter() - begun
    write_json(path, {
        "experiment": "erring_denoiser", "row": ROW, "steps": steps, "seed": seed,
        "config": settings, **now, "seconds": seconds, **found,
    })  # fmt: skip
    say(f"S = {steps}, seed {seed}: {seconds:.0f} s")


def main(argv: list[str] | None = None) -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, nargs="+", help="by default all of the config")
    parser.add_argument("--seeds", type=int, nargs="+", help="by default all of the config")
    add_folders(parser, RESULTS, WORK / "trained_networks")
    args = parser.parse_args(argv)
    check_smallest(parser, args)
    config = SMALLEST if args.smallest else CONFIG
    args.work.mkdir(parents=True, exist_ok=True)
    fitted, now = Fitted(config, args.work), circumstances()
    for steps in args.steps or config.steps:
        for seed in args.seeds if args.seeds is not None else range(config.seeds):
            one(fitted, steps, seed, args.results, now)


if __name__ == "__main__":
    main()
