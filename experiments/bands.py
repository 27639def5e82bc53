"""Power of bands of a Gaussian in closed form, beside that of samples.

A full covariance is not diagonal over frequencies: with the eigenvectors' FFT u_k the power of a
frequency f is ``sum_k V_k |u_k(f)|^2 + |m(f)|^2``, m being how far the mean is from the data's.
Bands are those of :func:`specjax.evaluate.band_power`.
"""

from __future__ import annotations

import numpy as np

import specjax as sx
from specjax.evaluate.power_spectrum import BANDS, frequency_bands


def frequencies(grid: tuple[int, ...]) -> list[float]:
    """Of the bands of images of a size, in cycles per pixel."""
    return [float(x) for x in frequency_bands(grid, BANDS)[1]]


def predicted(plan: sx.SamplerPlan, spectrum: sx.Spectrum) -> np.ndarray:
    """The power [bands] in dB over that of the data, of what a plan makes of a Gaussian.

    Args:
      spectrum: with a basis of images; its ``denoiser``, if any, is taken for the ideal one.
    """
    moments = sx.transfer(plan, spectrum)
    made = _power(np.asarray(moments.variance), shift_of(moments, spectrum), spectrum)
    return np.asarray(10 * np.log10(made / _own(spectrum)))


def measured(samples: np.ndarray, spectrum: sx.Spectrum) -> np.ndarray:
    """The power [bands] of samples [n, H, W] in dB over that of the spectrum."""
    centre = np.asarray(spectrum.lift(np.asarray(spectrum.mean)))
    away = np.asarray(samples, np.float64) - centre
    made = np.bincount(_members(spectrum), (np.abs(_transform(away, spectrum)) ** 2).mean(0))
    return np.asarray(10 * np.log10(made / _own(spectrum)))


def standard_errors(plan: sx.SamplerPlan, spectrum: sx.Spectrum, n: int) -> np.ndarray:
    """Of :func:`measured` [bands] in dB, for n samples of the Gaussian that a plan makes.

    The power of a band is a quadratic form ``y^T Q y`` of ``y ~ N(m, V)``, of variance
    ``2 tr(Q V Q V) + 4 m^T Q V Q m``.
    """
    moments = sx.transfer(plan, spectrum)
    variance, shift = np.asarray(moments.variance), shift_of(moments, spectrum)
    found, modes, members = [], _transform(_vectors(spectrum), spectrum), _members(spectrum)
    for band in range(members.max() + 1):
        mine = modes[:, members == band]
        q = (mine @ mine.conj().T).real
        power = np.diag(q) @ variance + shift @ q @ shift
        spread = 2 * variance @ q**2 @ variance + 4 * (shift @ q) ** 2 @ variance
        found.append(10 / np.log(10) * np.sqrt(spread / n) / power)
    return np.array(found)


def shift_of(moments: sx.Transfer, spectrum: sx.Spectrum) -> np.ndarray:
    """How far [d] the mean of what is made is from the data's."""
    away = (np.asarray(moments.mean_gain) - 1) * np.asarray(spectrum.mean)
    return away if moments.drift is None else away + np.asarray(moments.drift)


def _own(spectrum: sx.Spectrum) -> np.ndarray:
    lam = np.asarray(spectrum.eigenvalues)
    return _power(lam, np.zeros_like(lam), spectrum)


def _power(variance: np.ndarray, shift: np.ndarray, spectrum: sx.Spectrum) -> np.ndarray:
    """[bands], summed over the frequencies of a band."""
    modes = np.abs(_transform(_vectors(spectrum), spectrum)) ** 2
    bias = np.abs(_transform(np.asarray(spectrum.lift(shift))[None], spectrum)[0]) ** 2
    return np.bincount(_members(spectrum), variance @ modes + bias)


def _vectors(spectrum: sx.Spectrum) -> np.ndarray:
    return np.asarray(spectrum.lift(np.eye(spectrum.dimension)))


def _members(spectrum: sx.Spectrum) -> np.ndarray:
    return frequency_bands(_grid(spectrum), BANDS)[0]


def _grid(spectrum: sx.Spectrum) -> tuple[int, ...]:
    assert spectrum.basis is not None
    return tuple(spectrum.basis.shape[:2])


def _transform(x: np.ndarray, spectrum: sx.Spectrum) -> np.ndarray:
    """The orthonormal FFT [n, frequencies] of images [n, H, W]."""
    freq = np.fft.fftn(x.reshape(len(x), *_grid(spectrum)), axes=(1, 2), norm="ortho")
    return freq.reshape(len(x), -1)
