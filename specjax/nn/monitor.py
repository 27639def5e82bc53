"""Watching a network train: metrics, pictures of samples, the cost of loss terms.

Metrics are JSON lines and for TensorBoard. Samples are always drawn from the same noise, so that
their pictures can be compared.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from specjax import files
from specjax.files.samples import grid, write_picture
from specjax.fitting.spectral import spectral
from specjax.nn.config import LossConfig
from specjax.nn.denoiser import network_shape
from specjax.nn.losses import frequency_terms
from specjax.nn.run import RunInfo
from specjax.nn.sharding import over_samples
from specjax.sampling.generate import generate
from specjax.sampling.samplers import plan

METRICS = "metrics.jsonl"
PICTURES = "samples"
_CALLS = 3
"""Calls whose median time is the cost of a term."""


class MetricsLog:
    """Numbers by step, written as they come; after a resume those of later steps are dropped.

    Args:
      folder: the run's. step: the one that training resumes at.
    """

    def __init__(self, folder: Path, step: int):
        from tensorboardX import SummaryWriter

        self.path = folder / METRICS
        kept = [line for line in read_metrics(folder) if line["step"] <= step]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        files.write_atomically(self.path, text.encode())
        # TensorBoard hides what an earlier start wrote beyond that step.
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def close(self) -> None:
        """Write what TensorBoard's writer still holds."""
        self._board.close()

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write one line of numbers."""
        with open(self.path, "a") as file:
            file.write(json.dumps({"step": step, **numbers}) + "\n")
        for name, number in numbers.items():
            self._board.add_scalar(name, number, step)

    def picture(self, step: int, pixels: np.ndarray) -> None:
        """Show a picture [H, W] or [H, W, 3], uint8, in TensorBoard."""
        self._board.add_image("samples", pixels, step, dataformats="HWC"[: pixels.ndim])


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Read all whole lines of a run's metrics; the line that a kill has cut is left out."""
    path = folder / METRICS
    lines = []
    for line in files.check_input(path).read_text().splitlines() if path.exists() else ():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines


class Preview:
    """Samples by DDIM along the spectral schedule of the data under the run's noise."""

    def __init__(self, folder: Path, run: RunInfo, denoiser: Callable[[Any], Any]):
        self.folder, self.run, self.denoiser = folder / PICTURES, run, denoiser
        self.plan = plan("ddim", spectral(run.effective, run.config.keeping.sample_steps))

    def draw(self, step: int, params: Any) -> np.ndarray:
        """Draw samples with parameters, write them as a picture, return its pixels [H, W(, 3)]."""
        count = self.run.config.keeping.sample_count
        labels = np.arange(count) % self.run.classes if self.run.classes else None
        samples = generate(
            self.plan, self.denoiser(params), count, self.run.shape,
            seed=self.run.config.seed, labels=labels, noise=self.run.noise,
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


class TermCost:
    """The time that each frequency term takes of an update: its value and gradient alone.

    Each is a program of its own. Inside of an update some of it may run beside other work, so this
    is rather too much than too little. Every process must ask at once; samples lie over the mesh
    as they do in training.

    Args:
      shape: [*sides, channels] of a sample. batch: samples in one part of an update. parts: how
        many parts there are.
    """

    def __init__(
        self, config: LossConfig, shape: tuple[int, ...], *, batch: int, parts: int, mesh: Mesh
    ):
        random = np.random.default_rng(0)
        estimate, clean = random.normal(size=(2, batch, *shape)).astype(np.float32)
        arrays = (estimate, clean, np.ones(batch, np.float32))
        self._arguments = jax.device_put(arrays, over_samples(mesh))
        self._parts = parts
        self._programs = {name: _value_and_gradient(config.only(name)) for name in config.weights}
        for program in self._programs.values():  # compile them
            jax.block_until_ready(program(*self._arguments))

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each term in one update, the median of a few calls."""
        return {name: self._parts * self._median(call) for name, call in self._programs.items()}

    def _median(self, program: Callable[..., Any]) -> float:
        seconds = []
        for _ in range(_CALLS):
            start = time.perf_counter()
            jax.block_until_ready(program(*self._arguments))
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds)


def _value_and_gradient(one: LossConfig) -> Callable[..., Any]:
    """The program of one term's value and its gradient with respect to the estimate."""

    def term(estimate: jax.Array, clean: jax.Array, sigma: jax.Array) -> jax.Array:
        (mean,) = frequency_terms(one, estimate, clean, sigma, 1.0).values()
        return mean

    return jax.jit(jax.value_and_grad(term))


def term_shares(lines: Iterable[Mapping[str, Any]], config: LossConfig) -> dict[str, float | None]:
    """Return the share of the step time that each term took: the median over lines of metrics.

    It is None where a training was too short to tell (one line of metrics, whose time has
    compilation in it).
    """
    lines, shares = list(lines), {}
    for name in config.weights:
        known = [line[f"share_{name}"] for line in lines if f"share_{name}" in line]
        shares[name] = statistics.median(known) if known else None
    return shares
