"""Directions of a probe in bands of neighbouring eigenvalues, for tables and pictures."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from specjax.gaussian.probe import Probe
from specjax.report.words import at_step


class Band(NamedTuple):
    """A band of directions of neighbouring eigenvalues.

    Attributes:
      first, last: ranks of its directions, counted from 1.
      eigenvalues: of its directions.
      gain, wiener_gain: [L], averages over its directions.
      gain_error: [L], standard error of the gain, taking directions as independent.
      error, wiener_error, excess: [L], sums over its directions.
      excess_error: [L], standard error of the excess.
    """

    first: int
    last: int
    eigenvalues: np.ndarray
    gain: np.ndarray
    wiener_gain: np.ndarray
    gain_error: np.ndarray
    error: np.ndarray
    wiener_error: np.ndarray
    excess: np.ndarray
    excess_error: np.ndarray

    @property
    def ratio(self) -> np.ndarray:
        """The error over Wiener's [L], computed from the excess, which is known best."""
        return 1 + self.excess / self.wiener_error

    @property
    def name(self) -> str:
        """The ranks and the mean eigenvalue, for legends and tables."""
        ranks = str(self.first) if self.first == self.last else f"{self.first} to {self.last}"
        return f"{ranks} ({self.eigenvalues.mean():.2g})"


def bands(probe: Probe, count: int = 5) -> list[Band]:
    """Put the directions into at most ``count`` bands, evenly over the logarithm of the rank.

    Directions without variance are left out.
    """
    lam = np.asarray(probe.spectrum.eigenvalues, np.float64)
    order = np.argsort(-lam, kind="stable")[: int((lam > 0).sum())]
    edges = np.unique(np.geomspace(1, len(order) + 1, count + 1).round().astype(int)) - 1
    return [_band(probe, lam, order[a:b], int(a) + 1) for a, b in itertools.pairwise(edges)]


def _band(probe: Probe, lam: np.ndarray, members: np.ndarray, first: int) -> Band:
    def of(x: np.ndarray) -> np.ndarray:
        return x[:, members]

    gain_error, excess_error = (
        np.linalg.norm(of(probe.standard_errors[name]), axis=1) for name in ("gain", "excess")
    )
    return Band(
        first,
        first + len(members) - 1,
        lam[members],
        of(probe.gain).mean(1),
        of(probe.wiener_gain).mean(1),
        gain_error / len(members),
        of(probe.error).sum(1),
        of(probe.wiener_error).sum(1),
        of(probe.excess).sum(1),
        excess_error,
    )


def noise_words(probe: Probe) -> str | None:
    """Say under which noise the denoiser was probed; None for white noise."""
    noise = probe.spectrum.noise
    return None if noise is None else f"under {noise.name} noise; variances are over the noise's"


def title(probe: Probe) -> str:
    """Say what was probed, and on what."""
    source = probe.source
    of = f"{source['run']}{at_step(source['step'])}" if "run" in source else "a denoiser"
    of += {"told": ", told the classes", "untold": ", not told the classes"}.get(
        str(source.get("classes")), ""
    )
    data = source.get("data") or (probe.spectrum.source or {}).get("name")
    return f"{of}, probed with {source['n']:,} samples of {data}" if data else of
