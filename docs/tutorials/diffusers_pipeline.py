# ---
# jupyter:
#   requires: [torch, diffusers]
#   install: [specjax, torch, diffusers]
# ---

# %% [markdown]
# # A plan for your diffusers pipeline
#
# ```python
# from specjax.interop.diffusers import PlanScheduler, learn
#
# plan = learn(pipe, steps=6, prompts=["a red fox", "a harbour at night"], guidance_scale=5.0)
# sx.save("fox.json", plan)
# pipe.scheduler = PlanScheduler.from_file("fox.json", pipe.scheduler.config)
# image = pipe("a lighthouse", num_inference_steps=6, guidance_scale=5.0).images[0]
# ```
#
# `learn` runs the pipeline itself, guidance, latents and all, at its own dtype and on its own device, and
# learns levels and coefficients for it; nothing is decoded on the way. Here the same is done for a small UNet
# of the digits, which is trained first, in half a minute.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    UNet2DModel,
)

import specjax as sx
from specjax.interop.diffusers import PlanScheduler, learn

digits = sx.data.open("digits")
pixels = sx.data.drawn(digits, 1797).samples  # [1797, 8, 8] in [-1, 1]
images = torch.tensor(pixels, dtype=torch.float32)[:, None]

# %% [markdown]
# ## A pipeline
#
# In place of it take any of yours: `DiffusionPipeline.from_pretrained(...).to("cuda")`.

# %%
torch.manual_seed(0)
unet = UNet2DModel(
    sample_size=8,
    in_channels=1,
    out_channels=1,
    layers_per_block=1,
    block_out_channels=(16, 32),
    norm_num_groups=8,
    down_block_types=("DownBlock2D", "AttnDownBlock2D"),
    up_block_types=("AttnUpBlock2D", "UpBlock2D"),
)
noise = DDPMScheduler(clip_sample=False)
optimiser = torch.optim.AdamW(unet.parameters(), 2e-3)
rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=600)
for _ in range(600):
    x0 = images[torch.randint(len(images), (64,))]
    eps, t = torch.randn_like(x0), torch.randint(1000, (64,))
    loss = ((unet(noise.add_noise(x0, eps, t), t).sample - eps) ** 2).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    rate.step()

pipe = DDPMPipeline(unet.eval(), noise)
pipe.set_progress_bar_config(disable=True)

# %% [markdown]
# ## Learn
#
# A few dozen noises will do. `max_calls` bounds how many samples are denoised to learn, beside those of the
# fine solutions that are learned from.

# %%
plan = learn(pipe, steps=5, n=32, batch=32, max_calls=8_000)
print(plan)

# %% [markdown]
# It keeps what it is for, and `PlanScheduler` names what differs: another kind of prediction, other betas, another
# resolution or dtype.

# %%
print(plan.source["pipeline"])

# %% [markdown]
# ## Run
#
# The plan is the pipeline's scheduler now. Beside it is DDIM, from the same noise, and the fine solution that both
# approximate.


# %%
def made(scheduler, steps: int) -> np.ndarray:
    """Images [64, 8, 8] of the pipeline with a scheduler."""
    pipe.scheduler = scheduler
    drawn = torch.Generator().manual_seed(0)
    out = pipe(
        64, drawn, num_inference_steps=steps, output_type="np"
    ).images
    return out[..., 0]


config = noise.config
trailing = {"timestep_spacing": "trailing"}
fine = made(DDIMScheduler.from_config(config, **trailing), 100)
results = {
    "the plan, 5 calls": made(PlanScheduler.from_plan(plan, config), 5),
    "DDIM, 5 calls": made(DDIMScheduler.from_config(config, **trailing), 5),
    "DDIM, 10 calls": made(
        DDIMScheduler.from_config(config, **trailing), 10
    ),
}
for name, found in results.items():
    print(
        f"{name}: {np.sqrt(((found - fine) ** 2).mean()):.3f} to 100 calls"
    )

# %%
figure, axes = plt.subplots(4, 8, figsize=(8, 4.4))
for row, (name, shown) in zip(
    axes, {"100 calls": fine, **results}.items(), strict=True
):
    row[0].set_title(name, loc="left", fontsize=9)
    for axis, image in zip(row, shown, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=1)
        axis.axis("off")

# %% [markdown]
# ## Save
#
# A plan file is JSON. `pipe.save_pretrained` keeps the plan, too, in the scheduler's configuration.

# %%
sx.save("plan.json", plan)
print(PlanScheduler.from_file("plan.json", config).timesteps)

# %% [markdown]
# [The how-to page](../howto/diffusers_scheduler.md) has guidance by calls, flow matching, image to image, and what
# is refused.
