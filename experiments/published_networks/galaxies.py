"""What astronomers measure of galaxies, and how far its distributions are from those of others.

All is of the brightness ``x = exp(0.1 y) - 1`` of an image y. The flux is the sum of x, taken as a
magnitude ``-2.5 log10``; the half-light radius is that of the circle around the centroid that has
half of it; the ellipticity is that of the second moments Q under a round Gaussian weight,
``|Q_xx - Q_yy + 2 i Q_xy| / (Q_xx + Q_yy)``; the power spectrum is ``log10 |FFT x|^2``, averaged
over rings of frequencies.

A distance is the 1-Wasserstein distance of two distributions of a statistic, in units of the
reference's standard deviation: a shift by one standard deviation is 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import wasserstein_distance

_STRETCH = 0.1
WEIGHT = 6.0
"""The standard deviation of the weight of moments, in pixels."""

_RINGS = 8
_FAINTEST = 1e-3  # of the flux, where noise makes it negative
_MOST = 60.0  # of 0.1 y: what is beyond is no galaxy, and must not overflow


def brightness(samples: np.ndarray) -> np.ndarray:
    """Return the brightness [n, h, w] of images [n, 1, h, w] or [n, h, w]."""
    y = np.asarray(samples, np.float64)
    return np.expm1(np.minimum(_STRETCH * y.reshape(-1, *y.shape[-2:]), _MOST))


def magnitudes(x: np.ndarray) -> np.ndarray:
    """Return -2.5 log10 of the flux [n] of x [n, h, w]."""
    return -2.5 * np.log10(np.maximum(x.sum((1, 2)), _FAINTEST))


def half_light_radii(x: np.ndarray) -> np.ndarray:
    """Return the radii [n] in pixels, between those of the pixels where the curve of growth passes.

    A pixel counts at the radius of the circle of as many pixels as are nearer, and half of itself.
    """
    found = np.empty(len(x))
    for i, (one, (row, column)) in enumerate(zip(x, _centroids(x), strict=True)):
        rows, columns = np.indices(one.shape)
        order = np.hypot(rows - row, columns - column).argsort(axis=None)
        growth = np.maximum.accumulate(one.ravel()[order].cumsum())  # noise may make it fall
        areas = np.arange(1, growth.size + 1)
        area = np.interp(growth[-1] / 2, np.append(0.0, growth), np.append(0, areas))
        found[i] = np.sqrt(area / np.pi)
    return found


def ellipticities(x: np.ndarray) -> np.ndarray:
    """Return the ellipticities [n], from 0 (round) to 1."""
    found = np.empty(len(x))
    for i, (one, (row, column)) in enumerate(zip(x, _centroids(x), strict=True)):
        rows, columns = np.indices(one.shape)
        r, c = rows - row, columns - column
        weighted = np.exp(-(r**2 + c**2) / (2 * WEIGHT**2)) * one
        rr, cc, rc = ((weighted * by).sum() for by in (r * r, c * c, r * c))
        found[i] = np.hypot(rr - cc, 2 * rc) / max(rr + cc, np.hypot(rr - cc, 2 * rc), 1e-300)
    return found


def ring_powers(x: np.ndarray) -> np.ndarray:
    """Return log10 of the mean power [n, rings] in rings of frequencies of equal width."""
    power = np.abs(np.fft.fft2(x - x.mean((1, 2), keepdims=True), norm="ortho")) ** 2
    radius = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, x.shape[1:]), indexing="ij"))
    ring = np.minimum((radius / 0.5 * _RINGS).astype(int), _RINGS - 1)  # corners: the last
    inside = [power[:, ring == i].mean(1) for i in range(_RINGS)]
    return np.log10(np.maximum(np.stack(inside, 1), 1e-30))


def _centroids(x: np.ndarray) -> np.ndarray:
    """Return where the weighted brightness is centred [n, 2], near the image's middle."""
    shape = np.array(x.shape[1:])
    rows, columns = np.indices(shape)
    centres = np.tile((shape - 1) / 2, (len(x), 1))
    for _ in range(5):  # the weight follows
        squares = [
            (places - centres[:, i, None, None]) ** 2 for i, places in enumerate((rows, columns))
        ]
        weighted = np.exp(-sum(squares) / (2 * WEIGHT**2)) * np.maximum(x, 0)
        total = np.maximum(weighted.sum((1, 2)), 1e-300)
        centres = np.stack([(weighted * p).sum((1, 2)) / total for p in (rows, columns)], 1)
    return centres


def distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Measure how far apart two distributions [n] are, or [n, k] in the mean over k."""
    pairs = zip(ours.reshape(len(ours), -1).T, theirs.reshape(len(theirs), -1).T, strict=True)
    return float(np.mean([wasserstein_distance(a, b) / max(b.std(), 1e-12) for a, b in pairs]))


STATISTICS = {
    "flux": magnitudes,
    "half-light radius": half_light_radii,
    "ellipticity": ellipticities,
    "power spectrum": ring_powers,
}
"""The statistics by name."""


def measure_of(name: str) -> Callable[[np.ndarray, np.ndarray], float]:
    """Return the distance in a statistic, as a measure of ``sx.bench``.

    The statistic of the reference, which is the same for many samples, is kept.
    """
    statistic, kept = STATISTICS[name], []

    def measure(samples: np.ndarray, reference: np.ndarray) -> float:
        if not kept or kept[0] is not reference:
            kept[:] = reference, statistic(brightness(reference))
        return distance(statistic(brightness(samples)), kept[1])

    return measure


MEASURES = {name: measure_of(name) for name in STATISTICS}
"""Distances of the statistics, by name."""
