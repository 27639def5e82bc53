"""Sample trained networks along schedules and plans, and judge the samples.

Networks, features and plans are kept in the working folder.
"""

from __future__ import annotations

import functools
import time
from typing import Any

import jax
import numpy as np

import specjax as sx
from experiments import methods
from experiments.data import AbsentError
from experiments.session import Session, plain_config, say
from experiments.trained_networks.columns import Columns
from experiments.trained_networks.config import EXPERIMENT, FINE, REAL, ROWS, Config
from experiments.trained_networks.network import TrainedNetwork, open_network

__all__ = ["EXPERIMENT", "run"]
_NOISE = 30_000  # the first of the seeds of the noise that judges


def run(session: Session) -> None:
    """Make what is missing of every row, S and seed; the network is opened if anything is."""
    for row in session.cases:
        settings = settings_of(row, session)
        columns = functools.cache(
            lambda row=row: Columns(open_network(row, session.config, session.work), session)
        )
        try:
            for steps in (None, *session.config.steps):
                for seed in session.seeds:
                    stem = f"{row}-{steps or 'fine'}-{seed}"
                    about = {"row": row, "steps": steps, "seed": seed}
                    document = session.document(stem, settings=settings, **about)
                    if document.missing:
                        made, begun = columns(), time.perf_counter()
                        found = in_steps(made, steps, seed) if steps else limits(made, seed)
                        document.add((), {"seconds": time.perf_counter() - begun, **found})
        except AbsentError as error:
            say(f"{row}: {error}")


def settings_of(row: str, session: Session) -> dict[str, Any]:
    """Give all numbers that the results of a row depend on, as JSON returns them."""
    return {
        **session.settings,
        "row": plain_config(ROWS[row], "title", "gpu"),
    }


def judged(
    network: TrainedNetwork, plan: sx.SamplerPlan, seed: int, config: Config
) -> dict[str, Any]:
    """Give the distances of the samples of a plan, and its denoiser calls."""
    n = config.n or ROWS[network.row].n
    samples = sx.generate(plan, network.prior, n, network.run.shape, seed=_NOISE + seed)
    return {"calls": plan.calls, **network.distances(samples)}


def in_steps(columns: Columns, steps: int, seed: int) -> dict[str, Any]:
    """Judge all columns in so many steps."""
    found, learning = {}, {}
    for name, plan in columns.sampled(steps).items():
        found[name] = judged(columns.network, plan, seed, columns.config)
    for name, result, facts in columns.learned(steps):
        plan = methods.learned_plan(result)
        found[name] = judged(columns.network, plan, seed, columns.config)
        learning[name] = facts
    return {
        "columns": found, "learning": learning, "unconverged": columns.unconverged(steps),
        "refused": columns.refused,
    }  # fmt: skip


def limits(columns: Columns, seed: int) -> dict[str, Any]:
    """Judge what the network makes of the noise in many steps, and as many of the data.

    The data are drawn with replacement: so few samples cannot be nearer.
    """
    network, config = columns.network, columns.config
    n, rng = config.n or ROWS[network.row].n, np.random.default_rng(_NOISE + seed)
    real = network.data[rng.integers(len(network.data), size=n)]
    fine = methods.fine_plan(network.prior, config.fine)
    return {
        "parameters": sum(x.size for x in jax.tree.leaves(network.run.network)),
        "accuracy": network.features.source["accuracy"],
        "columns": {
            FINE: judged(network, fine, seed, config),
            REAL: {"calls": 0, **network.distances(real)},
        },
    }
