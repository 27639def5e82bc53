# ---
# jupyter:
#   install: ["specjax[sweep]", pandas]
# ---

# %% [markdown]
# # A sweep in pandas
#
# Which sampler needs the fewest calls, and where is learning a schedule worth most? A sweep fits the
# product of spectra, steps, samplers and losses, and its result is a table.

# %%
import matplotlib.pyplot as plt

import specjax as sx

spectra = {
    f"slope {a}": sx.Spectrum.power_law(1024, a).floor(1e-6)
    for a in (1.0, 1.5, 2.0)
}
result = sx.sweep(
    spectra,
    steps=[4, 6, 8, 12, 16],
    samplers=["ddim", "ddpm", "dpmpp_2m"],
    losses=["w2"],
)
table = result.table.to_pandas()
print(len(table), "fits;", int(table.converged.sum()), "converged")
columns = ["spectrum", "sampler", "steps", "value", "best_heuristic"]
table[[*columns, "best_heuristic_value"]].head()

# %% [markdown]
# A fit that did not converge says so, and is left out below:

# %%
print(table[~table.converged].groupby("sampler").size().to_dict())
table = table[table.converged].copy()

# %% [markdown]
# `out="results"` keeps the table in a folder of Parquet files; killed and started again, the sweep goes on
# where it was. `pandas.read_parquet("results/table")` reads it.
#
# ## Where is learning worth most?
#
# Gains of second-order samplers are those on Gaussian data with the ideal denoiser; real networks follow a
# part of the way.

# %%
table["gain"] = table.best_heuristic_value / table.value
table.pivot_table(
    index=["sampler", "steps"], columns="spectrum", values="gain"
).round(2)

# %%
table.groupby("sampler").best_heuristic.agg(
    lambda names: names.value_counts().head(2).to_dict()
)

# %% [markdown]
# ## Loss over calls

# %%
figure, axes = plt.subplots(
    1, 3, figsize=(10, 3), sharey=True, layout="constrained"
)
for axis, (name, group) in zip(
    axes, table.groupby("spectrum"), strict=True
):
    for sampler, rows in group.groupby("sampler"):
        axis.loglog(rows.calls, rows.value, "o-", label=sampler)
    axis.set(title=name, xlabel="denoiser calls")
axes[0].set_ylabel("squared W2")
_ = axes[0].legend()
# %% [markdown]
# ## One schedule of the table
#
# Each row has the levels as logsnr, noisy to clean.

# %%
row = table[
    (table.spectrum == "slope 1.5")
    & (table.sampler == "ddim")
    & (table.steps == 8)
].iloc[0]
schedule = sx.NoiseSchedule(row.logsnr)
print(schedule.sigmas.round(3))
print(
    float(sx.loss(spectra["slope 1.5"], schedule)), "on the full spectrum"
)

# %% [markdown]
# The same with a file, on all devices or machines: [sweeps](../sweeps.md),
# [many machines](../howto/many_machines.md).
