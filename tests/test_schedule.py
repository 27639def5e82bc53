import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import one_line
from scipy.special import expit, log_expit

from specjax import NoiseSchedule
from specjax.schedules.schedule import alpha_bar_to_logsnr, alpha_sigma

# A few roundings; logsnr of 16 digits fixes sigma to |logsnr| times that.
RTOL = {"float64": 1e-14, "float32": 1e-5}
LEVELS = np.array([-60.0, -10.1177, -3.0, 0.0, 0.7, 12.0, 60.0])


def test_alpha_bar_is_accurate_in_both_tails():
    # exp(-60) beside 1: sigma by subtraction from 1 would be 0.
    schedule = NoiseSchedule(LEVELS)
    np.testing.assert_allclose(schedule.alpha_bar, np.exp(log_expit(LEVELS)), rtol=1e-13)
    np.testing.assert_allclose(schedule.sigma**2, np.exp(log_expit(-LEVELS)), rtol=1e-13)
    np.testing.assert_allclose(schedule.sigma[-1], np.exp(-30), rtol=RTOL["float64"])


@pytest.mark.parametrize("dtype", RTOL)
def test_vp_and_ve_have_the_same_signal_to_noise_ratio(dtype):
    with jax.enable_x64(dtype == "float64"):
        for array in (np.asarray, jnp.asarray):
            levels = array(LEVELS.astype(dtype))
            for process in ("vp", "ve"):
                alpha, sigma = alpha_sigma(levels, process)
                assert alpha.dtype == sigma.dtype == dtype
                assert isinstance(sigma, jax.Array) == isinstance(levels, jax.Array)
                ratio = np.log(np.float64(alpha)) - np.log(np.float64(sigma))
                np.testing.assert_allclose(2 * ratio, LEVELS, rtol=RTOL[dtype], atol=RTOL[dtype])
            alpha, sigma = alpha_sigma(levels, "vp")
            np.testing.assert_allclose(alpha**2 + sigma**2, 1, rtol=RTOL[dtype])


def test_derived_forms():
    schedule = NoiseSchedule([-4.0, 0.0, np.inf])
    np.testing.assert_allclose(schedule.sigmas, [np.e**2, 1, 0], rtol=RTOL["float64"])
    np.testing.assert_allclose(
        schedule.flow_time, [np.e**2 / (1 + np.e**2), 0.5, 0], rtol=RTOL["float64"]
    )
    np.testing.assert_allclose(schedule.alpha[1:], [np.sqrt(0.5), 1], rtol=RTOL["float64"])
    assert schedule.steps == 2
    assert schedule.ends_clean
    assert not NoiseSchedule([-4.0, 5.0]).ends_clean


def test_from_alpha_bar_and_from_sigmas_are_inverses():
    alpha_bar = np.array([4.0358e-5, 0.1, 0.5, 0.9999, 1.0])
    schedule = NoiseSchedule.from_alpha_bar(alpha_bar)
    np.testing.assert_allclose(schedule.alpha_bar, alpha_bar, rtol=1e-12)
    assert schedule.ends_clean
    with np.errstate(divide="ignore"):
        sigmas = np.sqrt((1 - alpha_bar) / alpha_bar)
    np.testing.assert_allclose(NoiseSchedule.from_sigmas(sigmas).alpha_bar, alpha_bar, rtol=1e-12)
    assert alpha_bar_to_logsnr(0.5) == 0


def test_a_schedule_passes_through_jit_and_grad():
    levels = jnp.array([-3.0, 0.0, 3.0])
    schedule = jax.jit(lambda s: NoiseSchedule(s.logsnr + 1))(NoiseSchedule(levels))
    np.testing.assert_allclose(schedule.logsnr, levels + 1)
    slope = jax.grad(lambda x: NoiseSchedule(x).alpha_bar.sum())(levels)
    np.testing.assert_allclose(slope, expit(levels) * expit(-np.asarray(levels)), rtol=1e-6)


REFUSED = [
    ("logsnr has shape", NoiseSchedule, [0.0]),
    ("logsnr has shape", NoiseSchedule, [[0.0, 1.0]]),
    ("level 1", NoiseSchedule, [0.0, 2.0, 2.0]),
    ("level 0", NoiseSchedule, [3.0, 2.0, 1.0]),
    ("not finite", NoiseSchedule, [0.0, np.nan]),
    ("not finite", NoiseSchedule, [-np.inf, -np.inf]),
    ("not finite", NoiseSchedule, [-3.0, -np.inf, 0.0]),
    ("not finite", NoiseSchedule, [0.0, np.inf, np.inf]),
    ("level 0", NoiseSchedule, jnp.array([1.0, 0.0])),
    ("alpha_bar", NoiseSchedule.from_alpha_bar, [-0.1, 0.5]),
    ("alpha_bar", NoiseSchedule.from_alpha_bar, [0.5, 1.1]),
    ("alpha_bar", NoiseSchedule.from_alpha_bar, [0.5, np.nan]),
    ("level 0", NoiseSchedule.from_alpha_bar, [0.9, 0.5]),
    ("sigmas", NoiseSchedule.from_sigmas, [1.0, -1.0]),
    ("sigmas", NoiseSchedule.from_sigmas, [1.0, np.nan]),
    ("level 0", NoiseSchedule.from_sigmas, [1.0, 2.0]),
    ("not finite", NoiseSchedule.from_sigmas, [np.inf, np.inf]),
]


def test_errors_name_the_argument_or_the_level():
    for words, make, levels in REFUSED:
        assert words in one_line(make, levels)
