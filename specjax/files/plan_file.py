"""The document of a plan file: what was learned, and the rows that run anywhere.

The rows are the plan itself, in its own process: a reader that knows the equation of
:mod:`specjax.sampling.step` needs nothing else. Levels and corrections are what they were made
from, and give the plan of the other process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from specjax.files.documents import finite, levels_document, or_nan, plain
from specjax.files.noise_file import noise_field, noise_in
from specjax.fitting.learned import LearnedResult
from specjax.noise.noise_spectrum import anisotropic
from specjax.sampling.corrections import Corrections
from specjax.sampling.step import SamplerPlan
from specjax.schedules.schedule import NoiseSchedule

FORMAT = "specjax.plan"
VERSION = 2
"""2 has a noise; a plan without one is still written as 1."""

ROWS = ("alpha", "sigma", "keep", "pull", "push")
"""Per call: [K], [K], [K, H, H], [K, H], [K, H]."""

_SAME = 1e-6  # of a row's largest number: what libraries and machines may differ by in it


def rows_document(plan: SamplerPlan) -> dict[str, Any]:
    """The numbers of a plan as lists of Python floats.

    Raises:
      ValueError: if one is not finite.
    """
    rows: dict[str, Any] = {name: _host(getattr(plan, name)) for name in (*ROWS, "start")}
    for name, array in rows.items():
        if not np.isfinite(array).all():
            raise ValueError(f"the plan's {name} has numbers that are not finite: learn it again")
    lists = {name: array.tolist() for name, array in rows.items()}
    return {**lists, "stochastic": bool(plan.stochastic)}


def corrections_document(by: Corrections | None) -> dict[str, Any] | None:
    """Corrections as lists, or None."""
    if by is None:
        return None
    noise = None if by.noise is None else _host(by.noise).tolist()
    return {
        "ratio": _host(by.ratio).tolist(),
        "weights": _host(by.weights).tolist(),
        "noise": noise,
    }


def on_host(result: LearnedResult) -> LearnedResult:
    """The same numbers as NumPy's float64, so that rows are made from what a file holds."""
    by = result.corrections
    if by is not None:
        noise = None if by.noise is None else _host(by.noise)
        by = Corrections(_host(by.ratio), _host(by.weights), noise)
    schedule = NoiseSchedule(_host(result.schedule.logsnr))
    return replace(result, schedule=schedule, corrections=by)


def plan_document(result: LearnedResult) -> dict[str, Any]:
    """All of a result, with its rows.

    Raises:
      ValueError: if a number of the plan is not finite.
    """
    result = on_host(result)
    plan = result.plan
    learned = {
        "sampler": result.sampler,
        "sampler_options": plain(result.sampler_options),
        "groups": list(result.groups),
        "prior": result.prior,
        "objective": finite(result.objective),
        "loss": result.loss,
        "value": finite(result.value),
        "train_value": finite(result.train_value),
        "terms": finite(result.terms),
        "baselines": finite(result.baselines),
        "kept": result.kept,
        "history": finite(_host(result.history).tolist()),
        "seed": int(result.seed),
        "seconds": round(float(result.seconds), 6),
    }
    noise = anisotropic(result.noise)
    return {
        **levels_document(FORMAT, 1 if noise is None else VERSION, result.schedule),
        "process": result.process,
        "calls": plan.calls,
        "registers": plan.registers,
        "plan": rows_document(plan),
        "corrections": corrections_document(result.corrections),
        "learned": learned,
        "data": plain(result.source),
        **noise_field(noise),
    }


def plan_of(document: Mapping[str, Any], path: Any) -> LearnedResult:
    """What a document holds.

    Raises:
      ValueError: if its rows are not those of its levels and corrections, or the noise in it is
        none.
    """
    learned = document["learned"]
    result = LearnedResult(
        schedule=NoiseSchedule(np.array(document["logsnr"], np.float64)),
        corrections=_corrections_of(document["corrections"]),
        sampler=learned["sampler"],
        sampler_options=learned["sampler_options"],
        process=document["process"],
        groups=tuple(learned["groups"]),
        prior=learned["prior"],
        objective=learned["objective"],
        loss=learned.get("loss", "w2"),
        value=or_nan(learned["value"]),
        train_value=or_nan(learned["train_value"]),
        terms={name: or_nan(x) for name, x in learned["terms"].items()},
        baselines={name: or_nan(x) for name, x in learned["baselines"].items()},
        kept=learned["kept"],
        history=np.array(learned["history"], np.float64).reshape(-1, 2),
        source=document["data"],
        noise=noise_in(document, path),
        seed=learned["seed"],
        seconds=learned["seconds"],
    )
    _check_rows(result.plan, document["plan"], path)
    return result


def _check_rows(plan: SamplerPlan, rows: Mapping[str, Any], path: Any) -> None:
    """Another specjax may have written them: what runs here is what runs there, or is refused."""
    for name in (*ROWS, "start"):
        own, there = _host(getattr(plan, name)), np.array(rows[name], np.float64)
        apart = own.shape != there.shape or np.abs(own - there).max() > _SAME * np.abs(own).max()
        if apart or plan.stochastic != rows["stochastic"]:
            raise ValueError(
                f"{path}: its rows ({name}) are not those of its levels and corrections in this "
                "version of specjax: learn the plan again, or run the rows (docs/plans.md)"
            )


def _corrections_of(lists: Mapping[str, Any] | None) -> Corrections | None:
    if lists is None:
        return None
    ratio = np.array(lists["ratio"], np.float64)
    weights = np.array(lists["weights"], np.float64).reshape(len(ratio), -1)
    noise = lists["noise"]
    return Corrections(ratio, weights, None if noise is None else np.array(noise, np.float64))


def _host(x: Any) -> np.ndarray:
    return np.asarray(x, np.float64)
