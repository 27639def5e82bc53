"""Schedules that start from pure noise (zero terminal SNR): limits, learning, files, networks."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from checks import by_default, one_line
from scipy.optimize import minimize
from scipy.special import expit, logit
from test_transfer import LAM, MU, TABLE, assert_equals_oracle, every_sampler, uneven_levels

import specjax as sx
from specjax.fitting.levels import levels_of, theta_of
from specjax.learning.sums_of_squares import Noises
from specjax.learning.trajectories import RowDerivatives, column, follow
from specjax.nn.noise_levels import noise_levels, stratified
from specjax.sampling.corrections import corrected_plan
from specjax.sampling.multistep import exponential_adams
from specjax.sampling.scaled import level_steps, scaled_plan
from specjax.schedules.schedule import NoiseSchedule

SPECTRUM = sx.Spectrum(LAM, MU)
PROCESSES = ["vp", "flow"]
FLOW = pytest.param("flow", marks=pytest.mark.thorough)
PURE = (0.0, 1.0)
RTOL = {"float64": 1e-11, "float32": 1e-4}  # the level that stands for pure noise is some 1e16


def from_pure_noise(steps, clean=np.inf, dtype=np.float64):
    return np.append(dtype(-np.inf), uneven_levels(steps, clean, dtype)[1:])


def responses_from_pure_noise(sampler, logsnr, options, process):
    """The limit of the first step by hand, and from there the source's own loop, in long double.

    x' = alpha' d + sigma' (sqrt(1 - eta^2) x + eta z) where the eta family adds noise, and with any
    eta only new noise in SDE-DPM-Solver++. What is remembered starts with the second call.
    """
    sources = oracles.ORACLES[sampler]
    native = "vp" if "vp" in sources else "ve"
    lam, rest = LAM.astype(np.longdouble), np.asarray(logsnr[1:], np.longdouble)
    alpha, sigma = oracles.scales(logsnr[1:], native)
    unit = np.eye(len(logsnr) + 1)[:, :, None] * lam**0  # start, mean, the noise of each step
    eta = {"ddpm": 1.0}.get(sampler, options.get("eta", 0.0))
    if sampler == "dpmpp_2m_sde":
        eta = float(eta > 0)
    noise = np.sqrt(1 - eta**2) * unit[0] + eta * unit[2]
    if np.isinf(logsnr[1]):
        x = unit[1]
    else:
        x = alpha[0] * unit[1] + sigma[0] * noise
        denoise = oracles.gaussian_denoiser(lam, unit[1])
        x = sources[native](denoise, x, rest, lambda k: unit[3 + k], **options)
    end = oracles.scales(logsnr[-1:], process)[0] / oracles.scales(logsnr[-1:], native)[0]
    out = np.asarray(x * end, float)
    return oracles.Responses(out[0], out[1], out[2:])


@every_sampler
@pytest.mark.parametrize("dtype", RTOL)
def test_the_transfer_is_the_limit_by_hand(sampler, options, dtype):
    if options == {"variance": "beta"}:
        pytest.skip("the forward kernel's variance is that of pure noise: see below")
    for process, steps, clean in (("vp", 5, np.inf), ("flow", 2, np.inf), ("flow", 1, np.inf),
                                  ("vp", 5, float(logit(0.9999)))):  # fmt: skip
        levels = from_pure_noise(steps, clean, np.dtype(dtype).type)
        plan = sx.plan(sampler, NoiseSchedule(levels), process, **options)
        assert (plan.alpha[0], plan.sigma[0], plan.start) == (0, 1, 1)
        want = responses_from_pure_noise(sampler, levels.astype(float), options, process)
        got = sx.transfer(plan, sx.Spectrum(LAM.astype(dtype), MU.astype(dtype)))
        assert_equals_oracle(got, want, 1e2 if dtype == "float32" else 1e4, RTOL[dtype])
        # DESIGN: D2 = alpha at the end - alpha at the start (0) D1
        alpha = oracles.scales(levels[-1:].astype(float), process)[0]
        np.testing.assert_allclose(got.mean_gain, np.full(LAM.size, alpha), rtol=RTOL[dtype])


@pytest.mark.parametrize("name", sx.SAMPLERS)
def test_a_sampler_starts_anew_behind_the_step_from_pure_noise(name):
    """There is sigma z + alpha mu, from which plans in flow matching start by themselves."""
    levels, sampler = from_pure_noise(5), sx.SAMPLERS[name]
    pure = sx.transfer(sx.plan(sampler, NoiseSchedule(levels), "flow"), SPECTRUM)
    after = sx.transfer(sx.plan(sampler, NoiseSchedule(levels[1:]), "flow"), SPECTRUM)
    if sampler.order is not None:
        np.testing.assert_allclose(pure.gain, after.gain, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(pure.std, after.std, rtol=1e-9)
    np.testing.assert_allclose(pure.mean_gain, 1, rtol=1e-11)
    padded = np.append(np.full(3, -np.inf), levels)  # idle steps, as of fits that share a program
    idle = sx.transfer(scaled_plan(sampler, padded, "flow", 3), SPECTRUM)
    np.testing.assert_allclose(idle.std, pure.std, rtol=1e-9)


def test_ddpm_of_the_kernels_variance_adds_unit_noise():
    levels = from_pure_noise(4)
    for process in PROCESSES:
        plan = sx.plan("ddpm", NoiseSchedule(levels), process, variance="beta")
        alpha, _ = oracles.scales(levels[1:2], process)
        np.testing.assert_allclose(plan.push[0, 0], 1, rtol=1e-12)  # x_now is noise, of variance 1
        np.testing.assert_allclose(plan.pull[0, 0], alpha[0], rtol=1e-12)


@pytest.mark.thorough
@pytest.mark.parametrize(("sampler", "options"), by_default(TABLE, 6, 9))
def test_samples_of_any_denoiser_and_gradients_are_finite(sampler, options):
    levels = from_pure_noise(4)

    def denoise(x, alpha, sigma):
        return jnp.tanh(x) * alpha + 0.3

    def total(finite, process):
        schedule = NoiseSchedule(jnp.pad(finite, 1, constant_values=(-jnp.inf, jnp.inf)))
        moments = sx.transfer(sx.plan(sampler, schedule, process, **options), SPECTRUM)
        return (jnp.cos(moments.std) + MU * moments.mean_gain**2).sum()

    for process in PROCESSES:
        plan = sx.plan(sampler, NoiseSchedule(levels), process, **options)
        assert np.isfinite(sx.sample(plan, denoise, jax.random.key(0), (3, 2))).all()
    with jax.enable_x64(True):
        got = jax.jit(jax.grad(total), static_argnums=1)(jnp.asarray(levels[1:-1]), "flow")
        steps = 1e-4 * np.eye(3)
        want = [total(levels[1:-1] + h, "flow") - total(levels[1:-1] - h, "flow") for h in steps]
        np.testing.assert_allclose(got, np.array(want) / 2e-4, rtol=1e-5, atol=1e-7)


def test_one_compilation_serves_schedules_with_pure_noise_and_without():
    with jax.enable_x64(True):
        value = jax.jit(lambda logsnr: sx.loss(SPECTRUM, NoiseSchedule(logsnr), sampler="dpmpp_2m"))
        for levels in (uneven_levels(5, np.inf), from_pure_noise(5)):
            want = float(sx.loss(SPECTRUM, NoiseSchedule(levels), sampler="dpmpp_2m"))
            assert float(value(jnp.asarray(levels))) == pytest.approx(want, rel=1e-12)
        assert value._cache_size() == 1


def ddim_from_pure_noise(finite, lam, mu):
    """Squared W2 of DDIM in VP from pure noise along logsnr [n], and then the estimate."""
    alpha, sigma = np.sqrt(expit(finite)), np.sqrt(expit(-finite))
    gain, mean = sigma[0] * np.ones_like(lam), alpha[0] * mu
    for k in range(len(finite)):
        to = (alpha[k + 1], sigma[k + 1]) if k + 1 < len(finite) else (1.0, 0.0)
        total = alpha[k] ** 2 * lam + sigma[k] ** 2
        slope, offset = alpha[k] * lam / total, sigma[k] ** 2 / total
        a = to[1] / sigma[k]
        b = to[0] - a * alpha[k]
        gain, mean = (a + b * slope) * gain, (a + b * slope) * mean + b * offset * mu
    return ((np.sqrt(lam) - np.abs(gain)) ** 2 + (mean - mu) ** 2).sum()


@pytest.mark.thorough
@pytest.mark.parametrize("process", ["vp", FLOW])
def test_a_fit_from_pure_noise_is_the_optimum_of_slsqp(process):
    lam = 0.9 ** np.arange(40) * 5
    mu = np.zeros(40)
    result = sx.fit(sx.Spectrum(lam), 4, process=process, alpha_bar_range=PURE)
    assert result.schedule.starts_pure
    assert result.converged
    assert result.value == pytest.approx(
        ddim_from_pure_noise(result.schedule.logsnr[1:-1], lam, mu), rel=1e-9
    )
    found = minimize(
        lambda x: np.log(ddim_from_pure_noise(x, lam, mu)), [-4.0, -1.0, 2.0], method="SLSQP",
        constraints={"type": "ineq", "fun": np.diff}, options={"ftol": 1e-14, "maxiter": 500},
    )  # fmt: skip
    np.testing.assert_allclose(result.schedule.logsnr[1:-1], found.x, atol=1e-3)
    assert result.value <= np.exp(found.fun) * (1 + 1e-8)


def test_for_one_eigenvalue_the_optimum_is_the_closed_form():
    angles = np.pi / 2 * (1 - np.arange(6) / 5)
    for lam in (1e-3, 7.0):
        want = np.sqrt(lam) * np.tan(angles[1:])
        closed = sx.spectral(sx.Spectrum([lam]), 5, alpha_bar_range=PURE)
        np.testing.assert_allclose(closed.sigmas[1:], want, rtol=1e-6, atol=1e-12)
        fitted = sx.fit(sx.Spectrum([lam]), 5, alpha_bar_range=PURE)
        np.testing.assert_allclose(fitted.schedule.sigmas[1:], want, rtol=1e-4, atol=1e-12)


def test_the_closed_form_is_its_own_limit():
    spectrum = sx.Spectrum.power_law(60, 2.0)
    for clean in (1.0, 0.999):
        pure, near = (
            sx.spectral(spectrum, 8, alpha_bar_range=(noisy, clean)).logsnr[1:]
            for noisy in (0.0, 1e-14)
        )
        np.testing.assert_allclose(pure, near, rtol=1e-5, atol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("ends", [(-np.inf, np.inf), (-np.inf, 9.0), (-np.inf, 6.5, np.inf)])
@pytest.mark.parametrize("idle", [0, 2])
def test_levels_after_pure_noise_come_back_from_their_parameters(ends, idle):
    levels = np.concatenate([np.full(1 + idle, -np.inf), [-6.0, -1.0, 0.5, 4.0], ends[-1:]])
    options = {"ends_clean": ends[1] == np.inf, "idle": idle}
    theta = theta_of(levels, np.array(ends), **options)
    assert np.isfinite(theta).all()
    np.testing.assert_allclose(levels_of(theta, np.array(ends), **options), levels, atol=1e-6)
    with jax.enable_x64(True):
        slopes = jax.jacobian(lambda x: levels_of(x, np.array(ends), **options))(theta)
    slopes = slopes[1 + idle : -1]
    assert np.isfinite(slopes).all()
    below = 4 if options["ends_clean"] else 5
    assert np.linalg.matrix_rank(np.asarray(slopes)) == min(below, 4)


@pytest.mark.thorough
@pytest.mark.parametrize("process", ["vp", FLOW])
def test_learned_plans_reach_the_limit(process, tmp_path):
    spectrum = sx.Spectrum(np.exp(np.linspace(3, -4, 20)), np.ones(20))
    for steps in (1, 3):
        plan = sx.learn(spectrum, steps, process=process, alpha_bar_range=PURE)
        limit = sx.limits.gaussian(spectrum, steps, noisy=0.0, process=process)
        # what S - 1 calls reach that start from noise of any scale
        assert limit == pytest.approx(
            sx.limits.gaussian(spectrum, steps - 1) if steps > 1 else spectrum.eigenvalues.sum()
        )
        assert np.exp(plan.value) == pytest.approx(limit, rel=1e-6)
        moments = sx.transfer(plan.plan, spectrum)
        np.testing.assert_allclose(moments.mean_gain, 1, rtol=1e-12)
    for suffix in ("json", "npz"):
        back = sx.load(sx.save(tmp_path / f"plan.{suffix}", plan))
        np.testing.assert_array_equal(back.schedule.logsnr, plan.schedule.logsnr)
        np.testing.assert_array_equal(back.plan.keep, plan.plan.keep)
        assert back.alpha_bar_range == PURE


def test_learning_by_least_squares_from_pure_noise():
    scale = np.array([2.0, 1.0, 0.3, 0.1])
    samples = np.random.default_rng(0).normal(size=(150, 4)) * scale
    prior = sx.priors.prior_of("empirical", samples)
    result = sx.learn(prior, 3, n=48, process="flow", alpha_bar_range=PURE)
    assert result.kept == "learned"
    assert result.value < min(result.baselines.values())
    assert np.isfinite(result.history).all()


def test_derivatives_of_trajectories_from_pure_noise_are_finite_differences():
    def plan_at(theta):
        logsnr = np.array([-np.inf, theta[0], theta[1], np.inf])
        by = exponential_adams(level_steps(logsnr, "flow"), 2)
        return corrected_plan(logsnr, by, "flow")

    class Answers:
        precision = 1e-12

        def __call__(self, x, alpha, sigma, conditions, weight=None):
            return np.tanh(x * alpha / (alpha**2 + 0.5 * sigma**2)) + 0.1 * sigma

    noises = Noises(np.random.default_rng(0).normal(size=(6, 3)))
    theta, answers = np.array([-2.0, 1.0]), Answers()
    plan, changes = plan_at(theta), RowDerivatives.of(plan_at, theta)
    trajectory = follow(plan, answers, noises)
    for j, step in enumerate(1e-5 * np.eye(2)):
        found = column(plan, changes.of_parameter(j), trajectory, answers, None)
        ends = [follow(plan_at(theta + sign * step), answers, noises).samples for sign in (1, -1)]
        np.testing.assert_allclose(found, (ends[0] - ends[1]) / 2e-5, rtol=1e-3, atol=2e-4)


@pytest.mark.thorough
def test_adapters_are_exact_at_pure_noise():
    x, spectrum = jnp.asarray(np.random.default_rng(0).normal(size=(5, 9))), SPECTRUM
    networks = {
        sx.from_v: lambda x, level: -MU,  # v = alpha eps - sigma x0 at alpha = 0
        sx.from_x0: lambda x, level: MU + 0 * x,
        sx.from_flow: lambda x, level: x - MU,
    }
    seen = []
    for adapt, network in networks.items():
        denoise = adapt(lambda x, level, network=network: seen.append(level) or network(x, level))
        np.testing.assert_allclose(denoise(x, 0.0, 1.0), np.broadcast_to(MU, x.shape), rtol=1e-6)
        jitted = jax.jit(denoise)(x, jnp.zeros(()), jnp.ones(()))
        np.testing.assert_allclose(jitted, np.broadcast_to(MU, x.shape), rtol=1e-6)
    assert seen[0] == -np.inf  # logsnr
    assert seen[-2] == 1  # the time of flow matching
    grid = sx.TrainingGrid.from_config(
        "v", {"beta_schedule": "linear", "rescale_betas_zero_snr": True}
    )
    assert grid.timestep_of_sigma(np.inf) == 999
    np.testing.assert_allclose(
        sx.wiener(spectrum)(x, 0.0, 1.0), np.broadcast_to(MU, x.shape), rtol=1e-6
    )
    plan = sx.plan("ddim", NoiseSchedule([-np.inf, 0.0, np.inf]))
    for refused in (sx.from_eps(lambda x, _: x), sx.from_edm(lambda x, _: x, sigma_data=0.5)):
        assert "alpha = 0" in one_line(refused, x, 0.0, 1.0)
        assert "alpha = 0" in one_line(sx.sample, plan, refused, jax.random.key(0), (3, 2))
        assert "alpha = 0" in one_line(sx.generate, plan, refused, 3, (2,))


@pytest.mark.thorough
def test_priors_answer_their_mean_to_pure_noise():
    samples = np.random.default_rng(0).normal(size=(60, 3)) * [2, 1, 0.5] + [1, 0, -1]
    x = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    for kind in ("gaussian", "empirical"):
        prior = sx.priors.prior_of(kind, samples, held_out=0.0)
        np.testing.assert_allclose(prior(x, 0.0, 1.0), prior(x, 1e-5, 1.0), atol=3e-4)


@pytest.mark.thorough
def test_comparisons_start_from_pure_noise():
    spectrum = sx.Spectrum.power_law(30, 2.0)
    table = sx.compare(spectrum, 4, process="flow", alpha_bar_range=PURE)
    assert {row.name for row in table.rows} == {"learned", "spectral", *sx.SCHEDULES}
    assert all(row.schedule.starts_pure for row in table.rows)
    assert table.rows[0].name == "learned"
    assert np.isfinite([row.value for row in table.rows]).all()


@pytest.mark.thorough
def test_sweeps_start_from_pure_noise(tmp_path):
    spectrum, ranges = sx.Spectrum.power_law(30, 2.0), [PURE, (1e-4, 1.0)]
    swept = sx.sweep(
        {"power": spectrum}, [3, 4], processes=["flow"], alpha_bar_ranges=ranges, out=tmp_path / "s"
    )
    for row in swept.table.to_pylist():
        ends = row["alpha_bar_noisy"], row["alpha_bar_clean"]
        alone = sx.fit(spectrum, row["steps"], process="flow", alpha_bar_range=ends)
        assert row["value"] == pytest.approx(alone.value, rel=1e-6)
        np.testing.assert_allclose(row["logsnr"], alone.schedule.logsnr, atol=1e-3)
    assert "process = 've'" in one_line(
        sx.sweep, {"power": spectrum}, [3], processes=["flow", "ve"], alpha_bar_ranges=[PURE]
    )


@pytest.mark.thorough
def test_a_part_of_training_levels_is_pure_noise():
    u = stratified(jax.random.key(0), 1000)
    levels = np.asarray(noise_levels("edm", SPECTRUM, {"pure": 0.1, "mean": -0.4})(u))
    assert np.isneginf(levels).sum() == 100
    rest = levels[np.isfinite(levels)]
    whole = np.asarray(noise_levels("edm", SPECTRUM, {"mean": -0.4})(u))
    np.testing.assert_allclose(
        np.quantile(rest, [0.1, 0.5, 0.9]), np.quantile(whole, [0.1, 0.5, 0.9]), atol=0.01
    )
