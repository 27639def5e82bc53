import itertools

import jax
import numpy as np
import pytest
from checks import by_default, one_line
from scipy.optimize import least_squares, linprog

import specjax as sx
from specjax.fitting import limits
from specjax.gaussian.losses import LOSSES, evaluate
from specjax.sampling.corrections import Corrections, corrected_plan

KAPPAS = (10.0, 1e3, 1e7)
NOISY = 4.0358e-5


def relative(gain, lam):
    return gain.gain(lam) / np.sqrt(lam) - 1


def loss_of(plan, spectrum, loss="w2"):
    with jax.enable_x64(True):
        return float(evaluate(LOSSES[loss], sx.transfer(plan, spectrum), spectrum))


def digits():
    return sx.data.open("digits").spectrum()


# Zolotarev's approximation


@pytest.mark.parametrize("kappa", [1.3, 10.0, 99.0, 101.0, 1e3, 1e7, 1e14])
def test_the_error_alternates_2s_plus_1_times_at_its_largest(kappa):
    for steps in (1, 2, 3, 7):
        check_alternation(kappa, steps)


def check_alternation(kappa, steps):
    low = 0.3
    found = limits.zolotarev(low, low * kappa, steps)
    assert found.poles.shape == (steps,)
    assert found.zeros.shape == (steps - 1,)
    lam = low * np.geomspace(1, kappa, 40_001)
    error = relative(found, lam)
    # Rounding of S products, and the grid, whose nearest point to an extremum is within its gap.
    tolerance = 1e-14 * steps + 1e-6 * found.error
    assert np.abs(error).max() == pytest.approx(found.error, abs=tolerance)
    if found.error < 1e-8:
        return
    at = np.flatnonzero(np.abs(error) > found.error * (1 - 1e-5))
    signs = [sign for sign, _ in itertools.groupby(np.sign(error[at]))]
    assert len(signs) == 2 * steps + 1


def test_one_call_is_known_in_closed_form():
    a, b = 0.7, 90.0
    found = limits.zolotarev(a, b, 1)
    assert found.poles == pytest.approx([np.sqrt(a * b)], rel=1e-14)
    # sqrt(lambda) / (lambda + p) is largest at p and least at both ends, where it is the same.
    most, least = 1 / (2 * (a * b) ** 0.25), np.sqrt(a) / (a + np.sqrt(a * b))
    assert found.error == pytest.approx((most - least) / (most + least), rel=1e-13)
    assert found.scale == pytest.approx(2 / (most + least), rel=1e-14)


@pytest.mark.parametrize("kappa", KAPPAS)
@pytest.mark.parametrize("steps", [2, 4])
def test_no_other_rational_function_is_better(kappa, steps):
    """A linear program for the numerator and denominator together, by bisection of the error.

    ``|u P(lambda) / Q(lambda) - 1| <= e`` on a grid is linear in the coefficients for each e.
    """
    u = np.geomspace(1, np.sqrt(kappa), 120 * steps)
    # Polynomials in a basis that spans several decades: products of the best one's factors.
    best = limits.zolotarev(1.0, kappa, steps)
    lam = u[:, None] ** 2
    over = 1 / (lam + best.poles)  # P / Q0 and Q / Q0 as sums of partial fractions
    numerator = u[:, None] * over * np.sqrt(best.poles)
    denominator = np.concatenate([np.ones((len(u), 1)), over * best.poles], 1)

    def slack(e):
        upper = np.concatenate([numerator, -(1 + e) * denominator], 1)
        lower = np.concatenate([-numerator, (1 - e) * denominator], 1)
        size = np.concatenate([np.zeros_like(numerator), -denominator], 1)
        rows = np.concatenate([upper, lower])
        rows = np.concatenate([rows, np.ones((len(rows), 1))], 1)
        positive = np.concatenate([size, np.zeros((len(u), 1))], 1)
        sign = linprog(
            [*np.zeros(rows.shape[1] - 1), -1],
            A_ub=np.concatenate([rows, positive]),
            b_ub=np.concatenate([np.zeros(len(rows)), -1e-3 * np.ones(len(u))]),
            bounds=[(-1e3, 1e3)] * (rows.shape[1] - 1) + [(None, None)],
        )
        assert sign.status == 0
        return sign.x[-1]

    assert slack(best.error * 1.02) > 0
    assert slack(best.error * 0.97) < 0


def test_the_error_falls_at_the_classical_rate():
    steps = np.arange(6, 9)
    for kappa in KAPPAS:
        errors = np.array([limits.zolotarev(1.0, kappa, int(s)).error for s in steps])
        rate = np.pi**2 / np.log(4 * np.sqrt(kappa))
        # log(4 sqrt(kappa)) is K to 1 / (4 kappa) of it, and K' is pi / 2 to the same.
        assert np.diff(-np.log(errors)) == pytest.approx(rate, rel=0.5 / kappa + 2e-4)
        if kappa > 100:
            assert errors == pytest.approx(4 * np.exp(-rate * steps), rel=0.05)


