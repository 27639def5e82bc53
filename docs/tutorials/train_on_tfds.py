# ---
# jupyter:
#   requires: [tensorflow_datasets, flax, tfds:fashion_mnist]
#   install: ["specjax[train,tfds]", tensorflow]
# ---

# %% [markdown]
# # Train the UNet on a TFDS set
#
# From a prepared TensorFlow dataset to a trained network, its samples and their distance. The training here
# is very short, to run on two CPU cores in a minute; the options for a real one are at the end.

# %% [markdown]
# ## Prepare the set
#
# Once, and only this needs TensorFlow; specjax reads the files without it, and downloads nothing.

# %%
# # !tfds build fashion_mnist --file_format=array_record

# %%
import matplotlib.pyplot as plt
import numpy as np

import specjax as sx
from specjax.nn import ModelConfig, OptimiserConfig, TrainConfig

clothes = sx.data.open("tfds:fashion_mnist", limit=2000)
spectrum = clothes.spectrum()
print(spectrum.dimension, "numbers a picture, in [-1, 1]")

# %% [markdown]
# ## Train

# %%
config = TrainConfig(
    model=ModelConfig(width=8, multipliers=(1, 2), blocks=1),
    optimiser=OptimiserConfig(
        updates=60, batch=32, warmup=10, learning_rate=2e-3
    ),
)
run = sx.nn.train(clothes, "runs/clothes", config)

# %% [markdown]
# `runs/clothes` has checkpoints, metrics and previews; killed and started again, the training goes on where it
# was. `specjax train tfds:fashion_mnist --out runs/clothes` is the same from the command line.
#
# ## Sample along a learned schedule

# %%
run = sx.nn.open_run("runs/clothes")
denoise = run.denoiser()
fit = sx.fit(spectrum, steps=10)
samples = sx.generate(fit.plan, denoise, 24, run.shape, seed=0)
figure, axes = plt.subplots(2, 12, figsize=(9, 1.8))
for axis, picture in zip(axes.flat, np.asarray(samples), strict=True):
    axis.imshow(picture.squeeze(), cmap="gray", vmin=-1, vmax=1)
    axis.axis("off")

# %% [markdown]
# A network of 60 updates makes textures; after some thousand they are clothes.
#
# ## Measure
#
# Every number comes with its error and its floor, real against real at the same n.

# %%
drawn = sx.generate(fit.plan, denoise, 100, run.shape, seed=1)
found = sx.evaluate.evaluate(
    drawn, clothes, measures=("frechet", "spectrum"), n=100, pca=32
)
for name, value in found.values.items():
    print(
        f"{name}: {value.value:.3f} ± {value.error:.3f}   floor {found.floor[name].value:.3f}"
    )

# %% [markdown]
# ## For real
#
#     specjax train tfds:fashion_mnist --out runs/clothes --width 64 --multipliers 1 2 2 \
#       --updates 20000 --batch 128 --flip
#
# On a GPU or TPU add `--precision bfloat16` and a batch that divides by the number of devices; nothing else
# changes. [Networks](../networks.md) has all options.
