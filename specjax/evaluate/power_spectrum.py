"""Power per band of frequencies: is every scale as strong in the samples as in the data?

The power of a frequency is ``E |FFT(x - m)|^2`` (orthonormal FFT, summed over channels), with m
the mean of the data for both sets, so that a wrong mean counts and the data's own does not. Bands
are rings of the radius of the frequency, in cycles per sample (pixel): the constant, then bands
that are evenly spaced over the logarithm, from one cycle per side to the corner of the grid.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.fft

from specjax._core import checks
from specjax.evaluate.pairwise import as_vector_pair
from specjax.spectra import estimate
from specjax.spectra.stationary import spatial_axes

BANDS = 8
"""Bands above the constant; fewer where a small grid leaves some empty."""

_NO_POWER = 1e-12
"""Power, relative to the strongest band, that counts as none: that of black borders, say."""


class BandPower(NamedTuple):
    """Power in bands of frequencies, the constant first.

    Attributes:
      frequency: [bands] geometric mean of the band's frequencies, in cycles per sample.
      generated, real: [bands] mean power of a frequency of the band, in squared units of the data.
      decibel: [bands] ``10 log10(generated / real)``.
      rms: root of the mean square of ``decibel`` over bands, which count alike (a small grid leaves
        some of the low ones empty), and the constant like one of them.
    """

    frequency: np.ndarray
    generated: np.ndarray
    real: np.ndarray
    decibel: np.ndarray
    rms: float


def band_power(a: Any, b: Any, *, bands: int = BANDS, spatial: int | None = None) -> BandPower:
    """Measure the power per band of generated samples ``a`` and data ``b``, and their ratio.

    Args:
      a: generated [n, *shape], with a shape [L], [H, W] or [H, W, C]; with ``spatial=1`` also
        [L, C].
      b: data of the same shape.
      bands: how many above the constant, evenly spaced over the logarithm of the frequency.
      spatial: number of axes of the grid, as in :func:`specjax.spectra.stationary.shift_invariant`.

    Returns:
      A :class:`BandPower`. Costs one FFT a sample.

    Raises:
      UserError: for NaN, fewer than two samples, other or different shapes.

    Example:
      >>> x = np.random.default_rng(0).normal(size=(50, 16))
      >>> band_power(x, x).rms
      0.0
    """
    checks.whole_number("bands", bands)
    axes = spatial_axes(np.shape(a)[1:], spatial)
    shape = np.shape(a)[1:]
    a, b = as_vector_pair(a, b)
    centre = b.mean(0, dtype=np.float64)
    band_of, frequency = frequency_bands(shape[:axes], bands)
    generated, real = (
        np.bincount(band_of, _power(x, centre, shape, axes)) / np.bincount(band_of) for x in (a, b)
    )
    least = _NO_POWER * max(real.max(), generated.max(), np.finfo(np.float64).tiny)
    decibel = 10 * np.log10(np.maximum(generated, least) / np.maximum(real, least))
    return BandPower(frequency, generated, real, decibel, float(np.sqrt(np.mean(decibel**2))))


def _power(x: np.ndarray, centre: np.ndarray, shape: tuple[int, ...], axes: int) -> np.ndarray:
    """Return the mean power [prod(grid)] of each frequency, in pieces of bounded memory."""
    total = np.zeros(shape[:axes])
    for piece in estimate.batches(x)[0]:
        deviations = (piece - centre).reshape(len(piece), *shape[:axes], -1)
        coefficients = scipy.fft.fftn(deviations, axes=tuple(range(1, 1 + axes)), norm="ortho")
        total += (coefficients.real**2 + coefficients.imag**2).sum((0, -1))
    return total.ravel() / len(x)


def frequency_bands(grid: tuple[int, ...], bands: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the band of each frequency [prod(grid)], and the frequency of each nonempty band."""
    mesh = np.meshgrid(*(np.fft.fftfreq(size) for size in grid), indexing="ij")
    radius = np.sqrt(sum(np.square(axis) for axis in mesh)).ravel()
    if radius.size == 1:
        return np.zeros(1, int), np.zeros(1)
    log_radius = np.log(radius[radius > 0])
    edges = np.linspace(log_radius.min(), log_radius.max(), bands + 1)[1:-1]
    numbers = np.zeros(radius.size, int)
    # The margin keeps frequencies of one radius together, which differ by rounding.
    numbers[radius > 0] = 1 + np.searchsorted(edges, log_radius - 1e-9)
    band_of = np.unique(numbers, return_inverse=True)[1]
    mean_log = np.bincount(band_of[radius > 0], log_radius)[1:] / np.bincount(band_of)[1:]
    return band_of, np.append(0.0, np.exp(mean_log))
