"""The figure of samples side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from specjax._core.checks import UserError
from specjax.files.samples import grid
from specjax.report.figures import panels
from specjax.report.figures.style import MUTED
from specjax.report.words import shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_SETS = 6
"""Sets of samples in a figure."""

_IMAGES, _SOUNDS = 16, 4  # of each set
_WIDTH = 11.0  # inches


@panels.styled
def samples_figure(samples: Mapping[str, np.ndarray], title: str = "Samples") -> Figure:
    """Draw sets of samples side by side.

    Args:
      samples: by name, at most 6 sets of [n, height, width(, 1 or 3)] images or [n, length] sounds
        in [-1, 1]; at most 16 images or 4 sounds of each are drawn.
      title: the heading.

    Raises:
      UserError: without samples, and for what is neither images nor sounds.
    """
    arrays = checked_samples(samples)
    if not arrays:
        raise UserError("samples = {}: give at least one set")
    figure = panels.new_figure(_WIDTH, 0.6 + height_of(arrays), title)
    draw_samples(figure, arrays)
    return figure


def height_of(arrays: Mapping[str, np.ndarray]) -> float:
    """Return the height in inches of a row of panels."""
    sounds = not any(x.ndim > 2 for x in arrays.values())
    return 0.45 + (2.6 if sounds else _WIDTH / max(len(arrays), 3))


def as_pictures(x: np.ndarray) -> np.ndarray | None:
    """Return samples [n, *shape] as images or sounds; None where they are neither."""
    colours, shape = (1, 3), x.shape[1:]
    if len(shape) in (1, 2) or (len(shape) == 3 and shape[-1] in colours):
        return x
    if len(shape) == 3 and shape[0] in colours:  # as torch has them
        return np.moveaxis(x, 1, -1)
    return None


def checked_samples(samples: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Make arrays of the samples, if they can be drawn."""
    if len(samples) > MOST_SETS:
        raise UserError(f"samples have {len(samples)} names: give at most {MOST_SETS}")
    arrays = {name: np.asarray(x, np.float32) for name, x in samples.items()}
    for name, x in arrays.items():
        image = x.ndim == 3 or (x.ndim == 4 and x.shape[-1] in (1, 3))
        if not len(x) or not (image or x.ndim == 2):
            raise UserError(
                f"samples of {name!r} have shape {x.shape}: give images [n, height, width] or "
                "[n, height, width, 1 or 3], or sounds [n, length]"
            )
    return arrays


def draw_samples(figure: Any, samples: Mapping[str, np.ndarray]) -> None:
    """Draw each set of samples in a panel; the same place in each has the same noise."""
    places = figure.subplots(1, len(samples), squeeze=False)[0]
    for axes, (name, x) in zip(places, samples.items(), strict=True):
        axes.set_title(shortened(name, 108 // len(samples)), gid="samples")
        axes.set_gid("samples")
        if x.ndim > 2:
            axes.imshow(grid(x[:_IMAGES]), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set_axis_off()
            continue
        for i, sound in enumerate(x[:_SOUNDS]):  # one below another, each 2 high
            axes.plot(sound - 2 * i, color=MUTED[0], linewidth=0.6)
        axes.set(ylim=(1 - 2 * min(len(x), _SOUNDS), 1), yticks=[], xlabel="sample")
        axes.margins(x=0.01)
