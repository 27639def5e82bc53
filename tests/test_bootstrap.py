from dataclasses import replace

import numpy as np
import pytest
from checks import one_line

import specjax as sx
from specjax import Spectrum, bootstrap, power_law_fit
from specjax.spectra.basis import mirror

WIDE = 1.959964  # the 97.5 % point of the normal distribution


def gaussian(n, lam, seed=0):
    return np.random.default_rng(seed).normal(size=(n, len(lam))) * np.sqrt(lam)


@pytest.mark.parametrize("d", [6, 300])
def test_widths_are_those_of_gaussian_variances(d):
    # std of an eigenvalue of Gaussian data: lambda sqrt(2 / N) (Anderson 1963); d = 300 is beyond
    # what is re-diagonalised.
    lam = np.append([1000.0, 100.0, 10.0], np.full(d - 3, 1e-3) * np.linspace(1, 2, d - 3))
    x = gaussian(4000, lam)
    spectrum = Spectrum.from_samples(x)
    found = bootstrap(x, spectrum, replicates=2000 if d < 10 else 400)
    assert found.method == ("re-diagonalised" if d < 10 else "first-order")
    log_width = np.log(found.upper / found.lower)[:3]
    want = 2 * WIDE * np.sqrt(2 / 4000)
    # Kurtosis of 4,000 samples: 3 +- 24^0.5 / 63, so a width is known to 4 %; quantiles of 400
    # replicates to 6 %; three standard errors.
    np.testing.assert_allclose(log_width, want, rtol=0.22 if d > 10 else 0.15)


