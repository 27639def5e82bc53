"""From a plan and a pipeline's configuration to the configuration of its scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.fitting.learned import LearnedResult
from specjax.interop.diffusers.network import ConfiguredNetwork, Thresholds
from specjax.interop.stepping import as_lists, check_colored
from specjax.noise.noise_spectrum import anisotropic
from specjax.sampling.corrections import LEARNABLE
from specjax.schedules.configurations import ANSWERS, LEVELS, check_betas, check_flow, is_flow

_SHIFTS = ("shift", "flow_shift", "use_dynamic_shifting", "invert_sigmas")


def check_noise(plan: LearnedResult, colored: bool) -> None:
    """Refuse noise that nobody gives: pipelines take that of the start, steps draw white."""
    noise = anisotropic(plan.noise)
    if noise is not None and plan.plan.stochastic:
        raise UserError(
            f"the plan draws {noise.name} noise in its steps, the scheduler white noise: learn a "
            "plan without noise (ddim or dpmpp_2m), or sample by specjax.generate"
        )
    check_colored(plan, colored, "the pipeline latents")


def settings_of(config: Mapping[str, Any] | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Collect the arguments of the class apart from the plan: options go before config."""
    for name in options:
        checks.one_of("option", name, (*LEVELS, *ANSWERS))
    given = {**(config or {}), **options}
    if is_flow(given):
        check_flow("config", given)
        of_flow = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
        names = ("num_train_timesteps", "invert_sigmas", "prediction_type")
        return {**of_flow, **{name: given[name] for name in names if given.get(name) is not None}}
    if config:
        check_betas("config", given)
    found = {name: given[name] for name in (*LEVELS, *ANSWERS) if given.get(name) is not None}
    if "trained_betas" in found:
        found["num_train_timesteps"] = len(found["trained_betas"])
    return {"beta_schedule": "linear", **found}


def pipeline_of(plan: LearnedResult) -> Mapping[str, Any]:
    """Return what is known of the pipeline that a plan was learned for."""
    found: Mapping[str, Any] = plan.source.get("pipeline", {})
    return found


def differences(
    plan: LearnedResult, network: ConfiguredNetwork, config: Mapping[str, Any]
) -> list[str]:
    """Name what a configuration says otherwise than that which the plan was learned for."""
    learned = {} if plan.grid is None else dict(plan.grid.config)
    learned |= {k: x for k, x in pipeline_of(plan).items() if k == "prediction_type"}
    here = {**config, **network.grid.config, "prediction_type": network.prediction}
    return [
        f"{name} = {here.get(name)!r}, but the plan was learned for {x!r}: it runs, learn it for "
        "this network to have its quality"
        for name, x in learned.items()
        if name in (*ANSWERS, *LEVELS, *_SHIFTS) and here.get(name) != x
    ]


def thresholds_of(
    plan: LearnedResult,
    config: Mapping[str, Any],
    clip_sample: bool | None,
    thresholding: bool | None,
) -> dict[str, Any]:
    """Return the thresholds that were asked for, or those that the plan was learned with."""
    learned = pipeline_of(plan).get("thresholds")
    asked = Thresholds.of(config, bool(clip_sample), thresholding)
    learned = learned or {"clip": None, "dynamic": asked.dynamic}
    return {
        "clip": learned["clip"] if clip_sample is None else asked.clip,
        "dynamic": learned["dynamic"] if thresholding is None else asked.dynamic,
    }


def rows_in_config(plan: LearnedResult, process: str) -> dict[str, Any]:
    """Return what a configuration keeps of a plan, in a process.

    Noise at the start is as much of it as in the process that was learned for: VE starts from noise
    of its first sigma alone.
    """
    rows, own = as_lists(plan.plan_in(process)), as_lists(plan.plan)
    return {
        **rows,
        "start": own["start"] * rows["sigma"][0] / own["sigma"][0],
        "steps": plan.steps,
        "sampler": plan.sampler,
        "process": plan.process,
        "past_is_estimates": plan.corrections is not None or plan.sampler in LEARNABLE,
    }
