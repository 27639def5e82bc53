"""Probe denoisers, sample them, and compare with what the ideal denoiser predicts.

Networks are kept in the working folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import specjax as sx
from experiments import bands, methods
from experiments.data import digits
from experiments.experiment import Experiment, Part
from experiments.learned_plans.run import Config as SharedConfig
from experiments.methods import rounded
from experiments.session import Session
from specjax.evaluate.frechet import frechet_of_moments
from specjax.gaussian.probe_bands import bands as groups
from specjax.nn.monitor import read_metrics

COSINE, SPECTRAL, FIT, REFIT = "cosine", "spectral W2", "W2 fit", "W2 fit to the probed denoiser"
SCHEDULES = (COSINE, SPECTRAL, FIT, REFIT)
"""The heuristic, the closed form, learned for this sampler, and learned again for the response."""

WIENER, EXACT = "wiener", "empirical"
REFERENCES = {
    WIENER: "the ideal denoiser of the digits' Gaussian",
    EXACT: "the exact denoiser of half of the digits",
}
"""Denoisers that need no training: a check of the harness, and the ideal one of other data."""

_NOISE = 30_000  # the first of the seeds of the noise


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment.

    Attributes:
      seeds: of the training, of the half of the digits, of the noise and of the probe.
      samplers, steps: what samples are made by. n: how many.
      probe: samples that a denoiser is probed with. levels: logsnr at which the response is kept.
    """

    seeds: int = 3
    samplers: tuple[str, ...] = ("ddim", "dpmpp_2m")
    steps: tuple[int, ...] = (5, 10, 20)
    n: int = 500
    probe: int = 500
    levels: tuple[float, ...] = (-6.0, -3.0, 0.0, 3.0, 6.0)


SMALLEST = Config(
    seeds=1, samplers=("ddim",), steps=(2,), n=24, probe=12, levels=(-3.0, 3.0)
)  # fmt: skip


class Size(NamedTuple):
    """A network by its first channels and the length of its training.

    Every training has its own cosine decay.
    """

    width: int
    updates: int

    @classmethod
    def of(cls, name: str) -> Size | None:
        """Read a size from the name of its results; None for a reference."""
        parts = name.split("-")
        return cls(int(parts[1]), int(parts[3])) if parts[0] == "width" else None

    @property
    def name(self) -> str:
        """The name of its results."""
        return f"width-{self.width}-updates-{self.updates}"

    @property
    def words(self) -> str:
        """The name in tables."""
        return f"UNet, width {self.width}, {self.updates:,} updates"


SIZES = [Size(width, updates) for width in (8, 16, 32) for updates in (200, 600, 2000)]
_MINUTES = {8: 6.0, 16: 10.0, 32: 25.0}  # estimates, on 2 quiet cores


def _parts() -> Iterator[Part]:
    title = "exact denoisers, no training"
    yield Part.of_seeds(title, list(REFERENCES), Config.seeds, 4.0)
    for width, minutes in _MINUTES.items():
        names = [size.name for size in SIZES if size.width == width]
        title = f"UNets of width {width}, {len(names)} lengths of training"
        yield Part.of_seeds(title, names, Config.seeds, minutes)


EXPERIMENT = Experiment(
    "ideal_denoiser",
    "How far predictions with the ideal denoiser hold for networks, and what probing one is worth",
    tuple(_parts()),
    Config(),
    SMALLEST,
    smallest_cases=(*REFERENCES, Size(4, 1).name, Size(4, 2).name),
)


def run(session: Session) -> None:
    """Make what is missing of every denoiser and seed."""
    for name in session.cases:
        for seed in session.seeds:
            of_seed(session, name, seed)


def of_seed(session: Session, name: str, seed: int) -> None:
    """Make what is missing of a denoiser and a seed."""
    config = session.config
    pieces = [("samplers", sampler, str(s)) for sampler in config.samplers for s in config.steps]
    document = session.document(f"{name}-{seed}", pieces, subject=name, seed=seed)
    if not document.missing:
        return
    denoiser = open_denoiser(name, seed, session.work)
    samples, spectrum = denoiser.samples, denoiser.spectrum
    probe = sx.probe(denoiser.denoise, samples, spectrum, n=config.probe, seed=seed)
    document.content |= {"facts": denoiser.facts, "response": response_of(probe, config)}
    for keys in list(document.missing):
        _, sampler, steps = keys
        document.add(keys, {
            name: {**facts, **measured(denoiser, probe, schedule, sampler, seed, config)}
            for name, schedule, facts in schedules_of(spectrum, probe, sampler, int(steps))
        })  # fmt: skip


class Denoiser(NamedTuple):
    """A denoiser of samples of a shape.

    ``spectrum`` is that of its data, ``samples`` are what it is probed on: of the same data.
    ``facts`` go into the results.
    """

    denoise: Callable[..., Any]
    spectrum: sx.Spectrum
    samples: np.ndarray
    facts: dict[str, Any]


def open_denoiser(name: str, seed: int, work: Path) -> Denoiser:
    """Make a reference, or open a network, trained where it is not there."""
    size = Size.of(name)
    if size is not None:
        return _network(size, seed, work)
    return {WIENER: _wiener, EXACT: _exact}[name](seed)


def _wiener(seed: int) -> Denoiser:
    spectrum, rng = sx.data.open("digits").spectrum(), np.random.default_rng(seed)
    z = np.sqrt(spectrum.eigenvalues) * rng.standard_normal((len(digits()), spectrum.dimension))
    samples = np.asarray(spectrum.lift(spectrum.mean + z), np.float32)
    return Denoiser(sx.wiener(spectrum), spectrum, samples, {})


