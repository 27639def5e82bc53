import numpy as np
import pytest

import specjax as sx

pytestmark = pytest.mark.usefixtures("beside_the_package")


def test_weights_of_p_1_are_the_relative_loss():
    """lambda^-1 (sqrt lambda - sqrt V)^2 = (1 - sqrt(V / lambda))^2, at any schedule."""
    from experiments.high_frequencies.spectra import stationary, weighted

    spectrum = stationary("digits", 300)
    for sampler in ("ddim", "ddpm"):
        schedule = sx.family("cosine", 6)
        ours = sx.loss(weighted(spectrum, 1.0), schedule, sampler=sampler, loss="w2")
        relative = sx.loss(spectrum, schedule, sampler=sampler, loss="relative")
        assert ours == pytest.approx(relative, rel=1e-12)


def test_every_band_weighs_the_same():
    from experiments.bands import bands_of
    from experiments.high_frequencies.spectra import stationary, weighted

    spectrum = stationary("digits", 300)
    members = bands_of(spectrum).members
    weight = np.asarray(weighted(spectrum, None).weights * spectrum.eigenvalues)
    assert np.bincount(members, weight) == pytest.approx(1.0, rel=1e-12)


def test_predicted_bands_are_those_of_samples_of_the_gaussian():
    """200,000 draws of what a plan makes of a Gaussian: five standard errors, 2 / n per square."""
    from experiments.bands import predicted
    from specjax.evaluate.power_spectrum import band_power

    rng = np.random.default_rng(0)
    data = rng.normal(size=(40, 4, 4)).cumsum(1).cumsum(2)
    spectrum = sx.Spectrum.from_samples(data)
    plan = sx.plan("ddim", sx.family("cosine", 4, alpha_bar_range=(1e-3, 1.0)))
    moments, n = sx.transfer(plan, spectrum), 50_000
    white = rng.normal(size=(n, 16))
    made = spectrum.lift(moments.mean_gain * spectrum.mean + np.sqrt(moments.variance) * white)
    ideal = spectrum.lift(spectrum.mean + np.sqrt(spectrum.eigenvalues) * rng.normal(size=(n, 16)))
    ideal += data.mean(0) - ideal.mean(0)  # powers are around the data's mean
    decibel = band_power(made, ideal).decibel
    error = 10 / np.log(10) * np.sqrt(2 * 2 / n)
    assert np.abs(predicted(plan, spectrum) - decibel).max() < 5 * error


def test_results_are_what_theory_says_of_their_levels():
    """DDIM to a noise-free end: D1 = sqrt(1/A) cos(phi_0) prod cos(phi_k - phi_k+1) (DESIGN.md)."""
    from experiments.bands import bands_of
    from experiments.experiment import load
    from experiments.high_frequencies.spectra import stationary
    from experiments.high_frequencies.summary import read

    found = read("digits", load("high_frequencies").results)["samplers"]["ddim"]
    spectrum = stationary("digits", None)
    lam = spectrum.eigenvalues
    for name, one in found["5"].items():
        s = np.append(np.exp(-np.array(one["logsnr"]) / 2), 0.0)
        angle = np.arctan(s[:, None] / np.sqrt(lam))
        noisy = 1 / (1 + s[0] ** 2)
        gain = np.cos(angle[0]) / np.sqrt(noisy) * np.cos(angle[:-1] - angle[1:]).prod(0)
        members = bands_of(spectrum).members
        decibel = 10 * np.log10(np.bincount(members, gain**2) / np.bincount(members, lam))
        assert one["decibel"] == pytest.approx(decibel, abs=2e-4), name


def test_results_of_equal_steps_are_the_same_error_for_every_band():
    """DESIGN.md: log std errs by -E / (2 S); for u' constant E = u' / 2, whatever lambda is."""
    from experiments.experiment import load
    from experiments.high_frequencies.summary import read

    one = read("digits", load("high_frequencies").results)["samplers"]["ddim"]["50"][
        "uniform_logsnr"
    ]
    span, steps = (one["logsnr"][-1] - one["logsnr"][0]) / 2, 49
    ideal = -20 / np.log(10) * span / (4 * steps)
    assert one["decibel"] == pytest.approx(np.full(len(one["decibel"]), ideal), rel=0.02)
