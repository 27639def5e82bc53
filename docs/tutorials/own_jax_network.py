# ---
# jupyter:
#   requires: [equinox, einops, galaxygrad]
#   install: [specjax, equinox, einops]
# ---

# %% [markdown]
# # A plan for your JAX network
#
# A published network draws galaxies of the Hyper Suprime-Cam survey. Here it is made a denoiser, and a plan of 4
# calls is learned through it: the samples are those of a fine solution, with a thirty-second of the calls.

# %%
# The weights; with its dependencies the package would bring another JAX.
# # !pip install --no-deps galaxygrad==0.1.9

# %%
import importlib.util
import math
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import specjax as sx

# %% [markdown]
# ## The network
#
# The package loads all of its networks when it is imported, so the class of the model is taken from its file:
# a mixer of 0.6 million parameters in Equinox, for one image [1, 32, 32] at a time.

# %%
package = importlib.util.find_spec("galaxygrad")
folder = Path(package.submodule_search_locations[0])
found = importlib.util.spec_from_file_location(
    "models_eqx", folder / "models_eqx.py"
)
models = importlib.util.module_from_spec(found)
found.loader.exec_module(models)

shape = (1, 32, 32)
empty = models.ScoreNet(
    shape, 4, 64, 512, 512, 4, 10.0, key=jax.random.key(0)
)
network = eqx.tree_deserialise_leaves(
    folder / "eqx_hsc_ScoreNet32.eqx", empty
)

# %% [markdown]
# ## As a denoiser
#
# Three things have to be known of a network: its process, its level, its answer. This one is variance preserving
# with alpha^2 = exp(-t), t from 0 to 10, is told t, and answers the score, -eps / sigma. With s = sigma / alpha
# that is t = log(1 + s^2). `from_eps` does the rest; `Partial` hands the parameters to compiled programs as
# arguments.


# %%
def time(s):
    """Return the network's time at the level s = sigma / alpha."""
    return jnp.log1p(jnp.asarray(s) ** 2)


def noise(model, x, t):
    """Estimate the noise in x [n, 1, 32, 32]."""
    score = jax.vmap(lambda one: model(one, t))(x)
    return -jnp.sqrt(-jnp.expm1(-t)) * score


denoise = sx.from_eps(jax.tree_util.Partial(noise, network), level=time)
ends = (math.exp(-10.0), 1.0)  # alpha_bar where it was trained

# %% [markdown]
# A wrong scale still draws pictures, so look at what it does to a galaxy of its own under some noise: the error
# should be far below that of doing nothing, sigma^2.

# %%
fine = sx.plan(
    "dpmpp_2m", sx.family("uniform_logsnr", 128, alpha_bar_range=ends)
)
galaxies = np.asarray(sx.generate(fine, denoise, 24, shape, seed=1))
eps = np.random.default_rng(0).normal(size=galaxies.shape)
for s in (0.3, 1.0, 3.0):
    noisy = (galaxies + s * eps).astype(np.float32)
    error = np.mean((np.asarray(denoise(noisy, 1.0, s)) - galaxies) ** 2)
    print(f"s = {s}: {error:.3f} of {s**2:.3f}")

# %% [markdown]
# ## Learn
#
# The network is called, nothing else: no gradient of it is needed, so `sx.BlackBox(function, shape)` of any other
# function would do as well. 64 noises are few, for this page to be quick; the default is 128.

# %%
learned = sx.learn(
    sx.priors.Network(denoise, shape),
    steps=4,
    n=64,
    alpha_bar_range=ends,
)
best = min(learned.baselines, key=learned.baselines.get)
print("samples denoised:", learned.source["calls"])
print(f"kept: {learned.kept}; the best heuristic is {best}")
print(
    f"squared distance to the fine solution: {learned.terms['teacher']:.2f}, "
    f"of the heuristic {math.exp(learned.baselines[best]):.2f}"
)

# %% [markdown]
# Both are geometric means over noise that neither learned nor chose.
#
# ## Side by side
#
# The same noise along the best heuristic, the plan, and the fine solution, as astronomers show them: the
# network's images are logarithms of brightness already.

# %%
sampler, family = best.split()[:2]
levels = sx.family(family, 4, alpha_bar_range=ends)
rows = {
    f"{best}, 4 calls": sx.plan(sampler, levels),
    "learned, 4 calls": learned.plan,
    "fine, 128 calls": fine,
}
drawn = {
    label: np.asarray(sx.generate(plan, denoise, 10, shape, seed=0))
    for label, plan in rows.items()
}
truth = drawn["fine, 128 calls"]
figure, axes = plt.subplots(3, 10, figsize=(9, 3.4), layout="constrained")
for line, (label, samples) in zip(axes, drawn.items(), strict=True):
    for axis, picture, true in zip(line, samples, truth, strict=True):
        axis.imshow(
            picture[0], cmap="gray", vmin=true.min(), vmax=true.max()
        )
        axis.axis("off")
    line[0].set_title(label, loc="left", fontsize=9)

# %%
for label, samples in drawn.items():
    distance = np.median(((samples - truth) ** 2).sum((1, 2, 3)))
    print(f"{label}: {distance:.2f}")

# %% [markdown]
# ## Keep it
#
# The file has all that is needed to run the plan, with specjax or [with NumPy alone](../plans.md#without-specjax).

# %%
sx.save("galaxies.json", learned)
plan = sx.load("galaxies.json").plan
samples = sx.generate(plan, denoise, 4, shape, seed=2)

# %% [markdown]
# Next: [networks of other JAX libraries](../networks.md#other-jax-libraries),
# [a PyTorch network](torch_network.py), [what else learning can be told](../plans.md#learning-a-plan).
