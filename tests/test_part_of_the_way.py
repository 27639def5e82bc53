"""Plans from data with noise, through given levels: against closed forms, loops and Monte Carlo."""

import math
from dataclasses import replace

import jax
import numpy as np
import pytest
from checks import one_line
from gaussian_runs import gaussian_run
from test_cli_sample import drawn, sample  # noqa: F401

import specjax as sx
from specjax.interop.k_diffusion import sample_plan
from specjax.learning.objectives import objectives_of
from specjax.learning.parameters import GROUPS, pack, parameters_of
from specjax.learning.settings import LearnSettings
from specjax.priors import Empirical, Network
from specjax.sampling.step import from_data
from specjax.schedules.level_range import LevelRange
from specjax.schedules.schedule import PROCESSES, alpha_sigma

F64 = 1e-12
SPECTRUM = sx.Spectrum([4.0, 1.0, 0.05], [1.0, -0.5, 0.2])
LEVELS = sx.NoiseSchedule([-1.5, 0.2, 2.0, np.inf])
START = {"vp": 0.1, "ve": 3.0, "flow": 0.75}  # one level: alpha^2 / sigma^2 = 1 / 9


def by_hand(x, logsnr, denoise, process):
    """DDIM from samples at the first level, in NumPy."""
    alpha, sigma = (np.append(a[:-1], b) for a, b in zip(
        alpha_sigma(np.append(logsnr[:-1], 0.0), process), (1.0, 0.0), strict=True
    ))  # fmt: skip
    for k in range(len(logsnr) - 1):
        d = denoise(x, alpha[k], sigma[k])
        x = alpha[k + 1] * d + sigma[k + 1] * (x - alpha[k] * d) / sigma[k]
    return x


def strange(x, alpha, sigma):
    """A denoiser that is not linear."""
    return x / (1 + x * x) ** 0.5 * alpha / (alpha + sigma)


@pytest.mark.thorough
@pytest.mark.parametrize("process", PROCESSES)
def test_samples_start_from_data_with_noise_up_to_the_first_level(process):
    rng = np.random.default_rng(0)
    data, noise = rng.standard_normal((2, 5, 3)).astype(np.float32)
    alpha, sigma = alpha_sigma(LEVELS.logsnr[0], process)
    wanted = by_hand(alpha * data + sigma * noise, LEVELS.logsnr, strange, process)
    plan = sx.plan("ddim", LEVELS, process)
    found = sx.sample(plan, strange, jax.random.key(0), (5, 3), start=noise, data=data)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    # Samples that are drawn have the noise that they have from noise alone, one by one.
    drawn = sx.generate(plan, strange, 5, (3,), data=data, seed=4)
    for i in (0, 3):
        key = jax.random.fold_in(jax.random.key(4), i)
        one = sx.sample(plan, strange, key, (3,), data=data[i])
        np.testing.assert_allclose(drawn[i], one, rtol=1e-5, atol=1e-6)
    boxed = sx.BlackBox(strange, (3,))
    np.testing.assert_allclose(
        sx.generate(plan, boxed, 5, (3,), data=data, seed=4), drawn, rtol=1e-5, atol=1e-6
    )
    seeds = sx.generate(plan, strange, 5, (3,), data=data[0], seed=4)  # all from one
    np.testing.assert_allclose(seeds[0], drawn[0], rtol=1e-5, atol=1e-6)
    assert np.abs(seeds[1] - seeds[0]).max() > 1e-3


@pytest.mark.parametrize("process", PROCESSES)
def test_the_transfer_starts_from_the_variance_and_the_mean_of_the_level(process):
    plan, lam, mu = from_data(sx.plan("ddim", LEVELS, process)), *map(
        np.asarray, (SPECTRUM.eigenvalues, SPECTRUM.mean)
    )  # fmt: skip
    alpha, sigma = alpha_sigma(LEVELS.logsnr[0], process)

    def ideal(x, alpha, sigma):
        return (alpha * lam * x + sigma**2 * mu) / (alpha**2 * lam + sigma**2)

    mean = by_hand(alpha * mu, LEVELS.logsnr, ideal, process)
    slope = by_hand(1 + alpha * mu, LEVELS.logsnr, ideal, process) - mean
    found = sx.transfer(plan, SPECTRUM)
    np.testing.assert_allclose(found.variance, slope**2 * (alpha**2 * lam + sigma**2), rtol=F64)
    np.testing.assert_allclose(found.mean_gain * mu, mean, rtol=1e-10)
    bare = sx.transfer(sx.SamplerPlan(**{**vars(plan), "shortfall": None}), SPECTRUM)
    np.testing.assert_allclose(bare.mean_gain, found.mean_gain, rtol=1e-10)


