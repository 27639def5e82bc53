"""The covariances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import specjax as sx
from experiments.synthetic_gaussian.config import Config

MEAN = ", mean"
UNIT = "unit "


def exponential(dimension: int, decay: float) -> sx.Spectrum:
    """``Sigma_ij = exp(-decay |i - j|)``."""
    place = np.arange(dimension)
    return sx.Spectrum.from_covariance(np.exp(-decay * np.abs(place[:, None] - place)))


def circulant(dimension: int, decay: float) -> sx.Spectrum:
    """The same on a ring of even size: ``Sigma_ij = exp(-decay min(|i - j|, d - |i - j|))``.

    Its eigenvalues are those of the geometric series, in closed form:
    ``sinh(decay) (1 - (-1)^k exp(-decay d / 2)) / (cosh(decay) - cos(2 pi k / d))``.
    """
    k = np.arange(dimension)
    round_half = 1 - (-1.0) ** k * np.exp(-decay * dimension / 2)
    return sx.Spectrum(
        np.sinh(decay) * round_half / (np.cosh(decay) - np.cos(2 * np.pi * k / dimension))
    )


def with_mean(spectrum: sx.Spectrum) -> sx.Spectrum:
    """A constant mean as large as the standard deviation of a coordinate.

    A constant is all in the largest eigenvalue where a covariance is low-pass (exactly on the
    ring): |mu|^2 = the sum of the eigenvalues, in that direction.
    """
    lam = np.asarray(spectrum.eigenvalues)
    mean = np.zeros_like(lam)
    mean[lam.argmax()] = np.sqrt(lam.sum())
    return replace(spectrum, mean=mean)


def spectra(config: Config) -> dict[str, sx.Spectrum]:
    """All of them by name; "unit k^-a" has variances of mean 1, "k^-a" has lambda_1 = 1."""
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
