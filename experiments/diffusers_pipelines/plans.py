"""Learn a plan through the trained UNet2DModel, keep it, and run it in diffusers beside its own.

    python -m experiments.diffusers_pipelines.plans [--network FOLDER] [--results FOLDER]

The network is that of :mod:`experiments.diffusers_pipelines.train`. All samplers start from the same
noise, on which nothing was learned; distances are to the fine solution from it.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import DDPMPipeline

import specjax as sx
from experiments.data import open_dataset
from experiments.session import plain_config, provenance, say, write_json
from specjax.data.in_memory import rescaled
from specjax.evaluate.frechet import frechet
from specjax.interop.diffusers import PlanScheduler
from specjax.interop.torch import denoiser
from specjax.learning.teacher import fine_plan
from specjax.priors import Network
from specjax.schedules.grids import LevelRange

OWN = {
    "DDIM": ("DDIMScheduler", {"clip_sample": False, "timestep_spacing": "trailing"}),
    "DPM-Solver++(2M)": ("DPMSolverMultistepScheduler", {"timestep_spacing": "trailing"}),
    "DPM-Solver++(2M), Karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "UniPC": ("UniPCMultistepScheduler", {"timestep_spacing": "trailing"}),
    "UniPC, Karras": ("UniPCMultistepScheduler", {"use_karras_sigmas": True}),
}
"""diffusers' own schedulers, made from the pipeline's configuration and these arguments."""


@dataclass(frozen=True)
class Config:
    """All numbers of the comparison.

    Attributes:
      steps: S. noises: that the plan is learned on. max_calls: samples denoised while it is.
      n: noises that judge. fine: steps of their fine solutions. seeds: of learning and judging.
      more_steps: of diffusers' own schedulers, beside S.
    """

    steps: int = 5
    noises: int = 64
    max_calls: int = 30_000
    n: int = 256
    fine: int = 64
    seeds: int = 3
    more_steps: int = 10


def run(network: Path, results: Path, config: Config) -> None:
    """Learn, keep and judge the plan of each seed."""
    pipe = DDPMPipeline.from_pretrained(network)
    pipe.set_progress_bar_config(disable=True)
    grid, shape = pipe.scheduler.config, _shape(pipe.unet)
    box = denoiser(pipe.unet, shape=shape, grid=grid, batch=64)
    data = open_dataset("tfds:fashion_mnist")
    images = np.moveaxis(rescaled(sx.data.collect(data).samples[:2000], data.data_range), -1, 1)
    seeds = []
    for seed in range(config.seeds):
        begun = time.perf_counter()
        learned = sx.learn(
            box, config.steps, grid=grid, n=config.noises, max_calls=config.max_calls, seed=seed
        )
        seconds = time.perf_counter() - begun
        path = results / f"plan-{seed}.json"
        results.mkdir(parents=True, exist_ok=True)
        sx.save(path, learned)
        judged = _judged(pipe, box, path, images, seed, config)
        seeds.append({
            "seed": seed, "seconds": seconds, "calls": learned.source["calls"],
            "terms": learned.terms, "kept": learned.kept, "judged": judged,
        })  # fmt: skip
        say(f"seed {seed}: {seconds:.0f} s, {judged['learned plan']}")
        document = {"config": plain_config(config), **provenance(), "seeds": seeds}
        write_json(results / "plans.json", document)


def _shape(unet: Any) -> tuple[int, ...]:
    size = unet.config.sample_size  # a number, or height and width
    return (unet.config.in_channels, *np.broadcast_to(size, 2).tolist())


def _judged(
    pipe: Any, box: sx.BlackBox, path: Path, images: np.ndarray, seed: int, config: Config
) -> dict[str, dict[str, float]]:
    """Measure the plan, run by diffusers, and diffusers' own schedulers."""
    shape, learned = _shape(pipe.unet), sx.load(path)
    noise = torch.randn((config.n, *shape), generator=torch.Generator().manual_seed(10_000 + seed))
    levels = LevelRange(learned.alpha_bar_range, learned.grid)
    fine = sx.sample(
        fine_plan(Network(box, shape), config.fine, levels), box, _no_key(), noise.shape,
        start=noise.numpy(),
    )  # fmt: skip
    schedulers = {"learned plan": (PlanScheduler.from_file(path, pipe.scheduler.config), 0)}
    for name, (kind, more) in OWN.items():
        for steps in (config.steps, config.more_steps):
            made = getattr(diffusers, kind).from_config(pipe.scheduler.config, **more)
            schedulers[f"{name}, {steps}"] = (made, steps)
    found = {"fine solution": {"frechet": frechet(np.asarray(fine), images)}}
    for name, (scheduler, steps) in schedulers.items():
        samples = _run(pipe.unet, scheduler, noise, steps or config.steps)
        squared = ((samples - np.asarray(fine)) ** 2).reshape(len(samples), -1).sum(1)
        found[name] = {
            "mean": float(squared.mean()),
            "geometric mean": float(np.exp(np.log(squared).mean())),
            "median": float(np.median(squared)),
            "frechet": frechet(samples, images),
        }
    return found


def _no_key() -> Any:
    """Return a key of noise in the steps, of which these plans have none."""
    import jax

    return jax.random.key(0)


@torch.inference_mode()
def _run(unet: Any, scheduler: Any, noise: torch.Tensor, steps: int) -> np.ndarray:
    """Run a scheduler as diffusers' pipelines do, from given unit noise."""
    scheduler.set_timesteps(steps)
    x = noise * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        answer = torch.cat(
            [unet(part, t).sample for part in scheduler.scale_model_input(x, t).split(64)]
        )
        x = scheduler.step(answer, t, x).prev_sample
    return x.numpy()


def main() -> None:
    """Run with the folders that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).parent
    parser.add_argument("--network", type=Path, default=Path("build/diffusers_pipelines/network"))
    parser.add_argument("--results", type=Path, default=here / "results")
    given = parser.parse_args()
    run(given.network, given.results, Config())


if __name__ == "__main__":
    main()
