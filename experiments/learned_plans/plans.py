"""Learning the plans of a row: one for each rung of the ladder, kept as plan files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import specjax as sx
from experiments.learned_plans.config import LIKELY, Config
from experiments.learned_plans.subjects import exact, samples_of

GAUSSIAN_SHARE = 0.1
"""The weight of the transfer loss in "+ gaussian"."""

TEACHER: dict[str, Any] = {"objective": {"teacher": 1.0}}
"""The plain columns' objective: sx.learn adds a share of the transfer loss by default."""

_KNOWN: set[tuple[Any, ...]] = set()
"""What this process has learned before, and so has compiled."""


class Rung(NamedTuple):
    """What a plan is learned on, and how: options of :func:`specjax.learn`."""

    prior: Callable[[], Any]
    options: dict[str, Any]


def rungs_of(row: str, seed: int, config: Config) -> dict[str, Rung]:
    """The columns that need no network, by name; "@" stands before the kernel's width."""
    found = {
        kind: Rung(_fitted(kind, row, seed, config), {} if kind == "gaussian" else TEACHER)
        for kind in ("gaussian", "scale_mixture", "mixture")
    }
    both = {"teacher": 1.0, "transfer": GAUSSIAN_SHARE}
    for width in config.widths:
        prior = _exact(row, width, seed, config)
        found[f"empirical @ {width}"] = Rung(prior, TEACHER)
        found[f"empirical + gaussian @ {width}"] = Rung(prior, {"objective": both})
        if width == LIKELY:
            found[f"empirical, memory 2 @ {width}"] = Rung(prior, {**TEACHER, "memory": 2})
    return {name: found[name] for name in config.columns or found}


def _fitted(kind: str, row: str, seed: int, config: Config) -> Callable[[], Any]:
    options = {"components": config.mixture} if kind == "mixture" else {}
    return lambda: sx.priors.prior_of(kind, samples_of(row, config), seed=seed, **options)


def _exact(row: str, width: float | str, seed: int, config: Config) -> Callable[[], Any]:
    return lambda: exact(row, width, seed, config)


def learned(
    row: str, seed: int, steps: int, config: Config, work: Path
) -> Iterator[tuple[str, sx.PlanResult, dict[str, Any]]]:
    """Each column's plan with the facts of its learning."""
    for name, rung in rungs_of(row, seed, config).items():
        path = plan_path(work, row, seed, steps, name)
        yield name, *learn_one(path, name, rung, steps, seed, config)


def plan_path(work: Path, row: str, seed: int, steps: int, name: str) -> Path:
    """Where a plan is kept."""
    plain = name.replace(" ", "_").replace(",", "").replace("+", "and").replace("@", "at")
    return work / "plans" / f"{row}-{seed}-{steps}-{plain}.json"


def learn_one(
    path: Path, name: str, rung: Rung, steps: int, seed: int, config: Config
) -> tuple[sx.PlanResult, dict[str, Any]]:
    """The plan that is kept at a path, or a new one; ``compiled`` where programs were known."""
    if path.exists():
        result = sx.load(path)
        assert isinstance(result, sx.PlanResult)
        return result, _facts(result, True, None)
    prior = rung.prior()
    shared = {"n": config.noises, "max_iterations": config.iterations, "seed": seed}
    begun = time.perf_counter()
    result = sx.learn(prior, steps, **{**shared, **rung.options})
    seconds = time.perf_counter() - begun
    path.parent.mkdir(parents=True, exist_ok=True)
    sx.save(path, result)
    known = (path.name.split("-")[0], name.split(" @ ")[0], steps)
    compiled = known in _KNOWN
    _KNOWN.add(known)
    return result, _facts(result, compiled, seconds)


def _facts(result: sx.PlanResult, compiled: bool, seconds: float | None) -> dict[str, Any]:
    """What is kept of a learning; ``seconds`` are None for a plan that was there."""
    by = result.corrections
    return {
        "seconds": seconds,
        "compiled": compiled,
        "kept": result.kept,
        "value": result.value,
        "train_value": result.train_value,
        "best_heuristic_value": min(result.baselines.values()),
        "logsnr": [float(x) for x in result.schedule.logsnr[:-1]],
        "ratios": None if by is None else [float(x) for x in by.ratio],
    }
