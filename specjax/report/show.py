"""The tables and the JSON of ``specjax show``: a schedule or a plan, level by level."""

from __future__ import annotations

from typing import Any

import numpy as np

from specjax.files import corrections_document, numbers
from specjax.fitting.learned import LearnedResult
from specjax.report.fit import denoiser_name, fit_state
from specjax.report.table import Block, Column, Table, print_blocks
from specjax.report.words import count, with_options
from specjax.schedules.grids import TrainingGrid
from specjax.schedules.schedule import NoiseSchedule


def print_show(shown: LearnedResult, grid: TrainingGrid) -> None:
    """Print :func:`show_blocks`."""
    print_blocks(show_blocks(shown, grid))


def show_blocks(shown: LearnedResult, grid: TrainingGrid) -> list[Block]:
    """Report where a schedule or plan comes from, its levels, and a plan's corrections."""
    schedule = shown.schedule
    blocks: list[Block] = [f"{name}: {text}" for name, text in origin(shown).items()]
    end = "noise-free" if schedule.ends_clean else "noisy: a 0 is not among its sigmas"
    blocks.append(f"{schedule.steps} steps, noisy to clean; the last level is {end}")
    blocks.append("sigma is VE's, sqrt(1 / alpha_bar - 1)")
    blocks.append(_table("level", _levels(schedule, grid)))
    if columns := steps(shown):
        blocks.append(_table("step", columns))
    return blocks


def show_json(shown: LearnedResult, grid: TrainingGrid) -> dict[str, Any]:
    """Give the levels in every form, and a plan's corrections, for machines."""
    levels = {
        name: [None if x == "nan" else x for x in numbers(column)]
        for name, column in _levels(shown.schedule, grid).items()
    }
    document = {"about": origin(shown), "steps": shown.steps, "levels": levels}
    if shown.corrections is not None:
        document["corrections"] = corrections_document(shown.corrections)
    if shown.guidance is not None:
        document["guidance"] = numbers(shown.guidance)
    return document


def _levels(schedule: NoiseSchedule, grid: TrainingGrid) -> dict[str, np.ndarray]:
    """Give the levels in every form; a noise-free level has no timestep."""
    logsnr = np.asarray(schedule.logsnr)
    return {
        "alpha_bar": np.asarray(schedule.alpha_bar),
        "sigma": np.asarray(schedule.sigmas),
        "logsnr": logsnr,
        "flow time": np.asarray(schedule.flow_time),
        f"timestep ({grid.name})": np.where(logsnr == np.inf, np.nan, grid.timestep(logsnr)),
    }


def steps(shown: LearnedResult) -> dict[str, np.ndarray]:
    """Give what was learned of each step, corrections by their names in docs/plans.md."""
    by, found = shown.corrections, {}
    if by is not None:
        found = {"c": by.ratio} | {f"w_{i + 1}": by.weights[:, i] for i in range(by.memory)}
        found |= {} if by.noise is None else {"g": by.noise}
    found |= {} if shown.guidance is None else {"guidance": shown.guidance}
    return {name: np.asarray(x) for name, x in found.items()}


def _table(numbered: str, columns: dict[str, np.ndarray]) -> Table:
    """Make a table of a row a level or step."""
    heads = [Column(numbered, align="right"), *(Column(x, "{:.6g}", "right") for x in columns)]
    rows = [[k, *map(float, row)] for k, row in enumerate(zip(*columns.values(), strict=True))]
    return Table("", heads, rows)


def origin(shown: LearnedResult) -> dict[str, str]:
    """Say where a learned schedule or plan comes from, a line a fact."""
    if shown.kept == "given":  # anybody's levels
        return {}
    source = shown.source
    data = (
        {
            "data": f"{source['name']}, {source.get('samples', '?')} samples, "
            f"range {source.get('data_range')}"
        }
        if "name" in source
        else {}
    )  # learned through a network alone
    specific = _plan_facts(shown) if shown.nodes is None else _fit_facts(shown)  # fits have nodes
    noise = "isotropic" if shown.noise is None else shown.noise.name
    within = {} if shown.grid is None else {"levels": f"within grid {shown.grid.name}"}
    return {**data, "noise": noise, **specific, **within}


def _fit_facts(fit: LearnedResult) -> dict[str, str]:
    return {
        "spectrum": str(fit.source.get("fingerprint", "unknown"))[:16],
        "denoiser": denoiser_name(fit),
        "sampler": f"{with_options(fit.sampler, fit.sampler_options)}, {fit.process}",
        "loss": f"{fit.loss} = {fit.value:.6g}{_best_heuristic(fit, ' ({})')}",
        "state": fit_state(fit),
    }


def _plan_facts(plan: LearnedResult) -> dict[str, str]:
    sampler = with_options(plan.sampler, plan.sampler_options)
    rows = f"the steps of {sampler}"
    if plan.corrections is not None:
        rows = f"corrections that start from {sampler}; learned: {', '.join(plan.groups)}"
    terms = ", ".join(f"{name} = {value:.4g}" for name, value in plan.terms.items())
    train = f"learned on: {plan.train_value:.6g}{_best_heuristic(plan, '; {}')}"
    return {
        "plan": f"{count(plan.plan.calls, 'call')}, {rows}, {plan.process}",
        **_guidance(plan),
        "prior": plan.prior,
        "held out": f"{plan.value:.6g} ({train})",
        "terms": terms or "unknown",
        "kept": plan.kept,
    }


def _guidance(plan: LearnedResult) -> dict[str, str]:
    """Say with which guidance a plan was learned, and the weights of its own."""
    about = plan.source.get("guidance")
    if about is None:
        return {}
    told = f"fine solution with weight {about['weight']:g}"
    if about["interval"] is not None:
        told += " for sigma {:g} to {:g}".format(*about["interval"])
    own = "the denoiser's own weight"
    if plan.guidance is not None:
        own = "weights " + ", ".join(f"{w:.4g}" for w in np.asarray(plan.guidance))
    return {"guidance": f"{own}, {count(plan.network_calls, 'network call')}; {told}"}


def _best_heuristic(result: LearnedResult, form: str) -> str:
    if not result.baselines:
        return ""
    name = min(result.baselines, key=result.baselines.__getitem__)
    return form.format(f"best heuristic: {name}, {result.baselines[name]:.6g}")
