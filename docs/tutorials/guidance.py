# %% [markdown]
# # Guidance on the digits
#
# A guided denoiser asks a network twice in each call. Here a plan is learned for it in which every call has a
# weight of its own and some calls need one answer: with 8 answers it comes closer to the fine solution than
# the best of the heuristic plans with 12.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import specjax as sx

digits = sx.data.open("digits")
images = sx.data.rescaled(digits.samples, digits.data_range)
images = np.asarray(images, np.float32).reshape(-1, 64)

# %% [markdown]
# ## Two denoisers in one
#
# In place of a network there is the exact denoiser of the dataset, each image widened by a kernel of width h:
# a mean of the images, weighted by how likely each one became x, and by Wiener's filter what the kernel adds. Told
# a class, it takes the images of that class; told 10, all. A network that was trained with labels withheld at
# times has such a label, too, or an empty prompt.

# %%
ANY, h = 10, 0.4


def estimate(images, classes, x, alpha, sigma, told):
    """Estimate the images behind x [n, 64], of the classes told [n]."""
    y, s = x / alpha, sigma / alpha
    far = (y**2).sum(-1)[:, None] - 2 * y @ images.T + (images**2).sum(-1)
    among = (told[:, None] == classes) | (told[:, None] == ANY)
    share = jax.nn.softmax(
        jnp.where(among, -far / (2 * (s**2 + h**2)), -jnp.inf)
    )
    mean = share @ images
    return mean + h**2 / (h**2 + s**2) * (y - mean)


network = jax.tree_util.Partial(
    estimate, jnp.asarray(images), jnp.asarray(digits.labels)
)
guided = sx.guided(network, null=np.int32(ANY), weight=3.0)

# %% [markdown]
# The denoiser is `d_u + w (d_c - d_u)`: `guided(x, alpha, sigma, labels)`, and `weight=` for another w. Two separate
# networks are `sx.guided(conditional, unconditional, 3.0)`, and each may be a `sx.BlackBox`. More weight gives more
# typical digits, and less variety:

# %%
labels = np.repeat([3, 5], 8)
fine = sx.plan("dpmpp_2m", sx.family("karras", 100))


def row(axis, samples, title):
    """Draw samples [n, 64] side by side."""
    tiles = np.hstack([one.reshape(8, 8) for one in samples])
    axis.imshow(tiles, cmap="gray_r", vmin=-1, vmax=1)
    axis.set_title(title, fontsize=9, loc="left")
    axis.axis("off")


figure, axes = plt.subplots(3, figsize=(9, 3.2), layout="constrained")
for axis, weight in zip(axes, (0.0, 1.0, 3.0), strict=True):
    denoise = sx.guided(network, null=np.int32(ANY), weight=weight)
    row(
        axis,
        sx.generate(fine, denoise, 16, (64,), labels=labels),
        f"weight {weight:g}",
    )

# %% [markdown]
# ## A plan within 8 calls of the network
#
# Five calls of the denoiser within eight of the network: three are guided, two are not. Which ones, and with what
# weights, is learned with the levels and coefficients, so that the plan ends where the fine solution with weight 3
# does. The classes are shared out among the noises that it is learned on.

# %%
prior = sx.priors.Network(
    guided, (64,), spectrum=sx.Spectrum.from_samples(images)
)
classes = np.arange(10)
learned = sx.learn(prior, 5, network_calls=8, labels=classes)
print(learned)

# %% [markdown]
# ## Quality over network calls
#
# The same for other numbers of calls, beside the best heuristic plan with constant guidance (two answers in each
# call) and a plan that was learned with a constant weight. All are geometric means of squared distances to the fine
# solutions, on noise that neither learned nor chose.

# %%
constant = ("levels", "ratios", "weights")
print(
    f"{'network calls':>13} {'heuristic':>10} {'constant':>10} {'weights':>10}"
)
for calls, steps in ((6, 4), (8, 5), (12, 7)):
    plain = sx.learn(prior, calls // 2, groups=constant, labels=classes)
    free = learned
    if calls != 8:
        free = sx.learn(prior, steps, network_calls=calls, labels=classes)
    values = min(free.baselines.values()), plain.value, free.value
    print(f"{calls:13}", *(f"{np.exp(x):10.4f}" for x in values))

# %% [markdown]
# ## Draw by it
#
# The plan holds the weights, so it runs with the same denoiser; a weight of 1 is one call of the network. All rows
# start from the same noise.

# %%
best = min(learned.baselines, key=learned.baselines.get)
sampler, family = best.split()
levels = (
    sx.spectral(prior.spectrum, 4)
    if family == "spectral"
    else sx.family(family, 4)
)
plans = {
    "fine solution, 200 network calls": fine,
    f"learned, {learned.plan.network_calls} network calls": learned.plan,
    f"{best}, 8 network calls": sx.plan(sampler, levels),
}
figure, axes = plt.subplots(3, figsize=(9, 3.2), layout="constrained")
for axis, (title, plan) in zip(axes, plans.items(), strict=True):
    row(
        axis,
        sx.generate(plan, guided, 16, (64,), labels=labels, seed=1),
        title,
    )

# %% [markdown]
# `sx.save("plan.json", learned)` keeps it, weights included; on the command line it is
# `specjax learn runs/x --labels 3 5 --guidance 3 --steps 5 --network-calls 8`, for a run that was trained with
# `--conditional`. What happens inside: [guidance](../concepts/guidance.md).
