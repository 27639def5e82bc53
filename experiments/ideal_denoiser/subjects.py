"""The denoisers, each with the Gaussian that stands for its data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import specjax as sx
from experiments.ideal_denoiser.config import EXACT, WIENER, Size
from experiments.learned_plans import config as plans
from experiments.learned_plans.subjects import samples_of
from specjax.nn.monitor import read_metrics


class Subject(NamedTuple):
    """A denoiser of samples of a shape.

    ``spectrum`` is that of its data, ``samples`` are what it is probed on: of the same data.
    ``facts`` go into the results.
    """

    denoise: Callable[..., Any]
    spectrum: sx.Spectrum
    samples: np.ndarray
    facts: dict[str, Any]


def reference(name: str, seed: int) -> Subject:
    """One of ``REFERENCES``."""
    return {WIENER: _wiener, EXACT: _exact}[name](seed)


def _wiener(seed: int) -> Subject:
    spectrum, rng = sx.data.open("digits").spectrum(), np.random.default_rng(seed)
    z = np.sqrt(spectrum.eigenvalues) * rng.standard_normal((len(_digits()), spectrum.dimension))
    samples = np.asarray(spectrum.lift(spectrum.mean + z), np.float32)
    return Subject(sx.wiener(spectrum), spectrum, samples, {})


def _exact(seed: int) -> Subject:
    """Probed on samples of its own density: half of the digits, each with the kernel's noise."""
    prior = sx.priors.Empirical.from_samples(_digits(), seed=seed)
    width, known = float(prior.kernel_width), np.asarray(prior.samples, np.float32)
    noise = np.random.default_rng(seed).standard_normal(known.shape, np.float32)
    return Subject(prior, prior.spectrum, known + width * noise, {"kernel_width": width})


def network(size: Size, seed: int, work: Path) -> Subject:
    """A network from its folder; trained where it is not there."""
    default = sx.nn.TrainConfig()
    training = replace(
        default,
        model=replace(default.model, width=size.width),
        optimiser=replace(default.optimiser, steps=size.updates),
        keeping=replace(default.keeping, samples_every=0),
        seed=seed,
    )
    folder = folder_of(size, seed, work)
    folder.parent.mkdir(parents=True, exist_ok=True)
    run = sx.nn.train(sx.data.open("digits"), folder, training)
    losses = {x["step"]: x["validation_loss"] for x in read_metrics(folder)
              if "validation_loss" in x}  # fmt: skip
    count = sum(x.size for x in jax.tree.leaves(run.network))
    facts = {"parameters": count, "step": run.step, "validation_loss": losses[run.step]}
    return Subject(run.denoiser(), run.spectrum, _digits(), facts)


def folder_of(size: Size, seed: int, work: Path) -> Path:
    """Of the training; that of experiments/learned_plans beside it, where it is the same one."""
    known = work.parent / "learned_plans" / "network"
    same = size == Size(plans.CONFIG.width, plans.CONFIG.updates) and seed == 0
    return known if same and known.exists() else work / f"{size.name}-{seed}"


def _digits() -> np.ndarray:
    return samples_of("digits", plans.CONFIG)
