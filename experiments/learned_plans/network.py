"""The row of the trained network."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import specjax as sx
from experiments.learned_plans import plans, subjects
from experiments.learned_plans.config import NAMED, Config
from experiments.learned_plans.judging import FINE, heuristic_plans, judge, of_data

_RANKING = 50_000  # added to the seed of noise that ranks heuristics


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} network, {text}", flush=True)


def row(name: str, seed: int, steps: int, config: Config, work: Path) -> dict[str, Any]:
    """Plans of the digits' priors, of the probed network and through the network."""
    run = subjects.network(work, config, lambda done, most, text: None)
    data = subjects.samples_of("digits", config)
    prior = sx.priors.Network(run.denoiser(), run.shape, run.spectrum, source=run.source)
    made, facts = {}, {}
    for column, result, fact in plans.learned("digits", seed, steps, config, work):
        made[column], facts[column] = result, fact
    for column, rung in _through(run, prior, data, made, config, seed).items():
        path = plans.plan_path(work, name, seed, steps, column)
        made[column], facts[column] = plans.learn_one(path, column, rung, steps, seed, config)
        _say(f"seed {seed}, S = {steps}: {column} learned, {facts[column]['seconds'] or 0:.1f} s")
    known = heuristic_plans(prior, steps)
    ranked = judge(
        known, prior, of_data(data), n=config.n_ranked, seed=_RANKING + seed,
        fine=config.fine_network,
    )  # fmt: skip
    _say(f"seed {seed}, S = {steps}: heuristics ranked")
    order = sorted((x for x in ranked if x != FINE), key=lambda x: ranked[x]["frechet"])
    chosen = dict.fromkeys((*NAMED, *order[: config.best]))
    judged = judge(
        {**{x: known[x] for x in chosen}, **{x: r.plan_in("vp") for x, r in made.items()}},
        prior, of_data(data), n=config.n_network, seed=seed, fine=config.fine_network,
    )  # fmt: skip
    _say(f"seed {seed}, S = {steps}: judged")
    ranking = {x: ranked[x]["frechet"] for x in order}
    return {"learning": facts, "ranking": ranking, "judged": {"network": judged}}


def _through(
    run: sx.nn.Run, prior: Any, data: Any, made: dict[str, sx.PlanResult], config: Config, seed: int
) -> dict[str, plans.Rung]:
    """The columns that ask the network: probed, and by back-propagation through it."""
    starts = list(made.values())

    def probed() -> sx.Spectrum:
        return sx.probe(prior, data[: config.probe], run.spectrum, seed=seed).attach()

    return {
        "probed": plans.Rung(probed, {}),
        "network": plans.Rung(lambda: prior, {"start": starts}),
    }