@pytest.mark.thorough
@pytest.mark.parametrize(("d", "method"), [(4, "exact"), (16, "shift-invariant")])
def test_intervals_cover_as_often_as_they_say(d, method):
    lam = np.array([8.0, 4.0, 2.0, 1.0])
    trials, hits = 250, []
    for trial in range(trials):
        if method == "exact":
            x = gaussian(300, lam, seed=trial)
        else:  # white noise: every frequency has the variance 1
            x, lam = gaussian(300, np.ones(d), seed=trial), np.ones(d)
        spectrum = Spectrum.from_samples(x, method=method)
        found = bootstrap(x, spectrum, replicates=200, level=0.9, seed=trial)
        hits.append((found.lower <= lam) & (lam <= found.upper))
    coverage = np.mean(hits)
    effective = trials * (4 if method == "exact" else d // 2)  # mirrored frequencies are one
    # 200 replicates and 300 samples cost about 1.5 % of coverage.
    assert abs(coverage - 0.9) < 0.015 + 3 * np.sqrt(0.09 / effective)


def test_channels_and_images_of_mirrored_frequencies_agree():
    x = np.random.default_rng(0).normal(size=(200, 4, 6, 2))
    spectrum = Spectrum.from_samples(x, method="shift-invariant")
    found = bootstrap(x, spectrum)
    for bounds in (found.lower, found.upper):
        by_frequency = bounds.reshape(-1, 2)
        np.testing.assert_allclose(by_frequency[mirror((4, 6))], by_frequency, rtol=1e-9)
    assert (found.lower < found.upper).all()


def test_batches_and_seeds():
    x = gaussian(500, [3.0, 1.0, 0.1]) + 7
    spectrum = Spectrum.from_samples(x)
    whole = bootstrap(x, spectrum, seed=3)
    parts = bootstrap(np.array_split(x, 9), spectrum, seed=3)
    np.testing.assert_allclose(whole.lower, parts.lower, rtol=1e-9)
    np.testing.assert_allclose(whole.upper, parts.upper, rtol=1e-9)
    assert (bootstrap(x, spectrum, seed=4).lower != whole.lower).all()
    wider = bootstrap(x, spectrum, seed=3, level=0.99)
    assert (wider.lower < whole.lower).all()
    assert (wider.upper > whole.upper).all()


def test_zero_eigenvalues_and_ranges():
    x = np.random.default_rng(0).integers(0, 256, (300, 4, 4), np.uint8)
    x[:, 0, 0] = 9
    spectrum = Spectrum.from_samples(x, data_range=(0, 255))
    found = bootstrap(x, spectrum)  # the range is in the spectrum's source
    zero = spectrum.eigenvalues == 0
    assert zero.sum() == 1
    assert found.upper[zero] == 0
    assert (found.lower[~zero] > 0).all()


def test_files_keep_intervals(tmp_path):
    x = gaussian(100, [3.0, 1.0])
    spectrum = Spectrum.from_samples(x)
    spectrum = replace(spectrum, intervals=bootstrap(x, spectrum, seed=5))
    back = sx.load(sx.save(tmp_path / "spectrum.npz", spectrum))
    np.testing.assert_array_equal(back.intervals.lower, spectrum.intervals.lower)
    np.testing.assert_array_equal(back.intervals.upper, spectrum.intervals.upper)
    for name in ("level", "replicates", "seed", "method"):
        assert getattr(back.intervals, name) == getattr(spectrum.intervals, name)
    assert back.fingerprint == spectrum.fingerprint
    assert sx.load(sx.save(tmp_path / "b.npz", replace(spectrum, intervals=None))).intervals is None


def test_transformations_do_not_keep_stale_intervals():
    x = gaussian(100, [3.0, 1.0])
    spectrum = Spectrum.from_samples(x)
    spectrum = replace(spectrum, intervals=bootstrap(x, spectrum))
    assert spectrum.floor(0.5).intervals is None
    assert spectrum.quadrature(8).intervals is None


def test_errors_name_the_argument():
    x = gaussian(40, [2.0, 1.0])
    spectrum = Spectrum.from_samples(x)
    short = replace(bootstrap(x, spectrum, replicates=2), lower=np.ones(3))
    refused = {
        "replicates = 1:": lambda: bootstrap(x, spectrum, replicates=1),
        "replicates = 1000000000": lambda: bootstrap(x, spectrum, replicates=10**9),
        "level = 95": lambda: bootstrap(x, spectrum, level=95),
        "no basis": lambda: bootstrap(x, Spectrum([2.0, 1.0])),
        "shape (1,)": lambda: bootstrap(x[:, :1], spectrum),
        "intervals has shape (3,)": lambda: replace(spectrum, intervals=short),
        "2 positive eigenvalue(s)": lambda: power_law_fit(Spectrum([2.0, 1.0, 0.0])),
    }
    for words, call in refused.items():
        assert words in one_line(call)


def test_a_power_law_is_found():
    fit = power_law_fit(Spectrum.power_law(1000, 1.7, scale=3.0))
    np.testing.assert_allclose([fit.exponent, fit.scale, fit.r_squared], [1.7, 3.0, 1.0])
    assert fit.standard_error < 1e-12
    np.testing.assert_allclose(fit.at(np.array([1, 10])), [3.0, 3.0 * 10**-1.7])


def test_every_octave_counts_alike():
    # Slope 1 up to rank 32 and 3 beyond: the line through 100,000 points evenly over log rank.
    def log_lam(x):
        return -x - 2 * np.maximum(x - np.log(32), 0)

    x = np.linspace(np.log(0.5), np.log(1024.5), 100_001)
    want = -np.polyfit(x, log_lam(x), 1)[0]
    lam = np.exp(log_lam(np.log(np.arange(1, 1025))))
    fit = power_law_fit(Spectrum(lam))
    assert abs(fit.exponent - want) < 0.03  # the first octave is a single rank
    assert abs(np.polyfit(np.log(np.arange(1, 1025)), np.log(lam), 1)[0] + want) > 0.5


def test_order_zeros_and_counts_do_not_matter():
    lam = np.random.default_rng(0).lognormal(size=60)
    want = power_law_fit(Spectrum(np.sort(lam)[::-1]))
    got = power_law_fit(Spectrum(np.append(lam, np.zeros(7))))
    np.testing.assert_allclose(got, want, rtol=1e-12)
    grouped = Spectrum([5.0, 2.0, 1.0], weights=[1.0, 1.0, 1.0])
    assert power_law_fit(grouped) == power_law_fit(Spectrum([5.0, 2.0, 1.0]))


def test_the_standard_error_is_the_spread_of_the_exponent():
    rng = np.random.default_rng(0)
    law = Spectrum.power_law(300, 1.2).eigenvalues
    errors, found = [], []
    for _ in range(2000):
        noise = np.exp(0.1 * rng.normal(size=300))
        k = np.arange(1, 301)
        fit = _fit_unsorted(law * noise, k)
        found.append(fit[0])
        errors.append(fit[1])
    # Sorting is not part of the model of independent deviations, so it is done by ranks here:
    # the spread is known to 1 / sqrt(2 * 2000) = 1.6 %.
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(errors))), np.std(found), rtol=0.06)
    np.testing.assert_allclose(np.mean(found), 1.2, atol=4 * np.std(found) / np.sqrt(2000))


def _fit_unsorted(lam, k):
    """The public fit on values whose order is forced by a steeper law, which is then taken off."""
    steep = 40.0
    fit = power_law_fit(Spectrum(lam * k**-steep * 1e60))
    return fit.exponent - steep, fit.standard_error
