# %% [markdown]
# # What should I use for my data?
#
# sigma_min, sigma_max, sigma_data, P_mean, P_std, betas, a flow shift, a number of steps: the spectrum of
# the data has something to say about each. `sx.advise` says it, with a reason and an error for each number.

# %%
import numpy as np

import specjax as sx

digits = sx.data.open(
    "digits"
)  # or a folder, a .npy file, an array [N, ...]
advice = sx.advise(digits, steps=[8, 20])
print(advice)

# %% [markdown]
# The page is the same as that of `specjax advise digits --steps 8 20`. A star marks what rests on the
# Gaussian alone: on the covariance of the data, and nothing else of them.

# %% [markdown]
# ## Into a configuration
#
# By the names of EDM, of VP with linear betas, or of flow matching. What is best by steps is a
# dictionary over them.

# %%
for framework in ("edm", "vp", "flow"):
    print(framework, advice.configuration(framework))

# %% [markdown]
# P_mean and P_std are those of log sigma. The time of flow matching is `t = sigma / (1 + sigma)`, so that
# `logit t = log sigma`: SD3's logit-normal density has the same two numbers.

# %% [markdown]
# ## EDM's own values
#
# EDM (2206.00364) tuned its numbers on cifar10. `specjax advise tfds:cifar10 --steps 18` says:
#
# | | sigma_data | sigma_min | sigma_max | rho | P_mean | P_std |
# |---|---|---|---|---|---|---|
# | EDM | 0.5 | 0.002 | 80 | 7 | -1.2 | 1.2 |
# | advised | 0.502 | 0.0019 | 77.7 | 5.9 | -0.91 | 2.06 |
#
# The range and sigma_data are the same to 5 %. The density has nearly the same middle (a factor of 1.3 in sigma) and
# is wider: it counts all that the ideal denoiser of a Gaussian gains at a level, down to the least eigenvalues.
# EDM took the levels at which the loss of a network was seen to fall, and a network gains little where next to no
# noise is left.

# %% [markdown]
# ## Levels to train on
#
# The density of levels is in proportion to what is there to be learned: how far below that of white data
# the least loss of a denoiser can fall. It is no log-normal; draw from its quantiles
# (`specjax train --noise-levels advised` does). On the digits that trained a network as good as EDM's
# default density did, and a log-normal with P_mean and P_std a worse one
# ([numbers](../../experiments/level_distribution/README.md)).

# %%
from specjax.advise.advice import QUANTILES

draws = np.interp(
    np.random.default_rng(0).random(100_000),
    QUANTILES,
    np.log(advice.quantiles),
)
print(f"mean {draws.mean():.2f}, standard deviation {draws.std():.2f}")

# %% [markdown]
# ## Ends for a fit
#
# The noisy end that suits 8 steps is far from DDPM's. On the command line: `--ends auto`.

# %%
best = advice.by_steps[0]
spectrum = digits.spectrum()
for ends in ((4.0358e-5, 1.0), best.alpha_bar_range):
    print(ends[0], float(sx.fit(spectrum, 8, alpha_bar_range=ends).value))

# %% [markdown]
# ## Data far from zero
#
# A start from N(0, I) misses the mean of the data, and W2 counts it. `mean_share` tells how much of the
# loss that is; `mean="ignore"` fits the fluctuations alone, and `sx.sample(..., mean=...)` starts at the
# marginal's mean, where the bias is exactly zero for any levels.

# %%
far = sx.Spectrum(spectrum.eigenvalues, mean=spectrum.mean * 10)
task = sx.GaussianTask.resolve(far)
schedule = sx.family("cosine", 8, alpha_bar_range=(1e-3, 1.0))
print(f"the mean's share of the loss: {task.mean_share(schedule):.0%}")
plan = sx.plan("ddim", schedule)
bias = 1 - sx.transfer(plan, far, starts_at_mean=True).mean_gain
print(f"bias of a start at the mean: {abs(bias).max()}")
