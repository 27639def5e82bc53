"""Bands of frequencies; the power of bands of a Gaussian in closed form, and that of samples.

A full covariance is not diagonal over frequencies: with the eigenvectors' FFT u_k the power of a
frequency f is ``sum_k V_k |u_k(f)|^2 + |m(f)|^2``, m being the error of the mean.
Bands are those of :func:`specjax.evaluate.band_power`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import specjax as sx
from specjax.evaluate.power_spectrum import BANDS, frequency_bands
from specjax.spectra.basis import FourierBasis


@dataclass(frozen=True)
class Bands:
    """Which band each eigenvalue is of [d], and the frequency of each band, the constant first."""

    members: np.ndarray
    frequency: np.ndarray

    def mean(self, x: np.ndarray) -> np.ndarray:
        """Average numbers [d] over each band."""
        return np.bincount(self.members, x) / self.sizes

    @property
    def sizes(self) -> np.ndarray:
        """The number of eigenvalues of each band."""
        return np.bincount(self.members)

    def decibel(self, variance: np.ndarray, eigenvalues: np.ndarray) -> np.ndarray:
        """Give the power [bands] over that of the data, as :func:`band_power` does."""
        least = np.finfo(np.float64).tiny
        return 10 * np.log10(np.maximum(self.mean(variance), least) / self.mean(eigenvalues))


def bands_of(spectrum: sx.Spectrum) -> Bands:
    """Give the rings of equal frequency; all channels of a frequency are in its band."""
    assert isinstance(spectrum.basis, FourierBasis)
    members, frequency = frequency_bands(spectrum.basis.grid, BANDS)
    return Bands(np.repeat(members, spectrum.dimension // len(members)), frequency)


def frequencies(grid: tuple[int, ...]) -> list[float]:
    """Give the frequencies of the bands of images of a size, in cycles per pixel."""
    return [float(x) for x in frequency_bands(grid, BANDS)[1]]


def predicted(
    plan: sx.SamplerPlan, spectrum: sx.Spectrum, denoiser: sx.Probe | None = None
) -> np.ndarray:
    """Predict the power [bands], in dB over the data's, of what a plan makes of a Gaussian.

    Args:
      spectrum: with a basis of images. denoiser: a probe in place of the ideal denoiser.
    """
    moments = sx.transfer(plan, spectrum, denoiser=denoiser)
    made = _power(np.asarray(moments.variance), mean_error(moments, spectrum), spectrum)
    return np.asarray(10 * np.log10(made / _own(spectrum)))


def measured(samples: np.ndarray, spectrum: sx.Spectrum) -> np.ndarray:
    """Measure the power [bands] of samples [n, H, W] in dB over that of the spectrum."""
    centre = np.asarray(spectrum.lift(np.asarray(spectrum.mean)))
    away = np.asarray(samples, np.float64) - centre
    made = np.bincount(_members(spectrum), (np.abs(_transform(away, spectrum)) ** 2).mean(0))
    return np.asarray(10 * np.log10(made / _own(spectrum)))


def standard_errors(plan: sx.SamplerPlan, spectrum: sx.Spectrum, n: int) -> np.ndarray:
    """Give the standard errors [bands] of :func:`measured` in dB, for n samples of a plan.

    The power of a band is a quadratic form ``y^T Q y`` of ``y ~ N(m, V)``, of variance
    ``2 tr(Q V Q V) + 4 m^T Q V Q m``.
    """
    moments = sx.transfer(plan, spectrum)
    variance, shift = np.asarray(moments.variance), mean_error(moments, spectrum)
    errors, modes, members = [], _transform(_vectors(spectrum), spectrum), _members(spectrum)
    for band in range(members.max() + 1):
        mine = modes[:, members == band]
        q = (mine @ mine.conj().T).real
        power = np.diag(q) @ variance + shift @ q @ shift
        spread = 2 * variance @ q**2 @ variance + 4 * (shift @ q) ** 2 @ variance
        errors.append(10 / np.log(10) * np.sqrt(spread / n) / power)
    return np.array(errors)


def mean_error(moments: sx.Transfer, spectrum: sx.Spectrum) -> np.ndarray:
    """Give how far [d] the mean of what is made is from the data's."""
    away = (np.asarray(moments.mean_gain) - 1) * np.asarray(spectrum.mean)
    return away if moments.drift is None else away + np.asarray(moments.drift)


def _own(spectrum: sx.Spectrum) -> np.ndarray:
    lam = np.asarray(spectrum.eigenvalues)
    return _power(lam, np.zeros_like(lam), spectrum)


def _power(variance: np.ndarray, shift: np.ndarray, spectrum: sx.Spectrum) -> np.ndarray:
    """Give the power [bands], summed over the frequencies of a band."""
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
    """Give the orthonormal FFT [n, frequencies] of images [n, H, W]."""
    freq = np.fft.fftn(x.reshape(len(x), *_grid(spectrum)), axes=(1, 2), norm="ortho")
    return freq.reshape(len(x), -1)
