# %% [markdown]
# # A flow model
#
# A network of flow matching sees `x_t = (1 - t) x0 + t eps` and answers with the velocity `eps - x0`, from pure
# noise at t = 1 to data at t = 0 (SD3, Flux, Wan). Here it becomes a denoiser, its times are chosen from the
# spectrum of the data, and a plan of five calls is learned through it.

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np

import specjax as sx

# %% [markdown]
# ## The network
#
# Yours goes here: `velocity(x, t)` on x [n, ...] at one time t. This one is the exact velocity of scikit-learn's
# digits, each widened a little: what a network trained on them would learn if it could.

# %%
images = sx.data.open("digits")
exact = jax.jit(sx.priors.prior_of("empirical", images))


def velocity(x, t):
    """Return eps - x0, estimated at x = (1 - t) x0 + t eps."""
    return (x - exact(x, 1 - t, t)) / t


denoise = sx.from_flow(velocity)

# %% [markdown]
# A network that is called at 1,000 t, as SD3's is, is `sx.from_flow(network, level=lambda s: 1000 * s / (1 + s))`:
# `level` gets sigma / alpha = t / (1 - t). For a pipeline of diffusers
# [`learn(pipe, ...)`](../howto/diffusers_scheduler.md) does all of this.
#
# ## Times
#
# `process="flow"` starts at pure noise, t = 1. The shift multiplies t / (1 - t); the best one for this spectrum,
# and the best times of all for DDIM, which in flow matching is Euler's method:

# %%
spectrum = images.spectrum()
steps = 5
best = sx.best_shift(spectrum, steps)
schedules = {
    "shift 1": sx.family("flow", steps),
    "shift 3": sx.family("flow", steps, shift=3.0),
    f"best shift, {best.shift:.2f}": sx.family(
        "flow", steps, shift=best.shift
    ),
    "learned": sx.fit(spectrum, steps, process="flow").schedule,
}
for name, schedule in schedules.items():
    loss = sx.loss(spectrum, schedule, process="flow")
    print(f"{name}: {np.round(schedule.flow_time, 3)}, W2 loss {loss:.2f}")

# %% [markdown]
# ## A plan through the network
#
# Levels and solver coefficients together, by the network's answers alone:

# %%
network = sx.priors.Network(denoise, (8, 8))
learned = sx.learn(network, steps, process="flow", n=64)
print(learned)

# %%
fine = sx.plan("dpmpp_2m", sx.family("flow", 64), "flow")
plans = {
    f"learned, {steps} calls": learned.plan,
    f"Euler, {steps} calls, best shift": sx.plan(
        "ddim", sx.family("flow", steps, shift=best.shift), "flow"
    ),
    f"UniPC, {steps} calls, best shift": sx.plan(
        "unipc", sx.family("flow", steps, shift=best.shift), "flow"
    ),
    "fine, 64 calls": fine,
}
drawn = {
    name: np.asarray(sx.generate(plan, denoise, 256, (8, 8), seed=0))
    for name, plan in plans.items()
}
truth = drawn["fine, 64 calls"]
for name, samples in drawn.items():
    distance = np.median(((samples - truth) ** 2).sum((1, 2)))
    print(f"{name}: {distance:.3f}")

# %% [markdown]
# Median squared distances to the fine solution, from the same noise. The pictures:

# %%
figure, axes = plt.subplots(4, 10, figsize=(9, 4.2), layout="constrained")
for line, (name, samples) in zip(axes, drawn.items(), strict=True):
    for axis, picture in zip(line, samples, strict=False):
        axis.imshow(picture, cmap="gray", vmin=-1, vmax=1)
        axis.axis("off")
    line[0].set_title(name, loc="left", fontsize=9)

# %% [markdown]
# Next: [what shift does, and for which resolution which](../concepts/shift.md),
# [flow matching and pure noise](../concepts/flow.md), [guidance](guidance.py).
