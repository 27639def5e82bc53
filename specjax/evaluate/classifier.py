"""The network whose features are compared: a small convolutional classifier of images or sound."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx

from specjax._core.checks import UserError
from specjax.evaluate.classifier_features import Architecture

_SMALLEST_SIDE = 4
"""Strided convolutions follow each other until no side is longer, so that positions still count."""

_MAX_WIDENING = 4
"""Channels double with every stride, up to that many times the width."""


class Classifier(nnx.Module):
    """A convolution, several with a stride, the layer of features, a linear layer to the classes.

    Kernels are 3x3 with stride 2 for images, 9 with stride 4 for sound, which covers as much. The
    features are the activations (GELU) of the dense layer before the classes.
    """

    def __init__(self, architecture: Architecture, *, rngs: nnx.Rngs):
        sides, channels = list(architecture.sides), architecture.channels
        kernel, stride = (3, 2) if len(sides) == 2 else (9, 4)
        width = architecture.width
        blocks = [Block(channels, width, (kernel,) * len(sides), 1, rngs)]
        while len(blocks) == 1 or max(sides) > _SMALLEST_SIDE:
            wider = min(2 * width, _MAX_WIDENING * architecture.width)
            blocks.append(Block(width, wider, (kernel,) * len(sides), stride, rngs))
            sides, width = [-(-side // stride) for side in sides], wider
        self.blocks = nnx.List(blocks)
        self.gather = nnx.Linear(math.prod(sides) * width, architecture.features, rngs=rngs)
        self.decide = nnx.Linear(architecture.features, architecture.classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Map samples [n, *sides, C] to features [n, f] and logits of the classes [n, classes]."""
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
        """Map samples [n, *sides, inputs] to [n, *sides, outputs]."""
        return nnx.gelu(self.norm(self.conv(x)))


def parameters_by_path(state: nnx.State) -> dict[str, np.ndarray]:
    """Return the parameters of a classifier by path, such as "blocks/0/conv/kernel"."""
    flat = nnx.to_flat_state(state)
    return {"/".join(map(str, path)): np.asarray(leaf.get_value()) for path, leaf in flat}


def restore(architecture: Architecture, parameters: Mapping[str, np.ndarray]) -> tuple[Any, Any]:
    """Return the graph of a classifier, and its state with parameters by path.

    Raises:
      UserError: if they are not those of that architecture.
    """
    graph, state = nnx.split(nnx.eval_shape(lambda: Classifier(architecture, rngs=nnx.Rngs(0))))
    flat = {"/".join(map(str, path)): leaf for path, leaf in nnx.to_flat_state(state)}
    shapes = {path: leaf.get_value().shape for path, leaf in flat.items()}
    if shapes != {path: np.shape(array) for path, array in parameters.items()}:
        raise UserError(f"the parameters are not those of {architecture}")
    for path, leaf in flat.items():
        leaf.set_value(np.float32(parameters[path]))
    return graph, state