def test_the_transfer_is_what_samples_have():
    rng, n = np.random.default_rng(1), 40_000
    lam, mu = (np.asarray(x, np.float32) for x in (SPECTRUM.eigenvalues, SPECTRUM.mean))
    data = mu + np.sqrt(lam) * rng.standard_normal((n, 3), np.float32)
    plan = from_data(sx.plan("dpmpp_2m", LEVELS))
    samples = sx.generate(plan, sx.wiener(SPECTRUM), n, (3,), data=data)
    wanted = sx.transfer(plan, SPECTRUM)
    errors = samples.var(0) / wanted.variance - 1
    assert np.abs(errors).max() < 5 * math.sqrt(2 / n)
    gaps = (samples.mean(0) - wanted.mean_gain * mu) / wanted.std
    assert np.abs(gaps).max() < 5 / math.sqrt(n)


def test_a_plan_from_data_is_not_run_from_noise():
    plan = from_data(sx.plan("ddim", LEVELS))
    assert "data" in one_line(sx.generate, plan, strange, 4, (3,))
    assert "data" in one_line(sx.sample, plan, strange, jax.random.key(0), (3,))
    assert "data" in one_line(sx.generate, plan, strange, 4, (3,), data=np.zeros((3, 3)))
    assert "data" in one_line(sx.sample, plan, strange, jax.random.key(0), (3,), data=np.zeros(2))


def best_variance(first, steps):
    """log(V / lambda) of DDIM by equal angles between the first one and 0, the exact optimum."""
    return 2 * steps * math.log(math.cos(first / steps)) if steps else 0.0


@pytest.mark.parametrize("process", PROCESSES)
def test_levels_from_data_are_equal_angles_for_one_eigenvalue(process):
    # V = lambda prod cos(phi_k - phi_(k+1))^2, tan phi = s / sqrt(lambda), from any first level.
    result = sx.learn(
        sx.Spectrum([4.0]), 4, sampler="ddim", groups=("levels",), process=process,
        start_level=START[process],
    )  # fmt: skip
    first = math.atan(3.0 / 2.0)
    angles = np.arctan(result.schedule.sigmas / 2)
    np.testing.assert_allclose(angles, first * np.arange(5)[::-1] / 4, atol=1e-5)
    std = 2 * math.exp(best_variance(first, 4) / 2)
    np.testing.assert_allclose(result.terms["transfer"], (2 - std) ** 2, rtol=1e-6)
    assert result.from_data
    np.testing.assert_allclose(result.alpha_bar_range, (0.1, 1.0), rtol=1e-12)


@pytest.mark.thorough
@pytest.mark.parametrize("through", [0.9, 0.5, 0.06])
def test_steps_are_split_where_the_loss_is_least(through):
    passed = math.atan(math.sqrt(1 / through - 1))
    noisy = math.atan(math.sqrt(1 / 4.0358e-5 - 1))
    variances = [
        best_variance(noisy - passed, k) + best_variance(passed, 5 - k) for k in range(1, 5)
    ]
    best = 1 + int(np.argmax(variances))
    result = sx.learn(
        sx.Spectrum([1.0]), 5, sampler="ddim", groups=("levels",), through=through
    )  # fmt: skip
    np.testing.assert_allclose(result.schedule.alpha_bar[best], through, rtol=1e-9)
    loss = (1 - math.exp(max(variances) / 2)) ** 2
    # One residual that does not vanish is what Gauss-Newton's steps are slowest at.
    np.testing.assert_allclose(result.terms["transfer"], loss, rtol=2e-3)
    np.testing.assert_allclose(result.through, math.log(through / (1 - through)), rtol=1e-9)


