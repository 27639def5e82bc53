# ---
# jupyter:
#   requires: [torch]
#   install: [specjax, torch]
# ---

# %% [markdown]
# # A PyTorch network as a black box
#
# Learning a plan asks nothing of a network but its answers. Here a small network of the noise is trained in
# PyTorch for half a minute, wrapped, and a plan of 5 calls is learned through it; JAX never looks inside.

# %%
import math

import jax
import matplotlib.pyplot as plt
import numpy as np
import torch

import specjax as sx
from specjax.interop.torch import denoiser

digits = sx.data.open("digits")
pixels = sx.data.drawn(digits, 1797).samples  # [1797, 8, 8] in [-1, 1]
images = torch.tensor(pixels, dtype=torch.float32)[:, None]
shape = tuple(images.shape[1:])  # (1, 8, 8)

# %% [markdown]
# ## A network
#
# A perceptron on DDPM's grid of 1,000 timesteps, called like a UNet of diffusers: `network(x, timestep)`. In place
# of it take any module, `UNet2DModel.from_pretrained(...)` for one.


# %%
class Network(torch.nn.Module):
    """Predict the noise in x [n, *shape] at timesteps [n]."""

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.frequencies = torch.nn.Buffer(
            torch.exp(torch.linspace(0, math.log(1000), 32)) / 1000
        )
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(math.prod(shape) + 64, width),
            torch.nn.SiLU(),
            torch.nn.Linear(width, width),
            torch.nn.SiLU(),
            torch.nn.Linear(width, width),
            torch.nn.SiLU(),
            torch.nn.Linear(width, math.prod(shape)),
        )

    def forward(
        self, x: torch.Tensor, timestep: torch.Tensor
    ) -> torch.Tensor:
        """Return the noise."""
        angles = timestep[:, None] * self.frequencies
        features = [x.flatten(1), angles.sin(), angles.cos()]
        answer = self.layers(torch.cat(features, 1))
        return x + answer.reshape(x.shape)  # most of x is noise


# %%
torch.set_num_threads(1)  # the layers are too small to share out
torch.manual_seed(0)
network = Network()
optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
alpha_bar = torch.cumprod(1 - betas, 0).float()
updates = 3000
for update in range(updates):
    for group in optimiser.param_groups:
        group["lr"] = 2e-3 * (1 - update / updates)
    x0 = images[torch.randint(len(images), (128,))]
    t = torch.randint(1000, (128,))
    a = alpha_bar[t, None, None, None]
    eps = torch.randn_like(x0)
    answer = network(a.sqrt() * x0 + (1 - a).sqrt() * eps, t.float())
    loss = torch.mean((answer - eps) ** 2)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
print(f"loss {loss.item():.3f}")

# %% [markdown]
# ## The black box
#
# `denoiser` calls the module in evaluation mode under `inference_mode`, on its device and in its dtype. `grid`
# says which timestep belongs to which level; a pipeline's `scheduler.config` will do as well.

# %%
box = denoiser(network, "epsilon", shape=shape, grid="ddpm", batch=256)

# %% [markdown]
# Is it right? At a level s = sigma / alpha its error should not be far above that of Wiener's filter, the best of
# what is linear, and below it where digits can be told from noise:

# %%
spectrum = digits.spectrum()
wiener = sx.wiener(spectrum)
rng = np.random.default_rng(0)
clean = images[:500].numpy()
for s in (0.2, 1.0, 5.0):
    noisy = clean + s * rng.normal(size=clean.shape).astype(np.float32)
    error = np.mean((box(noisy, 1.0, s) - clean) ** 2)
    linear = np.asarray(wiener(noisy[:, 0], 1.0, s))[:, None] - clean
    print(f"s = {s}: {error:.3f}, Wiener {np.mean(linear**2):.3f}")

# %% [markdown]
# ## Learn
#
# Levels stay within the grid, since the network knows no others. Learning counts what it asks, `max_calls` would
# bound it, and what is interrupted goes on where it was.

# %%
learned = sx.learn(box, steps=5, grid="ddpm", n=64)
best = min(learned.baselines, key=learned.baselines.get)
print("samples denoised:", learned.source["calls"])
print(f"kept: {learned.kept}; the best heuristic is {best}")
print(
    f"squared distance to the fine solution: {learned.terms['teacher']:.3f}, "
    f"of the heuristic {math.exp(learned.baselines[best]):.3f}"
)

# %% [markdown]
# ## Side by side

# %%
ends = learned.alpha_bar_range
sampler, family = best.split()[:2]


def heuristic(name, steps):
    """Return a sampler's plan along a family, within the grid's levels."""
    return sx.plan(name, sx.family(family, steps, alpha_bar_range=ends))


rows = {
    f"{best}, 5 calls": heuristic(sampler, 5),
    "learned, 5 calls": learned.plan,
    "fine, 128 calls": heuristic("dpmpp_2m", 128),
}
drawn = {
    label: sx.generate(plan, box, 12, shape, seed=0)
    for label, plan in rows.items()
}
figure, axes = plt.subplots(3, 12, figsize=(9, 3), layout="constrained")
for line, (label, samples) in zip(axes, drawn.items(), strict=True):
    for axis, picture in zip(line, samples, strict=True):
        axis.imshow(picture[0], cmap="gray", vmin=-1, vmax=1)
        axis.axis("off")
    line[0].set_title(label, loc="left", fontsize=9)

# %% [markdown]
# ## Back in PyTorch
#
# A plan is a table of numbers; this is all that a loop of your own needs, without specjax:

# %%
plan = learned.plan
rows = list(zip(plan.alpha, plan.sigma, plan.keep, plan.pull, strict=True))


@torch.inference_mode()
def sample(denoise, noise):
    """Run the plan on noise [n, *shape]; denoise(x, alpha, sigma) -> x0."""
    r = torch.zeros(plan.registers, *noise.shape)
    r[0] = float(plan.start) * noise
    for alpha, sigma, keep, pull in rows:
        d = denoise(r[0], float(alpha), float(sigma))
        keep, pull = (torch.tensor(np.float32(one)) for one in (keep, pull))
        r = torch.einsum("ij,j...->i...", keep, r)
        r = r + torch.einsum("i,...->i...", pull, d)
    return r[0]


def by_network(x, alpha, sigma):
    """Estimate x0 by the network, at a timestep between those of the grid."""
    t = sx.GRIDS["ddpm"].timestep_of_sigma(sigma / alpha)
    eps = network(x, torch.full((len(x),), float(t)))
    return (x - sigma * eps) / alpha


noise = torch.randn(12, *shape)
difference = sample(by_network, noise) - torch.tensor(
    np.asarray(
        sx.sample(
            plan, box, jax.random.key(0), noise.shape, start=noise.numpy()
        )
    )
)
print(f"largest difference: {difference.abs().max():.1e}")

# %% [markdown]
# In a pipeline of diffusers it is `PlanScheduler` ([tutorial](in_other_software.py)). What conditions, guidance or
# another prediction change: [networks](../networks.md#pytorch).
