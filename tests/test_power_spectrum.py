"""Power per band beside closed forms."""

import numpy as np
import pytest

from specjax.evaluate.power_spectrum import band_power


def noise(n, *shape, seed=0):
    return np.random.default_rng(seed).normal(size=(n, *shape))


def filtered(x, gain):
    """Samples whose frequencies are multiplied by a gain of the radius, by NumPy."""
    axes = tuple(range(1, 1 + min(x.ndim - 1, 2)))
    mesh = np.meshgrid(*(np.fft.fftfreq(x.shape[axis]) for axis in axes), indexing="ij")
    factor = gain(np.sqrt(sum(f**2 for f in mesh)))
    if x.ndim == 4:
        factor = factor[..., None]
    return np.fft.ifftn(np.fft.fftn(x, axes=axes) * factor, axes=axes).real


@pytest.mark.parametrize("shape", [(64,), (16, 16), (16, 12), (16, 16, 3)])
def test_a_gain_per_frequency_is_found_in_its_band(shape):
    b = noise(40, *shape)
    b -= b.mean(0)
    a = filtered(b, lambda f: np.where(f > 0.3, 0.5, 1.0))
    found = band_power(a, b)
    high = found.frequency > 0.3
    # The band across the edge has both; all others are exact: 10 log10(0.25).
    crossing = (found.decibel < -0.01) & (found.decibel > -6.0)
    assert crossing.sum() <= 1
    np.testing.assert_allclose(found.decibel[high & ~crossing], 10 * np.log10(0.25), rtol=1e-9)
    np.testing.assert_allclose(found.decibel[~high & ~crossing], 0, atol=1e-9)
    np.testing.assert_allclose(found.rms, np.sqrt(np.mean(found.decibel**2)), rtol=1e-12)


def test_white_noise_is_flat_and_parsevals():
    x = noise(4000, 12, 12, 2)
    found = band_power(x, x)
    # Two channels of unit variance; a band has at least 4 frequencies, the constant one.
    np.testing.assert_allclose(found.real, 2.0, atol=5 * 2 * np.sqrt(1 / 4000))
    assert found.rms == 0
    assert found.frequency[0] == 0
    assert found.frequency[1] >= 1 / 12
    assert found.frequency[-1] <= np.sqrt(0.5) + 1e-12
    assert (np.diff(found.frequency) > 0).all()


def test_a_sine_has_its_power_in_its_band():
    t = np.arange(64)
    phase = 2 * np.pi * np.random.default_rng(0).uniform(size=(5000, 1))
    x = np.sin(2 * np.pi * 8 * t / 64 + phase)
    found = band_power(x, x, bands=5)
    at = np.argmin(abs(np.log(found.frequency[1:] * 64 / 8))) + 1
    assert np.argmax(found.real) == at
    assert found.real[at] > 1e6 * np.delete(found.real, at).max()


def test_a_wrong_mean_is_an_error_of_the_constant_and_the_datas_own_is_not():
    b = noise(50, 8, 8) + 100
    centred = b - b.mean(0)
    m2 = 0.25
    found = band_power(b + 0.5, b)
    # A constant m has the coefficient 8 m of 64 pixels.
    np.testing.assert_allclose(found.generated[0] - found.real[0], 64 * m2, rtol=1e-6)
    np.testing.assert_allclose(found.decibel[1:], 0, atol=1e-9)
    np.testing.assert_allclose(found.real, band_power(centred, centred).real, rtol=1e-6)


def test_octaves_of_a_power_law_have_the_slope():
    b = filtered(noise(600, 256), lambda f: np.where(f > 0, f, 1.0) ** -1.0)
    found = band_power(b, b, bands=7)
    slope = np.polyfit(np.log(found.frequency[1:]), np.log(found.real[1:]), 1)[0]
    assert abs(slope + 2) < 0.15  # power f^-2; within a band the mean is of powers


def test_a_band_without_power_in_both_is_no_error_and_in_one_is_large():
    b = noise(20, 8, 8)
    b = filtered(b, lambda f: f < 0.4)
    assert band_power(b, b).rms == 0
    assert band_power(b + 1e-3 * noise(20, 8, 8, seed=1), b).decibel[-1] > 40


def test_channels_of_sound_need_to_be_named():
    x = noise(30, 16, 2)
    one = band_power(x, x, spatial=1)
    want = sum(band_power(x[..., c], x[..., c]).real for c in range(2))
    np.testing.assert_allclose(one.real, want, rtol=1e-9)


@pytest.mark.parametrize(
    "bad",
    [noise(5, 4, 4, 2, 2, 2), noise(1, 8), np.full((5, 8), np.inf)],
    ids=["axes", "one", "inf"],
)
def test_other_samples_are_refused(bad):
    with pytest.raises(ValueError):  # noqa: PT011 (the shape is for specjax.spectra to refuse)
        band_power(bad, bad)
