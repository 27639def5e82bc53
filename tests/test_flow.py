"""Flow matching as a process: its plans, its closed forms, its networks' grids."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from checks import one_line
from test_transfer import LAM, MU, every_sampler, uneven_levels

import specjax as sx
from specjax.schedules.grids import GRIDS, FlowGrid, grid_of_config

SPECTRUM = sx.Spectrum(LAM, MU)
# Of numbers in which the scale of a process comes and goes again.
ROUNDING = 1e-12


def flow_times(steps, shift=1.0):
    """The times of FlowMatchEuler's pipelines: 1, 1 - 1/S, ..., 1/S, shifted, and then 0."""
    t = np.append(np.linspace(1, 1 / steps, steps), 0.0)
    return shift * t / (1 + (shift - 1) * t)


def euler_on_the_flow_ode(velocity, x, times):
    """x' = x + (t' - t) v(x, t), in long double."""
    x, times = x.astype(np.longdouble), np.asarray(times, np.longdouble)
    for now, after in itertools.pairwise(times):
        x = x + (after - now) * velocity(x, now)
    return x


def gaussian_velocity(lam, mu):
    """E[eps - x0 | x] of Gaussian data in x = (1 - t) x0 + t eps."""
    lam, mu = lam.astype(np.longdouble), mu.astype(np.longdouble)

    def velocity(x, t):
        variance = (1 - t) ** 2 * lam + t**2
        return (t - (1 - t) * lam) / variance * (x - (1 - t) * mu) - mu

    return velocity


@every_sampler
def test_the_transfer_is_that_of_the_ve_twin(sampler, options):
    if options == {"variance": "beta"}:
        pytest.skip("the forward kernel's variance is the process's own")
    for steps in (1, 5, 50):
        schedule = sx.NoiseSchedule(uneven_levels(steps, np.inf))
        flow, ve = (
            sx.transfer(sx.plan(sampler, schedule, process, **options), SPECTRUM)
            for process in ("flow", "ve")
        )
        for name in ("gain", "mean_gain", "std"):
            unit = np.abs(np.asarray(ve.std)) + 1
            gap = np.abs(getattr(flow, name) - getattr(ve, name)) / unit
            assert gap.max() < (1e-9 if sampler == "heun" else ROUNDING), (name, steps)


def test_the_forward_kernel_of_ddpm_is_that_of_the_process():
    logsnr = uneven_levels(6, np.inf)
    push = sx.plan("ddpm", sx.NoiseSchedule(logsnr), "flow", variance="beta").push[:-1, 0]
    alpha, sigma = oracles.scales(logsnr, "flow")
    # x_now = (alpha_now / alpha_next) x_next + the rest of the noise
    beta = sigma[:-1] ** 2 - (alpha[:-1] / alpha[1:]) ** 2 * sigma[1:] ** 2
    np.testing.assert_allclose(push**2, beta[:-1], rtol=1e-9)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_ddim_is_euler_on_the_flow_ode(shift):
    schedule, velocity = sx.family("flow", 7, shift=shift), gaussian_velocity(LAM, MU)
    np.testing.assert_allclose(schedule.flow_time, flow_times(7, shift), atol=1e-15)
    plan = sx.plan("ddim", schedule, "flow")
    np.testing.assert_array_equal([plan.alpha[0], plan.sigma[0], plan.start], [0, 1, 1])
    start = np.random.default_rng(0).normal(size=(5, LAM.size))
    want = euler_on_the_flow_ode(velocity, start, flow_times(7, shift))
    with jax.enable_x64(True):
        got = sx.sample(
            plan, sx.wiener(SPECTRUM), jax.random.key(0), start.shape, start=jnp.asarray(start),
            dtype="float64",
        )  # fmt: skip
    np.testing.assert_allclose(got, want.astype(float), rtol=1e-12, atol=1e-12)
    moments = sx.transfer(plan, SPECTRUM)
    unit = euler_on_the_flow_ode(velocity, np.ones_like(LAM), flow_times(7, shift))
    rest = euler_on_the_flow_ode(velocity, np.zeros_like(LAM), flow_times(7, shift))
    np.testing.assert_allclose(moments.gain, (unit - rest).astype(float), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(moments.mean_gain * MU, rest.astype(float), atol=1e-12)


def test_a_shift_multiplies_sigma():
    plain, shifted = (sx.family("flow", 6, shift=s).sigmas[1:] for s in (1.0, 2.5))
    np.testing.assert_allclose(shifted, 2.5 * plain, rtol=1e-13)


@pytest.mark.parametrize("sampler", ["ddim", "heun", "dpmpp_2m"])
def test_the_order_of_accuracy_is_that_of_the_sampler(sampler):
    spectrum, errors = sx.Spectrum(np.logspace(-0.5, 0.5, 9)), []
    exact = np.abs(oracles.gaussian_flow_gain(-4.0, 4.0, spectrum.eigenvalues))
    # VP's ends of the exact flow: unit noise at the first, alpha x0 + sigma eps at the last.
    alpha_vp, _ = oracles.scales(np.array([-4.0, 4.0]), "vp")
    alpha, sigma = oracles.scales(np.array([-4.0, 4.0]), "flow")
    exact = exact * (alpha[1] / alpha_vp[1]) * (sigma[0] / alpha[0]) * alpha_vp[0]
    for steps in (16, 32):
        schedule = sx.NoiseSchedule(np.linspace(-4.0, 4.0, steps + 1))
        std = sx.transfer(sx.plan(sampler, schedule, "flow"), spectrum).std
        errors.append(abs(std - exact).max())
    order = sx.SAMPLERS[sampler].order
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15)


