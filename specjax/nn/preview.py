"""Pictures of samples on the way: always from the same noise, so that they can be compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from specjax.generate import generate
from specjax.nn.document import RunDocument
from specjax.sample_files import grid
from specjax.samplers import plan
from specjax.spectral import spectral
from specjax.spectrum import Spectrum

FOLDER = "samples"


class Preview:
    """Draws samples by DDIM along the spectral schedule of the data."""

    def __init__(
        self, folder: Path, document: RunDocument, spectrum: Spectrum,
        denoiser: Callable[[Any], Any],
    ):  # fmt: skip
        self.folder, self.document, self.denoiser = folder / FOLDER, document, denoiser
        self.plan = plan("ddim", spectral(spectrum, document.config.keeping.sample_steps))

    def draw(self, step: int, params: Any) -> np.ndarray:
        """Samples of parameters, as a picture on disk; its pixels [H, W] or [H, W, 3]."""
        from PIL import Image

        count = self.document.config.keeping.sample_count
        classes = len(self.document.classes)
        labels = np.arange(count) % classes if classes else None
        samples = generate(
            self.plan, self.denoiser(params), count, self.document.shape,
            seed=self.document.config.seed, labels=labels,
        )  # fmt: skip
        pixels = _picture(samples)
        self.folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(self.folder / f"{step:07d}.png")
        return pixels


def _picture(samples: np.ndarray) -> np.ndarray:
    """Images as a grid; sound as waves, one below the other."""
    if samples.ndim > 2:
        return grid(samples)
    height, width = 32, samples.shape[1]
    pixels = np.full((len(samples), height, width), -1.0, np.float32)
    rows = np.rint((1 - np.clip(samples, -1, 1)) / 2 * (height - 1)).astype(int)
    pixels[np.arange(len(samples))[:, None], rows, np.arange(width)] = 1.0
    return grid(pixels)
