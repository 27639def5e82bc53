"""Lists for k-diffusion and the programs on it: falling sigmas with the noise-free end written out.

For a network of flow matching they are its times, in which ``sample_euler`` is DDIM as well.
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
from specjax.interop.on_grid import within
from specjax.noise.noise_spectrum import anisotropic
from specjax.schedules.grids import FlowGrid, TrainingGrid

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
    function, more = _function(result, grid)
    notes = [*notes, *end_note(result.schedule), *more, *_noise_notes(result, function)]
    sigmas, of_list = _listed(result, grid)
    notes += [*of_list, SAMPLING_NOTE]
    flow = isinstance(grid, FlowGrid)
    document = {
        "format": "specjax-k-diffusion",
        "version": VERSION,
        **about(result),
        "function": function and function.name,
        "arguments": function and dict(function.arguments),
        "start_std": sigmas[0] if flow else start_std(sigmas[0], result.process),
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
    text, notes = _text(result, grid, "comfyui", ", ")
    notes.append("ComfyUI calls the network at the nearest timestep and integrates the exact sigma")
    return text, [*notes, SAMPLING_NOTE]


def write_stable_diffusion_cpp(
    result: LearnedResult, grid: TrainingGrid | None, shift: float
) -> Content:
    """Write the text for ``--sigmas`` of stable-diffusion.cpp: decimals of float32, no spaces.

    Raises:
      UserError: for a schedule of noise that is not white.
    """
    text, notes = _text(result, grid, "stable-diffusion.cpp", ",")
    return text, [*notes, f"run it with --steps {result.steps}", SAMPLING_NOTE]


def _text(
    result: LearnedResult, grid: TrainingGrid | None, target: str, between: str
) -> tuple[str, list[str]]:
    """Return decimals without exponents, and remarks."""
    check_levels(result, target)
    noise = anisotropic(result.noise)
    if noise is not None:
        raise UserError(
            f"to = {target!r}: the schedule was learned for {noise.name} noise, and the program "
            "draws white noise: give k-diffusion, csv, npz or json"
        )
    result, notes = (result, []) if grid is None else within(result, grid)
    function, more = _function(result, grid)
    sigmas, of_list = _listed(result, grid)
    notes = [*notes, *end_note(result.schedule), *more, *of_list]
    if function is not None:
        given = ", ".join(f"{key}={value}" for key, value in function.arguments.items())
        notes.append(f"sampler: {function.name.removeprefix('sample_')} {given}".rstrip())
    decimals = [
        np.format_float_positional(s, unique=True, trim="0") for s in np.asarray(sigmas, np.float32)
    ]
    return between.join(decimals) + "\n", notes


def _listed(result: LearnedResult, grid: TrainingGrid | None) -> tuple[list[float], list[str]]:
    """Return sigmas, or the times of flow matching, and remarks."""
    if isinstance(grid, FlowGrid):
        return floats(result.schedule.flow_time), ["the list has the times of flow matching, t"]
    return finite_sigmas(result.schedule.sigmas), pure_note(result.schedule)


_OF_ONE_REGISTER = ("ddim", "ddpm", "euler_ancestral")
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


def _function(
    result: LearnedResult, grid: TrainingGrid | None
) -> tuple[Function | None, list[str]]:
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
    if isinstance(grid, FlowGrid) and (sampler not in _OF_ONE_REGISTER or eta != 0):
        return None, [f"no function of k-diffusion does the same as {sampler!r} in flow's times"]
    if sampler not in functions:
        notes.append(f"no function of k-diffusion is known to do the same as {sampler!r}")
    return functions.get(sampler), notes
