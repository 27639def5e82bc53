from itertools import product

import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from checks import one_line
from scipy.special import expit, logit

from specjax import Spectrum, plan, spectral, transfer

RANGES = [(4.0358e-5, 1.0), (4.0358e-5, 0.9999)]
# Gauss rules in cells of an analytic density, and Newton's method: rounding is what is left.
LOGSNR_ATOL = {"float64": 1e-10, "float32": 2e-3}


def ends_of(alpha_bar_range):
    noisy, clean = alpha_bar_range
    return logit(noisy), np.inf if clean == 1 else logit(clean)


@pytest.mark.parametrize("loss", ["w2", "l1"])
def test_one_eigenvalue_gives_the_tan_schedule(loss):
    for alpha_bar_range, eigenvalue, steps in product(RANGES, [1e-6, 1.0, 300.0], [2, 100]):
        got = spectral(Spectrum([eigenvalue]), steps, loss=loss, alpha_bar_range=alpha_bar_range)
        want = oracles.tan_levels(eigenvalue, *ends_of(alpha_bar_range), steps)
        rounding = 1e-16 * (1 + np.exp(-want[0]) / eigenvalue)  # of the oracle's arctan near pi/2
        np.testing.assert_allclose(
            got.logsnr, want, rtol=1e-12, atol=LOGSNR_ATOL["float64"] + rounding
        )


@pytest.mark.thorough
def test_float32_gives_the_tan_schedule():
    got = spectral(Spectrum(jnp.array([0.5])), 10)
    assert got.logsnr.dtype == jnp.float32
    want = oracles.tan_levels(0.5, *ends_of(RANGES[0]), 10)
    np.testing.assert_allclose(got.logsnr, want, atol=LOGSNR_ATOL["float32"])


@pytest.mark.thorough
@pytest.mark.parametrize("steps", [1, 10_000])
@pytest.mark.parametrize("loss", ["w2", "l1"])
def test_any_number_of_steps(steps, loss):
    # Over nine decades, with zeros; a schedule that is not monotone would be refused.
    spectrum = Spectrum(np.append(np.logspace(-6, 3, 30), [0.0, 0.0]))
    schedule = spectral(spectrum, steps, loss=loss)
    assert schedule.steps == steps
    np.testing.assert_allclose(schedule.alpha_bar[[0, -1]], RANGES[0], rtol=1e-12)


@pytest.mark.parametrize("loss", ["w2", "kl"])
@pytest.mark.parametrize("alpha_bar_range", RANGES)
def test_levels_solve_the_fixed_point(loss, alpha_bar_range):
    # dt/du ~ sqrt(sum w E q) with E = integral of q / (dt/du) du, where the density dt/du is read
    # off a schedule of very many steps. What is left of the last one is a thousandth of its E.
    lam, steps = np.array([30.0, 1.0, 0.01]), 10_000
    weight = lam if loss == "w2" else np.ones(3)
    schedule = spectral(Spectrum(lam), steps, loss=loss, alpha_bar_range=alpha_bar_range)
    u = -schedule.logsnr[:-1] / 2
    middle, width = (u[:-1] + u[1:]) / 2, -np.diff(u)
    density = 1 / steps / width
    q = expit(np.log(lam) - 2 * middle[:, None]) * expit(2 * middle[:, None] - np.log(lam))
    energy = (q / density[:, None] * width[:, None]).sum(0)
    shape = np.sqrt(q @ (weight * energy))
    resolved = slice(0, -40)  # the last levels are far apart
    np.testing.assert_allclose(density[resolved], (shape / (shape @ width))[resolved], rtol=2e-3)


@pytest.mark.thorough
@pytest.mark.parametrize("loss", ["w2", "kl"])
def test_the_asymptotic_error_of_ddim(loss):
    # DESIGN: the error of log std is -E / (2 S), E = integral of u'^2 q over time.
    lam, steps = np.array([10.0, 0.1]), 400
    schedule = spectral(Spectrum(lam), steps, loss=loss, alpha_bar_range=RANGES[1])
    u = -schedule.logsnr / 2
    middle = (u[:-1] + u[1:]) / 2
    q = expit(np.log(lam) - 2 * middle[:, None]) * expit(2 * middle[:, None] - np.log(lam))
    energy = steps * (np.diff(u)[:, None] ** 2 * q).sum(0)
    std = transfer(plan("ddim", schedule), Spectrum(lam)).std
    exact = np.abs(oracles.gaussian_flow_gain(schedule.logsnr[0], schedule.logsnr[-1], lam))
    np.testing.assert_allclose(np.log(std / exact), -energy / (2 * steps), rtol=0.01)


def test_bad_input_names_the_argument():
    for options in (
        {"steps": 0}, {"steps": 2.5}, {"steps": True}, {"loss": "mse"},
        {"alpha_bar_range": (0.9, 0.1)}, {"alpha_bar_range": (-0.1, 1.0)},
        {"alpha_bar_range": (0.1, 1.5)}, {"alpha_bar_range": 0.1},
    ):  # fmt: skip
        given = {"steps": 3, **options}
        assert next(iter(options)) in one_line(spectral, Spectrum([1.0]), **given)
