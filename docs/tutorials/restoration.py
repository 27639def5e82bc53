# ---
# jupyter:
#   requires: [equinox, einops, galaxygrad]
#   install: [specjax, equinox, einops]
# ---

# %% [markdown]
# # Deblur a galaxy
#
# A published network draws galaxies of the Hyper Suprime-Cam survey. As a prior it deblurs them: a sampler steers
# each step towards what the telescope saw. The weights of that are learned from the spectrum of galaxies, in
# milliseconds, and then through the network itself.

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
# As in [the tutorial on plans](own_jax_network.py): the class is taken from the package's file, and `from_eps`
# makes a denoiser of the score. Its channel is left out here, so that images are [32, 32].

# %%
package = importlib.util.find_spec("galaxygrad")
folder = Path(package.submodule_search_locations[0])
found = importlib.util.spec_from_file_location(
    "models_eqx", folder / "models_eqx.py"
)
models = importlib.util.module_from_spec(found)
found.loader.exec_module(models)

empty = models.ScoreNet(
    (1, 32, 32), 4, 64, 512, 512, 4, 10.0, key=jax.random.key(0)
)
network = eqx.tree_deserialise_leaves(
    folder / "eqx_hsc_ScoreNet32.eqx", empty
)


def noise(model, x, t):
    score = jax.vmap(lambda one: model(one[None], t))(x)[:, 0]
    return -jnp.sqrt(-jnp.expm1(-t)) * score


denoise = sx.from_eps(
    jax.tree_util.Partial(noise, network), level=lambda s: jnp.log1p(s**2)
)
ends = (math.exp(-10.0), 1.0)

# %% [markdown]
# ## Galaxies, and their spectrum
#
# No catalogue is at hand, so the network draws: 96 galaxies for the spectrum, and four more that are blurred. A
# stationary spectrum (by FFT) shares its basis with a blur, which is what the closed form needs.

# %%
levels = sx.family("karras", 20, alpha_bar_range=ends)
drawn = sx.generate(
    sx.plan("dpmpp_2m", levels), denoise, 100, (32, 32), progress=False
)
galaxies, truth = drawn[:96], drawn[96:]
spectrum = sx.Spectrum.from_samples(galaxies, method="shift-invariant")
print(spectrum)

# %% [markdown]
# ## What the telescope saw
#
# A point spread function of 1.5 pixels, and noise of a tenth of the images' standard deviation.

# %%
sigma = 0.1 * float(drawn.std())
seeing = sx.measure.blur(1.5, (32, 32), sigma=sigma)
rng = np.random.default_rng(0)
y = np.asarray(seeing.forward(truth)) + sigma * rng.normal(size=truth.shape)

# %% [markdown]
# ## Learn the weights
#
# Ten calls of DiffPIR's proximal step, with a weight for each call, in closed form: for Gaussian data with this
# spectrum, and a denoiser that errs a little. Levels are those of a family here. Learned ones would be better for a
# Gaussian, of which the blurred image tells all that is large; they leave out the noisy levels at which a network
# finds the shape of a galaxy. The table has the losses of rivals on the same Gaussian: the
# method's own rule, the best constant along the best of the usual schedules, and the exact score.

# %%
result = sx.fit_posterior(
    spectrum,
    seeing,
    10,
    method="diffpir",
    alpha_bar_range=ends,
    schedule="karras",
    denoiser_error=0.1,
)
print(result)

# %%
{name: round(value, 2) for name, value in result.baselines.items()}

# %% [markdown]
# Galaxies are no Gaussians: nearly all of their light is in the middle. So learning goes on through the network,
# on simulated measurements, towards fine solutions from the same noise.

# %%
through = sx.learn_posterior(
    result, denoise, galaxies[:24], teacher_steps=20, max_iterations=3
)
np.exp(through.history).round(2)  # squared distance: learned on, held out

# %% [markdown]
# ## Restore
#
# `restore` runs a learned plan with the network. A rival is a plan, too: `steered` makes a denoiser that answers
# its estimate and the direction to the measurement, and `generate` runs both.

# %%
rival = result.rivals["customary"]
restored = {
    "own rule": sx.generate(
        rival.plan,
        sx.steered(denoise, seeing, rival.method),
        len(y),
        (32, 32),
        conditions=y.astype(np.float32),
        progress=False,
    ),
    "closed form": sx.restore(result, denoise, y, progress=False),
    "learned": sx.restore(through, denoise, y, progress=False),
}
for name, x in restored.items():
    error = np.mean((x - truth) ** 2)
    print(name, round(10 * np.log10(truth.var() / error), 2), "dB")

# %%
rows = {"true": truth, "measured": y, **restored}
figure, axes = plt.subplots(
    len(y), len(rows), figsize=(7, 5.8), layout="constrained"
)
for row, images in zip(axes, zip(*rows.values(), strict=True), strict=True):
    for panel, image in zip(row, images, strict=True):
        panel.imshow(
            image, cmap="magma", vmin=truth.min(), vmax=truth.max()
        )
        panel.set_axis_off()
for panel, name in zip(axes[0], rows, strict=True):
    panel.set_title(name)

# %% [markdown]
# The closed form is the start, the network the rest; a constant that somebody tuned on this very network is hard to
# beat ([what was measured](../experiments/restoration/README.md)). A posterior sample has twice the least squared error that an estimate can have: it shows details that are as
# likely as others. Average several samples of one measurement (repeat `y`) for the estimate of least error.
