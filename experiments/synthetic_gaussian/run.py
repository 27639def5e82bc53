"""Fit schedules on Gaussians, judge them beside heuristics, and confirm losses by samples.

All fits are one sweep, kept in the working folder.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import specjax as sx
from experiments.experiment import Experiment, Part
from experiments.session import Session, say
from experiments.synthetic_gaussian import monte_carlo
from experiments.synthetic_gaussian.measures import losses_of

RANGES = {"0.9999": (4.0358e-5, 0.9999), "1": (4.0358e-5, 1.0)}
"""The two ends of all schedules, by the clean one: that of 2502.00180, and specjax's default."""

PAPER = "0.9999"
MEAN, UNIT = ", mean", "unit "
_KEYS = ("sampler", "loss", "process", "clean")
_DIGITS = 7  # significant ones that are kept


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment.

    Attributes:
      dimension: of the exponential and the circulant covariance, and of white data.
      decay: of both: neighbours are correlated by exp(-decay).
      power_dimension: of the power laws. exponents: of them.
      steps: S. samplers, losses, processes: of the fits.
      restarts, nodes: of the fits; 50 nodes are exact up to d = 50.
      more: starts of those that end unconverged or above a heuristic.
      kept: S whose levels are kept in the results.
      checked: spectra whose predictions are confirmed by samples. checked_steps: S of these.
      n, groups: samples of each, and the groups of the jackknife.
      seed: of the fits' random starts and of the samples.
    """

    dimension: int = 50
    decay: float = 0.1
    power_dimension: int = 1024
    exponents: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
    steps: tuple[int, ...] = (3, 5, 8, 10, 20, 50, 112)
    samplers: tuple[str, ...] = ("ddim", "ddpm")
    losses: tuple[str, ...] = ("w2", "kl")
    processes: tuple[str, ...] = ("vp", "ve")
    restarts: int = 1
    nodes: int = 50
    more: int = 8
    kept: tuple[int, ...] = (10, 50)
    checked: tuple[str, ...] = (
        "exponential", "exponential, mean", "circulant", "k^-2", "k^-1, mean",
    )  # fmt: skip
    checked_steps: tuple[int, ...] = (5, 20)
    n: int = 10_000
    groups: int = 100
    seed: int = 0

    @property
    def cases(self) -> list[tuple[str, str]]:
        """All pairs of sampler and loss."""
        return list(itertools.product(self.samplers, self.losses))


CONFIG = Config()
SMALLEST = Config(
    dimension=6, power_dimension=6, exponents=(2.0,), steps=(5,), samplers=("ddim",),
    losses=("w2",), processes=("vp",), nodes=8, kept=(5,), checked=("exponential, mean",),
    checked_steps=(5,), n=400, groups=8,
)  # fmt: skip


def exponential(dimension: int, decay: float) -> sx.Spectrum:
    """Make the spectrum of ``Sigma_ij = exp(-decay |i - j|)``."""
    place = np.arange(dimension)
    return sx.Spectrum.from_covariance(np.exp(-decay * np.abs(place[:, None] - place)))


def circulant(dimension: int, decay: float) -> sx.Spectrum:
    """Make the same on a ring of even size: ``exp(-decay min(|i - j|, d - |i - j|))``.

    Its eigenvalues are those of the geometric series, in closed form:
    ``sinh(decay) (1 - (-1)^k exp(-decay d / 2)) / (cosh(decay) - cos(2 pi k / d))``.
    """
    k = np.arange(dimension)
    half = 1 - (-1.0) ** k * np.exp(-decay * dimension / 2)
    angle = 2 * np.pi * k / dimension
    return sx.Spectrum(np.sinh(decay) * half / (np.cosh(decay) - np.cos(angle)))


def with_mean(spectrum: sx.Spectrum) -> sx.Spectrum:
    """Add a constant mean as large as the standard deviation of a coordinate.

    A constant is all in the largest eigenvalue where a covariance is low-pass (exactly on the
    ring): |mu|^2 = the sum of the eigenvalues, in that direction.
    """
    lam = np.asarray(spectrum.eigenvalues)
    mean = np.zeros_like(lam)
    mean[lam.argmax()] = np.sqrt(lam.sum())
    return replace(spectrum, mean=mean)


def spectra(config: Config) -> dict[str, sx.Spectrum]:
    """Make all by name; "unit k^-a" has variances of mean 1, "k^-a" has lambda_1 = 1."""
    found = {
        "white": sx.Spectrum(np.ones(config.dimension)),
        "exponential": exponential(config.dimension, config.decay),
        "circulant": circulant(config.dimension, config.decay),
    }
    for a in config.exponents:
        law = sx.Spectrum.power_law(config.power_dimension, a)
        mean = float(np.asarray(law.eigenvalues).mean())
        found[f"k^-{a:g}"] = law
        found[f"{UNIT}k^-{a:g}"] = sx.Spectrum.power_law(config.power_dimension, a, 1 / mean)
    means = {f"{x}{MEAN}": with_mean(s) for x, s in found.items() if not x.startswith(UNIT)}
    return {**found, **means}


def stem_of(name: str) -> str:
    """Name the results of a spectrum."""
    return name.replace(MEAN, "_mean").replace(" ", "_").replace("^-", "")


def key_of(sampler: str, loss: str, process: str, clean: str) -> str:
    """Name a group of fits in the results."""
    return f"{sampler} {loss} {process} {clean}"


EXPERIMENT = Experiment(
    "synthetic_gaussian",
    "On Gaussians learned schedules beat every heuristic, with the shapes of 2502.00180",
    (Part("24 covariances", tuple(f"{stem_of(name)}.json" for name in spectra(CONFIG)), 25),),
    CONFIG,
    SMALLEST,
    selection=(),
)


def run(session: Session) -> None:
    """Make the results of the spectra that are missing."""
    config, every = session.config, spectra(session.config)
    documents = {name: session.document(stem_of(name), spectrum=name) for name in every}
    missing = {name: one for name, one in documents.items() if one.missing}
    rows = sweep(config, session.work) if missing else []
    for name, document in missing.items():
        spectrum = every[name]
        own = [more_starts(spectrum, row, config) for row in rows if row["spectrum"] == name]
        checks: list[dict[str, Any]] = []
        if name in config.checked:
            first = config.seed + 1000 * (1 + config.checked.index(name))
            checks = checks_of(spectrum, own, config, first)
        fits, levels = judged(spectrum, own), levels_of(own, config)
        document.add((), {"fits": fits, "levels": levels, "checks": checks})


def sweep(config: Config, work: Path) -> list[dict[str, Any]]:
    """Fit all spectra in VP and VE with the paper's ends, noise-free those without a mean."""
    every = spectra(config)
    centred = {name: one for name, one in every.items() if not name.endswith(MEAN)}
    rows = []
    for clean, some, processes in ((PAPER, every, config.processes), ("1", centred, ("vp",))):
        say(f"fits with the clean end {clean}")
        found = sx.sweep(
            some, config.steps, samplers=config.samplers, losses=config.losses,
            processes=processes, alpha_bar_ranges=[RANGES[clean]], restarts=config.restarts,
            nodes=config.nodes, seeds=[config.seed], out=work / f"sweep-{clean}",
            progress=lambda done, total: say(f"{done} of {total} fits"),
        )  # fmt: skip
        assert found is not None
        rows += [{**row, "clean": clean} for row in found.table.to_pylist()]
    return rows


