"""The network whose features are compared: a small convolutional classifier of images or sound."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx

from specjax.evaluate.grid import Form, grid

_SMALLEST_SIDE = 4
"""Strides go on until no side is longer: what is where still counts there."""

_WIDEST = 4
"""Channels double with every stride, up to that many times the width."""


class Classifier(nnx.Module):
    """A convolution; some with a stride; then the features; then a line to the classes.

    Kernels are 3x3 with stride 2 for images, 9 with stride 4 for sound, which covers as much. The
    features are the activations (GELU) of the dense layer before the classes.
    """

    def __init__(self, form: Form, *, rngs: nnx.Rngs):
        sides, channels = grid(form.shape)
        spatial = len(sides)
        kernel, stride = (3, 2) if spatial == 2 else (9, 4)
        wide = form.width
        blocks = [Block(channels, wide, (kernel,) * spatial, 1, rngs)]
        while len(blocks) == 1 or max(sides) > _SMALLEST_SIDE:
            wider = min(2 * wide, _WIDEST * form.width)
            blocks.append(Block(wide, wider, (kernel,) * spatial, stride, rngs))
            sides, wide = [-(-side // stride) for side in sides], wider
        self.blocks = nnx.List(blocks)
        self.gather = nnx.Linear(math.prod(sides) * wide, form.features, rngs=rngs)
        self.decide = nnx.Linear(form.features, form.classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Features [n, f] and log-odds of the classes [n, classes] of samples [n, *sides, C]."""
        for block in self.blocks:
            x = block(x)
        features = nnx.gelu(self.gather(x.reshape(len(x), -1)))
        return features, self.decide(features)


class Block(nnx.Module):
    """A convolution, normalised in groups of eight channels or more; of fewer, all together."""

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, ...], stride: int, rngs: nnx.Rngs
    ):
        self.conv = nnx.Conv(inputs, outputs, kernel, (stride,) * len(kernel), rngs=rngs)
        groups = math.gcd(outputs, max(1, outputs // 8))
        self.norm = nnx.GroupNorm(outputs, num_groups=groups, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Samples [n, *sides, outputs] of samples [n, *sides, inputs]."""
        return nnx.gelu(self.norm(self.conv(x)))


def initial(form: Form, seed: int) -> tuple[Any, Any]:
    """The definition of a classifier and its random parameters, nested by names."""
    definition, state = nnx.split(Classifier(form, rngs=nnx.Rngs(seed)))
    return definition, nnx.to_pure_dict(state)


def apply(definition: Any, parameters: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Features and log-odds; see :class:`Classifier`."""
    model = nnx.merge(definition, nnx.State(parameters))
    features, odds = model(x)
    return features, odds


def flattened(parameters: Any) -> dict[str, np.ndarray]:
    """Parameters by path, such as "blocks/0/conv/kernel"."""
    leaves = jax.tree_util.tree_flatten_with_path(parameters)[0]
    return {_path(keys): np.asarray(value) for keys, value in leaves}


def restored(form: Form, arrays: Mapping[str, np.ndarray]) -> tuple[Any, Any]:
    """The definition of a classifier and the parameters that :func:`flattened` gave.

    Raises:
      ValueError: if they are not those of that form.
    """
    definition, state = nnx.split(nnx.eval_shape(lambda: Classifier(form, rngs=nnx.Rngs(0))))
    leaves, tree = jax.tree_util.tree_flatten_with_path(nnx.to_pure_dict(state))
    wanted = {_path(keys): leaf.shape for keys, leaf in leaves}
    if wanted != {name: array.shape for name, array in arrays.items()}:
        raise ValueError(f"the parameters are not those of {form}")
    return definition, jax.tree.unflatten(tree, [np.float32(arrays[name]) for name in wanted])


def _path(keys: Any) -> str:
    return "/".join(str(key.key) for key in keys)
