# ---
# jupyter:
#   requires: [torch, diffusers]
#   install: ["specjax[interop]"]
# ---

# %% [markdown]
# # diffusers and k-diffusion
#
# A schedule and a plan in other people's loops. A small torch module stands for your network: the exact noise
# prediction for Gaussian data with the spectrum of the digits, so that what comes out can be checked.

# %%
import json

import numpy as np
import torch
from diffusers import DDPMScheduler, EulerDiscreteScheduler

import specjax as sx
from specjax.interop.diffusers import PlanScheduler
from specjax.interop.k_diffusion import sample_plan

digits = sx.data.open("digits").spectrum()
spectrum = sx.Spectrum(digits.eigenvalues)  # their mean is left out
true = torch.tensor(np.asarray(spectrum.eigenvalues), dtype=torch.float32)
config = DDPMScheduler(
    beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012
).config
alpha_bar = DDPMScheduler.from_config(config).alphas_cumprod


class Network(torch.nn.Module):
    """Predict the noise in Gaussian data in their eigenbasis."""

    def forward(
        self, x: torch.Tensor, timestep: torch.Tensor
    ) -> torch.Tensor:
        """Interpolate the level between timesteps in log sigma."""
        grid = 0.5 * torch.log((1 - alpha_bar) / alpha_bar)
        t = torch.as_tensor(timestep, dtype=torch.float32).clamp(0, 999)
        low = t.floor().long().clamp(max=998)
        s = torch.exp(grid[low] + (t - low) * (grid[low + 1] - grid[low]))
        alpha = 1 / torch.sqrt(1 + s**2)
        x0 = alpha * true * x / (alpha**2 * true + 1 - alpha**2)
        return (x - alpha * x0) / torch.sqrt(1 - alpha**2)


network = Network()

# %% [markdown]
# ## Learn within the network's levels
#
# A network on a grid of timesteps knows no other levels, so both are learned within it.

# %%
schedule = sx.fit(spectrum, steps=8, sampler="ddim", grid=config)
plan = sx.learn(spectrum, steps=5, grid=config)
print(f"8 steps of DDIM: {schedule.value:.4f}")
print(f"5 calls of the plan: {plan.terms['transfer']:.4f}")

# %% [markdown]
# ## A schedule in diffusers
#
# Euler takes any sigmas. The export has the arguments that keep the list as it is.


# %%
def variance_error(samples: torch.Tensor) -> float:
    """Compute the squared W2 of the samples' variances and the true ones."""
    return float(((samples.std(0) - true.sqrt()) ** 2).sum())


exported = json.loads(
    sx.export(schedule, "diffusers", config=config).content
)
scheduler = EulerDiscreteScheduler.from_config(
    config, **exported["scheduler"]["arguments"]
)
scheduler.set_timesteps(sigmas=exported["sigmas"])

generator = torch.Generator().manual_seed(0)
noise = torch.randn(20_000, len(true), generator=generator)
x = noise * scheduler.init_noise_sigma
for t in scheduler.timesteps:
    answer = network(scheduler.scale_model_input(x, t), t)
    x = scheduler.step(answer, t, x).prev_sample
print(f"drawn: {variance_error(x):.3f}   predicted: {schedule.value:.3f}")

# %% [markdown]
# ## A plan in diffusers
#
# `PlanScheduler` is a scheduler like others: `pipe.scheduler = PlanScheduler.from_plan(plan, pipe.scheduler.config)`,
# then `pipe(num_inference_steps=5)`. By hand:

# %%
scheduler = PlanScheduler.from_plan(plan, config)
scheduler.set_timesteps(5)
x = noise * scheduler.init_noise_sigma
for t in scheduler.timesteps:
    x = scheduler.step(network(x, t), t, x).prev_sample
print(f"5 calls of the plan: {variance_error(x):.4f}")

# %% [markdown]
# ## The same in k-diffusion
#
# Its models are called with x = x0 + sigma eps and return x0. `sample_plan` takes the arguments of
# `k_diffusion.sampling.sample_euler`, with the plan in the place of the sigmas:


# %%
def model(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Estimate x0, here exactly; yours is a CompVisDenoiser or its like."""
    return true * x / (true + sigma[:, None] ** 2)


first = plan.schedule.sigmas[0]
x = sample_plan(model, noise * float(first), plan, disable=True)
print(f"5 calls of the plan: {variance_error(x):.4f}")

# %% [markdown]
# Of this some 0.0005 is due to the finite number of samples.
#
# A schedule there is a list of sigmas: `sample_euler(model, noise * sigmas[0], sigmas)` with
# `sigmas = torch.tensor(exported["sigmas"])`.
#
# On a TPU: torch does not run there without torch_xla; learn the plan in JAX on the TPU, and carry the file.
