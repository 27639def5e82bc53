"""The network: a UNet for images and sound, conditioned on continuous logsnr."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from specjax.nn.layers import (
    Attention,
    Downsample,
    NoiseEmbedding,
    ResidualBlock,
    Upsample,
    conv,
    norm,
)


class UNet(nnx.Module):
    """Residual blocks at falling and rising resolutions with skip connections (2006.11239).

    The level enters by FiLM in every block. Residual branches and the output start at zero, so
    that an untrained network returns 0, which EDM's preconditioning makes the best guess.

    Args:
      shape: [*sides, channels] of one sample: (32, 32, 3) for images, (400, 1) for sound; any
        sides, one or two of them.
      width: channels at the first resolution. multipliers: of the width at each resolution, every
        one half of the last. blocks: at each resolution on the way down (one more on the way up).
      attention: longest sides at which attention follows the blocks, such as (16, 8).
      head: channels of an attention head. dropout: its rate, where a key is given.
      classes: of a conditional network (0: unconditional). dtype: of the computation; parameters
        are float32.

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
        """The network's answer [n, *shape] in float32.

        Args:
          x: [n, *shape]. logsnr: [n] or one for all. labels: [n], from 0; ``classes`` or None for
            a class that is not told. key: for dropout; without it nothing is dropped.
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
    """The longest side at each resolution: halves, rounded up."""
    found = [longest]
    while len(found) < levels:
        found.append(-(-found[-1] // 2))
    return found


class Stage(nnx.Module):
    """A residual block and, at some resolutions, attention."""

    def __init__(self, block: ResidualBlock, attention: Attention | None):
        self.block, self.attention = block, attention

    def __call__(self, x: jax.Array, features: jax.Array, key: jax.Array | None) -> jax.Array:
        """[n, *sides, outputs] of x [n, *sides, inputs] and features [n, features]."""
        x = self.block(x, features, key)
        return x if self.attention is None else self.attention(x)


def _keys(key: jax.Array | None) -> Iterator[jax.Array | None]:
    """A key for each block, or None for each."""
    count = 0
    while True:
        yield None if key is None else jax.random.fold_in(key, count)
        count += 1
