"""The document for diffusers (checked against 0.42.1): one JSON document with three lists.

- ``sigmas`` [S + 1], falling, 0.0 behind them where the schedule ends clean: for
  ``EulerDiscreteScheduler.set_timesteps(sigmas=...)``, which is DDIM (eta = 0) and interpolates
  the timestep. Without the 0.0 it would drop a step.
- ``timesteps`` [S], strictly falling whole numbers: for DDPM, DPMSolverMultistep, Heun and LCM,
  which add the noise-free end themselves. Re-optimised on the grid, with the losses.
- ``flow_sigmas`` [S] in (0, 1], *without* the end: for ``FlowMatchEulerDiscreteScheduler``, which
  adds it. Its shift is applied again to any list, so it is undone here.

Where a sample starts: pipelines multiply unit noise by ``scheduler.init_noise_sigma``. Euler and
Heun work on ``x / alpha`` and take the first sigma of the list with ``timestep_spacing``
"linspace" or "trailing" (VE's start), ``sqrt(sigma^2 + 1)`` with "leading" (VP's start, unit noise
over alpha): 14.615 or 14.649 for Stable Diffusion. Otherwise a custom list ignores the spacing,
so ``arguments`` sets it by the process. DDPM and DPM-Solver++ work on the VP sample and take 1.
"""

from __future__ import annotations

import functools
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core.checks import UserError
from specjax.fitting.learned import LearnedResult
from specjax.gaussian.modes import Modes
from specjax.gaussian.task import GaussianTask, Objective
from specjax.interop.export.target import (
    NO_SAMPLER_NOTE,
    SAMPLING_NOTE,
    SCALE_NOTE,
    Client,
    Content,
    Exportable,
    LevelsExport,
    end_note,
    floats,
    noise_note,
    start_std,
)
from specjax.schedules.grids import TrainingGrid
from specjax.schedules.schedule import NoiseSchedule
from specjax.schedules.timesteps import Assignment, LossOf, assign

VERSION = 1

_EULER = Client("EulerDiscreteScheduler", {})
_DDPM = Client("DDPMScheduler", {"clip_sample": False, "thresholding": False})
_HEUN = Client("HeunDiscreteScheduler", {"clip_sample": False})
_DPMPP = Client(
    "DPMSolverMultistepScheduler",
    {
        "algorithm_type": "dpmsolver++",
        "solver_order": 2,
        "solver_type": "midpoint",
        "final_sigmas_type": "zero",
        "thresholding": False,
    },
)
_DPMPP_SDE = Client(_DPMPP.name, {**_DPMPP.arguments, "algorithm_type": "sde-dpmsolver++"})

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

_TAKES_SIGMAS = (_EULER.name,)
_STARTS_BY_SPACING = (_EULER.name, _HEUN.name)


def write(result: Exportable, grid: TrainingGrid | None, shift: float) -> Content:
    """Write the JSON document and its remarks.

    Raises:
      UserError: for a schedule of noise that is not white, where the scheduler draws its own.
    """
    levels = LevelsExport.of(result, "diffusers", grid)
    clipped, notes = levels.clipped()
    client, client_notes = _client(levels)
    notes = [*notes, *end_note(levels.schedule), *client_notes, *_noise_notes(levels, client)]
    document: dict[str, Any] = {"format": "specjax-diffusers", "version": VERSION}
    document |= levels.about()
    document["sigmas"] = floats(clipped.sigmas)
    if grid is None:
        notes.append("no grid: no timesteps, and sigmas are not clipped to the network's range")
        client = client if client is None or client.name in _TAKES_SIGMAS else None
    else:
        assigned = assign(grid, levels.schedule, _losses_of(levels.result))
        document |= _on_grid(grid, assigned)
        notes += _grid_notes(levels, assigned)
    document["scheduler"] = client and _use(client, levels, document)
    document["flow_sigmas"] = floats(undo_shift(levels.schedule.flow_time[:-1], shift))
    document["flow_shift"] = shift
    notes += [_flow_note(levels.schedule), SAMPLING_NOTE, SCALE_NOTE]
    document["notes"] = notes
    return json.dumps(document, indent=2, allow_nan=False) + "\n", notes


def undo_shift(flow_time: Any, shift: float) -> np.ndarray:
    """``s / (shift - (shift - 1) s)``: what ``shift s / (1 + (shift - 1) s)`` maps back to s."""
    s = np.asarray(flow_time, np.float64)
    return s / (shift - (shift - 1) * s)


