"""Mean and standard deviation of each channel, from a spectrum with its basis."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from specjax._core.checks import UserError
from specjax.spectra.basis import DenseBasis, FourierBasis
from specjax.spectra.spectrum import Spectrum
from specjax.spectra.stationary import grid_axes

_ROWS = 256  # eigenvectors that are looked at together


class Channels(NamedTuple):
    """Mean and standard deviation [C] over samples and places.

    Attributes:
      mean: of each channel, in units of the data.
      std: of each channel.
    """

    mean: np.ndarray
    std: np.ndarray


def channels_of(spectrum: Spectrum) -> Channels | None:
    """Return the statistics of channels; None for a spectrum without a basis.

    Raises:
      UserError: for a channel that is constant.
    """
    basis = spectrum.basis
    if basis is None or math.prod(basis.shape) != spectrum.dimension:
        return None
    axis = _channel_axis(spectrum)
    centre = np.asarray(spectrum.lift(np.asarray(spectrum.mean, np.float64)))
    if isinstance(basis, FourierBasis):
        by_frequency = np.asarray(spectrum.eigenvalues).reshape(-1, basis.vectors.shape[1])
        variance = np.einsum("fce,fe->c", np.abs(basis.vectors) ** 2, by_frequency)
        variance = variance / len(by_frequency)
    else:
        variance = _over_places(_variances(spectrum), axis)
    mean = _over_places(centre, axis)
    spread = _over_places(centre**2, axis) - mean**2
    std = np.sqrt((variance + spread).clip(0))
    constant = np.flatnonzero(std <= 1e-9 * max(float(std.max()), float(np.abs(mean).max())))
    if constant.size:
        k = int(constant[0])
        raise UserError(
            f"channel {k} of {std.size} is {mean[k]:.4g} in all samples: leave constant channels "
            "out"
        )
    return Channels(mean, std)


def _channel_axis(spectrum: Spectrum) -> int | None:
    """Return the axis of channels; None where there is none."""
    basis, layout = spectrum.basis, (spectrum.source or {}).get("layout")
    assert basis is not None
    if layout is not None:
        axis = layout.upper().find("C") - 1
        return axis if axis >= 0 else None
    if isinstance(basis, FourierBasis):
        return len(basis.shape) - 1 if len(basis.shape) > basis.spatial else None
    if not 2 < len(basis.shape) < 5:
        return None
    axes, _ = grid_axes(basis.shape)
    return axes if len(basis.shape) > axes else None


def _over_places(x: np.ndarray, axis: int | None) -> np.ndarray:
    """Average over all axes but that of channels: [C]."""
    if axis is None:
        return np.array([x.mean()])
    return np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis]).mean(0)


def _variances(spectrum: Spectrum) -> np.ndarray:
    """Return the variance of each number of a sample [*shape]."""
    lam = np.asarray(spectrum.eigenvalues, np.float64)
    if isinstance(spectrum.basis, DenseBasis):
        vectors = np.asarray(spectrum.basis.vectors)
        return np.einsum("ik,ik,k->i", vectors, vectors, lam).reshape(spectrum.basis.shape)
    positive = np.flatnonzero(lam > 0)
    basis = spectrum.basis
    assert basis is not None
    total = np.zeros(basis.shape)
    for rows in np.split(positive, range(_ROWS, len(positive), _ROWS)):
        c = np.zeros((len(rows), len(lam)))
        c[np.arange(len(rows)), rows] = np.sqrt(lam[rows])
        total += (np.asarray(spectrum.lift(c)) ** 2).sum(0)
    return total
