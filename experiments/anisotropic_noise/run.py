"""Train, sample and judge: ``python -m experiments.anisotropic_noise.run``.

Every network has the same training but for its noise. Started again, it goes on where it was
ended; networks are kept in the working folder.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

import specjax as sx
from experiments.anisotropic_noise.config import (
    BAND,
    CONFIG,
    DATASETS,
    SMALLEST,
    VARIANTS,
    Config,
    Variant,
)
from experiments.common import (
    WORK,
    add_folders,
    check_smallest,
    circumstances,
    plain_config,
    say,
    write_json,
)
from experiments.resuming import result_at
from specjax.evaluate.power_spectrum import band_power
from specjax.evaluate.subsample import random_subsample
from specjax.files.forward_noise import ForwardNoise

RESULTS = Path(__file__).parent / "results"


def noise_of(variant: Variant, data: sx.data.Dataset, config: Config) -> ForwardNoise:
    """The noise of a variant; a learned exponent is that of the data's stationary spectrum."""
    if not variant.learned:
        return variant.noise
    spectrum = data.spectrum(method="shift-invariant")
    found = sx.fit_noise(spectrum, config.steps, family="power_law", learn=("exponent",))
    exponent = 0.0 if found.noise is None else found.noise.source["parameters"]["exponent"]
    return replace(variant.noise, noise_exponent=round(float(exponent), 4))


def trained(name: str, data: sx.data.Dataset, seed: int, config: Config, folder: Path) -> Any:
    """The run of a variant, trained where there is none."""
    variant, default = VARIANTS[name], sx.nn.TrainConfig()
    training = replace(
        default,
        model=replace(default.model, width=config.width),
        optimiser=replace(default.optimiser, steps=config.updates),
        keeping=replace(default.keeping, samples_every=0),
        forward=noise_of(variant, data, config),
        seed=seed,
    )
    own = sx.data.corrupted(data, BAND, config.std, seed=seed) if variant.corrupted else data
    return sx.nn.train(own, folder, training)


def plans_of(run: Any, config: Config) -> dict[str, sx.SamplerPlan]:
    """DDIM in few steps, and a fine solution."""
    few, many = (sx.spectral(run.effective, steps) for steps in (config.steps, config.fine))
    return {
        f"ddim, {config.steps} steps": sx.plan("ddim", few),
        f"dpmpp_2m, {config.fine} steps": sx.plan("dpmpp_2m", many),
    }


def outside(samples: np.ndarray) -> np.ndarray:
    """Their part outside of the band that is corrupted or left out."""
    return sx.noise_spectrum("isotropic", samples.shape[1:], omit=BAND).supported(samples)


def judged(run: Any, clean: np.ndarray, features: Any, seed: int, config: Config) -> dict[str, Any]:
    """Distances to clean data, and the power of bands in decibels, measured and predicted.

    The prediction is that of samples, from the same noise: its error is that of their number.
    """
    found = {}
    for name, plan in plans_of(run, config).items():
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


def features_of(stem: str, data: sx.data.Dataset, config: Config, work: Path) -> Any:
    """A classifier's features, trained once on the clean data; None where none are asked for."""
    from specjax.evaluate.classifier_features import open_features, save_features
    from specjax.evaluate.classifier_training import TrainOptions, train_features

    if not config.features:
        return None
    path = work / f"features-{stem}.npz"
    if not path.exists():
        options = TrainOptions(steps=config.features)
        save_features(path, train_features(data, sx.data.collect(data), options))
    return open_features(path)


def one(name: str, data: str, seed: int, config: Config, work: Path, results: Path) -> None:
    """A variant of a seed, if it is missing."""
    stem = data.replace("tfds:", "")
    path = results / f"{stem}-{seed}.json"
    document = result_at(path, plain_config(config, "seeds", "variants"))
    if name in document.get("variants", {}):
        return
    opened, begun = sx.data.open(data), time.perf_counter()
    words = name.replace(", ", "_").replace(" ", "_")
    run = trained(name, opened, seed, config, work / f"{stem}-{seed}-{words}")
    seconds = time.perf_counter() - begun
    clean = random_subsample(opened.samples, opened.data_range, size=config.n)
    found = {
        "noise": None if run.noise is None else run.noise.name,
        "choice": asdict(run.config.forward),
        "seconds": seconds,
        "judged": judged(run, clean, features_of(stem, opened, config, work), seed, config),
    }
    document = {
        "experiment": "anisotropic_noise", "data": data, "seed": seed,
        "config": plain_config(config, "seeds", "variants"),
        **(document or circumstances()), "variants": {**document.get("variants", {}), name: found},
    }  # fmt: skip
    document["complete"] = set(config.variants) <= set(document["variants"])
    write_json(path, document)
    say(f"{data}, seed {seed}: {name}, trained in {seconds:.0f} s")


def main(argv: list[str] | None = None) -> None:
    """Run the variants asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=DATASETS, default="digits")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS)
    parser.add_argument("--seeds", type=int, nargs="+", help="by default all of the config")
    add_folders(parser, RESULTS, WORK / "anisotropic_noise")
    args = parser.parse_args(argv)
    check_smallest(parser, args)
    config = SMALLEST if args.smallest else CONFIG
    args.work.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds if args.seeds is not None else range(config.seeds):
        for name in args.variants or config.variants:
            one(name, args.data, seed, config, args.work, args.results)


if __name__ == "__main__":
    main()
