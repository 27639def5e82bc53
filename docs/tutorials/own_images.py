# %% [markdown]
# # Your own images
#
# From a folder of pictures to a schedule, a plan, and samples side by side. Nothing is trained: the plan
# is learned through a Gaussian mixture that is fitted to the pictures, in the place of a network.

# %%
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np

import specjax as sx

folder = Path("pictures")

# %% [markdown]
# ## The pictures
#
# Any folder of PNG, JPEG or WebP files: name yours above, and leave the next cell out. It writes the 1,797
# handwritten digits of scikit-learn to files.

# %%
from PIL import Image
from sklearn.datasets import load_digits

folder.mkdir(exist_ok=True)
for number, picture in enumerate(load_digits().images):
    pixels = (picture * 255 / 16).astype(np.uint8)
    Image.fromarray(pixels).save(folder / f"{number:04}.png")

# %% [markdown]
# `open` reads them batch by batch and maps bytes to [-1, 1], the units of most networks. Pictures of mixed sizes need
# `size=32`, which scales them to 32 x 32. Files that cannot be read are skipped and listed in `pictures.skipped`.

# %%
pictures = sx.data.open(folder)
spectrum = pictures.spectrum()
slope = sx.power_law_fit(spectrum).exponent
print(f"d = {spectrum.dimension}, eigenvalues fall like rank^-{slope:.2f}")

# %% [markdown]
# ## A schedule
#
# The levels at which 8 steps of DDIM come closest to data of this spectrum. A fit takes milliseconds
# once it is compiled.

# %%
table = sx.compare(spectrum, steps=8, sampler="ddim")
for row in table.rows[:5]:
    print(f"{row.name:16} {row.value:.4f}")

# %% [markdown]
# The learned one comes first. For another sampler, or levels that a network on Stable Diffusion's grid of
# timesteps knows, fit again: `sx.fit(spectrum, 8, sampler="dpmpp_2m", grid="sd")`.

# %% [markdown]
# ## A plan
#
# A plan also has learned coefficients. It is learned through a denoiser; without a network, through the
# exact one of a Gaussian mixture. Half of the pictures are kept aside to choose and judge by.

# %%
prior = sx.priors.prior_of("mixture", pictures)
plan = sx.learn(prior, steps=4)
best = min(plan.baselines, key=plan.baselines.get)
print(f"kept: {plan.kept}; the best heuristic is {best}")
print(f"squared distance to the fine solution: {plan.terms['teacher']:.3f}")

# %% [markdown]
# ## Side by side
#
# The same noise along the best heuristic in 4 calls, the plan in 4 calls, and 64 fine steps.

# %%
sampler, name = best.split()[:2]
levels = (
    sx.spectral(spectrum, 4) if name == "spectral" else sx.family(name, 4)
)
rows = {
    f"{best}, 4 calls": sx.plan(sampler, levels),
    "learned, 4 calls": plan.plan,
    "fine, 64 calls": sx.plan("dpmpp_2m", sx.spectral(spectrum, 64)),
}
figure, axes = plt.subplots(len(rows), 12, figsize=(9, 3))
for line, (label, one) in zip(axes, rows.items(), strict=True):
    drawn = sx.sample(one, prior, jax.random.key(0), (12, *prior.shape))
    for axis, picture in zip(
        line, np.asarray(prior.lift(drawn)), strict=True
    ):
        brightness = np.clip((picture.squeeze() + 1) / 2, 0, 1)
        axis.imshow(brightness, cmap="gray", vmin=0, vmax=1)
        axis.axis("off")
    line[0].set_title(label, loc="left", fontsize=9)

# %% [markdown]
# ## Keep them

# %%
sx.save("plan.json", plan)
sx.save("schedule.json", table.learned)
print(sx.export(table.learned, "comfyui", grid="sd").content)

# %% [markdown]
# The command line does the same:
#
#     specjax fit pictures --steps 8
#     specjax learn pictures --steps 4 --prior mixture
#
# Next: [learn through your own network](../howto/own_denoiser.md), or run these
# [in diffusers and k-diffusion](in_other_software.py).