def _exact(seed: int) -> Denoiser:
    """Probe it on samples of its own density: half of the digits with the kernel's noise."""
    prior = sx.priors.Empirical.from_samples(digits(), seed=seed)
    width, known = float(prior.kernel_width), np.asarray(prior.samples, np.float32)
    noise = np.random.default_rng(seed).standard_normal(known.shape, np.float32)
    return Denoiser(prior, prior.spectrum, known + width * noise, {"kernel_width": width})


def _network(size: Size, seed: int, work: Path) -> Denoiser:
    folder, data = folder_of(size, seed, work), sx.data.open("digits")
    run = methods.train(data, folder, width=size.width, updates=size.updates, seed=seed)
    losses = {x["step"]: x["validation_loss"] for x in read_metrics(folder)
              if "validation_loss" in x}  # fmt: skip
    count = sum(x.size for x in jax.tree.leaves(run.network))
    facts = {"parameters": count, "step": run.step, "validation_loss": losses[run.step]}
    return Denoiser(run.denoiser(), run.spectrum, digits(), facts)


def folder_of(size: Size, seed: int, work: Path) -> Path:
    """Name the folder of a training; that of experiments/learned_plans, where it is the same."""
    known = work.parent / "learned_plans" / "network"
    same = size == Size(SharedConfig.width, SharedConfig.updates) and seed == 0
    return known if same and known.exists() else work / f"{size.name}-{seed}"


def schedules_of(
    spectrum: sx.Spectrum, probe: sx.Probe, sampler: str, steps: int
) -> Iterator[tuple[str, sx.NoiseSchedule, dict[str, Any]]]:
    """Give all schedules, those that are learned with whether they converged."""
    yield COSINE, methods.heuristic("cosine", steps), {}
    yield SPECTRAL, methods.spectral(spectrum, steps), {}
    for name, denoiser in ((FIT, None), (REFIT, probe)):
        found = methods.fit(spectrum, steps, sampler, denoiser=denoiser)
        yield name, found.schedule, {"converged": bool(found.converged)}


def measured(
    denoiser: Denoiser, probe: sx.Probe, schedule: sx.NoiseSchedule, sampler: str,
    seed: int, config: Config,
) -> dict[str, Any]:  # fmt: skip
    """Measure samples, and predict them by the ideal denoiser and by the response of this one.

    The Fréchet distances are to the moments of the data, squared; the predicted ones are of the
    Gaussian itself, without the error of n samples.
    """
    plan, spectrum = sx.plan(sampler, schedule), denoiser.spectrum
    shape = denoiser.samples.shape[1:]
    samples = sx.generate(plan, denoiser.denoise, config.n, shape, seed=_NOISE + seed)
    decibel = bands.measured(samples, spectrum)
    return {
        "logsnr": rounded(schedule.logsnr[:-1]),
        "decibel": rounded(decibel),
        "rms": float(np.sqrt(np.mean(decibel**2))),
        "frechet": _frechet(samples, spectrum),
        "ideal": prediction(plan, spectrum),
        "probed": prediction(plan, spectrum, probe),
        "standard_error": rounded(bands.standard_errors(plan, spectrum, config.n)),
    }


def prediction(
    plan: sx.SamplerPlan, spectrum: sx.Spectrum, probe: sx.Probe | None = None
) -> dict[str, Any]:
    """Predict bands in dB, and the squared Wasserstein distance of two Gaussians."""
    moments = sx.transfer(plan, spectrum, denoiser=probe)
    spread = np.asarray(moments.std) - np.sqrt(np.asarray(spectrum.eigenvalues))
    distance = (spread**2).sum() + (bands.mean_error(moments, spectrum) ** 2).sum()
    return {"decibel": rounded(bands.predicted(plan, spectrum, probe)), "frechet": float(distance)}


def _frechet(samples: np.ndarray, spectrum: sx.Spectrum) -> float:
    """Measure in the eigenbasis, where the data's covariance is diagonal."""
    flat = np.asarray(spectrum.project(samples.astype(np.float64)))
    mean, lam = np.asarray(spectrum.mean), np.asarray(spectrum.eigenvalues)
    return frechet_of_moments(flat.mean(0), np.cov(flat.T), mean, np.diag(lam))


def response_of(probe: sx.Probe, config: Config) -> dict[str, Any]:
    """Describe the response at each level, over the ideal denoiser's error, summed over directions.

    With ``z`` a direction of the noisy sample, of variance ``lambda + s^2``:

    - linear: ``sum (gain - Wiener's)^2 (lambda + s^2) + bias^2``, what the linear part is wrong by;
    - chance: the same of the standard errors, what the probe's own noise makes of it;
    - rest: ``sum residual``, what is not linear in the direction itself;
    - error: that of the denoiser; below 1 it knows more than the covariance.

    And the gains, averaged over directions in groups of neighbouring ranks.
    """
    at = [int(np.abs(probe.logsnr - level).argmin()) for level in config.levels]
    lam = np.asarray(probe.spectrum.eigenvalues) + np.exp(-probe.logsnr)[:, None]
    gap, noise = probe.gain - probe.wiener_gain, probe.standard_errors
    ideal = probe.wiener_error
    shares = {
        "linear": gap**2 * lam + probe.bias**2,
        "chance": noise["gain"] ** 2 * lam + noise["bias"] ** 2,
        "rest": probe.residual,
        "error": ideal + probe.excess,
    }
    return {
        "logsnr": rounded(probe.logsnr[at]),
        **{name: [float(x[k].sum() / ideal[k].sum()) for k in at] for name, x in shares.items()},
        "groups": [
            {
                "ranks": [one.first, one.last],
                "gain": rounded(one.gain[at]),
                "wiener": rounded(one.wiener_gain[at]),
                "standard_error": rounded(one.gain_error[at]),
            }
            for one in groups(probe)
        ],
    }
