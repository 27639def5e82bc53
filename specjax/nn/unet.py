"""The network: a UNet for images and sound, conditioned on continuous logsnr.

Its parts take one or two spatial axes, channels last: x [n, *sides, channels].
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

_MOST_GROUPS = 32
"""Groups of a group norm, at most."""

_SLOWEST, _FASTEST = 1 / 32, 4.0
"""Frequencies of the embedding of the level, in radians per unit of logsnr (range about 30)."""


class UNet(nnx.Module):
    """Residual blocks at falling and rising resolutions with skip connections (2006.11239).

    The level enters by FiLM in every block. Residual branches and the output start at zero, so
    that an untrained network returns 0, which EDM's preconditioning makes the best guess.

    Args:
      shape: [*sides, channels] of one sample: (32, 32, 3) for images, (400, 1) for sound; any
        sides, one or two of them.
      width: channels at the first resolution.
      multipliers: channels at each resolution as multiples of the width; each resolution halves the
        sides of the one before.
      blocks: residual blocks at each resolution on the way down (one more on the way up).
      attention: longest sides at which attention follows the blocks, such as (16, 8).
      head: channels of an attention head.
      rngs: Flax's keys, of which the parameters are drawn.
      dropout: its rate, where a key is given.
      classes: how many a conditional network has (0: unconditional).
      dtype: that of the computation; parameters are float32.

    Example:
      >>> unet = nnx.eval_shape(lambda: UNet((8, 8, 1), width=8, rngs=nnx.Rngs(0)))
      >>> sum(p.size for p in jax.tree.leaves(nnx.state(unet)))
      62489
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        width: int = 64,
        multipliers: Sequence[int] = (1, 2),
        blocks: int = 2,
        attention: Sequence[int] = (),
        head: int = 64,
        dropout: float = 0.0,
        classes: int = 0,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        *sides, channels = shape
        self.shape, self.classes, self.dtype = tuple(shape), classes, dtype
        spatial, features = len(sides), 4 * width
        form: dict[str, Any] = {"dtype": dtype, "rngs": rngs}

        def block(inputs: int, outputs: int) -> ResidualBlock:
            return ResidualBlock(inputs, outputs, features, spatial, dropout=dropout, **form)

        def attend(wide: int, side: int) -> Attention | None:
            return Attention(wide, head, **form) if side in attention else None

        self.embedding = NoiseEmbedding(width, features, classes, **form)
        self.enter = conv(channels, width, spatial, **form)
        down: list[Any] = []
        up: list[Any] = []
        wide, skips, longest = width, [width], sides_of_levels(max(sides), len(multipliers))
        for level, multiplier in enumerate(multipliers):
            if level:
                down.append(Downsample(wide, spatial, **form))
                skips.append(wide)
            for _ in range(blocks):
                joined, wide = wide, width * multiplier
                down.append(Stage(block(joined, wide), attend(wide, longest[level])))
                skips.append(wide)
        self.middle = nnx.List(
            [Stage(block(wide, wide), Attention(wide, head, **form) if attention else None),
             Stage(block(wide, wide), None)]
        )  # fmt: skip
        for level, multiplier in reversed(list(enumerate(multipliers))):
            for _ in range(blocks + 1):
                joined = wide + skips.pop()
                wide = width * multiplier
                up.append(Stage(block(joined, wide), attend(wide, longest[level])))
            if level:
                up.append(Upsample(wide, spatial, **form))
        self.down, self.up = nnx.List(down), nnx.List(up)
        self.leave_norm = norm(wide, rngs)
        self.leave = conv(wide, channels, spatial, zero=True, **form)

    def __call__(
        self,
        x: jax.Array,
        logsnr: jax.Array,
        labels: jax.Array | None = None,
        *,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """Return the network's answer [n, *shape] in float32.

        Args:
          x: [n, *shape]. logsnr: [n] or one for all. labels: [n], from 0; ``classes`` or None
            where the class is withheld. key: for dropout; without it nothing is dropped.
        """
        n = len(x)
        level = jnp.broadcast_to(jnp.reshape(jnp.asarray(logsnr, jnp.float32), (-1,)), (n,))
        if self.classes and labels is None:
            labels = jnp.full(n, self.classes)
        features = self.embedding(level, labels)
        keys = _keys(key)
        x = self.enter(x.astype(self.dtype))
        skips = [x]
        for part in self.down:
            x = part(x) if isinstance(part, Downsample) else part(x, features, next(keys))
            skips.append(x)
        for part in self.middle:
            x = part(x, features, next(keys))
        for part in self.up:
            if isinstance(part, Upsample):
                x = part(x, skips[-1].shape[1:-1])
            else:
                x = part(jnp.concatenate([x, skips.pop()], -1), features, next(keys))
        out = self.leave(nnx.silu(self.leave_norm(x)).astype(self.dtype))
        return out.astype(jnp.float32)


def sides_of_levels(longest: int, levels: int) -> list[int]:
    """Return the longest side at each resolution: halves, rounded up."""
    sides = [longest]
    while len(sides) < levels:
        sides.append(-(-sides[-1] // 2))
    return sides


class Stage(nnx.Module):
    """A residual block and, at some resolutions, attention."""

    def __init__(self, block: ResidualBlock, attention: Attention | None):
        self.block, self.attention = block, attention

    def __call__(self, x: jax.Array, features: jax.Array, key: jax.Array | None) -> jax.Array:
        """Map x [n, *sides, inputs] and features [n, features] to [n, *sides, outputs]."""
        x = self.block(x, features, key)
        return x if self.attention is None else self.attention(x)


def _keys(key: jax.Array | None) -> Iterator[jax.Array | None]:
    """Yield a key for each block, or None for each."""
    for count in itertools.count():
        yield None if key is None else jax.random.fold_in(key, count)


def norm(channels: int, rngs: nnx.Rngs) -> nnx.GroupNorm:
    """Make a group norm in float32, of groups of at least four channels."""
    groups = next(
        g for g in range(min(_MOST_GROUPS, max(channels // 4, 1)), 0, -1) if channels % g == 0
    )
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
    """Make a convolution over all spatial axes; ``zero`` starts its kernel at zero."""
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
        # One more than the classes: the label of samples whose class is withheld.
        self.classes = nnx.Embed(classes + 1, channels, rngs=rngs) if classes else None

    def __call__(self, logsnr: jax.Array, labels: jax.Array | None) -> jax.Array:
        """Return the features; labels are needed where there are classes."""
        angles = logsnr[:, None] * jnp.asarray(self.frequencies, jnp.float32)
        waves = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1)
        features = self.second(nnx.silu(self.first(waves)))
        if self.classes is not None and labels is not None:
            features = features + self.classes(labels).astype(features.dtype)
        return nnx.silu(features)


class ResidualBlock(nnx.Module):
    """Two convolutions; the level scales and shifts the values between them (FiLM)."""

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
        """Map x [n, *sides, inputs] and features [n, features] to [n, *sides, outputs]."""
        h = self.conv_in(nnx.silu(self.norm_in(x)).astype(x.dtype))
        film = self.film(features).reshape(len(x), *(1,) * (x.ndim - 2), -1)
        scale, shift = jnp.split(film, 2, -1)
        h = nnx.silu(self.norm_out(h).astype(x.dtype) * (1 + scale) + shift)
        if key is not None and self.dropout.rate:
            h = self.dropout(h, deterministic=False, rngs=key)
        h = self.conv_out(h)
        return h + (x if self.shortcut is None else self.shortcut(x))


class Attention(nnx.Module):
    """Self-attention over all positions."""

    def __init__(self, channels: int, head: int, *, dtype: Any, rngs: nnx.Rngs):
        most = max(1, channels // head)
        self.heads = next(heads for heads in range(most, 0, -1) if channels % heads == 0)
        self.norm = norm(channels, rngs)
        self.qkv = nnx.Linear(channels, 3 * channels, dtype=dtype, rngs=rngs)
        zeros = nnx.initializers.zeros_init()
        self.out = nnx.Linear(channels, channels, kernel_init=zeros, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [n, *sides, channels] to the same shape."""
        n, *_, channels = x.shape
        h = self.norm(x).astype(x.dtype).reshape(n, -1, channels)
        qkv = self.qkv(h).reshape(n, -1, 3 * self.heads, channels // self.heads)
        q, k, v = jnp.split(qkv, 3, 2)
        h = jax.nn.dot_product_attention(q, k, v).reshape(n, -1, channels)
        return x + self.out(h).reshape(x.shape)


class Downsample(nnx.Module):
    """A strided convolution that halves every side, rounded up."""

    def __init__(self, channels: int, spatial: int, *, dtype: Any, rngs: nnx.Rngs):
        self.conv = conv(channels, channels, spatial, stride=2, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map x [n, *sides, channels] to about half the sides."""
        return self.conv(x)


class Upsample(nnx.Module):
    """Repeated numbers and a convolution, back to the sides before :class:`Downsample`."""

    def __init__(self, channels: int, spatial: int, *, dtype: Any, rngs: nnx.Rngs):
        self.conv = conv(channels, channels, spatial, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array, sides: tuple[int, ...]) -> jax.Array:
        """Map x with about half the sides to [n, *sides, channels]."""
        for axis, side in enumerate(sides, 1):
            x = jax.lax.slice_in_dim(jnp.repeat(x, 2, axis), 0, side, axis=axis)
        return self.conv(x)
