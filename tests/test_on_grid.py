"""Levels within the training grid of a network: learned there, learned again there, or refused."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import one_line
from scipy.optimize import minimize
from test_plan_file import learned

import specjax as sx
from specjax.fitting.levels import levels_of, padded, theta_of
from specjax.interop.on_grid import read_grid, within
from specjax.schedules.grids import GRIDS
from specjax.schedules.level_range import LevelRange

CONFIG = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
# Latents: a power law, whose optimum of few steps lies outside the range of SD's networks.
SPECTRUM = sx.Spectrum.power_law(400, 2.0, 40.0)
SD = GRIDS["sd"]
ALPHA_BAR = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
CLEAN, NOISY = np.log(ALPHA_BAR[[0, -1]] / (1 - ALPHA_BAR[[0, -1]]))
INSIDE = 1e-9  # of logsnr: an end is computed from alpha_bar
REACHED = 2e-6  # relative: where the gradient of log(loss) is within the tolerance of a fit


def assert_inside(schedule, grid=SD):
    levels = np.asarray(schedule.logsnr)
    levels = levels[np.isfinite(levels)]
    assert levels[0] >= grid.logsnr[-1] - INSIDE
    assert levels[-1] <= grid.logsnr[0] + INSIDE


def best_within(steps, sampler):
    """The optimum by SLSQP and finite differences, from the clipped optimum without a grid."""
    noisy, most = SD.logsnr[-1], SD.logsnr[0]

    def schedule(x):
        return sx.NoiseSchedule([noisy, *x, np.inf])

    def value(x):
        return np.log(float(sx.loss(SPECTRUM, schedule(x), sampler=sampler)))

    rises = {"type": "ineq", "fun": lambda x: np.diff([noisy, *x]) - 1e-6}
    start = noisy + (most - noisy) * np.arange(1, steps) / steps
    bounds = [(noisy, most)] * (steps - 1)
    found = minimize(
        value, start, method="SLSQP", bounds=bounds, constraints=[rises],
        options={"ftol": 1e-13, "maxiter": 500},
    )  # fmt: skip
    return np.exp(found.fun)


@pytest.mark.thorough
@pytest.mark.parametrize("sampler", ["ddim", "heun"])
def test_a_fit_within_a_grid_is_the_best_there(sampler):
    free = sx.fit(SPECTRUM, 4, sampler=sampler, alpha_bar_range=(1e-4, 1.0))
    assert SD.clip(free.schedule)[1]
    found = sx.fit(SPECTRUM, 4, sampler=sampler, grid="sd", alpha_bar_range=(1e-4, 1.0))
    assert_inside(found.schedule)
    assert found.value == pytest.approx(best_within(4, sampler), rel=REACHED)
    clipped = float(sx.loss(SPECTRUM, SD.clip(free.schedule)[0], sampler=sampler))
    assert found.value < clipped


@pytest.mark.thorough
def test_everything_that_learns_stays_within(tmp_path):
    mapping = sx.fit(SPECTRUM, 3, grid=CONFIG)
    found = sx.fit(SPECTRUM, 3, grid="sd")
    np.testing.assert_array_equal(found.schedule.logsnr, mapping.schedule.logsnr)
    assert (found.grid.name, found.alpha_bar_range[1]) == ("sd", 1.0)
    back = sx.load(sx.save(tmp_path / "s.json", found))
    np.testing.assert_array_equal(back.grid.logsnr, SD.logsnr)
    compared = sx.compare(SPECTRUM, 3, grid="sd", learned=found)
    for row in compared.rows:
        assert_inside(row.schedule)
    assert compared.rows[0].name == "learned"
    swept = sx.sweep({"s": SPECTRUM}, [3], grid="sd").table.to_pylist()[0]
    assert swept["value"] == pytest.approx(found.value, rel=REACHED)
    assert swept["best_heuristic_value"] == pytest.approx(compared.rows[1].value, rel=REACHED)
    plan = sx.learn(SPECTRUM, 3, grid="sd", start=learned(noise=False), max_iterations=40)
    assert_inside(plan.schedule)
    assert plan.grid.name == "sd"
    assert plan.value <= np.log(found.value) + REACHED


@pytest.mark.thorough
def test_a_file_learned_without_a_grid_is_learned_again_within(tmp_path):
    free = sx.fit(SPECTRUM, 4)
    found, remarks = within(sx.load(sx.save(tmp_path / "s.json", free)), SD)
    wanted = sx.fit(SPECTRUM, 4, grid="sd")
    assert found.value == pytest.approx(wanted.value, rel=1e-5)
    assert found.value == pytest.approx(float(sx.loss(SPECTRUM, found.schedule)), rel=1e-5)
    assert (len(remarks), found.grid.name) == (1, "sd")
    for target in ("diffusers", "k-diffusion"):
        document = json.loads(sx.export(free, target, grid="sd").content)
        np.testing.assert_allclose(document["sigmas"], found.schedule.sigmas, rtol=1e-6)
        assert document["value"] == pytest.approx(found.value, rel=1e-9)
    document = json.loads(sx.export(wanted, "diffusers").content)  # it knows its grid
    assert document["grid"]["name"] == "sd"
    assert document["losses"]["sigmas"] == pytest.approx(wanted.value, rel=1e-5)


def test_what_lies_within_is_left_as_it_is_and_what_cannot_be_learned_again_is_refused():
    inside = learned(schedule=sx.NoiseSchedule([-4.0, -1.0, 1.0, 3.0, np.inf]))
    found, remarks = within(inside, SD)
    assert remarks == []
    np.testing.assert_array_equal(found.schedule.logsnr, inside.schedule.logsnr)
    assert "grid=" in one_line(within, learned(), SD)
    given = sx.LearnedResult.from_schedule(learned().schedule)
    found, remarks = within(given, SD)
    assert_inside(found.schedule)
    assert "clipped" in remarks[0]
    assert np.isnan(found.value)


@pytest.mark.parametrize(
    ("given", "ends"),
    [
        ((4.0358e-5, 1.0), [NOISY, CLEAN, np.inf]),
        ((0.5, 1.0), [0.0, CLEAN, np.inf]),
        ((4.0358e-5, 0.99999), [NOISY, CLEAN]),
        ((0.01, 0.5), [np.log(0.01 / 0.99), 0.0]),
    ],
)
def test_the_ends_are_cut_to_the_grid(given, ends):
    found = LevelRange.resolve(given, "sd")
    np.testing.assert_allclose(found.ends, ends, atol=1e-9)
    assert not found.last_is_free
    assert LevelRange.resolve(given).last_is_free == (given[1] == 1)


@pytest.mark.thorough
@pytest.mark.parametrize("last", [6.0, 6.9, CLEAN])
@pytest.mark.parametrize("idle", [0, 2])
def test_levels_below_a_bound_come_back_from_their_parameters(last, idle):
    ends = np.array([NOISY, CLEAN, np.inf])
    levels = padded(np.array([NOISY, -1.0, 2.0, last, np.inf]), idle)
    with jax.enable_x64(True):
        theta = theta_of(jnp.asarray(levels), ends, ends_clean=False, idle=idle)
        found = levels_of(theta, ends, ends_clean=False, idle=idle)
        np.testing.assert_allclose(found, levels, atol=2e-4)  # a level at the bound moves away
        at_bound = levels_of(theta.at[-1].set(0), ends, ends_clean=False, idle=idle)
    assert at_bound[-2] == pytest.approx(CLEAN, abs=1e-12)
    assert (np.diff(at_bound) > 0).all()


def test_mistakes_name_the_argument(tmp_path):
    other, broken = tmp_path / "other.json", tmp_path / "broken.json"
    other.write_text('{"_class_name": "EDMEulerScheduler", "sigma_max": 80.0}')
    broken.write_text("{")
    for call, word in [
        (lambda: sx.fit(SPECTRUM, 3, grid="sdxl"), "grid = 'sdxl'"),
        (lambda: sx.fit(SPECTRUM, 3, grid="sd", alpha_bar_range=(1e-6, 0.001)), "alpha_bar_range"),
        (lambda: read_grid(str(other)), "other.json"),
        (lambda: read_grid(str(broken)), "broken.json"),
        (lambda: read_grid(str(tmp_path / "missing.json")), "missing.json"),
        (lambda: sx.learn(SPECTRUM, 3, grid={"shift_": 3.0}), "beta_schedule"),
    ]:
        assert word in one_line(call)
    own = tmp_path / "scheduler_config.json"
    own.write_text(json.dumps({**CONFIG, "num_train_timesteps": 1000}))
    np.testing.assert_array_equal(read_grid(str(own)).logsnr, SD.logsnr)


def test_a_grid_of_ones_own_levels_is_kept_in_files(tmp_path):
    own = sx.TrainingGrid("mine", np.linspace(9.0, -5.0, 30))
    back = sx.load(sx.save(tmp_path / "s.json", replace(learned(), grid=own)))
    assert back.grid.name == "mine"
    np.testing.assert_array_equal(back.grid.logsnr, own.logsnr)
