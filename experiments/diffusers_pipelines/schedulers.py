"""diffusers' own schedulers, and samples by any scheduler in a pipeline."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import diffusers
import numpy as np
import torch
from torch import nn

from experiments.diffusers_pipelines.configs import FLOW

TRAILING = {"timestep_spacing": "trailing"}
KARRAS = {"use_karras_sigmas": True}
OF_UNETS: dict[str, tuple[str, dict[str, Any]]] = {
    "DDIM": ("DDIMScheduler", TRAILING),
    "Euler, Karras": ("EulerDiscreteScheduler", KARRAS),
    "DPM-Solver++(2M)": ("DPMSolverMultistepScheduler", TRAILING),
    "DPM-Solver++(2M), Karras": ("DPMSolverMultistepScheduler", KARRAS),
    "UniPC": ("UniPCMultistepScheduler", TRAILING),
    "UniPC, Karras": ("UniPCMultistepScheduler", KARRAS),
}
"""Classes, and what they are told beside the pipeline's configuration; DDIM is Euler's method."""

FLOW_SIGMAS = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
OF_FLOWS: dict[str, tuple[str, dict[str, Any], str]] = {
    "Euler, trailing": ("FlowMatchEulerDiscreteScheduler", {}, "shift"),
    "DPM-Solver++(2M)": ("DPMSolverMultistepScheduler", FLOW_SIGMAS, "flow_shift"),
    "UniPC": ("UniPCMultistepScheduler", FLOW_SIGMAS, "flow_shift"),
}
"""Likewise, and the name of their shift. Trailing sigmas, 1 to 1 / S, are those of Flux; Stable
Diffusion 3's end at 1 / 1000, with a call that changes next to nothing."""


class Rival(NamedTuple):
    """A scheduler, and whether the pipeline gives it trailing sigmas."""

    scheduler: Any
    trailing: bool = False

    def arguments(self, steps: int) -> dict[str, Any]:
        """Give what the pipeline is told beside the number of steps."""
        return {"sigmas": np.linspace(1, 1 / steps, steps)} if self.trailing else {}


def rivals(kind: str, config: Any, shifts: tuple[float, ...]) -> dict[str, Rival]:
    """Make diffusers' own schedulers for a pipeline of a kind, those of flows with every shift."""
    if kind == FLOW:
        return {
            f"{name}, shift {shift:g}": Rival(
                getattr(diffusers, made)(**more, **{named: shift}), name.endswith("trailing")
            )
            for name, (made, more, named) in OF_FLOWS.items()
            for shift in shifts
        }
    return {
        name: Rival(getattr(diffusers, made).from_config(config, **more))
        for name, (made, more) in OF_UNETS.items()
    }


class Drawn(NamedTuple):
    """Samples [n, 1, H, W], and how often the network was called for each."""

    samples: np.ndarray
    calls: float


@torch.inference_mode()
def draw(
    pipe: Any, rival: Rival, steps: int, noise: np.ndarray, prompts: list[str], weight: float,
    batch: int = 128,
) -> Drawn:  # fmt: skip
    """Draw samples by a scheduler in a pipeline, from noise [n, 1, H, W].

    Args:
      prompts: [n], and the weight of their guidance, for a pipeline that takes prompts.
      batch: samples at once.
    """
    before, pipe.scheduler = pipe.scheduler, rival.scheduler
    network = getattr(pipe, "transformer", None) or pipe.unet
    parts = []
    try:
        with _counted(network) as count:
            for first in range(0, len(noise), batch):
                part = slice(first, first + batch)
                x = torch.from_numpy(noise[part])
                if hasattr(pipe, "transformer"):
                    x = pipe(
                        prompts[part], latents=x, num_inference_steps=steps, guidance_scale=weight,
                        output_type="latent", **rival.arguments(steps),
                    ).images  # fmt: skip
                else:
                    x = _denoised(network, rival.scheduler, steps, x)
                parts.append(x.numpy())
    finally:
        pipe.scheduler = before
    return Drawn(np.concatenate(parts), count[0] / len(noise))


def _denoised(network: nn.Module, scheduler: Any, steps: int, x: torch.Tensor) -> torch.Tensor:
    """Run the loop of the pipelines, from unit noise, and without their last clip."""
    scheduler.set_timesteps(steps)
    x = x * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        answer = network(scheduler.scale_model_input(x, t), t).sample
        x = scheduler.step(answer, t, x).prev_sample
    return x


@contextlib.contextmanager
def _counted(network: nn.Module) -> Iterator[list[int]]:
    """Count the samples that a network answers."""
    count = [0]

    def add(module: nn.Module, inputs: Any, answer: Any) -> None:
        count[0] += len(answer[0])

    hook = network.register_forward_hook(add)
    try:
        yield count
    finally:
        hook.remove()