@pytest.mark.parametrize("clean", [1.0, 0.999])
def test_levels_between_fixed_ones_and_back(clean):
    within = LevelRange((0.001, clean), through=(-2.0, 1.0))
    schedule = within.passing(sx.family("cosine", 7, alpha_bar_range=(0.001, clean)))
    (i, j), ends = within.splits(schedule)[0], within.ends
    np.testing.assert_array_equal(schedule.logsnr[[i, j]], [-2.0, 1.0])
    parameters = parameters_of(7, sx.ddim, 1, GROUPS, clean == 1, "vp")
    parameters = parameters._replace(split=(i, j), through=within.through)
    theta = pack(parameters, schedule.logsnr, None, ends)
    assert theta.size == sum(parameters.sizes.values())
    np.testing.assert_allclose(parameters.levels(theta, ends), schedule.logsnr, rtol=1e-6)
    moved = np.asarray(parameters.levels(theta + 0.3 * np.arange(theta.size) % 0.7, ends))
    np.testing.assert_array_equal(moved[[i, j]], [-2.0, 1.0])
    assert (np.diff(moved[:-1]) > 0).all()


def test_every_part_has_a_step():
    within = LevelRange((1e-4, 1.0), through=(-8.9, -8.8, 9.0))
    schedule = sx.family("cosine", 4, alpha_bar_range=(1e-4, 1.0))
    for split in within.splits(schedule):
        assert split == (1, 2, 3)
        assert (np.diff(within.passing(schedule, split).logsnr) > 0).all()
    assert "steps" in one_line(within.splits, sx.family("cosine", 3))


def test_strength_is_the_share_of_timesteps_that_diffusers_leaves():
    betas = np.linspace(1e-4, 0.02, 1000)
    alpha_bar = np.cumprod(1 - betas)  # scheduler.timesteps[T - int(T strength)], of T steps
    result = sx.learn(SPECTRUM, 2, strength=0.6, grid="ddpm")
    np.testing.assert_allclose(result.schedule.alpha_bar[0], alpha_bar[599], rtol=1e-9)
    config = {"num_train_timesteps": 1000, "shift": 3.0, "prediction_type": "flow_prediction"}
    result = sx.learn(SPECTRUM, 2, strength=0.6, grid=config, process="flow")
    np.testing.assert_allclose(result.schedule.flow_time[0], 3 * 0.6 / (1 + 2 * 0.6), rtol=1e-9)
    dynamic = {**config, "use_dynamic_shifting": True}
    assert "strength" in one_line(sx.learn, SPECTRUM, 2, strength=0.6, grid=dynamic, process="flow")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"start_level": 1.0}, "start_level"), ({"start_level": -0.1}, "start_level"),
        ({"start_level": 0.75, "process": "ve", "alpha_bar_range": (0.7, 1.0)}, "start_level"),
        ({"start_level": 0.1, "strength": 0.5}, "strength"), ({"strength": 0.5}, "grid"),
        ({"strength": 0.0, "grid": "ddpm"}, "strength"), ({"through": [0.5, 0.5]}, "through"),
        ({"through": 0.1, "start_level": 0.2}, "through"), ({"through": 2.0}, "through"),
    ],
)  # fmt: skip
def test_levels_that_cannot_be_are_refused(options, name):
    assert name in one_line(sx.learn, SPECTRUM, 3, **options)


def points(n, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, 6)) * np.geomspace(2, 0.1, 6)).astype(np.float32)


