"""The forms of k-diffusion and ComfyUI: falling sigmas with the noise-free end written out."""

from __future__ import annotations

import json

import numpy as np

from specjax.interop.export.form import (
    NO_SAMPLER_NOTE,
    SAMPLING_NOTE,
    Client,
    Request,
    Written,
    end_note,
    floats,
    noise_note,
    start_std,
)

VERSION = 1


def write_k_diffusion(request: Request) -> Written:
    """A JSON document: S + 1 ``sigmas``, the ``sample_*`` function and its arguments.

    ``start_std`` is what unit noise has to be multiplied by before the first step.
    """
    clipped, notes = request.clipped()
    client, client_notes = _function(request)
    notes = [*notes, *end_note(request.schedule), *client_notes, *_noise_notes(request, client)]
    notes.append(SAMPLING_NOTE)
    sigmas = floats(clipped.sigmas)
    document = {
        "format": "specjax-k-diffusion",
        "version": VERSION,
        **request.about(),
        "function": client and client.name,
        "arguments": client and dict(client.arguments),
        "start_std": start_std(sigmas[0], request.process),
        "sigmas": sigmas,
        "notes": notes,
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n", notes


def write_comfyui(request: Request) -> Written:
    """The text of a ManualSigmas node: decimals, never ``1e-3``, which it reads as 1, -3.

    Numbers are float32, as the node keeps them.

    Raises:
      ValueError: for a schedule of noise that is not white.
    """
    if request.noise is not None:
        raise ValueError(
            f"target = 'comfyui': the schedule was learned for {request.noise.name} noise, and "
            "ComfyUI draws white noise: give k-diffusion, csv, npz or json"
        )
    clipped, notes = request.clipped()
    client, client_notes = _function(request)
    notes = [*notes, *end_note(request.schedule), *client_notes]
    if client is not None:
        notes.append(f"sampler: {client.name.removeprefix('sample_')} {_plain(client)}".rstrip())
    notes.append("ComfyUI calls the network at the nearest timestep and integrates the exact sigma")
    decimals = [
        np.format_float_positional(s, unique=True, trim="0")
        for s in np.asarray(clipped.sigmas, np.float32)
    ]
    return ", ".join(decimals) + "\n", [*notes, SAMPLING_NOTE]


def _noise_notes(request: Request, client: Client | None) -> list[str]:
    """Where noise that is not white goes: the functions that draw some take it from a function."""
    notes = noise_note(request.noise)
    if notes and client is not None and client.name in _DRAW_NOISE:
        notes.append(
            f"{client.name} draws white noise unless noise_sampler=lambda sigma, sigma_next: ... "
            "gives it colored noise of the shape of x"
        )
    return notes


_DRAW_NOISE = ("sample_euler_ancestral", "sample_dpmpp_2m_sde")


def _plain(client: Client) -> str:
    return ", ".join(f"{key}={value}" for key, value in client.arguments.items())


def _function(request: Request) -> tuple[Client | None, list[str]]:
    """k-diffusion's function for the sampler, or None, and remarks."""
    sampler, options = request.sampler, request.options
    notes = [] if request.result else [NO_SAMPLER_NOTE]
    if sampler == "ddpm" and options.get("variance") == "beta":
        return None, ["no function of k-diffusion has DDPM's larger variance 'beta'"]
    eta = float(options.get("eta", 0.0 if sampler == "ddim" else 1.0))
    ancestral = Client("sample_euler_ancestral", {"eta": eta})
    one_register = Client("sample_euler", {}) if eta == 0 else ancestral
    sde = Client("sample_dpmpp_2m_sde", {"eta": eta, "solver_type": "midpoint"})
    functions = {
        "ddim": one_register,
        "ddpm": one_register,
        "euler_ancestral": one_register,
        "heun": Client("sample_heun", {}),
        "dpmpp_2m": Client("sample_dpmpp_2m", {}),
        "dpmpp_2m_sde": sde,
        "lms": Client("sample_lms", {"order": options.get("order", 4)}),
    }
    if sampler not in functions:
        notes.append(f"no function of k-diffusion is known to do the same as {sampler!r}")
    return functions.get(sampler), notes
