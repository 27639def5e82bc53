"""Samples of plans side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from specjax.files.samples import grid
from specjax.report.figures.style import MUTED
from specjax.report.figures.sweep_shapes import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST = 6
_IMAGES, _SOUNDS = 16, 4
_LETTERS = 108  # of all titles together


def check_samples(samples: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The samples as arrays, if they can be drawn."""
    if len(samples) > _MOST:
        raise ValueError(f"samples have {len(samples)} names: give at most {_MOST}")
    arrays = {name: np.asarray(x, np.float32) for name, x in samples.items()}
    for name, x in arrays.items():
        picture = x.ndim == 3 or (x.ndim == 4 and x.shape[-1] in (1, 3))
        if not len(x) or not (picture or x.ndim == 2):
            raise ValueError(
                f"samples of {name!r} have shape {x.shape}: give images [n, height, width] or "
                "[n, height, width, 1 or 3], or sounds [n, length]"
            )
    return arrays


def draw_samples(figure: Any, samples: Mapping[str, np.ndarray]) -> None:
    """A place for each name; the same place in each holds the sample of the same noise."""
    places = figure.subplots(1, len(samples), squeeze=False)[0]
    for axes, (name, x) in zip(places, samples.items(), strict=True):
        if x.ndim == 2:
            _draw_sounds(axes, x[:_SOUNDS])
        else:
            picture = grid(x[:_IMAGES])
            axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set_axis_off()
        axes.set_title(shortened(name, _LETTERS // len(samples)), gid="samples")


def _draw_sounds(axes: Axes, x: np.ndarray) -> None:
    """One below another, each 2 high."""
    for i, one in enumerate(x):
        axes.plot(one - 2 * i, color=MUTED[0], linewidth=0.6)
    axes.set_ylim(1 - 2 * len(x), 1)
    axes.set_yticks([])
    axes.set_xlabel("sample")
    axes.margins(x=0.01)
