"""Lists for k-diffusion and ComfyUI: falling sigmas with the noise-free end written out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from specjax._core.checks import UserError
from specjax.fitting.learned import LearnedResult
from specjax.interop.export.target import (
    SAMPLING_NOTE,
    Content,
    about,
    check_levels,
    end_note,
    eta_of,
    floats,
    noise_note,
    sampler_note,
    start_std,
)
from specjax.interop.on_grid import within
from specjax.noise.noise_spectrum import anisotropic
from specjax.schedules.grids import TrainingGrid

VERSION = 1


class Function(NamedTuple):
    """A sampler of k-diffusion and its arguments."""

    name: str
    arguments: Mapping[str, Any]


def write_k_diffusion(result: LearnedResult, grid: TrainingGrid | None, shift: float) -> Content:
    """Write a JSON document: S + 1 ``sigmas``, the ``sample_*`` function and its arguments.

    ``start_std`` is what unit noise has to be multiplied by before the first step.
    """
    check_levels(result, "k-diffusion")
    result, notes = (result, []) if grid is None else within(result, grid)
    function, more = _function(result)
    notes = [*notes, *end_note(result.schedule), *more, *_noise_notes(result, function)]
    notes.append(SAMPLING_NOTE)
    sigmas = floats(result.schedule.sigmas)
    document = {
        "format": "specjax-k-diffusion",
        "version": VERSION,
        **about(result),
        "function": function and function.name,
        "arguments": function and dict(function.arguments),
        "start_std": start_std(sigmas[0], result.process),
        "sigmas": sigmas,
        "notes": notes,
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n", notes


def write_comfyui(result: LearnedResult, grid: TrainingGrid | None, shift: float) -> Content:
    """Write the text of a ManualSigmas node: decimals, never ``1e-3``, which it reads as 1, -3.

    Numbers are float32, as the node keeps them.

    Raises:
      UserError: for a schedule of noise that is not white.
    """
    check_levels(result, "comfyui")
    noise = anisotropic(result.noise)
    if noise is not None:
        raise UserError(
            f"to = 'comfyui': the schedule was learned for {noise.name} noise, and "
            "ComfyUI draws white noise: give k-diffusion, csv, npz or json"
        )
    result, notes = (result, []) if grid is None else within(result, grid)
    function, more = _function(result)
    notes = [*notes, *end_note(result.schedule), *more]
    if function is not None:
        given = ", ".join(f"{key}={value}" for key, value in function.arguments.items())
        notes.append(f"sampler: {function.name.removeprefix('sample_')} {given}".rstrip())
    notes.append("ComfyUI calls the network at the nearest timestep and integrates the exact sigma")
    decimals = [
        np.format_float_positional(s, unique=True, trim="0")
        for s in np.asarray(result.schedule.sigmas, np.float32)
    ]
    return ", ".join(decimals) + "\n", [*notes, SAMPLING_NOTE]


_DRAW_NOISE = ("sample_euler_ancestral", "sample_dpmpp_2m_sde")


def _noise_notes(result: LearnedResult, function: Function | None) -> list[str]:
    """Remark on where noise that is not white goes: functions that draw noise take a sampler."""
    notes = noise_note(result)
    if notes and function is not None and function.name in _DRAW_NOISE:
        notes.append(
            f"{function.name} draws white noise unless noise_sampler=lambda sigma, sigma_next: ... "
            "gives it colored noise of the shape of x"
        )
    return notes


def _function(result: LearnedResult) -> tuple[Function | None, list[str]]:
    """Return k-diffusion's function for the sampler, or None, and remarks."""
    sampler, options, eta = result.sampler, result.sampler_options, eta_of(result)
    notes = sampler_note(result)
    if sampler == "ddpm" and options.get("variance") == "beta":
        return None, ["no function of k-diffusion has DDPM's larger variance 'beta'"]
    ancestral = Function("sample_euler_ancestral", {"eta": eta})
    one_register = Function("sample_euler", {}) if eta == 0 else ancestral
    functions = {
        "ddim": one_register,
        "ddpm": one_register,
        "euler_ancestral": one_register,
        "heun": Function("sample_heun", {}),
        "dpmpp_2m": Function("sample_dpmpp_2m", {}),
        "dpmpp_2m_sde": Function("sample_dpmpp_2m_sde", {"eta": eta, "solver_type": "midpoint"}),
        "lms": Function("sample_lms", {"order": options.get("order", 4)}),
    }
    if sampler not in functions:
        notes.append(f"no function of k-diffusion is known to do the same as {sampler!r}")
    return functions.get(sampler), notes
