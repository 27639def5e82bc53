# %% [markdown]
# # Your own sampler and loss
#
# A sampler is a table of numbers, one row per denoiser call. Write the rows, and the exact transfer, the
# fit, the comparison with all heuristics and sampling through a network follow.

# %%
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

import specjax as sx
from specjax.sampling.scaled import LevelSteps, ScaledRows

# %% [markdown]
# ## A sampler with a memory
#
# In the scaled coordinate r = x / alpha, with the level s = sigma / alpha and the denoiser's answer d, DDIM
# steps from s to s' by
#
#     r' = (s' / s) r + (1 - s' / s) d.
#
# Let us lean on the last answer as well, d + m (d - d_last), with a momentum m. That needs a second register,
# which holds d_last: row k of `keep` [K, 2, 2] and `pull` [K, 2] says what both registers become.


# %%
@dataclass(frozen=True)
class Momentum:
    """DDIM that extrapolates from the last answer."""

    momentum: float = 0.5
    name: str = "momentum"

    def rows(self, steps: LevelSteps) -> ScaledRows:
        """Return the rows of S steps; traced by JAX in fits."""
        xp = steps.xp  # numpy or jax.numpy
        ratio = xp.where(steps.last, 0.0, steps.s_next / steps.s)
        m = xp.where(
            steps.last | (steps.age < 1), 0.0, self.momentum
        )  # no past at the first
        zero = 0 * ratio
        sample = [
            ratio,
            -(1 - ratio) * m,
        ]  # what the sample takes of (sample, last answer)
        memory = [zero, zero]  # the memory forgets both
        keep = xp.stack([xp.stack(sample, -1), xp.stack(memory, -1)], -2)
        pull = xp.stack(
            [(1 - ratio) * (1 + m), zero + 1], -1
        )  # and keeps the new answer
        return ScaledRows(
            steps.now, steps.now, steps.after, keep, pull, 0 * pull, holds_sample=(True, False)
        )  # fmt: skip


# %% [markdown]
# ## Check it
#
# Without momentum it must be DDIM, to rounding:

# %%
spectrum = sx.data.open("digits").spectrum()
cosine = sx.family("cosine", 8)
for m in (0.0, 0.25, 0.5):
    print(m, float(sx.loss(spectrum, cosine, sampler=Momentum(m))))
assert np.isclose(
    sx.loss(spectrum, cosine, sampler=Momentum(0.0)),
    sx.loss(spectrum, cosine, sampler="ddim"),
)

# %% [markdown]
# The transfer is exact, and agrees with samples drawn through Wiener's filter:

# %%
plan = sx.plan(Momentum(0.5), cosine)
predicted = np.asarray(sx.transfer(plan, spectrum).variance).sum()
samples = sx.sample(
    plan, sx.wiener(spectrum), jax.random.key(0), (4000, 8, 8)
)
print(
    "variance, predicted and drawn:", predicted, float(samples.var(0).sum())
)

# %% [markdown]
# ## Fit levels for it

# %%
for steps in (5, 8):
    mine = sx.fit(spectrum, steps, sampler=Momentum(0.5))
    ddim = sx.fit(spectrum, steps, sampler="ddim")
    print(steps, f"momentum {mine.value:.4f}   ddim {ddim.value:.4f}")

# %% [markdown]
# Gains of samplers that extrapolate are those on Gaussian data with the ideal denoiser: a network makes errors,
# which are extrapolated as well. `sx.fit(..., denoiser_error=0.1)` counts them; so does a fit without it for the
# package's own, and for a sampler that has an attribute `denoiser_error`.

# %%
careful = sx.fit(spectrum, 8, sampler=Momentum(0.5), denoiser_error=0.1)
print(f"momentum {careful.value:.4f}", np.round(careful.schedule.sigmas, 2))

# %% [markdown]
# ## A loss of your own
#
# A loss is a distance per eigenvalue: of variances (`spread`), and the weight of an error of the mean (`shift`).
# `importance` says how much a small error of log std counts, for the closed-form start. The squared
# Hellinger distance of two centred Gaussians:


# %%
def spread(lam, moments):
    """Compute 1 - sqrt(2 a b / (a^2 + b^2)) of the standard deviations."""
    return 1 - jnp.sqrt(
        2 * jnp.sqrt(lam) * moments.std / (lam + moments.variance)
    )


hellinger = sx.Loss(
    "hellinger",
    spread=spread,
    shift=lambda lam, moments: 0 * lam,
    importance=lambda lam: 0 * lam + 0.5,
    counts_mean=False,
    needs_positive=True,
)
lifted = spectrum.floor(1e-3)  # it is infinite where an eigenvalue is zero
by_w2 = sx.fit(lifted, 8).schedule
by_hellinger = sx.fit(lifted, 8, loss=hellinger)
print("learned by Hellinger:", by_hellinger.value)
print(
    "learned by W2:       ", float(sx.loss(lifted, by_w2, loss=hellinger))
)

# %% [markdown]
# Hellinger's distance counts every direction alike, W2 those of large variance most, so the levels differ:

# %%
print(np.round(by_w2.sigmas, 3))
print(np.round(by_hellinger.schedule.sigmas, 3))

# %% [markdown]
# [Add a sampler, a loss, a family](../howto/extend.md) has schedule families, priors and export targets.
