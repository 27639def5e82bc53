"""Training grids: levels, interpolated timesteps, clipping, whole timesteps."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import one_line
from scipy.special import logit

from specjax.sampling.denoisers import from_eps
from specjax.schedules.grids import GRIDS, TrainingGrid
from specjax.schedules.schedule import NoiseSchedule
from specjax.schedules.timesteps import assign

F32 = 2e-3  # timesteps of about 1000 at float32, with log sigma flat near the noisy end
CUMULATIVE = 1e-9  # 1 - alpha_bar by subtraction in the expected values


def sigmas_of(betas):
    alpha_bar = np.cumprod(1 - betas)
    return np.sqrt((1 - alpha_bar) / alpha_bar)


def k_diffusion_sigma_to_t(sigmas, sigma):
    # k_diffusion.external.DiscreteSchedule.sigma_to_t, quantize=False.
    log_sigmas, log_sigma = np.log(sigmas), np.log(sigma)
    low = int(np.clip(np.searchsorted(log_sigmas, log_sigma, side="right") - 1, 0, len(sigmas) - 2))
    w = (log_sigmas[low] - log_sigma) / (log_sigmas[low] - log_sigmas[low + 1])
    return low + np.clip(w, 0, 1)


def test_levels_are_those_of_the_cumulated_betas():
    ddpm, sd = np.linspace(1e-4, 0.02, 1000), np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    np.testing.assert_allclose(np.exp(-GRIDS["ddpm"].logsnr / 2), sigmas_of(ddpm), rtol=CUMULATIVE)
    np.testing.assert_allclose(np.exp(-GRIDS["sd"].logsnr / 2), sigmas_of(sd), rtol=CUMULATIVE)
    # Away from the cap the cosine grid is the cosine at (t + 1) / T.
    t = np.arange(1, 990) / 1000
    f = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(GRIDS["cosine"].logsnr[:989], logit(f), rtol=1e-7)


def test_ranges_of_well_known_grids():
    # k-diffusion and ComfyUI print these ranges.
    ranges = {"sd": (0.0292, 14.61), "ddpm": (0.0100, 157.4), "cosine": (0.0064, 2.03e4)}
    for name, ends in ranges.items():
        assert GRIDS[name].sigma_range == pytest.approx(ends, rel=5e-3)


def test_timesteps_are_interpolated_in_log_sigma_and_clamped():
    grid, sigmas = GRIDS["sd"], sigmas_of(np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
    asked = np.concatenate([np.geomspace(0.02, 20, 101), sigmas[[0, 17, 999]]])
    expected = [k_diffusion_sigma_to_t(sigmas, s) for s in asked]
    np.testing.assert_allclose(grid.timestep_of_sigma(asked), expected, atol=1e-6)
    assert grid.timestep_of_sigma(0.0) == 0.0
    inside = asked[(asked > grid.sigma_range[0]) & (asked < grid.sigma_range[1])]
    back = grid.logsnr_at(grid.timestep_of_sigma(inside))
    np.testing.assert_allclose(np.exp(-back / 2), inside, rtol=1e-9)
    assert grid.logsnr_at(5) == grid.logsnr[5]
    assert grid.logsnr_at(2000) == grid.logsnr[-1]


def test_timesteps_follow_the_array_library_and_its_dtype():
    grid, sigmas = GRIDS["ddpm"], np.geomspace(0.02, 100, 7)
    at_home = grid.timestep_of_sigma(sigmas)
    traced = jax.jit(grid.timestep_of_sigma)(jnp.asarray(sigmas, jnp.float32))
    assert isinstance(at_home, np.ndarray)
    assert traced.dtype == jnp.float32
    np.testing.assert_allclose(traced, at_home, rtol=F32)
    with jax.enable_x64(True):
        assert jax.jit(grid.timestep_of_sigma)(jnp.asarray(sigmas)).dtype == jnp.float64
        kept = jax.jit(grid.timestep_of_sigma)(jnp.asarray(sigmas, jnp.float32))
    assert kept.dtype == jnp.float32


def test_a_network_of_whole_timesteps_is_called_between_them():
    # eps = t: at x = 0 the estimate is -s t.
    denoise = from_eps(lambda x, t: t + 0 * x, level=GRIDS["sd"].timestep_of_sigma)
    s = np.exp(-(GRIDS["sd"].logsnr[10] + GRIDS["sd"].logsnr[11]) / 4)
    with jax.enable_x64(True):
        found = denoise(jnp.zeros(3), jnp.asarray(1.0), jnp.asarray(s))
    np.testing.assert_allclose(found, -s * 10.5, rtol=1e-9)


def test_clipping_moves_single_levels_to_the_ends_and_says_so():
    schedule = NoiseSchedule.from_sigmas([80.0, 5.0, 0.5, 0.01, 0.0])
    clipped, remarks = GRIDS["sd"].clip(schedule)
    least, greatest = GRIDS["sd"].sigma_range
    np.testing.assert_allclose(clipped.sigmas, [greatest, 5.0, 0.5, least, 0.0], rtol=1e-12)
    assert len(remarks) == 1
    assert remarks[0].startswith("2 level(s) clipped to the range of grid 'sd'")
    assert "spread" not in remarks[0]


def test_levels_that_would_meet_are_spread_over_the_gap():
    schedule = NoiseSchedule.from_sigmas([157.0, 80.0, 40.0, 5.0, 0.5, 0.0])
    clipped, remarks = GRIDS["sd"].clip(schedule)
    greatest = GRIDS["sd"].sigma_range[1]
    np.testing.assert_allclose(clipped.sigmas[:4], np.geomspace(greatest, 5.0, 4), rtol=1e-12)
    np.testing.assert_array_equal(clipped.sigmas[4:], schedule.sigmas[4:])
    assert "3 level(s)" in remarks[0]
    assert "spread" in remarks[0]


def test_nothing_is_said_where_nothing_moves():
    schedule = NoiseSchedule.from_sigmas([14.0, 5.0, 0.5, 0.0])
    clipped, remarks = GRIDS["sd"].clip(schedule)
    np.testing.assert_array_equal(clipped.logsnr, schedule.logsnr)
    assert remarks == []


def test_a_schedule_outside_the_grid_is_refused():
    text = one_line(GRIDS["sd"].clip, NoiseSchedule.from_sigmas([900.0, 200.0, 100.0]))
    assert "'sd': sigma from 0.02917 to 14.61" in text


SMALL = TrainingGrid("small", np.linspace(4.0, -4.0, 9))


def test_rounding_is_the_nearest_in_least_squares():
    for seed in range(20):
        random = np.random.default_rng(seed)
        levels = np.sort(random.uniform(-4, 4, 4)) ** 3 / 16  # crowded around 0
        schedule = NoiseSchedule(np.append(levels, np.inf))
        exact = 4 - levels  # t = 0..8 for logsnr = 4..-4
        distances = {
            choice: ((np.array(choice) - exact) ** 2).sum()
            for choice in itertools.combinations(range(8, -1, -1), 4)
        }
        rounded = tuple(assign(SMALL, schedule).timesteps.tolist())
        assert distances[rounded] == pytest.approx(min(distances.values()), abs=0.51)
        if np.unique(np.round(exact)).size == 4:
            np.testing.assert_array_equal(rounded, np.round(exact))


def test_as_many_steps_as_levels_take_them_all():
    schedule = NoiseSchedule(np.append(np.linspace(0.1, 0.2, 9), np.inf))
    found = assign(SMALL, schedule, lambda levels: levels[:, :-1].sum(1))
    np.testing.assert_array_equal(found.timesteps, np.arange(9)[::-1])
    assert found.duplicates == 8


def rugged(levels):
    """A loss with many local minima, and coupling between neighbours."""
    gaps = np.diff(levels[:, :-1], axis=1)
    return 50 + (gaps**2).sum(1) + np.sin(7 * levels[:, :-1]).sum(1) + levels[:, -2]


def test_no_other_whole_number_lowers_the_loss_after_reoptimisation():
    grid, seen = GRIDS["ddpm"], []

    def loss_of(levels):
        seen.append(levels.shape)
        return rugged(levels)

    schedule = NoiseSchedule(np.append(np.linspace(-10.1, 5.0, 6), np.inf))
    found = assign(grid, schedule, loss_of)
    assert len(set(seen)) == 1  # one shape, one compilation

    def loss(timesteps):
        return rugged(np.append(grid.logsnr[list(timesteps)], np.inf)[None])[0]

    assert found.loss == pytest.approx(loss(found.timesteps))
    assert found.loss_rounded == pytest.approx(loss(found.rounded))
    assert found.loss_float == pytest.approx(rugged(schedule.logsnr[None])[0])
    assert found.loss < found.loss_rounded
    assert found.timesteps[0] == found.rounded[0]
    for k in range(1, 6):
        above = found.timesteps[k - 1]
        below = found.timesteps[k + 1] if k < 5 else -1
        for value in range(below + 1, above):
            moved = [*found.timesteps[:k], value, *found.timesteps[k + 1 :]]
            assert loss(moved) > found.loss * (1 - 2e-6)


def test_the_schedule_of_timesteps_is_their_levels_and_a_noise_free_end():
    found = assign(SMALL, NoiseSchedule([-3.2, 0.4, 2.0, np.inf]))
    np.testing.assert_array_equal(found.timesteps, [7, 4, 2])
    np.testing.assert_allclose(found.schedule.logsnr, [-3.0, 0.0, 2.0, np.inf])
    assert found.loss is None


def test_errors_name_the_argument():
    refused = {
        "steps = 10": lambda: assign(SMALL, NoiseSchedule(np.linspace(-3, 3, 11))),
        "betas": lambda: TrainingGrid.from_betas("x", [0.1, 1.0]),
        "logsnr": lambda: TrainingGrid("x", [1.0, 2.0]),
        "fall": lambda: TrainingGrid("x", [1.0, np.nan]),
        "all finite": lambda: TrainingGrid("x", [1.0, -np.inf, -np.inf]),
        "beta_schedule": lambda: TrainingGrid.from_config("x", {"beta_schedule": "exp"}),
        "no beta_schedule": lambda: TrainingGrid.from_config("x", {"shift": 3.0}),
        "snr_shift_scale": lambda: TrainingGrid.from_config(
            "x", {"beta_schedule": "linear", "snr_shift_scale": -1.0}
        ),
        "timestep_type = 'continuous'": lambda: TrainingGrid.from_config(
            "x", {"beta_schedule": "linear", "timestep_type": "continuous"}
        ),
    }
    for argument, call in refused.items():
        assert argument in one_line(call)