@pytest.mark.parametrize("given", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_what_is_learned_from_data_is_near_the_fine_solution(given):
    prior, data = Empirical.from_samples(points(40)), points(64, 1)
    result = sx.learn(
        prior, 3, start_level=0.7, process="flow", through=0.3, n=32,
        data=data if given else None, seed=5,
    )  # fmt: skip
    assert result.value < min(result.baselines.values())
    assert np.isclose(result.schedule.flow_time[[0, 1, 2]], 0.3, atol=1e-6).sum() == 1
    # Data that nobody has seen; the fine solution is 400 steps of DDIM by hand.
    new, noise = points(50, 2), np.random.default_rng(3).standard_normal((50, 6), np.float32)
    first, t = 0.3 * new + 0.7 * noise, np.linspace(0.7, 0, 401)
    with np.errstate(divide="ignore"):
        logsnr = 2 * np.log((1 - t) / t)
    answer = jax.jit(prior.__call__)
    fine = by_hand(first, logsnr, lambda *x: np.asarray(answer(*map(np.float32, x))), "flow")
    gaps = {}
    for name, plan in {
        "learned": result.plan,
        "ddim": sx.plan("ddim", sx.NoiseSchedule(logsnr[[0, 133, 266, 400]]), "flow"),
    }.items():
        made = sx.sample(plan, prior, jax.random.key(0), (50, 6), start=noise, data=new)
        gaps[name] = np.median(((np.asarray(made) - fine) ** 2).sum(1))
    assert gaps["learned"] < gaps["ddim"] / 10


def test_data_keep_their_own_conditions():
    data = np.arange(8, dtype=np.float32)[:, None] + np.zeros((8, 3), np.float32)

    def denoise(x, alpha, sigma, row):  # answers nothing but the condition, so that x0 = data
        return 0 * x + row[:, None]

    prior = Network(denoise, (3,))
    settings = LearnSettings.resolve(
        start_level=0.5, data=data, conditions=np.arange(8, dtype=np.float32), n=16
    ).for_prior(prior)
    for part in objectives_of(prior, settings)[:3]:
        noises = part.noises
        np.testing.assert_array_equal(noises.data[:, 0], noises.conditions)
        np.testing.assert_allclose(part.taught.target, noises.data, atol=1e-5)


@pytest.mark.thorough
def test_gradients_start_from_data_too():
    prior = Empirical.from_samples(points(40))
    result = sx.learn(prior, 2, start_level=0.3, sampler="ddpm", n=32, max_iterations=3)
    assert math.isfinite(result.value)
    assert result.plan.signal == pytest.approx(math.sqrt(0.3))


@pytest.mark.thorough
def test_a_warm_start_is_of_the_same_kind():
    few = sx.learn(SPECTRUM, 2, start_level=0.3)
    more = sx.learn(SPECTRUM, 3, start_level=0.3, through=0.6, start=few)
    assert more.from_data
    assert not sx.learn(SPECTRUM, 3, start=few).from_data
    assert "start_level" in one_line(sx.verdicts, [few], [SPECTRUM])
    (verdict, *_) = sx.verdicts([few], [SPECTRUM], start_level=0.3)
    assert verdict.value == pytest.approx(few.value)


@pytest.mark.parametrize("process", PROCESSES)
def test_a_file_says_where_a_plan_starts_and_what_it_passes(process, tmp_path):
    result = sx.learn(SPECTRUM, 3, process=process, start_level=START[process])
    again = sx.load(sx.save(tmp_path / "plan.json", result))
    assert (again.from_data, again.through) == (True, result.through)
    for other in PROCESSES:  # in the scale of any process
        plan = again.plan_in(other)
        wanted = alpha_sigma(np.log(1 / 9), other)
        np.testing.assert_allclose((plan.signal, plan.start), wanted, rtol=1e-9)


def test_the_command_starts_from_data(sample, tmp_path):  # noqa: F811
    result = replace(sx.LearnedResult.from_schedule(LEVELS), from_data=True)
    sx.save(tmp_path / "plan.json", result)
    data = np.random.default_rng(0).uniform(0, 255, (3, 4, 4)).astype(np.uint8)
    np.save(tmp_path / "data.npy", data)
    args = ("--schedule", "plan.json", "--n", 3, "-o", "x.npz")
    assert sample(*args, "--data", "data.npy")[::2] == (0, "")
    denoise = gaussian_run().denoiser()
    wanted = sx.generate(result.plan, denoise, 3, (4, 4), data=(data / 127.5 - 1).astype("f"))
    np.testing.assert_allclose(drawn(tmp_path / "x.npz")[0], wanted, atol=1e-5)
    code, _, err = sample(*args, "--force")
    assert (code, "data" in err) == (2, True)


def test_k_diffusion_takes_data_with_noise_of_the_first_sigma():
    result = sx.learn(SPECTRUM, 3, start_level=0.1)
    data, noise = np.random.default_rng(0).standard_normal((2, 4, 3))
    found = sample_plan(
        lambda x, sigma: strange(x, 1.0, sigma[0]), data + 3.0 * noise, result, disable=True
    )
    plan = result.plan_in("ve")
    with jax.enable_x64(True):
        wanted = sx.sample(plan, strange, jax.random.key(0), (4, 3), start=noise, data=data)
    np.testing.assert_allclose(found, wanted, rtol=1e-9)
