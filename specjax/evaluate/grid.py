"""The form of a classifier and of the samples that it takes, known without its library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Form:
    """What makes up a classifier, and nothing else does.

    Attributes:
      shape: of one sample as the data have it: [L], [H, W] or [H, W, C].
      classes: how many. features: numbers in the last layer before them.
      width: channels of the first layer.
    """

    shape: tuple[int, ...]
    classes: int
    features: int = 64
    width: int = 32


def grid(shape: tuple[int, ...]) -> tuple[list[int], int]:
    """The sides and the channels of a sample: [L] is sound, [H, W] or [H, W, C] an image.

    Raises:
      ValueError: for samples of another form.
    """
    if not 1 <= len(shape) <= 3:
        raise ValueError(
            f"samples of shape {tuple(shape)}: the classifier takes sound [L], or images [H, W] "
            "or [H, W, C]"
        )
    return list(shape[:2]), shape[2] if len(shape) == 3 else 1


def on_grid(samples: Any, shape: tuple[int, ...]) -> Any:
    """Samples [n, *shape] as the network takes them, [n, *sides, C]."""
    sides, channels = grid(shape)
    return samples.reshape(len(samples), *sides, channels)
