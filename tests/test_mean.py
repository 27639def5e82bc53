"""Data far from zero: ignoring the mean, and starting at the marginal's mean."""

import jax
import numpy as np
import pytest

import specjax as sx
from specjax import UserError

SPECTRUM = sx.Spectrum([4.0, 1.0, 0.05], mean=[0.0, -7.0, 3.0])
METHODS = [sx.ddim(eta=0.3), "ddim", "ddpm", "dpmpp_2m", "heun", "dpmpp_2m_sde"]


def levels(seed, clean, pure):
    """Anybody's levels: no schedule in particular."""
    inner = np.sort(np.random.default_rng(seed).normal(0, 4, 5))
    return sx.NoiseSchedule([-np.inf if pure else inner[0] - 2, *inner, clean])


@pytest.mark.thorough
@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("process", ["vp", "ve", "flow"])
def test_a_start_at_the_marginals_mean_has_no_bias_whatever_the_levels(method, process):
    for seed, clean in ((0, np.inf), (1, 9.0)):
        plan = sx.plan(method, levels(seed, clean, False), process)
        found = sx.transfer(plan, SPECTRUM, starts_at_mean=True)
        alpha = {"vp": 1 / np.sqrt(1 + np.exp(-clean)), "ve": 1.0,
                 "flow": 1 / (1 + np.exp(-clean / 2))}[process]  # fmt: skip
        np.testing.assert_allclose(found.mean_gain, alpha, rtol=1e-12)
        # The mean that is run: the same denoiser on the same noise with and without the mean.
        denoise = sx.wiener(SPECTRUM)
        with jax.enable_x64(True):
            key = jax.random.key(0)
            options = {"mean": SPECTRUM.mean, "dtype": np.float64}
            with_mean = sx.sample(plan, denoise, key, (3, 3), **options)
            centred = sx.sample(plan, sx.wiener(sx.Spectrum(SPECTRUM.eigenvalues)), key, (3, 3),
                                dtype=np.float64)  # fmt: skip
        np.testing.assert_allclose(with_mean - centred, [alpha * SPECTRUM.mean] * 3, atol=1e-9)


def test_a_start_at_zero_has_the_bias_of_the_closed_form():
    plan = sx.plan("ddim", levels(0, np.inf, False))
    found = sx.transfer(plan, SPECTRUM)
    np.testing.assert_allclose(found.mean_gain, 1 - plan.alpha[0] * found.gain, rtol=1e-12)


def test_from_pure_noise_there_is_no_bias_either_way():
    plan = sx.plan("ddim", levels(0, np.inf, True), "flow")
    for starts in (False, True):
        found = sx.transfer(plan, SPECTRUM, starts_at_mean=starts)
        np.testing.assert_allclose(found.mean_gain, 1, rtol=1e-12)


@pytest.mark.thorough
def test_many_samples_start_at_the_mean_too():
    plan, denoise = sx.plan("ddpm", sx.NoiseSchedule([-2.0, 1.0, np.inf])), sx.wiener(SPECTRUM)
    many = sx.generate(plan, denoise, 5, (3,), mean=SPECTRUM.mean, batch=2)
    key = jax.random.fold_in(jax.random.key(0), 3)
    one = sx.sample(plan, denoise, key, (3,), mean=SPECTRUM.mean)
    np.testing.assert_allclose(many[3], one, rtol=1e-5, atol=1e-6)
    bias = sx.generate(plan, denoise, 5, (3,))[3] - many[3]
    assert np.abs(bias).max() > 1e-3
    for call in (sx.generate, lambda p, d, n, shape, **o: sx.sample(p, d, key, shape, **o)):
        for wrong in ({"mean": np.zeros(2)}, {"mean": np.zeros(3), "data": np.zeros(3)}):
            with pytest.raises(UserError, match="mean"):
                call(plan, denoise, 5, (3,), **wrong)


def test_an_ignored_mean_is_that_of_centred_data():
    options = {"alpha_bar_range": (1e-3, 1.0)}
    ignored = sx.fit(SPECTRUM, 4, mean="ignore", **options)
    centred = sx.fit(sx.Spectrum(SPECTRUM.eigenvalues), 4, **options)
    np.testing.assert_allclose(ignored.schedule.logsnr, centred.schedule.logsnr, rtol=1e-6)
    matched = sx.fit(SPECTRUM, 4, **options)
    assert matched.value > ignored.value
    assert ignored.source["mean"] == "ignored"
    with pytest.raises(UserError, match="mean"):
        sx.loss(SPECTRUM, ignored.schedule, mean="subtract")


def test_the_means_share_of_a_loss():
    schedule = levels(0, np.inf, False)
    task = sx.GaussianTask.resolve(SPECTRUM)
    found = sx.transfer(task.plan(schedule), SPECTRUM)
    of_mean = np.sum((SPECTRUM.mean * (1 - found.mean_gain)) ** 2)
    of_variance = np.sum((np.sqrt(SPECTRUM.eigenvalues) - found.std) ** 2)
    np.testing.assert_allclose(
        task.mean_share(schedule), of_mean / (of_mean + of_variance), rtol=1e-9
    )
