"""Heuristic families against the formulae of their papers, written again here."""

import itertools
import math

import numpy as np
import pytest
from checks import one_line
from scipy import stats
from scipy.special import expit, logit

from specjax.schedules.families import AYS_TABLES, SCHEDULES, family

RANGE = (4.0358e-5, 1.0)
EXACT = 1e-9  # float64, with time found by bisection
RANGES = [None, RANGE, (4.0358e-5, 0.9999), (1e-9, 1.0), (0.3, 0.31), (1e-3, 1 - 1e-12), (0.99, 1)]


def betas_to_alpha_bar(betas):
    return np.cumprod(1 - betas)


@pytest.mark.parametrize("name", SCHEDULES)
def test_levels_are_strictly_monotone_between_the_ends_asked_for(name):
    for steps, ends in itertools.product([1, 2, 7, 100, 1000], RANGES):
        levels = family(name, steps, alpha_bar_range=ends)
        assert levels.logsnr.dtype == np.float64
        assert levels.steps == steps
        assert (np.diff(levels.logsnr) > 0).all(), (steps, ends)
        if ends is not None:
            np.testing.assert_allclose(levels.alpha_bar[[0, -1]], ends, rtol=1e-14)
        assert levels.ends_clean == (ends is None or ends[1] == 1)


