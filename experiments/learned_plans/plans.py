"""The plans of a row: one for each rung of the ladder of priors, kept as plan files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import specjax as sx
from experiments.data import LIKELY, digits, exact_denoiser, patches

GAUSSIAN_SHARE = 0.1
"""The weight of the transfer loss in "+ gaussian"."""

TEACHER: dict[str, Any] = {"objective": {"teacher_mean": 1.0}}
"""The objective of the plain columns: sx.learn adds a share of the transfer loss by default, and
averages logarithms of distances. When the committed results were made the mean was
called "teacher"."""

_COMPILED: set[tuple[Any, ...]] = set()  # kinds of plans that this process has learned before


class Rung(NamedTuple):
    """What a plan is learned on, and the options of :func:`specjax.learn`."""

    prior: Callable[[], Any]
    options: dict[str, Any]


def samples_of(row: str, config: Any) -> Any:
    """Load the data [N, 8, 8] of a row in [-1, 1]."""
    return patches(config.patches) if row == "patches" else digits()


def exact(row: str, width: float | str, seed: int, config: Any) -> sx.priors.Empirical:
    """Make the exact denoiser of one half of a row's data."""
    return exact_denoiser(samples_of(row, config), width, seed)


def rungs_of(row: str, seed: int, config: Any) -> dict[str, Rung]:
    """Name the columns that need no network; "@" stands before the kernel's width."""

    def fitted(kind: str) -> Any:
        options = {"components": config.mixture} if kind == "mixture" else {}
        return sx.priors.prior_of(kind, samples_of(row, config), seed=seed, **options)

    kinds = ("gaussian", "scale_mixture", "mixture")
    found = {x: Rung(partial(fitted, x), {} if x == "gaussian" else TEACHER) for x in kinds}
    both = {"teacher_mean": 1.0, "transfer": GAUSSIAN_SHARE}
    for width in config.widths:
        prior = partial(exact, row, width, seed, config)
        found[f"empirical @ {width}"] = Rung(prior, TEACHER)
        found[f"empirical + gaussian @ {width}"] = Rung(prior, {"objective": both})
        if width == LIKELY:
            found[f"empirical, memory 2 @ {width}"] = Rung(prior, {**TEACHER, "memory": 2})
    return {name: found[name] for name in config.columns or found}


def learned(
    row: str, seed: int, steps: int, config: Any, work: Path
) -> Iterator[tuple[str, sx.PlanResult, dict[str, Any]]]:
    """Give each column's plan with the facts of its learning."""
    for name, rung in rungs_of(row, seed, config).items():
        path = plan_path(work, row, seed, steps, name)
        yield name, *learn_one(path, name, rung, steps, seed, config)


def plan_path(work: Path, row: str, seed: int, steps: int, name: str) -> Path:
    """Give the file in which a plan is kept."""
    plain = name.replace(" ", "_").replace(",", "").replace("+", "and").replace("@", "at")
    return work / "plans" / f"{row}-{seed}-{steps}-{plain}.json"


def learn_one(
    path: Path, name: str, rung: Rung, steps: int, seed: int, config: Any
) -> tuple[sx.PlanResult, dict[str, Any]]:
    """Load the plan that is kept at a path, or learn it; ``compiled`` where programs were known."""
    if path.exists():
        return (result := load_plan(path)), _facts(result, True, None)
    prior = rung.prior()
    shared = {"n": config.noises, "max_iterations": config.iterations, "seed": seed}
    begun = time.perf_counter()
    result = sx.learn(prior, steps, **{**shared, **rung.options})
    seconds = time.perf_counter() - begun
    path.parent.mkdir(parents=True, exist_ok=True)
    sx.save(path, result)
    kind = (path.name.split("-")[0], name.split(" @ ")[0], steps)
    compiled = kind in _COMPILED
    _COMPILED.add(kind)
    return result, _facts(result, compiled, seconds)


def load_plan(path: Path) -> sx.PlanResult:
    """Load a plan file."""
    result = sx.load(path)
    assert isinstance(result, sx.PlanResult)
    return result


def _facts(result: sx.PlanResult, compiled: bool, seconds: float | None) -> dict[str, Any]:
    """Give what is kept of a learning; ``seconds`` are None for a plan that was loaded."""
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
