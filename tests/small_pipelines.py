"""Small pipelines of diffusers with random weights: the loops are theirs, prompts are seeds."""

import zlib

import diffusers
import torch

SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def embedded(prompts, *shape):
    """Embeddings [n, *shape] of prompts, different for each."""
    prompts = [prompts] if isinstance(prompts, str) else prompts
    return torch.stack([
        torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(one.encode())))
        for one in prompts
    ])  # fmt: skip


def pairs(prompt, negative, guided, *shapes):
    """Embeddings of prompts and of negative prompts, of each shape; None where not guided."""
    count = 1 if isinstance(prompt, str) else len(prompt)
    negative = [negative or ""] * count if not isinstance(negative, list) else negative
    found = []
    for shape in shapes:
        found += [embedded(prompt, *shape), embedded(negative, *shape) if guided else None]
    return tuple(found)


class StableDiffusion(diffusers.StableDiffusionPipeline):
    def encode_prompt(self, prompt, device, count, guided, negative_prompt=None, **_):
        return pairs(prompt, negative_prompt, guided, (5, 8))


class StableDiffusion3(diffusers.StableDiffusion3Pipeline):
    def encode_prompt(self, prompt, do_classifier_free_guidance, negative_prompt=None, **_):
        found = pairs(prompt, negative_prompt, do_classifier_free_guidance, (5, 8), (8,))
        return tuple(None if a is None else a.to(self.transformer.dtype) for a in found)


class Flux(diffusers.FluxPipeline):
    def encode_prompt(self, prompt, **_):
        return embedded(prompt, 5, 8), embedded(prompt, 8), torch.zeros(5, 3)


class Wan(diffusers.WanPipeline):
    def encode_prompt(self, prompt, negative_prompt, do_classifier_free_guidance, **_):
        return pairs(prompt, negative_prompt, do_classifier_free_guidance, (5, 8))


class Lumina2(diffusers.Lumina2Pipeline):
    def encode_prompt(self, prompt, guided, negative_prompt=None, **_):
        found, negative = pairs(prompt, negative_prompt, guided, (5, 8))
        mask = torch.ones(len(found), 5, dtype=torch.bool)
        return found, mask, negative, None if negative is None else mask


def quiet(pipe):
    pipe.set_progress_bar_config(disable=True)
    for module in pipe.components.values():
        if isinstance(module, torch.nn.Module):
            module.eval()
            for parameter in module.parameters():  # zero initialisations would answer nothing
                if not parameter.any():
                    torch.nn.init.normal_(parameter, std=0.1)
    return pipe


def unet(channels=1, **options):
    torch.manual_seed(0)
    return diffusers.UNet2DModel(
        sample_size=8, in_channels=channels, out_channels=channels, layers_per_block=1,
        norm_num_groups=4, block_out_channels=(8, 16), attention_head_dim=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"), **options,
    )  # fmt: skip


def pixels(kind=diffusers.DDPMPipeline, **config):
    return quiet(kind(unet(), diffusers.DDPMScheduler(**{"clip_sample": False, **config})))


def stable_diffusion(scheduler=diffusers.PNDMScheduler, kind=StableDiffusion, **config):
    torch.manual_seed(0)
    network = diffusers.UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, layers_per_block=1, norm_num_groups=4,
        block_out_channels=(8, 16), cross_attention_dim=8, attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    parts = {"text_encoder": None, "tokenizer": None, "safety_checker": None}
    config = {**SD, "steps_offset": 1, **config}
    if scheduler is diffusers.PNDMScheduler:
        config["skip_prk_steps"] = True
    return quiet(kind(
        unet=network, scheduler=scheduler(**config), vae=vae, feature_extractor=None,
        requires_safety_checker=False, **parts,
    ))  # fmt: skip


def dit(scheduler=None):
    torch.manual_seed(0)
    network = diffusers.DiTTransformer2DModel(
        sample_size=8, in_channels=2, out_channels=4, num_layers=1, num_attention_heads=2,
        attention_head_dim=4, patch_size=2, num_embeds_ada_norm=1000, norm_num_groups=2,
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(latent_channels=2, norm_num_groups=2, block_out_channels=(2,))
    return quiet(diffusers.DiTPipeline(network, vae, scheduler or diffusers.DDIMScheduler()))


def flow(**config):
    return diffusers.FlowMatchEulerDiscreteScheduler(**config)


def sd3(scheduler=None, kind=StableDiffusion3):
    torch.manual_seed(0)
    network = diffusers.SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, num_layers=1, attention_head_dim=4,
        num_attention_heads=2, joint_attention_dim=8, caption_projection_dim=8,
        pooled_projection_dim=8, out_channels=4,
    )  # fmt: skip
    parts = dict.fromkeys((
        "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "text_encoder_3",
        "tokenizer_3", "vae",
    ))  # fmt: skip
    return quiet(kind(transformer=network, scheduler=scheduler or flow(shift=3.0), **parts))


def flux(scheduler=None):
    torch.manual_seed(0)
    network = diffusers.FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=8, pooled_projection_dim=8,
        axes_dims_rope=(2, 2, 4), guidance_embeds=True,
    )  # fmt: skip
    parts = dict.fromkeys(("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "vae"))
    scheduler = scheduler or flow(use_dynamic_shifting=True)
    return quiet(Flux(transformer=network, scheduler=scheduler, **parts))


def wan(scheduler=None):
    torch.manual_seed(0)
    network = diffusers.WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=4,
        out_channels=4, text_dim=8, freq_dim=8, ffn_dim=16, num_layers=1, rope_max_seq_len=8,
    )  # fmt: skip
    scheduler = scheduler or diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    parts = dict.fromkeys(("text_encoder", "tokenizer", "vae"))
    return quiet(Wan(transformer=network, scheduler=scheduler, **parts))


def lumina2():
    torch.manual_seed(0)
    network = diffusers.Lumina2Transformer2DModel(
        sample_size=4, patch_size=2, in_channels=4, hidden_size=8, num_layers=1,
        num_refiner_layers=1, num_attention_heads=1, num_kv_heads=1, axes_dim_rope=(4, 2, 2),
        axes_lens=(128, 128, 128), cap_feat_dim=8,
    )  # fmt: skip
    parts = dict.fromkeys(("text_encoder", "tokenizer", "vae"))
    return quiet(Lumina2(transformer=network, scheduler=flow(shift=6.0), **parts))
