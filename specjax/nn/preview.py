"""Pictures of samples during training, always from the same noise, so that they can be compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from specjax.files.samples import grid, write_picture
from specjax.fitting.spectral import spectral
from specjax.nn.denoiser import network_shape
from specjax.nn.run_file import RunInfo
from specjax.sampling.generate import generate
from specjax.sampling.samplers import plan
from specjax.spectra.spectrum import Spectrum

FOLDER = "samples"


class Preview:
    """Samples by DDIM along the spectral schedule of the data under the run's noise."""

    def __init__(
        self, folder: Path, run: RunInfo, spectrum: Spectrum,
        denoiser: Callable[[Any], Any],
    ):  # fmt: skip
        self.folder, self.run, self.denoiser = folder / FOLDER, run, denoiser
        self.noise = spectrum.noise
        self.plan = plan("ddim", spectral(spectrum, run.config.keeping.sample_steps))

    def draw(self, step: int, params: Any) -> np.ndarray:
        """Draw samples with parameters, write them as a picture, return its pixels [H, W(, 3)]."""
        count = self.run.config.keeping.sample_count
        classes = len(self.run.classes)
        labels = np.arange(count) % classes if classes else None
        samples = generate(
            self.plan, self.denoiser(params), count, self.run.shape,
            seed=self.run.config.seed, labels=labels, noise=self.noise,
        )  # fmt: skip
        spatial = self.run.config.model.spatial
        pixels = picture(samples.reshape(count, *network_shape(samples.shape[1:], spatial)))
        self.folder.mkdir(exist_ok=True)
        write_picture(self.folder / f"{step:07d}.png", pixels)
        return pixels


def picture(samples: np.ndarray) -> np.ndarray:
    """Draw samples [n, *sides, C]: images as a grid, sound as waves; uint8 [H, W(, 3)].

    Of other channels than one or three the mean is drawn; numbers that are not finite are black.
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