def heuristics_of(row: dict[str, Any]) -> dict[str, float]:
    """Give the losses of the heuristics in a row of the sweep."""
    start = "heuristic_"
    return {x.removeprefix(start): row[x] for x in row if x.startswith(start)}


def more_starts(spectrum: sx.Spectrum, row: dict[str, Any], config: Config) -> dict[str, Any]:
    """Repeat a fit that is unconverged or above a heuristic; keep the better one."""
    if row["converged"] and row["value"] <= min(heuristics_of(row).values()) * (1 + 1e-9):
        return {**row, "starts": config.restarts}
    found = sx.fit(
        spectrum, row["steps"], sampler=row["sampler"], loss=row["loss"], process=row["process"],
        alpha_bar_range=RANGES[row["clean"]], restarts=config.more, nodes=config.nodes,
        seed=config.seed, denoiser_error=0.0,
    )  # fmt: skip
    if not found.node_value < row["value"]:
        return {**row, "starts": config.restarts}
    better = {"value": found.node_value, "converged": found.converged, "starts": config.more}
    return {**row, **better, "logsnr": np.asarray(found.schedule.logsnr).tolist()}


def judged(spectrum: sx.Spectrum, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Give groups of fits: lists over S of the losses of all schedules."""
    groups: dict[str, Any] = {}
    for row in sorted(rows, key=lambda row: row["steps"]):
        facts = facts_of(spectrum, row)
        own = groups.setdefault(key_of(*(row[x] for x in _KEYS)), {x: [] for x in facts})
        for name, value in facts.items():
            own[name].append(value)
    return groups


def facts_of(spectrum: sx.Spectrum, row: dict[str, Any]) -> dict[str, Any]:
    """Give losses on the nodes of all schedules, and more of the learned one and cosine."""
    how = (row["sampler"], row["loss"], row["process"])
    learned = sx.NoiseSchedule(np.array(row["logsnr"]))
    cosine = sx.family("cosine", row["steps"], alpha_bar_range=RANGES[row["clean"]])
    own, other = (losses_of(spectrum, x, *how) for x in (learned, cosine))
    numbers = {"learned": row["value"], **own, "cosine_marginal": other["marginal"]}
    numbers |= heuristics_of(row)
    flags = {"converged": row["converged"], "starts": row["starts"]}
    return {**flags, **{x: rounded(y) for x, y in numbers.items()}}


def rounded(x: float) -> float:
    """Round to the digits that are kept."""
    return float(f"{x:.{_DIGITS}g}")


def levels_of(rows: list[dict[str, Any]], config: Config) -> dict[str, Any]:
    """Give logsnr of what was learned in VP with the paper's ends, by case and S."""
    found: dict[str, Any] = {}
    for row in rows:
        if row["process"] == "vp" and row["clean"] == PAPER and row["steps"] in config.kept:
            own = found.setdefault(f"{row['sampler']} {row['loss']}", {})
            own[str(row["steps"])] = [rounded(x) for x in row["logsnr"]]
    return found


def checks_of(
    spectrum: sx.Spectrum, rows: list[dict[str, Any]], config: Config, first: int
) -> list[dict[str, Any]]:
    """Sample along the schedules learned for W2 and the cosine one, with seeds from ``first`` on.

    No two plans share noise, so that their scores are independent.
    """
    found: list[dict[str, Any]] = []
    wanted = [x for x in rows if x["loss"] == "w2" and x["clean"] == PAPER]
    chosen = [x for x in wanted if x["steps"] in config.checked_steps]
    for row, name in itertools.product(chosen, ("learned", "cosine")):
        schedule = sx.NoiseSchedule(np.array(row["logsnr"]))
        if name == "cosine":
            schedule = sx.family("cosine", row["steps"], alpha_bar_range=RANGES[PAPER])
        how = {x: row[x] for x in ("sampler", "process")}
        options = {"n": config.n, "groups": config.groups, "seed": first + len(found)}
        numbers = monte_carlo.measured(spectrum, schedule, **how, **options)
        about = {**how, "steps": row["steps"], "schedule": name}
        found.append({**about, **{x: rounded(y) for x, y in numbers.items()}})
    return found
