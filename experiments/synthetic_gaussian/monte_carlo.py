"""Losses measured on samples, with their standard errors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

import specjax as sx


class Sums(NamedTuple):
    """Sums over groups of samples [K, d]: of values, and of squares about a fixed centre."""

    total: np.ndarray
    squares: np.ndarray
    centre: np.ndarray
    size: int


def sums_of(coefficients: np.ndarray, groups: int) -> Sums:
    """Sum groups of equal size; what is left over is not used."""
    size = len(coefficients) // groups
    cut = coefficients[: groups * size].astype(np.float64).reshape(groups, size, -1)
    centre = cut[0].mean(0)
    away = cut - centre
    return Sums(away.sum(1), (away**2).sum(1), centre, size)


def losses(mean: np.ndarray, variance: np.ndarray, spectrum: sx.Spectrum) -> np.ndarray:
    """Give W2 squared and KL(data || samples) of Gaussians with a common eigenbasis."""
    lam, mu = np.asarray(spectrum.eigenvalues), np.asarray(spectrum.mean)
    off = (mean - mu) ** 2
    w2 = ((np.sqrt(lam) - np.sqrt(variance)) ** 2 + off).sum()
    ratio = lam / variance
    return np.array([w2, (ratio - 1 - np.log(ratio) + off / variance).sum() / 2])


def jackknife(sums: Sums, spectrum: sx.Spectrum) -> tuple[np.ndarray, np.ndarray]:
    """Give both losses without their bias in 1/n, and their standard errors (Tukey 1958)."""
    groups = len(sums.total)

    def without(k: int | None) -> np.ndarray:
        kept = np.arange(groups) != (-1 if k is None else k)
        n = kept.sum() * sums.size
        away = sums.total[kept].sum(0) / n
        variance = (sums.squares[kept].sum(0) - n * away**2) / (n - 1)
        return losses(sums.centre + away, variance, spectrum)

    left_out = np.stack([without(k) for k in range(groups)])
    middle = left_out.mean(0)
    error = np.sqrt((groups - 1) / groups * ((left_out - middle) ** 2).sum(0))
    return groups * without(None) - (groups - 1) * middle, error


def measured(
    spectrum: sx.Spectrum, schedule: sx.NoiseSchedule, sampler: str, process: str, *, n: int,
    groups: int, seed: int,
) -> dict[str, float]:  # fmt: skip
    """Give both losses, predicted, and measured on n samples of the ideal denoiser.

    ``spread`` is the mean of the squared z scores of the variances of all eigenvalues: 1 but for
    chance, of standard deviation about sqrt(2 / d).
    """  # fmt: skip
    plan = sx.plan(sampler, schedule, process)
    basis = spectrum.basis
    shape = (spectrum.dimension,)
    samples = sx.generate(plan, sx.wiener(spectrum), n, shape, seed=seed, batch=min(n, 2000))
    sums = sums_of(np.asarray(samples if basis is None else spectrum.project(samples)), groups)
    values, errors = jackknife(sums, spectrum)
    count = groups * sums.size
    away = sums.total.sum(0) / count
    variance = (sums.squares.sum(0) - count * away**2) / (count - 1)
    expected = np.asarray(sx.transfer(plan, spectrum).variance)
    z = (variance / expected - 1) * np.sqrt((count - 1) / 2)
    found = {"spread": float((z**2).mean())}
    for k, loss in enumerate(("w2", "kl")):
        options = {"sampler": sampler, "loss": loss, "process": process}
        found[f"{loss}_predicted"] = float(sx.loss(spectrum, schedule, **options))
        found[f"{loss}_measured"], found[f"{loss}_error"] = float(values[k]), float(errors[k])
    return found
