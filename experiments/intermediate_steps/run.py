"""Watch samplers at work: ``python -m experiments.intermediate_steps.run``.

Started again, it goes on where it was ended; the network is kept in the working folder.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import specjax as sx
from experiments.common import (
    WORK,
    add_folders,
    check_smallest,
    circumstances,
    plain_config,
    say,
    write_json,
)
from experiments.intermediate_steps.config import (
    CONFIG,
    DENOISERS,
    ENDS,
    SAMPLERS,
    SMALLEST,
    Config,
)
from experiments.intermediate_steps.trajectory import (
    formed,
    measured,
    placed,
    predicted,
)
from experiments.resuming import result_at
from specjax.evaluate.power_spectrum import frequency_bands

DRAWN = 20_000
"""Samples of what a denoiser without a dataset of its own stands for."""

RESULTS = Path(__file__).parent / "results"


def digits() -> np.ndarray:
    """[N, 8, 8] in [-1, 1]."""
    found = sx.data.collect(sx.data.open("digits")).samples
    return (np.asarray(found, np.float32) / 8 - 1).reshape(-1, 8, 8)


def denoiser_of(name: str, spectrum: sx.Spectrum, config: Config, work: Path) -> Any:
    """A denoiser on samples [n, 8, 8], and samples of what it stands for."""
    data, rng = digits(), np.random.default_rng(0)
    if name == "gaussian":
        white = rng.normal(size=(DRAWN, spectrum.dimension))
        return sx.wiener(spectrum), np.asarray(
            spectrum.lift(spectrum.mean + np.sqrt(spectrum.eigenvalues) * white)
        )
    if name == "empirical":
        prior = sx.priors.Empirical.from_samples(data, seed=0)
        half = np.asarray(prior.lift(prior.samples)).reshape(-1, 8, 8)
        chosen = half[rng.integers(len(half), size=DRAWN)]
        return prior, chosen + float(prior.kernel_width) * rng.normal(size=chosen.shape)
    default = sx.nn.TrainConfig()
    training = replace(
        default,
        model=replace(default.model, width=config.width),
        optimiser=replace(default.optimiser, steps=config.updates),
        keeping=replace(default.keeping, samples_every=0),
    )
    run = sx.nn.train(sx.data.open("digits"), work / "network", training)
    return run.denoiser(), data


def bands_of(spectrum: sx.Spectrum) -> tuple[np.ndarray, np.ndarray]:
    """The band of each direction, as :func:`band_power` has them, and their frequencies."""
    members, frequency = frequency_bands(spectrum.basis.grid, 8)
    return members, frequency


def watched(
    sampler: str, name: str, spectrum: sx.Spectrum, seed: int, config: Config, work: Path
) -> dict[str, Any]:
    """When each band is formed, and what comes of stopping early."""
    denoise, data = denoiser_of(name, spectrum, config, work)
    bands, frequency = bands_of(spectrum)
    schedule = sx.spectral(spectrum, config.trajectory, alpha_bar_range=ENDS)
    plan = sx.plan(sampler, schedule)
    ideal = formed(predicted(plan, spectrum, bands))
    power, estimates = measured(plan, denoise, data, config.n, seed)
    real = formed(power)
    return {
        "frequency": frequency.tolist(),
        "logsnr": [float(x) for x in schedule.logsnr[:-1]],
        "predicted": ideal.tolist(),
        "measured": real.tolist(),
        "stopped_frechet": [sx.evaluate.frechet(x, data) for x in estimates],
    }


def compared(
    sampler: str, name: str, spectrum: sx.Spectrum, seed: int, config: Config, work: Path
) -> dict[str, Any]:
    """Fréchet distances at equal calls: fixed schedules, stopped ones, and the placed steps."""
    denoise, data = denoiser_of(name, spectrum, config, work)
    bands, _ = bands_of(spectrum)
    fine = sx.spectral(spectrum, config.curve, alpha_bar_range=ENDS)
    watching = sx.plan(sampler, fine)
    ideal = formed(predicted(watching, spectrum, bands))
    power, _ = measured(watching, denoise, data, min(config.n, 256), 500 + seed)
    levels = np.asarray(fine.logsnr[:-1])
    found: dict[str, Any] = {}
    for steps in config.steps:
        made = {
            "cosine": sx.family("cosine", steps, alpha_bar_range=ENDS),
            "uniform_logsnr": sx.family("uniform_logsnr", steps, alpha_bar_range=ENDS),
            "spectral": sx.spectral(spectrum, steps, alpha_bar_range=ENDS),
            "placed by the prediction": placed(levels, ideal, steps, ENDS),
            "placed by what was watched": placed(levels, formed(power), steps, ENDS),
        }
        found[str(steps)] = {
            label: _distance(sx.plan(sampler, one), denoise, data, config.n, seed)
            for label, one in made.items()
        }
    solution = sx.plan("dpmpp_2m", sx.spectral(spectrum, config.fine, alpha_bar_range=ENDS))
    return {"steps": found, "fine": _distance(solution, denoise, data, config.n, seed)}


def _distance(plan: sx.SamplerPlan, denoise: Any, data: np.ndarray, n: int, seed: int) -> float:
    return sx.evaluate.frechet(sx.generate(plan, denoise, n, data.shape[1:], seed=seed), data)


def one(name: str, seed: int, config: Config, work: Path, results: Path) -> None:
    """What is missing of a denoiser's seed."""
    path = results / f"{name}-{seed}.json"
    document = result_at(path, plain_config(config, "seeds"))
    spectrum = sx.data.open("digits").spectrum(method="shift-invariant")
    for sampler in SAMPLERS:
        if sampler in document.get("samplers", {}):
            continue
        found = {
            "watched": watched(sampler, name, spectrum, seed, config, work),
            "compared": compared(sampler, name, spectrum, seed, config, work),
        }
        document = {
            "experiment": "intermediate_steps", "denoiser": name, "seed": seed,
            "config": plain_config(config, "seeds"), **(document or circumstances()),
            "samplers": {**document.get("samplers", {}), sampler: found},
        }  # fmt: skip
        write_json(path, document)
        say(f"{name}, seed {seed}: {sampler}")


def main(argv: list[str] | None = None) -> None:
    """Run the denoisers asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--denoisers", nargs="+", choices=DENOISERS, default=list(DENOISERS))
    parser.add_argument("--seeds", type=int, nargs="+", help="by default all of the config")
    add_folders(parser, RESULTS, WORK / "intermediate_steps")
    args = parser.parse_args(argv)
    check_smallest(parser, args)
    config = SMALLEST if args.smallest else CONFIG
    args.work.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds if args.seeds is not None else range(config.seeds):
        for name in args.denoisers:
            one(name, seed, config, args.work, args.results)


if __name__ == "__main__":
    main()
