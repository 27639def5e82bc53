import numpy as np
import pytest

import specjax as sx

pytestmark = pytest.mark.usefixtures("beside_the_package")


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpmpp_2m"])
def test_a_stopped_plan_returns_the_estimate(sampler):
    """By the loop over the rows, with a denoiser that is not linear."""
    from experiments.intermediate_steps.trajectory import stopped

    def denoise(x, alpha, sigma):
        return np.tanh(x / alpha) / (1 + sigma)

    plan = sx.plan(sampler, sx.family("cosine", 4))
    start = np.random.default_rng(0).normal(size=5)
    quiet = sx.SamplerPlan(
        plan.alpha, plan.sigma, plan.keep, plan.pull, 0 * plan.push, plan.start, False
    )
    r = np.zeros((plan.registers, 5))
    r[0] = plan.start * start
    for k in range(4):
        estimate = denoise(r[0], plan.alpha[k], plan.sigma[k])

        def in_jax(x, alpha, sigma):
            import jax.numpy as jnp

            return jnp.tanh(x / alpha) / (1 + sigma)

        import jax

        found = sx.sample(stopped(quiet, k), in_jax, jax.random.key(0), (5,),
                          start=jax.numpy.asarray(start, "float32"))  # fmt: skip
        np.testing.assert_allclose(found, estimate, atol=2e-4)
        r = np.einsum("ij,jd->id", plan.keep[k], r) + plan.pull[k][:, None] * estimate


@pytest.mark.thorough
def test_after_the_last_call_all_is_formed():
    """In many steps: then power is that of the data, in each band."""
    from experiments.bands import bands_of
    from experiments.intermediate_steps.trajectory import predicted

    spectrum = sx.data.open("digits").spectrum(method="shift-invariant")
    bands = bands_of(spectrum)
    plan = sx.plan("dpmpp_2m", sx.spectral(spectrum, 60))
    power = predicted(plan, spectrum, bands)
    real = bands.mean(spectrum.eigenvalues)
    np.testing.assert_allclose(power[-1] / real, 1, atol=0.04)
    assert (power[0] / real < 0.0025).all()


def test_placed_levels_are_at_equal_distances_of_what_is_formed():
    from experiments.intermediate_steps.trajectory import formation_call, placed

    levels = np.linspace(-10, 8, 200)
    part = np.stack([1 / (1 + np.exp(-levels)), 1 / (1 + np.exp(-(levels - 2)))], axis=1)
    schedule = placed(levels, part, 5, (4.0358e-5, 1.0))
    progress = np.interp(schedule.logsnr[1:-1], levels, part.mean(1))
    np.testing.assert_allclose(np.diff(progress), np.diff(progress)[0], rtol=1e-2)
    assert formation_call(part)[0] == pytest.approx(10 / 18 * 199, abs=0.1)  # where it is 1/2


def test_what_is_taken_back_is_not_formed():
    from experiments.intermediate_steps.trajectory import formation_call

    part = np.array([[0.9, 0.6, 0.1], [0.2, 0.6, 0.2], [0.6, 0.7, 0.3], [1.0, 1.0, 0.4]])
    # 0.2 at call 1 to 0.6 at 2: half at 1.75; there from the first call on; never in the four
    np.testing.assert_allclose(formation_call(part), [1.75, 0.0, 4.0])