def test_the_interval_scales_and_may_be_a_point():
    one, two = limits.zolotarev(1.0, 500.0, 3), limits.zolotarev(4.0, 2000.0, 3)
    assert two.error == pytest.approx(one.error, rel=1e-12)
    assert two.poles == pytest.approx(4 * one.poles, rel=1e-12)
    assert two.zeros == pytest.approx(4 * one.zeros, rel=1e-12)
    assert two.scale == pytest.approx(2 * one.scale, rel=1e-12)
    point = limits.zolotarev(2.5, 2.5, 3)
    assert point.error == 0
    assert point.gain(2.5) == pytest.approx(np.sqrt(2.5), rel=1e-14)


# Plans


@pytest.mark.thorough
def test_no_plan_is_below_the_limit():
    for seed in range(20):
        check_limit_of_zolotarev(np.random.default_rng(seed))


def check_limit_of_zolotarev(rng):
    steps, memory = int(rng.integers(1, 6)), int(rng.integers(0, 3))
    kappa = 10.0 ** rng.uniform(0.3, 4)
    optimum = limits.zolotarev(1.0, kappa, steps)
    # Near the best plan, where it is hardest to be no better: the levels and ratios wobble.
    logsnr, ratio = limits.plan_numbers(optimum)
    wobble = 10.0 ** rng.uniform(-3, 0)
    logsnr[:-1] = np.sort(logsnr[:-1] + wobble * rng.normal(size=steps))
    by = Corrections(
        ratio + wobble * rng.normal(size=steps), wobble * rng.normal(size=(steps, memory))
    )
    lam = np.geomspace(1, kappa, 400)
    std = sx.transfer(corrected_plan(logsnr, by, "ve"), sx.Spectrum(lam)).std / np.sqrt(lam)
    scaled = 2 / (std.max() + std.min())  # whatever the size of the starting noise
    assert np.abs(scaled * std - 1).max() >= optimum.error * (1 - 1e-4)


@pytest.mark.thorough
@pytest.mark.parametrize(("process", "noisy"), [("vp", NOISY), ("ve", 0.01), ("vp", 0.3)])
@pytest.mark.parametrize("loss", by_default(["w2", "kl", "l1"], 0, 1))
def test_the_limit_with_a_start_is_that_of_a_plan(process, noisy, loss):
    spectrum = digits().floor(1e-3)
    gain = limits.best(spectrum, 3, loss, noisy=noisy, process=process)
    logsnr, ratio = limits.plan_numbers(gain)
    levels = sx.NoiseSchedule(logsnr)
    assert levels.alpha_bar[0] == pytest.approx(noisy, rel=1e-12)
    plan = corrected_plan(levels.logsnr, Corrections(ratio, np.zeros((3, 0))), process)
    np.testing.assert_allclose(
        sx.transfer(plan, spectrum).gain, gain.gain(spectrum.eigenvalues), rtol=1e-12
    )
    assert loss_of(plan, spectrum, loss) == pytest.approx(gain.error, rel=1e-9)
    assert gain.error >= limits.gaussian(spectrum, 3, loss) * (1 - 1e-9)


@pytest.mark.thorough
@pytest.mark.parametrize("memory", [0, 2])
def test_plans_learned_by_another_method_come_down_to_the_limit_and_not_below(memory):
    """Levenberg and Marquardt over levels, ratios and weights on numbers of the plan itself."""
    steps, spectrum = 3, sx.Spectrum.power_law(40, 1.5)
    floor = limits.gaussian(spectrum, steps, noisy=NOISY)
    first = np.log(NOISY / (1 - NOISY))
    root = np.sqrt(spectrum.eigenvalues)

    def errors(x):
        logsnr = np.array([first, *(first + np.cumsum(np.exp(x[: steps - 1]))), np.inf])
        weights = x[2 * steps - 2 :].reshape(steps, memory)
        by = Corrections(np.append(x[steps - 1 : 2 * steps - 2], 0.0), weights)
        return sx.transfer(corrected_plan(logsnr, by, "vp"), spectrum).std - root

    rng = np.random.default_rng(0)
    start = [2.3, 1.5, 0.0, 0.0, *np.zeros(steps * memory)]
    found = [
        2 * least_squares(errors, start + 0.3 * rng.normal(size=len(start)), max_nfev=150).cost
        for _ in range(2)
    ]
    assert min(found) >= floor * (1 - 1e-6)
    assert min(found) <= floor * (1 + 1e-3)


# The best gain on a spectrum


