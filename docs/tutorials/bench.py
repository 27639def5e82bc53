# ---
# jupyter:
#   requires: [pandas]
#   install: [specjax, pandas]
# ---

# %% [markdown]
# # The bench on your own network
#
# Which sampler, along which schedule, in how many calls? The bench asks it of your denoiser: all samplers that
# people use, each along the schedule that suits it best, and plans learned for it, all from the same noise.

# %%
import jax
import numpy as np

import specjax as sx

# %% [markdown]
# ## A denoiser
#
# Yours goes here: a run, a `sx.BlackBox` around a PyTorch module or a server, or a JAX function
# ([how](../howto/own_denoiser.md)). This one is the exact denoiser of the digits in scikit-learn, called as a
# black box: it gets NumPy arrays in batches, and is never looked into.

# %%
images = sx.data.open("digits")
exact = jax.jit(sx.priors.prior_of("empirical", images))
box = sx.BlackBox(
    lambda x, alpha, sigma: np.asarray(exact(x, alpha, sigma)),
    (8, 8),
    batch=128,
)

# %% [markdown]
# ## The question
#
# `folder` keeps each part as it is ready, so that a bench of a slow network can be interrupted and goes on. Two
# seeds and three rivals are few, for this page to be quick; by default there are three seeds and eight rivals.

# %%
found = sx.bench(
    box,
    calls=[3, 5, 8],
    rivals=["DDIM", "DPM-Solver++(2M)", "UniPC-2"],
    seeds=2,
    n=64,
    judging=128,
    folder="bench",
)
print(found)

# %% [markdown]
# The first table is the squared distance of a sample to the fine solution from the same noise, its geometric mean
# over 128 noises on which nothing was learned or chosen; the second the Fréchet distance of all samples to fine
# ones from other noise, with the fine solutions' own line, and the floor that finite samples leave. The third has
# the other measures of all samples. Below 10 % of a distance is rarely seen by eye; look at the samples as well,
# of one noise in each column:

# %%
found.plot(shown=[3, 5])

# %% [markdown]
# ## A measure of your own
#
# What matters of your samples may be none of these. A function of samples and of what they are to be like becomes
# one more column:
#
# ```python
# def ink(samples, reference):
#     return abs(samples.mean() - reference.mean())
#
# found = sx.bench(box, [3, 5, 8], measures={"ink": ink})
# ```

# %% [markdown]
# ## The numbers
#
# Each row tells which schedule was chosen for the rival, seed by seed, and what learning took.

# %%
frame = found.to_pandas()
frame.pivot(index="method", columns="calls", values="geometric_mean").round(
    3
)

# %%
rival = found.best_rival(5)
learned = found.row("learned plan", 5)
gain = rival.estimate("mean").value / learned.estimate("mean").value
print(f"best rival in 5 calls: {rival.method} along {rival.schedule}")
print(f"its mean squared distance is {gain:.0f} times the learned plan's")
print("answers that learning took:", learned.learning[0])

# %% [markdown]
# From the command line, on a file of your own:
#
# ```sh
# specjax bench my_model.py:denoiser --shape 3 32 32 --calls 3 4 5 6 8 10 --folder bench --html bench.html
# ```
#
# Next: [learn the plan that won](own_jax_network.py), [how plans are learned](../plans.md).
