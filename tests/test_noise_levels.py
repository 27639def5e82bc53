import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import one_line
from scipy import stats

import specjax as sx
from specjax.advise.advice import QUANTILES
from specjax.nn.denoiser import TARGETS
from specjax.nn.losses import WEIGHTINGS
from specjax.nn.noise_levels import noise_levels, stratified

SPECTRUM = sx.Spectrum.power_law(40, 1.5)


def drawn(name, n=4000, **options):
    u = stratified(jax.random.key(0), n)
    return np.asarray(noise_levels(name, SPECTRUM, options)(u), np.float64)


@pytest.mark.thorough
def test_edm_is_log_normal_in_s():
    s = np.exp(-drawn("edm", mean=-0.4, std=1.5) / 2)
    assert stats.kstest(np.log(s), stats.norm(-0.4, 1.5).cdf).statistic < 1e-3  # stratified


def test_uniform_in_logsnr():
    found = drawn("uniform", low=-3.0, high=5.0)
    assert stats.kstest(found, stats.uniform(-3, 8).cdf).statistic < 1e-3


def test_spectral_has_the_density_of_the_spectral_schedule():
    """Between two of its levels lie as many as between any two others."""
    schedule = sx.spectral(SPECTRUM, 10, alpha_bar_range=(4.0358e-5, 0.9999))
    counts, _ = np.histogram(drawn("spectral", 10_000), np.asarray(schedule.logsnr))
    np.testing.assert_allclose(counts, 1000, atol=3)


def test_for_one_eigenvalue_the_spectral_density_is_the_cosine_schedules():
    """lambda = 1: angles arctan(s) equally spread."""
    levels = noise_levels("spectral", sx.Spectrum([1.0]), {})(stratified(jax.random.key(1), 500))
    angle = np.sort(np.arctan(np.exp(-np.asarray(levels) / 2)))
    np.testing.assert_allclose(np.diff(angle), np.diff(angle).mean(), rtol=0.02)


@pytest.mark.thorough
def test_a_schedule_file_gives_its_density(tmp_path):
    result = sx.fit(SPECTRUM, 5)
    sx.save(tmp_path / "schedule.json", result)
    levels = np.asarray(result.schedule.logsnr)[:-1]  # the last is +inf
    counts, _ = np.histogram(drawn("schedule", 4000, file=str(tmp_path / "schedule.json")), levels)
    np.testing.assert_allclose(counts, 1000, atol=3)


def test_stratified_numbers_are_one_in_each_stratum():
    u = np.asarray(stratified(jax.random.key(3), 64))
    np.testing.assert_array_equal(np.sort((u * 64).astype(int)), np.arange(64))
    assert u.min() > 0
    assert u.max() < 1


@pytest.mark.parametrize("target", ["f", "eps", "v", "flow"])
def test_a_weighting_makes_errors_of_its_target_count_alike(target):
    """A change of the network's answer by 1 changes the weighted squared error by 1."""
    s, sd, x = jnp.array([0.01, 0.5, 30.0]), 0.7, jnp.array([0.3, -1.0, 2.0])
    made = [
        TARGETS[target].denoiser(lambda y, _, c=c: c * jnp.ones_like(y), sd) for c in (0.0, 1.0)
    ]
    change = made[1](x, 1.0, s) - made[0](x, 1.0, s)
    weight = WEIGHTINGS["edm" if target == "f" else target].weight(s, sd)
    np.testing.assert_allclose(weight * change**2, 1, rtol=2e-3)  # s = 0.01 cancels in float32


def test_min_snr_bounds_the_ratio():
    s = jnp.array([0.1, 0.5, 2.0])
    np.testing.assert_allclose(WEIGHTINGS["min_snr"].weight(s, 0.5), [5, 4, 0.25], rtol=1e-6)


def test_what_is_refused():
    for name, options, match in (
        ("edn", {}, "noise_levels = 'edn'"),
        ("edm", {"men": 1}, "'men'"),
        ("edm", {"std": 0}, "std = 0"),
        ("uniform", {"low": "x"}, "low = 'x'"),
        ("uniform", {"low": 3, "high": 3}, "low = 3"),
        ("schedule", {"file": "nothing.json"}, "nothing.json"),
        ("spectral", {"loss": "w3"}, "loss = 'w3'"),
        ("spectral", {"clean": 1.0}, "clean = 1.0"),
    ):
        assert match in one_line(noise_levels, name, SPECTRUM, options)


def test_advised_levels_have_the_density_of_what_can_be_learned():
    """Against the quantiles that ``sx.advise`` gives to other trainers."""
    advice = sx.advise(SPECTRUM, steps=[2])
    counts, _ = np.histogram(drawn("advised", 10_000), np.sort(-2 * np.log(advice.quantiles)))
    share = np.diff(QUANTILES)  # of probability between two of them
    np.testing.assert_allclose(counts / 10_000, share, atol=5e-3)