@pytest.mark.thorough
@pytest.mark.parametrize("loss", by_default(["w2", "relative", "kl"], 0, 2))
def test_the_limit_is_below_that_of_zolotarev(loss):
    lam = np.geomspace(0.01, 10, 50)
    for steps in (1, 2, 4):
        other = limits.zolotarev(0.01, 10.0, steps).gain(lam)
        values = {
            "w2": ((other - np.sqrt(lam)) ** 2).sum(),
            "relative": ((other / np.sqrt(lam) - 1) ** 2).sum(),
            "kl": (lam / other**2 - 1 - np.log(lam / other**2)).sum() / 2,
        }
        assert 0 < limits.gaussian(sx.Spectrum(lam), steps, loss) < values[loss] * 0.999


def test_a_long_optimisation_finds_nothing_better():
    """Levenberg and Marquardt over poles and partial fractions of any sign, from many starts."""
    spectrum, steps = digits(), 3
    lam = spectrum.eigenvalues[spectrum.eigenvalues > 0]
    floor = limits.gaussian(spectrum, steps)

    def errors(log_poles):  # the best coefficients for these poles are a linear problem
        basis = lam[:, None] / (lam[:, None] + np.exp(log_poles))
        return basis @ np.linalg.lstsq(basis, np.sqrt(lam))[0] - np.sqrt(lam)

    rng = np.random.default_rng(0)
    starts = rng.uniform(np.log(lam[lam > 1e-9].min()), np.log(lam.max()) + 2, (10, steps))
    found = [2 * least_squares(errors, start, xtol=1e-15, ftol=1e-15).cost for start in starts]
    assert min(found) == pytest.approx(floor, rel=1e-6)


def test_2s_variances_are_exact():
    spectrum = sx.Spectrum([9.0, 4.0, 1.0, 0.25, 0.0], weights=[1.0, 2.0, 3.0, 4.0, 5.0])
    assert limits.gaussian(spectrum, 1) > 1e-4
    gain = limits.best(spectrum, 2)
    assert gain.error < 1e-25
    assert gain.gain(spectrum.eigenvalues) == pytest.approx([3, 2, 1, 0.5, 0], abs=1e-12)
    assert limits.gaussian(spectrum, 4) < 1e-25


@pytest.mark.thorough
def test_large_spectra_are_summed_up_without_a_difference():
    lam = np.repeat(np.geomspace(1e-3, 5, 600), 3)
    large = limits.gaussian(sx.Spectrum(lam), 3)
    small = limits.gaussian(sx.Spectrum(lam[::3], weights=np.full(600, 3.0)), 3)
    assert large == pytest.approx(small, rel=1e-6)
    mean = sx.Spectrum(lam, mean=np.sqrt(lam) / 3)
    same = sx.Spectrum(lam[::3], np.sqrt(lam[::3]) / 3, np.full(600, 3.0))
    assert limits.gaussian(mean, 3, noisy=NOISY) == pytest.approx(
        limits.gaussian(same, 3, noisy=NOISY), rel=1e-6
    )


def test_the_mean_counts_with_a_start_only():
    lam = np.geomspace(0.1, 10, 8)
    centred, moved = sx.Spectrum(lam), sx.Spectrum(lam, mean=np.full(8, 3.0))
    assert limits.gaussian(moved, 2) == limits.gaussian(centred, 2)
    one = limits.best(moved, 1, noisy=0.01)  # nothing is left to choose
    spread = ((one.gain(lam) - np.sqrt(lam)) ** 2).sum()
    lost = 9 * ((one.gain(lam) / one.scale) ** 2).sum()
    assert one.error == pytest.approx(spread + lost, rel=1e-12)
    assert one.scale == pytest.approx(10)  # y = x / alpha, and x is unit noise


# What is refused


def test_bad_input_names_the_argument():
    one = sx.Spectrum([1.0])
    for call, given, named in [
        (limits.zolotarev, (0.0, 1.0, 3), "lambda_min"),
        (limits.zolotarev, (2.0, 1.0, 3), "lambda_max"),
        (limits.zolotarev, (1.0, np.inf, 3), "lambda_max"),
        (limits.zolotarev, (1.0, 2.0, 0), "steps"),
        (limits.gaussian, (one, 2.5), "steps"),
        (limits.gaussian, (one, 2, "w3"), "loss"),
        (limits.gaussian, (sx.Spectrum([1.0, 0.0]), 2, "kl"), "1 zero eigenvalue"),
    ]:
        assert named in one_line(call, *given)
    for options in ({"noisy": 1.0}, {"process": "vx"}):
        assert next(iter(options)) in one_line(limits.gaussian, one, 2, **options)


@pytest.mark.thorough
def test_eigenvalues_of_no_weight_change_nothing():
    lam = np.geomspace(4.0, 1e-3, 20)
    weights = np.ones(20)
    more = sx.Spectrum(
        np.append(lam, np.geomspace(3, 1e-2, 400)), weights=np.append(weights, np.zeros(400))
    )
    found = limits.gaussian(more, 3)
    assert found == pytest.approx(limits.gaussian(sx.Spectrum(lam), 3), rel=1e-6)