@pytest.mark.parametrize(
    ("name", "betas"),
    [
        ("linear", np.linspace(1e-4, 0.02, 1000)),
        ("scaled_linear", np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2),
    ],
)
def test_beta_schedules_visit_every_kth_level_of_the_training_grid(name, betas):
    for steps in (10, 50, 1000):
        # "trailing" timesteps: T, T - T/S, ..., T/S, then the clean level.
        alpha_bar = np.concatenate([[1.0], betas_to_alpha_bar(betas)])[:: 1000 // steps][::-1]
        np.testing.assert_allclose(family(name, steps).alpha_bar, alpha_bar, rtol=EXACT)


def test_beta_is_at_quantiles_of_the_timesteps():
    """As ComfyUI's beta_scheduler has it, which rounds them to timesteps."""
    alpha_bar = np.append(1.0, betas_to_alpha_bar(np.linspace(1e-4, 0.02, 1000)))
    for steps, options in ((1, {}), (7, {}), (20, {"alpha": 0.5, "beta": 0.9})):
        shape = options.get("alpha", 0.6), options.get("beta", 0.6)
        share = 1 - np.linspace(0, 1, steps, endpoint=False)
        timesteps = np.append(np.rint(1000 * stats.beta.ppf(share, *shape)), 0).astype(int)
        found = np.log(family("beta", steps, **options).alpha_bar)
        places = np.interp(-found, -np.log(alpha_bar), np.arange(1001))
        np.testing.assert_allclose(places, timesteps, atol=0.5 + 1e-6)


def inverse_cosine(alpha_bar, s=0.008):
    f0 = math.cos(s / (1 + s) * math.pi / 2) ** 2
    return np.arccos(np.sqrt(alpha_bar * f0)) * 2 / math.pi * (1 + s) - s


def inverse_cosine_chen(alpha_bar, start=0.0, end=1.0, tau=1.0):
    v0, v1 = (math.cos(x * math.pi / 2) ** (2 * tau) for x in (start, end))
    v = v1 + alpha_bar * (v0 - v1)
    return (np.arccos(v ** (1 / (2 * tau))) * 2 / math.pi - start) / (end - start)


def inverse_sigmoid(alpha_bar, start=-3.0, end=3.0, tau=1.0):
    v0, v1 = expit(start / tau), expit(end / tau)
    return (logit(v1 - alpha_bar * (v1 - v0)) * tau - start) / (end - start)


def inverse_flow(alpha_bar, shift=1.0):
    shifted = np.sqrt(1 - alpha_bar) / (np.sqrt(alpha_bar) + np.sqrt(1 - alpha_bar))
    return shifted / (shift - (shift - 1) * shifted)


@pytest.mark.parametrize(
    ("name", "inverse", "options"),
    [
        ("cosine", inverse_cosine, {}),
        ("cosine", inverse_cosine, {"s": 0.1}),
        ("cosine_chen", inverse_cosine_chen, {}),
        ("cosine_chen", inverse_cosine_chen, {"start": 0.2, "end": 0.9, "tau": 2.0}),
        ("sigmoid", inverse_sigmoid, {}),
        ("sigmoid", inverse_sigmoid, {"start": 0.0, "end": 3.0, "tau": 0.7}),
        ("linear_alpha_bar", lambda alpha_bar: 1 - alpha_bar, {}),
        ("flow", inverse_flow, {}),
        ("flow", inverse_flow, {"shift": 3.0}),
    ],
)
def test_curves_take_equal_steps_of_the_papers_time(name, inverse, options):
    for ends in (None, RANGE, (0.01, 0.95), (0.0, 1.0), (0.0, 0.95)):
        levels = family(name, 20, alpha_bar_range=ends, **options)
        noisy, clean = ends or (0.0 if name == "flow" else 1e-9, 1.0)
        time = np.linspace(*inverse(np.array([noisy, clean]), **options), 21)
        np.testing.assert_allclose(inverse(levels.alpha_bar, **options), time, atol=1e-7)


def test_a_family_that_does_not_start_from_pure_noise_has_it_before_its_own_levels():
    for name in ("linear", "scaled_linear", "karras", "uniform_logsnr", "align_your_steps"):
        for steps, clean in ((1, 1.0), (2, 0.99), (7, 1.0)):
            levels = family(name, steps, alpha_bar_range=(0.0, clean)).logsnr
            assert levels[0] == -np.inf
            assert levels[-1] == (np.inf if clean == 1 else pytest.approx(logit(clean)))
            own = family(name, max(steps - 1, 1)).logsnr
            if steps > 1:
                assert levels[1] == pytest.approx(own[0])
            if steps > 1 and clean == 1:
                np.testing.assert_allclose(levels[1:], own)


def test_karras_is_the_ramp_of_edm_with_a_zero_behind_it():
    rho, ramp = 7.0, np.linspace(0, 1, 10)
    low, high = 0.002 ** (1 / rho), 80 ** (1 / rho)
    expected = np.append((high + ramp * (low - high)) ** rho, 0.0)
    np.testing.assert_allclose(family("karras", 10).sigmas, expected, rtol=EXACT)


def test_a_pinned_ramp_takes_its_ends_from_the_range():
    found = family("karras", 10, alpha_bar_range=RANGE, sigma_min=0.01)
    assert found.sigmas[-2] == pytest.approx(0.01)
    root = found.sigmas[:-1] ** (1 / 7)
    np.testing.assert_allclose(np.diff(root), np.diff(root)[0], rtol=EXACT)
    to_the_end = family("uniform_logsnr", 10, alpha_bar_range=(0.1, 0.9)).logsnr
    np.testing.assert_allclose(to_the_end, np.linspace(logit(0.1), logit(0.9), 11), rtol=EXACT)


@pytest.mark.parametrize("table", AYS_TABLES)
def test_align_your_steps_is_interpolated_as_published(table):
    # loglinear_interp of the authors' page, and the last sigma replaced by 0.
    sigmas, known = np.array(AYS_TABLES[table]), np.linspace(0, 1, 11)
    for steps in (1, 10, 20, 33):
        at = np.linspace(0, 1, steps + 1)
        expected = np.exp(np.interp(at, known, np.log(sigmas[::-1])))[::-1].copy()
        expected[-1] = 0.0
        levels = family("align_your_steps", steps, table=table)
        np.testing.assert_allclose(levels.sigmas, expected, rtol=EXACT)


def test_where_a_curve_does_not_reach_an_end_its_logsnr_is_stretched():
    noisy, clean = logit(4.0358e-5), logit(0.9999)
    own = family("align_your_steps", 10).logsnr
    first, last = own[0], -2 * math.log(AYS_TABLES["sd15"][-1])
    own = np.append(own[:-1], last)
    both = noisy + (own - first) * (clean - noisy) / (last - first)
    found = family("align_your_steps", 10, alpha_bar_range=(4.0358e-5, 0.9999)).logsnr
    np.testing.assert_allclose(found, both, rtol=EXACT)

    # With a noise-free end the level at a thousandth of the time is fixed: here timestep 0.
    grid = logit(betas_to_alpha_bar(np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2))
    own = grid[99::100][::-1]
    one = noisy + (own - own[0]) * (grid[0] - noisy) / (grid[0] - own[0])
    found = family("scaled_linear", 10, alpha_bar_range=(4.0358e-5, 1.0)).logsnr
    np.testing.assert_allclose(found[:-1], one, rtol=EXACT)


def test_truncation_keeps_the_part_of_the_curve_between_the_ends():
    whole = family("sigmoid", 1000, alpha_bar_range=(1e-4, 1.0)).alpha_bar
    ends = whole[200], whole[700]
    part = family("sigmoid", 500, alpha_bar_range=ends).alpha_bar
    np.testing.assert_allclose(part, whole[200:701], rtol=1e-7)


REFUSED = [
    ("did you mean 'cosine'", "cosin", {}),
    ("steps = 0", "karras", {"steps": 0}),
    ("steps = 2.0", "karras", {"steps": 2.0}),
    ("it takes rho, sigma_min, sigma_max", "karras", {"tau": 1.0}),
    ("it takes none", "linear", {"tau": 1.0}),
    ("rho", "karras", {"rho": 0.0}),
    ("sigma_min", "karras", {"sigma_min": 90.0}),
    ("sigma_max", "karras", {"alpha_bar_range": RANGE, "sigma_max": 9.0}),
    ("s = ", "cosine", {"s": -1.0}),
    ("end", "cosine_chen", {"end": 1.5}),
    ("start", "sigmoid", {"start": 4.0}),
    ("shift", "flow", {"shift": -1.0}),
    ("table", "align_your_steps", {"table": "sd3"}),
    ("alpha_bar_range", "cosine", {"alpha_bar_range": (0.9, 0.1)}),
    ("alpha_bar_range", "align_your_steps", {"alpha_bar_range": (1e-9, 1e-8)}),
]


def test_errors_name_the_argument():
    for argument, name, options in REFUSED:
        assert argument in one_line(family, name, **{"steps": 5, **options})
