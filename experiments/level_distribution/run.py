"""Train networks at noise levels of several densities, sample them, and judge the samples."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import specjax as sx
from experiments import methods
from experiments.experiment import Experiment, Part
from experiments.session import Session
from specjax.evaluate.subsample import random_subsample
from specjax.nn.config import NoiseConfig


def variants() -> dict[str, NoiseConfig]:
    """Make the densities of training levels; numbers of the advice are those of the data."""
    default = NoiseConfig().for_target("f")
    advised = replace(default, noise_levels="advised", noise_options=())
    numbers = sx.advise("digits", steps=[10], progress=False).numbers
    options = (f"mean={numbers['P_mean'].value:.4f}", f"std={numbers['P_std'].value:.4f}")
    return {
        EDM: default,
        ADVISED: replace(default, noise_options=options),
        "advised density": advised,
    }


EDM, ADVISED = "EDM default", "advised log-normal"


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment.

    Attributes:
      seeds: of training and of the samples.
      updates, width: of the training of each network.
      steps: of DDIM along the spectral schedule. fine: of DPM-Solver++(2M) along it.
      n: samples judged.
      variants: names of :func:`variants`.
    """

    seeds: int = 3
    updates: int = 800
    width: int = 16
    steps: int = 10
    fine: int = 64
    n: int = 1797
    variants: tuple[str, ...] = (EDM, ADVISED, "advised density")


EXPERIMENT = Experiment(
    "level_distribution",
    "Networks trained at the levels that the spectrum advises are better than at EDM's",
    (Part.of_seeds("1,797 digits, 8x8", ["digits"], Config.seeds, 12.0),),
    Config(),
    Config(seeds=1, updates=2, width=4, steps=2, fine=4, n=24),
    selection=("seeds", "variants"),
    options=("variants",),
)


def run(session: Session) -> None:
    """Make what is missing of every seed and variant."""
    config, known = session.config, variants()
    data = sx.data.open("digits")
    for seed in session.seeds:
        pieces = [("variants", name) for name in config.variants]
        document = session.document(f"digits-{seed}", pieces, seed=seed)
        for keys in list(document.missing):
            document.add(keys, of_variant(session, known[keys[1]], keys[1], data, seed))


def of_variant(
    session: Session, noise: NoiseConfig, name: str, data: sx.data.Dataset, seed: int
) -> dict[str, Any]:
    """Train a variant and judge its samples by their Fréchet distance in pixels."""
    config, begun = session.config, time.perf_counter()
    folder = session.work / f"digits-{seed}-{name.replace(' ', '_')}"
    size = {"width": config.width, "updates": config.updates}
    network = methods.train(data, folder, **size, noise=noise, seed=seed)
    seconds = time.perf_counter() - begun
    clean = random_subsample(data.samples, data.data_range, size=config.n)
    spectrum = network.effective
    plans = {
        f"ddim, {config.steps} steps": sx.plan("ddim", sx.spectral(spectrum, config.steps)),
        f"dpmpp_2m, {config.fine} steps": sx.plan("dpmpp_2m", sx.spectral(spectrum, config.fine)),
    }
    judged = {}
    for words, plan in plans.items():
        draw = {"n": config.n, "shape": network.shape, "seed": 1000 + seed}
        judged[words] = float(sx.evaluate.frechet(
            sx.generate(plan, network.denoiser(), **draw), clean
        ))  # fmt: skip
    options = list(noise.noise_options)
    return {
        "levels": noise.noise_levels, "options": options, "seconds": seconds, "frechet": judged,
    }  # fmt: skip
