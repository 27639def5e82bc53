"""Train small networks of diffusers, as their users train them.

    python -m experiments.diffusers_pipelines.train flow zero_snr eps [--out FOLDER] [--smallest]

OUT/KIND gets the network (``from_pretrained``), ``training.json`` and a picture of its samples.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import DDIMScheduler
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from experiments.diffusers_pipelines.configs import (
    CONFIGS,
    FLOW,
    KINDS,
    SMALLEST_CONFIGS,
    NetworkConfig,
)
from experiments.diffusers_pipelines.networks import (
    images,
    loss_of,
    network_of,
    open_network,
    pipeline_of,
    scheduler_of,
)
from experiments.session import plain_config, provenance, read_json, say, write_json
from specjax._core.checks import UserError
from specjax.files.samples import grid, write_picture

TRAINING, PICTURE, NETWORK = "training.json", "samples.png", "network"


def open_pipeline(config: NetworkConfig, folder: Path) -> tuple[Any, dict[str, Any]]:
    """Open the pipeline of the network in a folder, or train it; and what is known of it.

    Raises:
      AbsentError: if the dataset is not on this machine.
      UserError: if the folder has a network of another config.
    """
    known = read_json(folder / TRAINING)
    if not known:
        train(config, folder)
        known = read_json(folder / TRAINING)
    if known["config"] != plain_config(config):
        raise UserError(f"{folder} has a network of another config: give another folder")
    network = open_network(config.kind, folder / NETWORK)
    pipe = pipeline_of(config.kind, network, tuple(known["classes"]))
    pipe.set_progress_bar_config(disable=True)
    return pipe, known


def train(config: NetworkConfig, folder: Path) -> None:
    """Train the network, and write it, the facts and the picture."""
    torch.manual_seed(config.seed)
    data, labels, classes = images(config)
    data, labels = torch.from_numpy(data), torch.from_numpy(labels)
    network = network_of(config, len(classes))
    scheduler = scheduler_of(config.kind)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(config.average))
    optimiser = torch.optim.AdamW(network.parameters(), config.learning_rate, fused=True)
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda k: _rate(k, config))
    losses: list[float] = []
    history, begun, used = {}, time.perf_counter(), time.process_time()
    for update in range(1, config.updates + 1):
        chosen = torch.randint(len(data), (config.batch,))
        loss = loss_of(network, scheduler, data[chosen], labels[chosen], config)
        _step(network, optimiser, loss)
        losses.append(loss.item())
        rate.step()
        average.update_parameters(network)
        if update % config.log_every == 0 or update == config.updates:
            history[update], losses = float(np.mean(losses)), []
            say(f"{config.kind}, update {update} of {config.updates}: loss {history[update]:.4f}")
    seconds = {"wall": time.perf_counter() - begun, "process": time.process_time() - used}
    kept = average.module.eval()
    kept.save_pretrained(folder / NETWORK)
    pipe = pipeline_of(config.kind, kept, classes)
    write_picture(folder / PICTURE, grid(picture(pipe, config).transpose(0, 2, 3, 1)))
    write_json(folder / TRAINING, {
        "config": plain_config(config), **provenance(), "torch": torch.__version__,
        "diffusers": diffusers.__version__, "threads": torch.get_num_threads(),
        "parameters": sum(p.numel() for p in kept.parameters()), "seconds": seconds,
        "classes": list(classes), "loss": history,
    })  # fmt: skip


def picture(pipe: Any, config: NetworkConfig, rows: int = 8, steps: int = 50) -> np.ndarray:
    """Draw samples [rows^2, 1, H, W] by the pipeline itself: by DDIM, or a class a column."""
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(config.seed)
    if config.kind == FLOW:
        prompts = list(pipe.classes[:rows]) * rows
        options = {"guidance_scale": 2.0, "output_type": "latent", "generator": generator}
        return pipe(prompts, num_inference_steps=steps, **options).images.numpy()
    scheduler = DDIMScheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing")
    scheduler.set_timesteps(steps)
    x = torch.randn((rows**2, 1, config.side, config.side), generator=generator)
    with torch.inference_mode():
        for t in scheduler.timesteps:
            x = scheduler.step(pipe.unet(x, t).sample, t, x).prev_sample
    return x.numpy()


def _step(network: nn.Module, optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    """Take a step down the loss, with a gradient of norm 1 at most."""
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()


def _rate(update: int, config: NetworkConfig) -> float:
    """Give the learning rate as a part of the largest."""
    if update < config.warmup:
        return (update + 1) / config.warmup
    done = (update - config.warmup) / max(1, config.updates - config.warmup)
    return float(np.cos(np.pi / 2 * min(done, 1.0)) ** 2)


def main() -> None:
    """Read the arguments, and train what is not there."""
    parser = argparse.ArgumentParser(prog="python -m experiments.diffusers_pipelines.train")
    parser.add_argument("kinds", nargs="*", default=KINDS, metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--out", type=Path, default=Path("build/diffusers_pipelines"))
    parser.add_argument("--smallest", action="store_true", help="a test of a few seconds")
    parser.add_argument("--updates", type=int, help="another number of updates")
    given = parser.parse_args()
    for kind in given.kinds:
        config = (SMALLEST_CONFIGS if given.smallest else CONFIGS)[kind]
        config = replace(config, updates=given.updates or config.updates)
        open_pipeline(config, given.out / kind)
        say(f"{given.out / kind}: {NETWORK}, {TRAINING}, {PICTURE}")


if __name__ == "__main__":
    main()
