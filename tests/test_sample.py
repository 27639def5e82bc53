import jax
import jax.numpy as jnp
import numpy as np
import pytest

import specjax as sx

SAMPLES = 20_000
SIGMAS = 5.0  # standard errors; about 40 comparisons in this file
SPECTRUM = sx.Spectrum([9.0, 0.5, 0.01], [1.0, -2.0, 0.3])
SCHEDULE = sx.NoiseSchedule([-6.0, -2.0, 0.5, 3.0, np.inf])


@pytest.mark.parametrize("process", ["vp", "ve"])
@pytest.mark.parametrize("sampler", sx.SAMPLERS)
def test_samples_have_the_moments_that_transfer_predicts(sampler, process):
    plan = sx.plan(sampler, SCHEDULE, process)
    x = sx.sample(plan, sx.wiener(SPECTRUM), jax.random.key(1), (SAMPLES, 3))
    want = sx.transfer(plan, SPECTRUM)
    x = np.asarray(x, np.float64)
    mean_error = np.abs(x.mean(0) - want.mean_gain * SPECTRUM.mean) / want.std * SAMPLES**0.5
    assert mean_error.max() < SIGMAS
    variance_error = np.abs(x.var(0) / want.variance - 1) / np.sqrt(2 / SAMPLES)
    assert variance_error.max() < SIGMAS


def test_a_dense_basis_in_data_space():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(4, 4))
    spectrum = sx.Spectrum.from_covariance(root @ root.T, rng.normal(size=4))
    plan = sx.plan("ddpm", SCHEDULE)
    x = sx.sample(plan, sx.wiener(spectrum), jax.random.key(2), (SAMPLES, 4))
    moments = sx.transfer(plan, spectrum)
    vectors = np.asarray(spectrum.basis.vectors)
    covariance = vectors * moments.variance @ vectors.T
    got = np.cov(np.asarray(x, np.float64).T)
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert (np.abs(got - covariance) / scale).max() < SIGMAS * np.sqrt(2 / SAMPLES)


def test_one_step_to_the_end_is_the_estimate():
    plan = sx.plan("ddim", sx.NoiseSchedule([-1.0, np.inf]))
    x = sx.sample(plan, lambda x, alpha, sigma: 3 * x, jax.random.key(0), (5,))
    start = sx.sample(plan, lambda x, alpha, sigma: x, jax.random.key(0), (5,))
    np.testing.assert_allclose(x, 3 * start, rtol=1e-6)


@pytest.mark.thorough
def test_a_function_of_the_key_and_of_the_start():
    plan = sx.plan("ddpm", SCHEDULE)

    def draw(seed, **options):
        return sx.sample(plan, sx.wiener(SPECTRUM), jax.random.key(seed), (4, 3), **options)

    np.testing.assert_array_equal(draw(0), draw(0))
    assert not np.array_equal(draw(0), draw(1))
    start = jnp.ones((4, 3))
    assert not np.array_equal(draw(0, start=start), draw(1, start=start))  # its steps are noisy


def test_noise_of_the_steps_is_independent_of_the_start():
    plan = sx.plan("ddpm", SCHEDULE)
    key = jax.random.key(3)
    zero = sx.sample(plan, sx.wiener(SPECTRUM), key, (SAMPLES, 3), start=jnp.zeros((SAMPLES, 3)))
    both = sx.sample(plan, sx.wiener(SPECTRUM), key, (SAMPLES, 3))
    start_part = np.asarray(both - zero)[:, 0]
    correlation = np.corrcoef(start_part, np.asarray(zero)[:, 0])[0, 1]
    assert abs(correlation) < SIGMAS / SAMPLES**0.5


@pytest.mark.thorough
def test_under_jit_with_a_traced_plan():
    plan = sx.plan("heun", SCHEDULE)

    @jax.jit
    def draw(levels):
        traced = sx.plan("heun", sx.NoiseSchedule(levels))  # keeps its idle row
        return sx.sample(traced, sx.wiener(SPECTRUM), jax.random.key(0), (6, 3), start=start)

    start = jax.random.normal(jax.random.key(5), (6, 3))
    eager = sx.sample(plan, sx.wiener(SPECTRUM), jax.random.key(0), (6, 3), start=start)
    np.testing.assert_allclose(draw(jnp.asarray(SCHEDULE.logsnr)), eager, rtol=2e-5, atol=1e-5)


def test_bad_input():
    plan = sx.plan("ddim", SCHEDULE)
    denoise = sx.wiener(SPECTRUM)
    with pytest.raises(ValueError, match="typed PRNG key"):
        sx.sample(plan, denoise, 0, (2, 3))
    with pytest.raises(ValueError, match="typed PRNG key"):
        sx.sample(plan, denoise, jax.random.PRNGKey(0), (2, 3))
    with pytest.raises(ValueError, match=r"start has shape \(3,\), the samples \(2, 3\)"):
        sx.sample(plan, denoise, jax.random.key(0), (2, 3), start=jnp.zeros(3))


def test_samples_are_told_their_labels_or_conditions():
    plan = sx.plan("ddim", sx.NoiseSchedule.from_sigmas([80.0, 1.0, 0.0]))
    wanted = np.array([[0.5, -1.0], [2.0, 0.25], [-3.0, 1.0]], np.float32)

    def told(x, alpha, sigma, which):  # data that are one point for each label
        return which["at"] if isinstance(which, dict) else wanted[np.asarray(which)]

    def of_label(x, alpha, sigma, label):
        return jax.numpy.asarray(wanted)[label]

    labels, key = np.array([2, 0, 1]), jax.random.key(0)
    for denoise in (of_label, sx.BlackBox(told, (2,))):
        found = sx.sample(plan, denoise, key, (3, 2), labels=labels)
        np.testing.assert_allclose(found, wanted[labels], atol=1e-6)
    found = sx.sample(plan, told, key, (3, 2), conditions={"at": wanted})
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    with pytest.raises(sx.UserError, match="labels"):
        sx.sample(plan, of_label, key, (3, 2), labels=labels[:2])
