"""Judge samples of a pipeline by a fine solution from the same noise, and by held-out images."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

import specjax as sx
from experiments.diffusers_pipelines.configs import FLOW, NetworkConfig
from experiments.diffusers_pipelines.networks import images
from experiments.diffusers_pipelines.run import packed
from experiments.diffusers_pipelines.schedulers import Rival, draw, rivals
from specjax.interop.diffusers import PipelineDenoiser
from specjax.learning.teacher import fine_plan
from specjax.priors import Network
from specjax.schedules.grids import LevelRange


class Judge:
    """Draws samples of a pipeline from the same noise, on which nothing was learned.

    Attributes:
      pipe: the pipeline. kind: of its network. training: facts of that.
      guidance: keywords of ``learn``. fine: samples [n, 1, H, W] of the fine solution.
    """

    def __init__(
        self, pipe: Any, network: NetworkConfig, training: dict[str, Any], config: Any, seed: int,
        n: int,
    ) -> None:  # fmt: skip
        self.pipe, self.kind, self.training, self._config = pipe, network.kind, training, config
        prompts = {"prompts": training["classes"], "guidance_scale": config.weight}
        self.guidance = prompts if network.kind == FLOW else {}
        self._held_out = _Components(images(network, "test")[0], config.components)
        shape = (n, *self._held_out.shape)
        self._noise = np.random.default_rng(seed).standard_normal(shape, np.float32)
        self._classes = np.arange(n) % len(training["classes"])
        self.fine = self._solved()

    def of_fine(self) -> dict[str, Any]:
        """Judge the fine solution."""
        return {"frechet": self._frechet(self.fine), "pictured": self._pictured(self.fine)}

    def of(self, rival: Any, steps: int, pictured: bool = True) -> dict[str, Any]:
        """Judge a scheduler: its calls, distances to the fine solution, and to held-out images."""
        rival = rival if isinstance(rival, Rival) else Rival(rival)
        prompts = [self.training["classes"][i] for i in self._classes]
        weight, batch = self._config.weight, self._config.batch
        samples, calls = draw(self.pipe, rival, steps, self._noise, prompts, weight, batch)
        squared = ((samples - self.fine).astype(np.float64) ** 2).reshape(len(samples), -1).sum(1)
        return {
            "calls": calls,
            "mean": float(squared.mean()),
            "geometric mean": float(np.exp(np.log(squared).mean())),
            "median": float(np.median(squared)),
            "frechet": self._frechet(samples),
            **({"pictured": self._pictured(samples)} if pictured else {}),
        }

    def rivals(
        self, steps: int, names: list[str] | None = None, pictured: bool = True
    ) -> dict[str, Any]:
        """Judge diffusers' own schedulers, or some of them."""
        known = rivals(self.kind, self.pipe.scheduler.config, self._config.shifts)
        return {name: self.of(known[name], steps, pictured) for name in names or known}

    def _solved(self) -> np.ndarray:
        """Solve the pipeline's equation finely from the noise."""
        with PipelineDenoiser(self.pipe, batch=self._config.batch, **self.guidance) as denoiser:
            prior = Network(denoiser.box, denoiser.shape)
            within = LevelRange.resolve((0.0, 1.0), self.pipe.scheduler.config)
            plan = fine_plan(prior, self._config.fine, within, denoiser.network.process)
            found = sx.sample(
                plan, denoiser.box, jax.random.key(0), self._noise.shape, start=self._noise,
                conditions=self._classes if self.guidance else None,
            )  # fmt: skip
        return np.asarray(found)

    def _frechet(self, samples: np.ndarray) -> float:
        return sx.evaluate.frechet(self._held_out(samples), self._held_out.projected)

    def _pictured(self, samples: np.ndarray) -> list[str]:
        return packed(samples[: self._config.pictured])


class _Components:
    """The first principal components of images."""

    def __init__(self, images: np.ndarray, count: int) -> None:
        self.shape, flat = images.shape[1:], images.reshape(len(images), -1)
        self._mean = flat.mean(0)
        self._axes = np.linalg.eigh(np.cov(flat.T))[1][:, -count:]
        self.projected = self(images)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return (images.reshape(len(images), -1) - self._mean) @ self._axes
