"""Train networks under noise with a spectrum, sample them, and judge the samples.

Every network has the same training but for its noise, and is kept in the working folder.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import specjax as sx
from experiments import methods
from experiments.experiment import Experiment, Part
from experiments.session import Session
from specjax.evaluate.power_spectrum import band_power
from specjax.evaluate.subsample import random_subsample
from specjax.files.forward_noise import ForwardNoise

BAND = (0.55, 0.8)
"""Radial frequencies of the corruption, and of the noise that leaves it out."""

DATASETS = {
    "digits": "1,797 digits, 8x8",
    "tfds:fashion_mnist": "60,000 pieces of clothing, 28x28",
    "tfds:cifar10": "50,000 photographs, 32x32x3",
}


@dataclass(frozen=True)
class Variant:
    """One training: its noise, and whether its data are corrupted in BAND.

    Attributes:
      learned: whether the exponent is the one that the Gaussian model of the data likes best.
    """

    noise: ForwardNoise = field(default_factory=ForwardNoise)
    corrupted: bool = False
    learned: bool = False


def power_law(exponent: float) -> Variant:
    """Make the variant with noise of weights ``(r + 0.01)^exponent``."""
    return Variant(ForwardNoise(noise="power-law", noise_exponent=exponent))


VARIANTS = {
    "isotropic": Variant(),
    "power law, -0.3": power_law(-0.3),
    "power law, -0.06": power_law(-0.06),
    "power law, 0.1": power_law(0.1),
    "power law, learned with the schedule": Variant(ForwardNoise(noise="power-law"), learned=True),
    "two bands, low 1, high 0.7": Variant(ForwardNoise(noise="two-band", noise_gains=(1.0, 0.7))),
    "corrupted data, isotropic": Variant(corrupted=True),
    "corrupted data, band omitted": Variant(ForwardNoise(noise_omit=BAND), corrupted=True),
}


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment.

    Attributes:
      seeds: of training and of the samples.
      updates, width: of the training of each network. std: of the corruption.
      steps: of DDIM along the spectral schedule. fine: of DPM-Solver++(2M) along it.
      n: samples judged. features: updates of the classifier that gives features, 0 for none.
      variants: names in VARIANTS, all by default.
    """

    seeds: int = 3
    updates: int = 1500
    width: int = 16
    std: float = 0.6
    steps: int = 10
    fine: int = 64
    n: int = 1797
    features: int = 600
    variants: tuple[str, ...] = tuple(VARIANTS)


SMALLEST = Config(
    seeds=1, updates=2, width=4, steps=2, fine=4, n=24, features=0,
    variants=("isotropic", "power law, -0.06", "corrupted data, band omitted"),
)  # fmt: skip


def stem_of(data: str) -> str:
    """Name the results of a dataset."""
    return data.removeprefix("tfds:")


def _part(data: str) -> Part:
    words, gpu = DATASETS[data], data != "digits"
    how = {"cases": (data,), "gpu": gpu}
    return Part.of_seeds(words, [stem_of(data)], Config.seeds, None if gpu else 40.0, **how)


EXPERIMENT = Experiment(
    "anisotropic_noise",
    "Networks trained under noise with a spectrum are better than under white noise",
    tuple(map(_part, DATASETS)),
    Config(),
    SMALLEST,
    selection=("seeds", "variants"),
    options=("variants",),
)


def run(session: Session) -> None:
    """Make what is missing of every dataset, seed and variant."""
    for data in session.cases:
        for seed in session.seeds:
            pieces = [("variants", name) for name in session.config.variants]
            stem = f"{stem_of(data)}-{seed}"
            document = session.document(stem, pieces, data=data, seed=seed)
            for keys in list(document.missing):
                document.add(keys, of_variant(session, keys[1], data, seed))


def of_variant(session: Session, name: str, data: str, seed: int) -> dict[str, Any]:
    """Train a variant and judge its samples."""
    config, work, stem = session.config, session.work, stem_of(data)
    opened, begun = sx.data.open(data), time.perf_counter()
    words = name.replace(", ", "_").replace(" ", "_")
    run = trained(name, opened, seed, config, work / f"{stem}-{seed}-{words}")
    seconds = time.perf_counter() - begun
    clean, features = random_subsample(opened.samples, opened.data_range, size=config.n), None
    if config.features:
        features = methods.features(opened, work / f"features-{stem}.npz", config.features)
    return {
        "noise": None if run.noise is None else run.noise.name,
        "choice": asdict(run.config.forward),
        "seconds": seconds,
        "judged": judged(run, clean, features, seed, config),
    }


def trained(name: str, data: sx.data.Dataset, seed: int, config: Config, folder: Path) -> sx.nn.Run:
    """Open the network of a variant, trained where there is none."""
    variant = VARIANTS[name]
    own = sx.data.corrupted(data, BAND, config.std, seed=seed) if variant.corrupted else data
    forward = noise_of(variant, data, config)
    size = {"width": config.width, "updates": config.updates}
    return methods.train(own, folder, **size, forward=forward, seed=seed)


def noise_of(variant: Variant, data: sx.data.Dataset, config: Config) -> ForwardNoise:
    """Give the noise; a learned exponent is that of the data's stationary spectrum."""
    if not variant.learned:
        return variant.noise
    spectrum = data.spectrum(method="shift-invariant")
    found = sx.fit_noise(spectrum, config.steps, family="power_law", learn=("exponent",))
    exponent = 0.0 if found.noise is None else found.noise.source["parameters"]["exponent"]
    return replace(variant.noise, noise_exponent=round(float(exponent), 4))


def outside(samples: np.ndarray) -> np.ndarray:
    """Give their part outside of the band that is corrupted or left out."""
    return sx.noise_spectrum("isotropic", samples.shape[1:], omit=BAND).supported(samples)


def judged(run: Any, clean: np.ndarray, features: Any, seed: int, config: Config) -> dict[str, Any]:
    """Give distances to clean data, and the power of bands in dB, measured and predicted.

    The samples are of DDIM in few steps, and of a fine solution. The prediction is that of samples
    of the ideal denoiser, from the same noise: its error is that of their number.
    """
    few, many = (sx.spectral(run.effective, steps) for steps in (config.steps, config.fine))
    plans = {
        f"ddim, {config.steps} steps": sx.plan("ddim", few),
        f"dpmpp_2m, {config.fine} steps": sx.plan("dpmpp_2m", many),
    }
    found = {}
    for name, plan in plans.items():
        draw = {"n": config.n, "shape": run.shape, "seed": 1000 + seed, "noise": run.noise}
        samples = sx.generate(plan, run.denoiser(), **draw)
        ideal = sx.generate(plan, sx.wiener(run.effective), **draw)
        power, predicted = band_power(samples, clean), band_power(ideal, clean)
        found[name] = {
            "frechet": sx.evaluate.frechet(samples, clean),
            "outside": sx.evaluate.frechet(outside(samples), outside(clean)),
            "spectrum_db": power.rms,
            "decibel": power.decibel.tolist(),
            "predicted_decibel": predicted.decibel.tolist(),
            "frequency": power.frequency.tolist(),
        }
        if features is not None:
            mapped = (features(samples), features(clean))
            found[name]["feature_frechet"] = sx.evaluate.frechet(*mapped)
    return found