def _client(levels: LevelsExport) -> tuple[Client | None, list[str]]:
    """Return the matching scheduler with its arguments, or None, and remarks."""
    notes = [] if levels.result else [NO_SAMPLER_NOTE]
    client = CLIENTS.get((levels.sampler, levels.eta))
    if client is None:
        return None, [
            f"no scheduler of diffusers runs {levels.sampler!r} {levels.options or ''} along a "
            "custom list: in another sampler this schedule is not the best one"
        ]
    arguments = dict(client.arguments)
    if client.name in _STARTS_BY_SPACING:
        arguments["timestep_spacing"] = "leading" if levels.process == "vp" else "linspace"
    elif levels.process != "vp":
        notes.append(f"{client.name} starts from unit noise in VP, the schedule from noise in VE")
    if client is _DDPM:
        arguments["variance_type"] = "fixed_small"
    if levels.options.get("variance") == "beta":
        arguments["variance_type"] = "fixed_large"
        notes.append(
            "DDPMScheduler with 'fixed_large' adds noise of variance 1 - alpha_bar in its last "
            "step too, unless that is timestep 0"
        )
    return Client(client.name, arguments), notes


def _noise_notes(levels: LevelsExport, client: Client | None) -> list[str]:
    if levels.noise is None:
        return []
    if client is not None and _draws_noise(client):
        raise UserError(
            f"to = 'diffusers': the schedule was learned for {levels.noise.name} noise, and "
            f"{client.name} draws white noise in its steps: give csv, npz or json, or learn it for "
            "a sampler without noise, such as ddim"
        )
    return [*noise_note(levels.noise), "a pipeline takes colored noise as latents=, and scales it"]


def _draws_noise(client: Client) -> bool:
    return client.name == _DDPM.name or "sde" in str(client.arguments.get("algorithm_type"))


def _use(client: Client, levels: LevelsExport, document: dict[str, Any]) -> dict[str, Any]:
    """Say how to construct the scheduler and what to pass to it."""
    takes = "sigmas" if client.name in _TAKES_SIGMAS else "timesteps"
    start = 1.0
    if client.name in _STARTS_BY_SPACING:
        first = document["sigmas"][0]
        if levels.grid and takes == "timesteps":
            first = np.exp(-levels.grid.logsnr[document["timesteps"][0]] / 2)
        start = start_std(first, levels.process)
    config = levels.grid.config if levels.grid else {}
    return {
        "class": client.name,
        "arguments": {**config, **client.arguments},
        "set_timesteps": takes,
        "init_noise_sigma": start,
    }


def _on_grid(grid: TrainingGrid, assigned: Assignment) -> dict[str, Any]:
    """Say what the timesteps are and what they cost."""
    return {
        "grid": {
            "name": grid.name,
            "timesteps": grid.size,
            "sigma_range": floats(grid.sigma_range),
        },
        "timesteps": [int(t) for t in assigned.timesteps],
        "timesteps_rounded": [int(t) for t in assigned.rounded],
        "losses": {
            "sigmas": assigned.loss_float,
            "timesteps_rounded": assigned.loss_rounded,
            "timesteps": assigned.loss,
        },
    }


def _grid_notes(levels: LevelsExport, assigned: Assignment) -> list[str]:
    notes = []
    if assigned.duplicates:
        notes.append(f"nearest timesteps would have repeated {assigned.duplicates}: moved apart")
    if assigned.loss is None:
        notes.append("timesteps are rounded and not re-optimised: that takes a fit's result")
    if not levels.schedule.ends_clean:
        notes.append(
            "schedulers that take timesteps or flow_sigmas end at sigma 0 all the same; the losses "
            "of timesteps are for that end"
        )
    return notes


def _flow_note(schedule: NoiseSchedule) -> str:
    first = float(np.asarray(schedule.flow_time)[0])
    return (
        f"flow_sigmas start at {first:.6g}: FlowMatchEulerDiscreteScheduler takes unit noise for "
        "the sample there; they are not clipped, flow networks know every level"
    )


@functools.partial(jax.jit, static_argnames="chosen")
def _values(chosen: Objective, nodes: Modes, levels: jax.Array) -> jax.Array:
    """Return the losses [B] of levels [B, S + 1]."""
    return jax.vmap(lambda one: jnp.asarray(chosen.value(nodes, NoiseSchedule(one))))(levels)


def _losses_of(result: LearnedResult | None) -> LossOf | None:
    """Return a function for the losses of many schedules on the result's nodes, in float64."""
    if result is None or result.nodes is None:
        return None
    nodes = result.nodes
    chosen = GaussianTask.resolve(
        nodes, sampler=result.method, loss=result.loss, process=result.process
    ).objective

    def evaluate(levels: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            return np.asarray(_values(chosen, nodes, jnp.asarray(levels, jnp.float64)))

    return evaluate
