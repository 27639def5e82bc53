# %% [markdown]
# # Noise with a spectrum
#
# The schedule decides when noise is removed, the noise's own covariance where in the spectrum.
# [Noise with a spectrum](../noise.md) has the definitions; here it is seen at work.

# %%
import matplotlib.pyplot as plt
import numpy as np

import specjax as sx

digits = sx.data.open("digits")
spectrum = digits.spectrum(
    method="shift-invariant"
)  # in the Fourier basis, as the noise

# %% [markdown]
# ## What it looks like
#
# Standard deviations fall with the radial frequency, w = (r + 0.01)^exponent: more noise where images
# have more power.

# %%
noises = {
    a: sx.noise_spectrum("power_law", (32, 32), exponent=a)
    for a in (0.3, 0.0, -0.3, -0.6)
}
white = np.random.default_rng(0).normal(size=(32, 32))
figure, axes = plt.subplots(1, 4, figsize=(9, 2.5))
for axis, (exponent, noise) in zip(axes, noises.items(), strict=True):
    axis.imshow(noise.color(white), cmap="gray")
    axis.set_title(f"exponent {exponent}")
    axis.axis("off")

# %% [markdown]
# ## What a schedule sees
#
# In units of the noise the data have the effective eigenvalues lambda / nu. Everything that holds under
# white noise holds for them.

# %%
noise = sx.noise_spectrum("power_law", (8, 8), exponent=-0.06)
under = sx.effective(spectrum, noise)
white_fit = sx.fit(spectrum, steps=5)
fit = sx.fit(spectrum, steps=5, noise=noise)
print(
    f"white noise: {white_fit.value:.3f}   this noise: {fit.value:.3f}   (w2, in units of the data)"
)

# %% [markdown]
# ## Learned with the schedule
#
# The exponent and the levels together, by gradients through the same closed form:

# %%
found = sx.fit_noise(spectrum, 5, family="power_law", learn=("exponent",))
print(found.noise.name, f"w2 = {found.value:.3f}")

# %% [markdown]
# For Gaussian data the best noise has the spectrum of the data, trivially; what a noise is worth only a
# network shows that was trained with it: `specjax train digits --out runs/pink --noise power-law
# --noise-exponent -0.06`. The measurements are not in its favour so far
# ([experiments](../../experiments/anisotropic_noise/README.md)).
#
# ## Samples
#
# `generate` draws the noise of the process where it is named. Wiener's filter stands for a network here.

# %%
samples = sx.generate(
    fit.plan, sx.wiener(under), 2000, (8, 8), noise=noise, seed=0
)
power = sx.evaluate.band_power(samples, sx.data.drawn(digits, 1797).samples)
print("generated over real, dB:", np.round(power.decibel, 2))

# %%
figure, axis = plt.subplots(figsize=(6, 3))
for label, plan, seen in (
    ("white", white_fit.plan, spectrum),
    ("exponent -0.06", fit.plan, under),
):
    unit = 1 if seen.whitening is None else seen.whitening.variance
    ratio = sx.transfer(plan, seen).std / np.sqrt(seen.eigenvalues)
    axis.semilogx(seen.eigenvalues * unit, ratio, ".", label=label)
axis.set(xlabel="eigenvalue of the data", ylabel="std, generated over true")
_ = axis.legend()
# %% [markdown]
# Files keep the noise that they are for, and one for another noise is refused:

# %%
sx.save("pink.json", fit)
print(sx.load("pink.json").noise.name)
