"""Small networks of diffusers' own classes: their data, pipelines and losses.

Three kinds, each as its users have it:

- ``eps``: a ``UNet2DModel`` that predicts eps on DDPM's linear grid (2006.11239);
- ``zero_snr``: one that predicts v, on a scaled-linear grid that ends in pure noise (2305.08891);
- ``flow``: an ``SD3Transformer2DModel`` that predicts the velocity eps - x0 (2403.03206) of a
  class, or of none. A class is a prompt of one token.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    DDPMPipeline,
    DDPMScheduler,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    UNet2DModel,
)
from torch import nn

import specjax as sx
from experiments.data import open_dataset
from experiments.diffusers_pipelines.configs import EPS, FLOW, ZERO_SNR, NetworkConfig
from specjax.data.in_memory import rescaled


def images(
    config: NetworkConfig, split: str = "train"
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Load all images [N, 1, side, side] in [-1, 1], their classes, and the classes' names.

    Args:
      split: "train" or "test", which is every fourth image of a built-in set.
    """
    prepared = config.data.startswith("tfds:")
    dataset = open_dataset(f"{config.data}:{split}" if prepared else config.data)
    found, labels, classes = sx.data.collect(dataset)
    if not prepared:
        chosen = (np.arange(len(found)) % 4 == 3) == (split == "test")
        found, labels = found[chosen], labels[chosen]
    found = rescaled(found, dataset.data_range).reshape(len(found), 1, *found.shape[1:3])
    if (size := found.shape[-1]) != config.side:
        edge = config.side - size // 2
        found = np.pad(found, ((0, 0), (0, 0), (edge, edge), (edge, edge)), constant_values=-1.0)
        found = found.reshape(len(found), 1, config.side, 2, config.side, 2).mean((3, 5))
    return np.ascontiguousarray(found, np.float32), labels, tuple(map(str, classes))


class ClassPipeline(StableDiffusion3Pipeline):
    """Stable Diffusion 3's pipeline without encoders: a prompt is the name of a class.

    A class is a token that has a one in its place and zeros elsewhere; the last place is that of no
    class (an empty prompt). Images are the latents: ``output_type="latent"``.
    """

    classes: tuple[str, ...] = ()

    def encode_prompt(
        self, prompt: str | list[str] | None = None, *args: Any,
        negative_prompt: str | list[str] | None = None, num_images_per_prompt: int = 1,
        do_classifier_free_guidance: bool = True, **more: Any,
    ) -> tuple[Any, ...]:  # fmt: skip
        """Encode prompts, or pass on what was encoded."""
        if more.get("prompt_embeds") is not None:
            return super().encode_prompt(
                prompt, *args, num_images_per_prompt=num_images_per_prompt,
                do_classifier_free_guidance=do_classifier_free_guidance, **more,
            )  # fmt: skip
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        labels = torch.tensor([self._label(x) for x in prompts])
        labels = labels.repeat_interleave(num_images_per_prompt)
        places = len(self.classes) + 1
        (embeds, pooled), none = encoded(labels, places), (None, None)
        if do_classifier_free_guidance:
            none = encoded(torch.full_like(labels, places - 1), places)
        return embeds, none[0], pooled, none[1]

    def _label(self, prompt: str) -> int:
        return self.classes.index(prompt) if prompt else len(self.classes)


def encoded(labels: torch.Tensor, places: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the tokens [N, 1, places] and the pooled prompts [N, places] of classes."""
    pooled = nn.functional.one_hot(labels.long(), places).float()
    return pooled[:, None], pooled


def network_of(config: NetworkConfig, classes: int) -> nn.Module:
    """Make the network with its first parameters."""
    if config.kind == FLOW:
        return _transformer(config, classes + 1)
    stages = len(config.channels)
    return UNet2DModel(
        sample_size=config.side, in_channels=1, out_channels=1, add_attention=False,
        block_out_channels=config.channels, layers_per_block=config.layers,
        norm_num_groups=config.groups,
        down_block_types=("DownBlock2D",) * stages, up_block_types=("UpBlock2D",) * stages,
    )  # fmt: skip


def _transformer(config: NetworkConfig, places: int) -> SD3Transformer2DModel:
    """Make the transformer, whose blocks start as identities (2212.09748, section 3.2)."""
    network = SD3Transformer2DModel(
        sample_size=config.side, patch_size=config.patch, in_channels=1, out_channels=1,
        num_layers=config.blocks, attention_head_dim=32, num_attention_heads=config.width // 32,
        joint_attention_dim=places, pooled_projection_dim=places,
        caption_projection_dim=config.width, pos_embed_max_size=config.side // config.patch,
        qk_norm="rms_norm",
    )  # fmt: skip
    norms = [norm for x in network.transformer_blocks for norm in (x.norm1, x.norm1_context)]
    for layer in (*(x.linear for x in norms), network.norm_out.linear, network.proj_out):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    return network


def scheduler_of(kind: str) -> Any:
    """Make the scheduler that the pipeline of a kind comes with."""
    if kind == FLOW:
        return FlowMatchEulerDiscreteScheduler(shift=3.0)
    if kind == EPS:
        return DDPMScheduler(clip_sample=False)
    return DDPMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False,
        prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing",
    )  # fmt: skip


def pipeline_of(kind: str, network: nn.Module, classes: tuple[str, ...]) -> DiffusionPipeline:
    """Put a network into the pipeline of its kind."""
    scheduler = scheduler_of(kind)
    if kind != FLOW:
        return DDPMPipeline(network, scheduler)
    absent = ("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
    pipe = ClassPipeline(
        transformer=network, scheduler=scheduler, text_encoder_3=None, tokenizer_3=None,
        **dict.fromkeys(absent),
    )  # fmt: skip
    pipe.classes = classes
    return pipe


def open_network(kind: str, folder: Path) -> nn.Module:
    """Read the network that was kept in a folder."""
    made = SD3Transformer2DModel if kind == FLOW else UNet2DModel
    return made.from_pretrained(folder, low_cpu_mem_usage=False).eval()


def loss_of(
    network: nn.Module,
    scheduler: Any,
    clean: torch.Tensor,
    labels: torch.Tensor,
    config: NetworkConfig,
) -> torch.Tensor:
    """Average the squared error of the network's answer at random times.

    Times are stratified over the batch: uniform timesteps, or a logit-normal time of the flow.
    """
    noise, n = torch.randn_like(clean), len(clean)
    uniform = (torch.randperm(n) + torch.rand(n)) / n
    if config.kind == FLOW:
        time = torch.sigmoid(torch.special.ndtri(uniform.clamp(1e-6, 1 - 1e-6)))
        t = time[:, None, None, None]
        places = network.config.joint_attention_dim
        told = torch.where(torch.rand(n) < config.unlabelled, places - 1, labels)
        answer = network((1 - t) * clean + t * noise, *encoded(told, places), 1000 * time).sample
        return nn.functional.mse_loss(answer, noise - clean)
    timesteps = (uniform * scheduler.config.num_train_timesteps).long()
    answer = network(scheduler.add_noise(clean, noise, timesteps), timesteps).sample
    if config.kind == ZERO_SNR:
        target = scheduler.get_velocity(clean, noise, timesteps)
        return nn.functional.mse_loss(answer, target)
    weight = (1 / scheduler.alphas_cumprod[timesteps]).clamp(max=config.largest_weight)
    return (weight * ((answer - noise) ** 2).mean((1, 2, 3))).mean()
