"""Parts of the UNet, for one or two spatial axes, channels last."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

_GROUPS = 32
_SLOWEST, _FASTEST = 1 / 32, 4.0
"""Frequencies of the level's embedding in radians per unit of logsnr, whose range is about 30."""


def norm(channels: int, rngs: nnx.Rngs) -> nnx.GroupNorm:
    """Group norm in float32, of groups of at least four channels."""
    groups = next(g for g in range(min(_GROUPS, max(channels // 4, 1)), 0, -1) if channels % g == 0)
    return nnx.GroupNorm(channels, num_groups=groups, dtype=jnp.float32, rngs=rngs)


def conv(
    inputs: int,
    outputs: int,
    spatial: int,
    *,
    kernel: int = 3,
    stride: int = 1,
    zero: bool = False,
    dtype: Any,
    rngs: nnx.Rngs,
) -> nnx.Conv:
    """A convolution over all spatial axes; ``zero`` starts its kernel at zero."""
    init = nnx.initializers.zeros_init() if zero else nnx.initializers.lecun_normal()
    return nnx.Conv(
        inputs, outputs, (kernel,) * spatial, (stride,) * spatial, kernel_init=init, dtype=dtype,
        rngs=rngs,
    )  # fmt: skip


class NoiseEmbedding(nnx.Module):
    """Features [n, channels] of continuous logsnr [n] and, where there are classes, labels [n]."""

    def __init__(self, width: int, channels: int, classes: int, *, dtype: Any, rngs: nnx.Rngs):
        frequencies = np.geomspace(_SLOWEST, _FASTEST, width // 2)
        self.frequencies = nnx.static(tuple(frequencies.tolist()))
        self.first = nnx.Linear(2 * (width // 2), channels, dtype=dtype, rngs=rngs)
        self.second = nnx.Linear(channels, channels, dtype=dtype, rngs=rngs)
        # One more than the classes: the label of samples whose class is not told.
        self.classes = nnx.Embed(classes + 1, channels, rngs=rngs) if classes else None

    def __call__(self, logsnr: jax.Array, labels: jax.Array | None) -> jax.Array:
        """The features; labels are needed where there are classes."""
        angles = logsnr[:, None] * jnp.asarray(self.frequencies, jnp.float32)
        waves = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1)
        features = self.second(nnx.silu(self.first(waves)))
        if self.classes is not None and labels is not None:
            features = features + self.classes(labels).astype(features.dtype)
        return nnx.silu(features)


class ResidualBlock(nnx.Module):
    """Two convolutions; the level scales and shifts what lies between them (FiLM)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        features: int,
        spatial: int,
        *,
        dropout: float,
        dtype: Any,
        rngs: nnx.Rngs,
    ):
        form: dict[str, Any] = {"dtype": dtype, "rngs": rngs}
        self.norm_in, self.norm_out = norm(inputs, rngs), norm(outputs, rngs)
        self.conv_in = conv(inputs, outputs, spatial, **form)
        self.conv_out = conv(outputs, outputs, spatial, zero=True, **form)
        self.film = nnx.Linear(features, 2 * outputs, **form)
        self.dropout = nnx.Dropout(dropout)
        same = inputs == outputs
        self.shortcut = None if same else conv(inputs, outputs, spatial, kernel=1, **form)

    def __call__(self, x: jax.Array, features: jax.Array, key: jax.Array | None) -> jax.Array:
        """[n, *sides, outputs] of x [n, *sides, inputs] and features [n, features]."""
        h = self.conv_in(nnx.silu(self.norm_in(x)).astype(x.dtype))
        film = self.film(features).reshape(len(x), *(1,) * (x.ndim - 2), -1)
        scale, shift = jnp.split(film, 2, -1)
        h = nnx.silu(self.norm_out(h).astype(x.dtype) * (1 + scale) + shift)
        if key is not None and self.dropout.rate:
            h = self.dropout(h, deterministic=False, rngs=key)
        h = self.conv_out(h)
        return h + (x if self.shortcut is None else self.shortcut(x))


class Attention(nnx.Module):
    """Self-attention over all places."""

    def __init__(self, channels: int, head: int, *, dtype: Any, rngs: nnx.Rngs):
        most = max(1, channels // head)
        self.heads = next(heads for heads in range(most, 0, -1) if channels % heads == 0)
        self.norm = norm(channels, rngs)
        self.qkv = nnx.Linear(channels, 3 * channels, dtype=dtype, rngs=rngs)
        zeros = nnx.initializers.zeros_init()
        self.out = nnx.Linear(channels, channels, kernel_init=zeros, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[n, *sides, channels] of the same."""
        n, *_, channels = x.shape
        h = self.norm(x).astype(x.dtype).reshape(n, -1, channels)
        qkv = self.qkv(h).reshape(n, -1, 3 * self.heads, channels // self.heads)
        q, k, v = jnp.split(qkv, 3, 2)
        h = jax.nn.dot_product_attention(q, k, v).reshape(n, -1, channels)
        return x + self.out(h).reshape(x.shape)


class Downsample(nnx.Module):
    """Half of every side, rounded up."""

    def __init__(self, channels: int, spatial: int, *, dtype: Any, rngs: nnx.Rngs):
        self.conv = conv(channels, channels, spatial, stride=2, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[n, *sides, channels], of x with about twice the sides."""
        return self.conv(x)


class Upsample(nnx.Module):
    """The sides that came before :class:`Downsample`."""

    def __init__(self, channels: int, spatial: int, *, dtype: Any, rngs: nnx.Rngs):
        self.conv = conv(channels, channels, spatial, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array, sides: tuple[int, ...]) -> jax.Array:
        """[n, *sides, channels], of x with about half the sides."""
        for axis, side in enumerate(sides, 1):
            x = jax.lax.slice_in_dim(jnp.repeat(x, 2, axis), 0, side, axis=axis)
        return self.conv(x)
