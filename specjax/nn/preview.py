"""Pictures of samples on the way: always from the same noise, so that they can be compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from specjax.files.samples import grid, write_picture
from specjax.fitting.spectral import spectral
from specjax.nn.denoiser import network_shape
from specjax.nn.run_file import RunDocument
from specjax.sampling.generate import generate
from specjax.sampling.samplers import plan
from specjax.spectra.spectrum import Spectrum

FOLDER = "samples"


class Preview:
    """Draws samples by DDIM along the spectral schedule of the data under the run's noise."""

    def __init__(
        self, folder: Path, document: RunDocument, spectrum: Spectrum,
        denoiser: Callable[[Any], Any],
    ):  # fmt: skip
        self.folder, self.document, self.denoiser = folder / FOLDER, document, denoiser
        self.noise = spectrum.noise
        self.plan = plan("ddim", spectral(spectrum, document.config.keeping.sample_steps))

    def draw(self, step: int, params: Any) -> np.ndarray:
        """Samples of parameters, as a picture on disk; its pixels [H, W] or [H, W, 3]."""
        count = self.document.config.keeping.sample_count
        classes = len(self.document.classes)
        labels = np.arange(count) % classes if classes else None
        samples = generate(
            self.plan, self.denoiser(params), count, self.document.shape,
            seed=self.document.config.seed, labels=labels, noise=self.noise,
        )  # fmt: skip
        spatial = self.document.config.model.spatial
        pixels = picture(samples.reshape(count, *network_shape(samples.shape[1:], spatial)))
        self.folder.mkdir(exist_ok=True)
        write_picture(self.folder / f"{step:07d}.png", pixels)
        return pixels


def picture(samples: np.ndarray) -> np.ndarray:
    """Samples [n, *sides, C] of any form: images as a grid, sound as waves.

    Of other channels than one or three their mean is drawn; what is not finite is black.
    """
    samples = np.nan_to_num(samples, nan=-1.0, posinf=1.0, neginf=-1.0)
    if samples.shape[-1] not in (1, 3) or samples.ndim == 3:
        samples = samples.mean(-1, keepdims=True)
    if samples.ndim == 4:
        return grid(samples)
    height, (count, width, _) = 32, samples.shape
    pixels = np.full((count, height, width), -1.0, np.float32)
    rows = np.rint((1 - np.clip(samples[..., 0], -1, 1)) / 2 * (height - 1)).astype(int)
    pixels[np.arange(count)[:, None], rows, np.arange(width)] = 1.0
    return grid(pixels)
