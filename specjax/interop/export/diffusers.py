"""The document for diffusers (checked against 0.42.1): one JSON document with three lists.

``scheduler`` and ``flow_scheduler`` say which class takes which list. A scheduler made by
``CLASS.from_config(pipe.scheduler.config, **arguments)`` has what the pipeline's says of its
network, and none of what would alter a list on its way (Karras' sigmas, a shift, ...).

- ``sigmas`` [S + 1], falling, 0.0 behind them where the schedule ends clean: for
  ``EulerDiscreteScheduler.set_timesteps(sigmas=...)``, which is DDIM (eta = 0) and interpolates
  the timestep. Without the 0.0 it would drop a step.
- ``timesteps`` [S], strictly falling whole numbers: for DDPM, DPMSolverMultistep, Heun and LCM,
  which add the noise-free end themselves. Re-optimised on the grid, with the losses.
- ``flow_sigmas`` [S] in (0, 1], *without* the end: for ``FlowMatchEulerDiscreteScheduler``, which
  adds it. Its shift is applied again to any list, so it is undone here; ``shift_terminal`` and
  dynamic shifting cannot be undone by a list, and are switched off by the arguments. Levels are as
  learned, not kept within a grid of betas: flow networks know them all. With ``invert_sigmas``
  (Mochi) the network counts time the other way; the list is the same. ``flow_unipc`` has the
  arguments by which ``UniPCMultistepScheduler`` runs it (as a NumPy array); it cuts timesteps to
  whole numbers.

A first level of pure noise is 1.0 in ``flow_sigmas``. In ``sigmas`` it is what diffusers puts in
its place, alpha_bar of 2^-24.

Where a sample starts: pipelines multiply unit noise by ``scheduler.init_noise_sigma``. Euler and
Heun work on ``x / alpha`` and take the first sigma of the list with ``timestep_spacing``
"linspace" or "trailing" (VE's start), ``sqrt(sigma^2 + 1)`` with "leading" (VP's start, unit noise
over alpha): 14.615 or 14.649 for Stable Diffusion. Otherwise a custom list ignores the spacing,
so ``arguments`` sets it by the process. DDPM and DPM-Solver++ work on the VP sample and take 1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from specjax._core.checks import UserError
from specjax.fitting.learned import LearnedResult
from specjax.interop.export.target import (
    SAMPLING_NOTE,
    SCALE_NOTE,
    Content,
    about,
    check_levels,
    end_note,
    eta_of,
    finite_sigmas,
    floats,
    noise_note,
    pure_note,
    sampler_note,
    start_std,
)
from specjax.interop.on_grid import losses_of, within
from specjax.noise.noise_spectrum import anisotropic
from specjax.schedules.grids import FlowGrid, TrainingGrid
from specjax.schedules.schedule import NoiseSchedule
from specjax.schedules.timesteps import Assignment, assign

VERSION = 1


class Scheduler(NamedTuple):
    """A scheduler of diffusers that takes a custom list, and its arguments.

    Attributes:
      takes: the list. spacing_sets_start: whether ``timestep_spacing`` says where a sample starts.
      draws_noise: whether its steps draw white noise.
    """

    name: str
    arguments: Mapping[str, Any]
    takes: str = "timesteps"
    spacing_sets_start: bool = False
    draws_noise: bool = False


_AS_GIVEN = dict.fromkeys(("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"), False)
_EULER = Scheduler("EulerDiscreteScheduler", _AS_GIVEN, takes="sigmas", spacing_sets_start=True)
_DDPM = Scheduler(
    "DDPMScheduler",
    {"clip_sample": False, "thresholding": False, "variance_type": "fixed_small"},
    draws_noise=True,
)
_HEUN = Scheduler(
    "HeunDiscreteScheduler", {"clip_sample": False, **_AS_GIVEN}, spacing_sets_start=True
)
_DPMPP = Scheduler(
    "DPMSolverMultistepScheduler",
    {
        "algorithm_type": "dpmsolver++",
        "solver_order": 2,
        "solver_type": "midpoint",
        "final_sigmas_type": "zero",
        "thresholding": False,
        "use_lu_lambdas": False,
        **_AS_GIVEN,
    },
)
_DPMPP_SDE = _DPMPP._replace(
    arguments={**_DPMPP.arguments, "algorithm_type": "sde-dpmsolver++"}, draws_noise=True
)
_FLOW = {
    "use_dynamic_shifting": False,
    "shift_terminal": None,
    "stochastic_sampling": False,
    **_AS_GIVEN,
}
_UNIPC = {  # of first order and without a corrector it is DDIM
    "use_flow_sigmas": True, "prediction_type": "flow_prediction", "use_dynamic_shifting": False,
    "shift_terminal": None, "final_sigmas_type": "zero", "thresholding": False, "solver_order": 1,
    "predict_x0": True, "solver_p": None, **_AS_GIVEN,
}  # fmt: skip
_NO_GRID = "no grid: no timesteps, and sigmas are not kept within the network's range"

CLIENTS = {
    ("ddim", 0.0): _EULER,
    ("ddim", 1.0): _DDPM,
    ("euler_ancestral", 0.0): _EULER,
    ("euler_ancestral", 1.0): _DDPM,
    ("ddpm", 1.0): _DDPM,
    ("heun", 1.0): _HEUN,
    ("dpmpp_2m", 1.0): _DPMPP,
    ("dpmpp_2m_sde", 0.0): _DPMPP,
    ("dpmpp_2m_sde", 1.0): _DPMPP_SDE,
}
"""The scheduler that takes a custom list and does the same as (sampler, eta)."""


def write(result: LearnedResult, grid: TrainingGrid | None, shift: float) -> Content:
    """Write the JSON document and its remarks.

    Raises:
      UserError: for a schedule of noise that is not white, where the scheduler draws its own.
    """
    check_levels(result, "diffusers")
    flow = isinstance(grid, FlowGrid)
    grid = None if flow else grid
    kept, notes = (result, []) if grid is None else within(result, grid)
    scheduler, more = _scheduler(result, grid)
    notes = [*notes, *end_note(result.schedule), *more, *_noise_notes(result, scheduler)]
    document: dict[str, Any] = {"format": "specjax-diffusers", "version": VERSION}
    document |= about(kept)
    if not flow:
        document["sigmas"] = finite_sigmas(kept.schedule.sigmas)
        notes += pure_note(kept.schedule)
    losses = losses_of(result)
    if grid is None:
        notes += [] if flow else [_NO_GRID]
        scheduler = scheduler if not flow and scheduler and scheduler.takes == "sigmas" else None
    else:
        assigned = assign(grid, kept.schedule, losses)
        document |= _on_grid(grid, assigned)
        notes += _grid_notes(result.schedule, assigned)
    document["scheduler"] = scheduler and _use(scheduler, result.process, grid, document)
    document["flow_sigmas"] = floats(undo_shift(result.schedule.flow_time[:-1], shift))
    takes = {"set_timesteps": "sigmas", "list": "flow_sigmas"}
    euler = {"class": "FlowMatchEulerDiscreteScheduler", "arguments": {"shift": shift, **_FLOW}}
    unipc = {**_UNIPC, "flow_shift": shift, "disable_corrector": [*range(result.steps)]}
    document["flow_scheduler"] = {**euler, **takes}
    document["flow_unipc"] = {"class": "UniPCMultistepScheduler", "arguments": unipc, **takes}
    if losses is not None:
        levels = np.append(np.asarray(result.schedule.logsnr, np.float64)[:-1], np.inf)
        document.setdefault("losses", {})["flow_sigmas"] = float(losses(levels[None])[0])
    notes += [_flow_note(result.schedule), SAMPLING_NOTE, SCALE_NOTE]
    document["notes"] = notes
    return json.dumps(document, indent=2, allow_nan=False) + "\n", notes


def undo_shift(flow_time: Any, shift: float) -> np.ndarray:
    """``s / (shift - (shift - 1) s)``: what ``shift s / (1 + (shift - 1) s)`` maps back to s."""
    s = np.asarray(flow_time, np.float64)
    return s / (shift - (shift - 1) * s)


def _scheduler(
    result: LearnedResult, grid: TrainingGrid | None
) -> tuple[Scheduler | None, list[str]]:
    """Return the matching scheduler with its arguments, or None, and remarks."""
    if grid is not None and grid.config.get("snr_shift_scale", 1.0) != 1:
        return None, [
            "no scheduler of diffusers that takes a list knows snr_shift_scale: take PlanScheduler "
            "(specjax.interop.diffusers)"
        ]
    notes, options = sampler_note(result), result.sampler_options
    scheduler = CLIENTS.get((result.sampler, eta_of(result)))
    if scheduler is None:
        return None, [
            f"no scheduler of diffusers runs {result.sampler!r} {dict(options) or ''} along a "
            "custom list: in another sampler this schedule is not the best one"
        ]
    arguments, is_vp = dict(scheduler.arguments), result.process == "vp"
    if scheduler.spacing_sets_start:
        arguments["timestep_spacing"] = "leading" if is_vp else "linspace"
    elif not is_vp:
        notes.append(
            f"{scheduler.name} starts from unit noise in VP, the schedule from noise in VE"
        )
    if options.get("variance") == "beta":
        arguments["variance_type"] = "fixed_large"
        notes.append(
            "DDPMScheduler with 'fixed_large' adds noise of variance 1 - alpha_bar in its last "
            "step too, unless that is timestep 0"
        )
    return scheduler._replace(arguments=arguments), notes


def _noise_notes(result: LearnedResult, scheduler: Scheduler | None) -> list[str]:
    noise = anisotropic(result.noise)
    if noise is None:
        return []
    if scheduler is not None and scheduler.draws_noise:
        raise UserError(
            f"to = 'diffusers': the schedule was learned for {noise.name} noise, and "
            f"{scheduler.name} draws white noise in its steps: give csv, npz or json, or learn it "
            "for a sampler without noise, such as ddim"
        )
    return [*noise_note(result), "a pipeline takes colored noise as latents=, and scales it"]


def _use(
    scheduler: Scheduler, process: str, grid: TrainingGrid | None, document: dict[str, Any]
) -> dict[str, Any]:
    """Say how to construct the scheduler and what to pass to it."""
    start = 1.0
    if scheduler.spacing_sets_start:
        first = document["sigmas"][0]
        if grid and scheduler.takes == "timesteps":
            first = np.exp(-grid.logsnr[document["timesteps"][0]] / 2)
        start = start_std(first, process)
    return {
        "class": scheduler.name,
        "arguments": dict(scheduler.arguments),
        "set_timesteps": scheduler.takes,
        "list": scheduler.takes,
        "init_noise_sigma": start,
    }


def _on_grid(grid: TrainingGrid, assigned: Assignment) -> dict[str, Any]:
    """Say what the timesteps are and what they cost."""
    return {
        "grid": {
            "name": grid.name,
            "timesteps": grid.size,
            "sigma_range": finite_sigmas(grid.sigma_range),
            "config": dict(grid.config),
        },
        "timesteps": np.asarray(assigned.timesteps).tolist(),
        "timesteps_rounded": np.asarray(assigned.rounded).tolist(),
        "losses": {
            "sigmas": assigned.loss_float,
            "timesteps_rounded": assigned.loss_rounded,
            "timesteps": assigned.loss,
        },
    }


def _grid_notes(schedule: NoiseSchedule, assigned: Assignment) -> list[str]:
    notes = []
    if assigned.duplicates:
        notes.append(f"nearest timesteps would have repeated {assigned.duplicates}: moved apart")
    if assigned.loss is None:
        notes.append("timesteps are rounded and not re-optimised: that takes a fit's result")
    if not schedule.ends_clean:
        notes.append(
            "schedulers that take timesteps or flow_sigmas end at sigma 0 all the same; the losses "
            "of timesteps are for that end"
        )
    return notes


def _flow_note(schedule: NoiseSchedule) -> str:
    first = float(np.asarray(schedule.flow_time)[0])
    return (
        f"flow_sigmas start at {first:.6g}: FlowMatchEulerDiscreteScheduler takes unit noise for "
        "the sample there; they are as learned, flow networks know every level"
    )
