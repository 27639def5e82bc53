"""Train a small UNet2DModel of diffusers, as its users train one, and keep it as a pipeline.

    python -m experiments.diffusers_pipelines.train [--out FOLDER] [--updates N] [--prediction P]

The network predicts eps (or v) on DDPM's linear grid of 1,000 timesteps (2006.11239). OUT becomes a
``DDPMPipeline`` (``from_pretrained(OUT)``), with ``training.json`` and a picture of its samples.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import specjax as sx
from experiments.data import open_dataset
from experiments.session import plain_config, provenance, read_json, say, write_json
from specjax._core.checks import UserError
from specjax.data.in_memory import rescaled
from specjax.files.samples import grid, write_picture
from specjax.interop.torch import denoiser

TRAINING, PICTURE = "training.json", "samples.png"


@dataclass(frozen=True)
class Config:
    """All numbers of the training.

    Attributes:
      data: as ``open_dataset`` takes it; images of one size and 1 or 3 channels.
      channels, layers, groups: of the UNet, a stage each; layers and groups of its normalisation.
      prediction: of the network, "epsilon" or "v_prediction".
      updates, batch, learning_rate, warmup: of AdamW, whose rate falls to 0 as a cosine.
      average: decay of the average of the parameters, which is what is kept.
      seed: of the start, the batches and the noise.
      log_every: updates between two entries of the loss.
      pictured, steps: samples in the picture, and of DDIM for it.
    """

    data: str = "tfds:fashion_mnist"
    channels: tuple[int, ...] = (16, 32, 64)
    layers: int = 1
    groups: int = 8
    prediction: str = "epsilon"
    updates: int = 2400
    batch: int = 64
    learning_rate: float = 2e-3
    warmup: int = 100
    average: float = 0.998
    seed: int = 0
    log_every: int = 100
    pictured: int = 64
    steps: int = 50


SMALLEST = Config(
    data="digits", channels=(8, 8), updates=4, batch=8, log_every=2, pictured=4, steps=3
)


def open_pipeline(config: Config, folder: Path) -> DDPMPipeline:
    """Open the pipeline in a folder, or train it.

    Raises:
      AbsentError: if the dataset is not on this machine.
      UserError: if the folder has a network of another config.
    """
    known = read_json(folder / TRAINING)
    if not known:
        train(config, folder)
    elif known["config"] != plain_config(config):
        raise UserError(f"{folder} has a network of another config: give another --out")
    return DDPMPipeline.from_pretrained(folder, low_cpu_mem_usage=False)


def images(config: Config) -> np.ndarray:
    """Load all images [N, C, H, W], float32 in [-1, 1]."""
    dataset = open_dataset(config.data)
    found = sx.data.collect(dataset).samples
    found = found.reshape(*found.shape[:3], -1).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(rescaled(found, dataset.data_range), np.float32)


def train(config: Config, folder: Path) -> None:
    """Train the network, and write the pipeline, the facts and the picture."""
    torch.manual_seed(config.seed)
    data = torch.from_numpy(images(config))
    network = network_of(config, tuple(data.shape[1:]))
    scheduler = DDPMScheduler(prediction_type=config.prediction)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(config.average))
    optimiser = torch.optim.AdamW(network.parameters(), config.learning_rate)
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda k: _rate(k, config))
    losses: list[float] = []
    history, begun = {}, time.perf_counter()
    for update in range(1, config.updates + 1):
        losses.append(_update(network, optimiser, scheduler, data, config.batch))
        rate.step()
        average.update_parameters(network)
        if update % config.log_every == 0 or update == config.updates:
            history[update], losses = float(np.mean(losses)), []
            say(f"update {update} of {config.updates}: loss {history[update]:.4f}")
    seconds = time.perf_counter() - begun
    kept = average.module.eval()
    DDPMPipeline(kept, scheduler).save_pretrained(folder)
    parameters = sum(p.numel() for p in kept.parameters())
    facts = {"parameters": parameters, "seconds": seconds, "loss": history}
    write_picture(folder / PICTURE, picture(kept, scheduler, config))
    write_json(folder / TRAINING, {
        "config": plain_config(config), **provenance(),
        "torch": torch.__version__, "diffusers": diffusers.__version__, **facts,
    })  # fmt: skip


def network_of(config: Config, shape: tuple[int, ...]) -> UNet2DModel:
    """Make the network of images [C, H, W], with convolutions alone."""
    stages = len(config.channels)
    return UNet2DModel(
        sample_size=shape[1:], in_channels=shape[0], out_channels=shape[0],
        block_out_channels=config.channels, layers_per_block=config.layers,
        norm_num_groups=config.groups, add_attention=False,
        down_block_types=("DownBlock2D",) * stages, up_block_types=("UpBlock2D",) * stages,
    )  # fmt: skip


def picture(network: UNet2DModel, scheduler: DDPMScheduler, config: Config) -> np.ndarray:
    """Draw samples by DDIM along Karras's schedule, as specjax runs torch modules."""
    shape = (network.config.in_channels, *network.config.sample_size)
    box = denoiser(network, shape=shape, grid=scheduler.config, batch=config.pictured)
    schedule = sx.family("karras", config.steps)
    samples = sx.generate(sx.plan("ddim", schedule), box, config.pictured, shape, seed=config.seed)
    return grid(samples.transpose(0, 2, 3, 1))


def _update(
    network: UNet2DModel, optimiser: Any, scheduler: DDPMScheduler, data: torch.Tensor, batch: int
) -> float:
    """Take one step down the squared error of the prediction at uniform timesteps; return that."""
    clean = data[torch.randint(len(data), (batch,))]
    noise = torch.randn_like(clean)
    timesteps = torch.randint(scheduler.config.num_train_timesteps, (batch,))
    answer = network(scheduler.add_noise(clean, noise, timesteps), timesteps).sample
    by_noise = scheduler.config.prediction_type == "epsilon"
    target = noise if by_noise else scheduler.get_velocity(clean, noise, timesteps)
    loss = torch.nn.functional.mse_loss(answer, target)
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    return loss.item()


def _rate(update: int, config: Config) -> float:
    """Give the learning rate as a part of the largest."""
    if update < config.warmup:
        return (update + 1) / config.warmup
    done = (update - config.warmup) / max(1, config.updates - config.warmup)
    return float(np.cos(np.pi / 2 * min(done, 1.0)) ** 2)


def main() -> None:
    """Read the arguments, and train what is not there."""
    parser = argparse.ArgumentParser(prog="python -m experiments.diffusers_pipelines.train")
    parser.add_argument("--out", type=Path, default=Path("build/diffusers_pipelines/network"))
    parser.add_argument("--smallest", action="store_true", help="a test of a few seconds")
    parser.add_argument("--updates", type=int, default=Config.updates)
    parser.add_argument("--prediction", default=Config.prediction)
    given = parser.parse_args()
    config = SMALLEST if given.smallest else Config(updates=given.updates)
    config = dataclasses.replace(config, prediction=given.prediction)
    open_pipeline(config, given.out)
    say(f"{given.out}: DDPMPipeline, {TRAINING}, {PICTURE}")


if __name__ == "__main__":
    main()