def test_an_exact_velocity_network_reproduces_the_transfer():
    lam, mu, count = np.array([9.0, 1.0, 0.04]), np.array([1.0, -0.5, 0.2]), 40_000

    def network(x, t):  # what a perfect flow network answers
        variance = (1 - t) ** 2 * lam + t**2
        return (t - (1 - t) * lam) / variance * (x - (1 - t) * mu) - mu

    result = sx.fit(sx.Spectrum(lam, mu), 5, process="flow", alpha_bar_range=(0.0, 1.0))
    samples = sx.sample(result.plan, sx.from_flow(network), jax.random.key(1), (count, 3))
    want, got = sx.transfer(result.plan, sx.Spectrum(lam, mu)), np.asarray(samples, np.float64)
    bound = 4.5  # standard errors, of 6 numbers
    mean_error = np.abs(got.mean(0) - want.mean_gain * mu)
    np.testing.assert_array_less(mean_error, bound * want.std / np.sqrt(count))
    error = np.abs(got.var(0) - want.variance)
    np.testing.assert_array_less(error, bound * want.variance * np.sqrt(2 / count))


FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000}


@pytest.mark.thorough
def test_a_grid_of_flow_matching_is_that_of_its_times(tmp_path):
    asked = {**FLOW, "shift": 3.0, "shift_terminal": 0.02, "use_dynamic_shifting": True}
    grid = grid_of_config("sd3", {**asked, "unrelated": 1})
    assert isinstance(grid, FlowGrid)
    assert dict(grid.config) == asked
    assert grid.range == (-np.inf, pytest.approx(2 * np.log(999)))
    times = np.array([1.0, 0.7, 0.02])
    s = np.append(np.inf, times[1:] / (1 - times[1:]))
    np.testing.assert_allclose(grid.timestep_of_sigma(s), 1000 * times, rtol=1e-12)
    np.testing.assert_allclose(grid.logsnr_at(1000 * times), -2 * np.log(s), rtol=1e-12)
    mochi = grid_of_config("mochi", {**FLOW, "invert_sigmas": True})
    np.testing.assert_allclose(mochi.timestep_of_sigma(s), 1000 * (1 - times), atol=1e-9)
    np.testing.assert_allclose(mochi.logsnr_at(1000 * (1 - times)), -2 * np.log(s), rtol=1e-9)
    result = sx.fit(SPECTRUM, 4, process="flow", grid=asked, alpha_bar_range=(0.0, 1.0))
    assert result.schedule.starts_pure
    back = sx.load(sx.save(tmp_path / "plan.json", result))
    assert isinstance(back.grid, FlowGrid)
    assert dict(back.grid.config) == asked
    assert back.process == "flow"
    np.testing.assert_array_equal(back.schedule.logsnr, result.schedule.logsnr)
    for config in ({"use_flow_sigmas": True, "flow_shift": 5.0, "beta_schedule": "linear"}, {
        "prediction_type": "flow_prediction"
    }):  # fmt: skip
        assert isinstance(grid_of_config("wan", config), FlowGrid)
    assert type(grid_of_config("sd", GRIDS["sd"].config)) is sx.TrainingGrid


def test_ve_has_no_pure_noise():
    pure = sx.NoiseSchedule([-np.inf, 0.0, np.inf])
    result = sx.LearnedResult.from_schedule(pure)
    for call in (
        lambda: sx.plan("ddim", pure, "ve"),
        lambda: result.plan_in("ve"),
        lambda: sx.fit(SPECTRUM, 3, process="ve", alpha_bar_range=(0.0, 1.0)),
        lambda: sx.learn(SPECTRUM, 3, process="ve", alpha_bar_range=(0.0, 1.0)),
        lambda: sx.limits.gaussian(SPECTRUM, 3, noisy=0.0, process="ve"),
    ):
        assert "process = 've'" in one_line(call)
