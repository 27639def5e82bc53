"""Judge samples of a pipeline by a fine solution from the same noise, and by held-out images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

import specjax as sx
from experiments.diffusers_pipelines.configs import FLOW, NetworkConfig
from experiments.diffusers_pipelines.networks import images
from experiments.diffusers_pipelines.run import packed
from experiments.diffusers_pipelines.schedulers import Rival, draw, rivals
from specjax.interop.diffusers import PipelineDenoiser
from specjax.interop.torch import denoiser
from specjax.learning.teacher import fine_plan
from specjax.priors import Network
from specjax.sampling.guidance import Guided
from specjax.schedules.level_range import LevelRange


class Judge:
    """Draws samples of a pipeline from the same noise, on which nothing was learned.

    Attributes:
      pipe: the pipeline. kind: of its network. training: facts of that.
      guidance: keywords of ``learn``.
      fine: samples [n, 1, H, W] of the fine solution, which are kept in a folder.
    """

    def __init__(
        self, pipe: Any, network: NetworkConfig, training: dict[str, Any], config: Any, seed: int,
        n: int, folder: Path,
    ) -> None:  # fmt: skip
        self.pipe, self.kind, self.training, self._config = pipe, network.kind, training, config
        prompts = {"prompts": training["classes"], "guidance_scale": config.weight}
        self.guidance = prompts if network.kind == FLOW else {}
        self._held_out = _Components(images(network, "test")[0], config.components)
        shape = (n, *self._held_out.shape)
        self._noise = np.random.default_rng(seed).standard_normal(shape, np.float32)
        self._classes = np.arange(n) % len(training["classes"])
        kept = folder / f"{self.kind}-{seed}-{n}-{config.fine}.npy"
        if not kept.exists():
            folder.mkdir(parents=True, exist_ok=True)
            np.save(kept, self._solved())
        self.fine = np.load(kept)

    def of_fine(self) -> dict[str, Any]:
        """Judge the fine solution."""
        return {"frechet": self._frechet(self.fine), "pictured": self._pictured(self.fine)}

    def of(self, rival: Any, steps: int, pictured: bool = True) -> dict[str, Any]:
        """Judge a scheduler in the pipeline."""
        rival = rival if isinstance(rival, Rival) else Rival(rival)
        prompts = [self.training["classes"][i] for i in self._classes]
        weight, batch = self._config.weight, self._config.batch
        samples, calls = draw(self.pipe, rival, steps, self._noise, prompts, weight, batch)
        return self._judged(samples, calls, pictured)

    def of_plan(self, result: sx.PlanResult) -> dict[str, Any]:
        """Judge a plan with weights of guidance, run by specjax."""
        denoise, conditions = self.guided(self._classes)
        samples = sx.sample(
            result.plan, denoise, jax.random.key(0), self._noise.shape, start=self._noise,
            conditions=conditions,
        )  # fmt: skip
        return self._judged(np.asarray(samples), denoise.conditional.answers / len(samples), True)

    def guided(self, classes: Any = None) -> tuple[Guided, dict[str, np.ndarray]]:
        """Make a guided denoiser of the transformer alone, and the conditions of classes."""
        box = denoiser(
            self.pipe.transformer, "flow", shape=self._noise.shape[1:], batch=self._config.batch,
            level=lambda s: 1000 * (1 - 1 / (1 + s)),
        )  # fmt: skip
        places = len(self.training["classes"]) + 1
        tokens = np.eye(places, dtype=np.float32)
        null = {"encoder_hidden_states": tokens[-1:], "pooled_projections": tokens[-1]}
        told = tokens[np.arange(places - 1) if classes is None else classes]
        conditions = {"encoder_hidden_states": told[:, None], "pooled_projections": told}
        return sx.guided(box, weight=self._config.weight, null=null), conditions

    def _judged(self, samples: np.ndarray, calls: float, pictured: bool) -> dict[str, Any]:
        """Judge samples: distances to the fine solution, and to held-out images."""
        squared = ((samples - self.fine).astype(np.float64) ** 2).reshape(len(samples), -1).sum(1)
        return {
            "calls": calls,
            "mean": float(squared.mean()),
            "geometric mean": float(np.exp(np.log(squared).mean())),
            "median": float(np.median(squared)),
            "frechet": self._frechet(samples),
            "frechet to fine": sx.evaluate.frechet(*map(self._held_out, (samples, self.fine))),
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
