"""Lists for k-diffusion and ComfyUI: falling sigmas with the noise-free end written out."""

from __future__ import annotations

import json

import numpy as np

from specjax._core.checks import UserError
from specjax.interop.export.target import (
    NO_SAMPLER_NOTE,
    SAMPLING_NOTE,
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

VERSION = 1


def write_k_diffusion(result: Exportable, grid: TrainingGrid | None, shift: float) -> Content:
    """Write a JSON document: S + 1 ``sigmas``, the ``sample_*`` function and its arguments.

    ``start_std`` is what unit noise has to be multiplied by before the first step.
    """
    levels = LevelsExport.of(result, "k-diffusion", grid)
    clipped, notes = levels.clipped()
    client, client_notes = _function(levels)
    notes = [*notes, *end_note(levels.schedule), *client_notes, *_noise_notes(levels, client)]
    notes.append(SAMPLING_NOTE)
    sigmas = floats(clipped.sigmas)
    document = {
        "format": "specjax-k-diffusion",
        "version": VERSION,
        **levels.about(),
        "function": client and client.name,
        "arguments": client and dict(client.arguments),
        "start_std": start_std(sigmas[0], levels.process),
        "sigmas": sigmas,
        "notes": notes,
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n", notes


def write_comfyui(result: Exportable, grid: TrainingGrid | None, shift: float) -> Content:
    """Write the text of a ManualSigmas node: decimals, never ``1e-3``, which it reads as 1, -3.

    Numbers are float32, as the node keeps them.

    Raises:
      UserError: for a schedule of noise that is not white.
    """
    levels = LevelsExport.of(result, "comfyui", grid)
    if levels.noise is not None:
        raise UserError(
            f"to = 'comfyui': the schedule was learned for {levels.noise.name} noise, and "
            "ComfyUI draws white noise: give k-diffusion, csv, npz or json"
        )
    clipped, notes = levels.clipped()
    client, client_notes = _function(levels)
    notes = [*notes, *end_note(levels.schedule), *client_notes]
    if client is not None:
        given = ", ".join(f"{key}={value}" for key, value in client.arguments.items())
        notes.append(f"sampler: {client.name.removeprefix('sample_')} {given}".rstrip())
    notes.append("ComfyUI calls the network at the nearest timestep and integrates the exact sigma")
    decimals = [
        np.format_float_positional(s, unique=True, trim="0")
        for s in np.asarray(clipped.sigmas, np.float32)
    ]
    return ", ".join(decimals) + "\n", [*notes, SAMPLING_NOTE]


_DRAW_NOISE = ("sample_euler_ancestral", "sample_dpmpp_2m_sde")


def _noise_notes(levels: LevelsExport, client: Client | None) -> list[str]:
    """Remark on where noise that is not white goes: functions that draw noise take a sampler."""
    notes = noise_note(levels.noise)
    if notes and client is not None and client.name in _DRAW_NOISE:
        notes.append(
            f"{client.name} draws white noise unless noise_sampler=lambda sigma, sigma_next: ... "
            "gives it colored noise of the shape of x"
        )
    return notes


def _function(levels: LevelsExport) -> tuple[Client | None, list[str]]:
    """Return k-diffusion's function for the sampler, or None, and remarks."""
    sampler, options, eta = levels.sampler, levels.options, levels.eta
    notes = [] if levels.result else [NO_SAMPLER_NOTE]
    if sampler == "ddpm" and options.get("variance") == "beta":
        return None, ["no function of k-diffusion has DDPM's larger variance 'beta'"]
    ancestral = Client("sample_euler_ancestral", {"eta": eta})
    one_register = Client("sample_euler", {}) if eta == 0 else ancestral
    functions = {
        "ddim": one_register,
        "ddpm": one_register,
        "euler_ancestral": one_register,
        "heun": Client("sample_heun", {}),
        "dpmpp_2m": Client("sample_dpmpp_2m", {}),
        "dpmpp_2m_sde": Client("sample_dpmpp_2m_sde", {"eta": eta, "solver_type": "midpoint"}),
        "lms": Client("sample_lms", {"order": options.get("order", 4)}),
    }
    if sampler not in functions:
        notes.append(f"no function of k-diffusion is known to do the same as {sampler!r}")
    return functions.get(sampler), notes
