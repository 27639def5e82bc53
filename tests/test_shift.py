"""The law of shift, against sums of cosines, quadrature and numerical optimisation."""

import json
import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

import specjax as sx
from specjax import UserError
from specjax.advise.shift import shift_of_few_steps, shift_of_many_steps, shifted


def kept(eigenvalues, steps, shift):
    """The part of each standard deviation that is left: a product of cosines of angles."""
    t = np.linspace(1, 0, steps + 1)[:, None]
    angle = np.arctan2(shift * t, (1 - t) * np.sqrt(eigenvalues))
    return np.prod(np.cos(np.diff(angle, axis=0)), 0)


def w2(spectrum, steps, shift):
    lam = spectrum.eigenvalues
    return float(spectrum.weights @ (lam * (1 - kept(lam, steps, shift)) ** 2))


@pytest.mark.parametrize("steps", [2, 4, 13])
def test_the_best_shift_is_that_of_a_sum_over_cosines(steps):
    spectrum = sx.Spectrum([30.0, 4.0, 0.7, 0.01], weights=[1.0, 3.0, 9.0, 2.0])
    found = sx.best_shift(spectrum, steps)
    best = minimize_scalar(
        lambda x: w2(spectrum, steps, math.exp(x)), bounds=(-3, 5), method="bounded",
        options={"xatol": 1e-9},
    )  # fmt: skip
    np.testing.assert_allclose(found.shift, math.exp(best.x), rtol=1e-4)
    np.testing.assert_allclose(found.value, best.fun, rtol=1e-8)
    np.testing.assert_allclose(found.unshifted, w2(spectrum, steps, 1.0), rtol=1e-9)


def test_one_eigenvalue_wants_its_own_root_whatever_the_steps():
    for steps in (2, 9):
        np.testing.assert_allclose(sx.best_shift(sx.Spectrum([5.0]), steps).shift, 5**0.5, 1e-4)


def test_the_error_of_many_steps_is_elementary():
    """E = 1 + (pi / 4) (rho + 1 / rho) is the integral of u'(t)^2 q(u)."""
    for rho in (0.2, 1.0, 7.0):

        def integrand(t, rho=rho):
            ratio = (t / (1 - t) * rho) ** 2
            return ratio / (1 + ratio) ** 2 / (t * (1 - t)) ** 2

        energy = 1 + math.pi / 4 * (rho + 1 / rho)
        np.testing.assert_allclose(quad(integrand, 0, 1)[0], energy, rtol=1e-9)
        log_std = np.log(kept(np.array([1.0]), 20_000, rho))[0]
        np.testing.assert_allclose(log_std, -energy / 40_000, rtol=1e-3)


@pytest.mark.parametrize("loss", ["w2", "kl"])
def test_many_steps_have_the_root_of_the_quartic(loss):
    spectrum = sx.Spectrum([9.0, 1.0, 0.3], weights=[2.0, 5.0, 40.0])
    found = sx.best_shift(spectrum, 300, loss=loss)
    np.testing.assert_allclose(found.shift, found.many_steps, rtol=5e-3)
    lam = spectrum.eigenvalues
    importance = spectrum.weights * (lam if loss == "w2" else 1)
    best = minimize_scalar(
        lambda x: importance
        @ (1 + math.pi / 4 * (math.exp(x) / lam**0.5 + lam**0.5 / math.exp(x))) ** 2,
        bounds=(-3, 5), method="bounded", options={"xatol": 1e-10},
    )  # fmt: skip
    np.testing.assert_allclose(found.many_steps, math.exp(best.x), rtol=1e-6)


def test_shifts_scale_with_the_data():
    spectrum = sx.frequency_power_law(2.4, (16, 16))
    larger = sx.Spectrum(1e4 * spectrum.eigenvalues, weights=spectrum.weights)
    for find in (lambda s: sx.best_shift(s, 7).shift, shift_of_many_steps):
        np.testing.assert_allclose(find(larger), 100 * find(spectrum), rtol=1e-4)


def test_few_steps_have_the_closed_form_and_grow_like_the_root_of_the_tokens():
    few = {n: sx.best_shift(sx.frequency_power_law(3.0, (n, n)), 10).shift for n in (128, 256)}
    for n, found in few.items():
        np.testing.assert_allclose(shift_of_few_steps(3.0, (n, n), 10), found, rtol=0.04)
    np.testing.assert_allclose(few[256] / few[128], 2, rtol=0.02)  # 4 times the tokens
    # In many steps it is the fourth root; for KL there is no such growth.
    many = [shift_of_many_steps(sx.frequency_power_law(3.0, (n, n))) for n in (512, 1024)]
    np.testing.assert_allclose(many[1] / many[0], math.sqrt(2), rtol=0.03)
    kl = [
        sx.best_shift(sx.frequency_power_law(2.0, (n, n)), 10, loss="kl").shift for n in (64, 128)
    ]
    np.testing.assert_allclose(kl[1] / kl[0], 1, rtol=0.05)


def test_few_steps_at_twice_the_axes_are_the_limit():
    near = [shift_of_few_steps(beta, (64, 64), 5) for beta in (4 - 1e-4, 4.0, 4 + 1e-4)]
    np.testing.assert_allclose(near[1], (near[0] + near[2]) / 2, rtol=1e-5)


def test_the_levels_are_those_of_diffusers_pipelines():
    """Flux and SD3: sigma = linspace(1, 1 / S), shifted, and 0 behind."""
    t = np.append(np.linspace(1, 1 / 6, 6), 0)
    time = 3.0 * t / (1 + (3.0 - 1) * t)
    found = shifted(6, 3.0).logsnr
    np.testing.assert_allclose(1 / (1 + np.exp(found / 2)), time, atol=1e-12)


def test_a_power_law_over_frequency():
    spectrum = sx.frequency_power_law(2.0, (4, 6), variance=3.0)
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(4) * 6, np.fft.fftfreq(6) * 6, indexing="ij"))
    f[0, 0] = np.sort(f.ravel())[1]
    lam = f.ravel() ** -2.0
    lam *= 3 * 24 / lam.sum()
    every = np.repeat(spectrum.eigenvalues, spectrum.weights.astype(int))
    np.testing.assert_allclose(np.sort(every), np.sort(lam), rtol=1e-12)


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("steps", lambda: sx.best_shift(sx.Spectrum([1.0]), 0)),
        ("loss", lambda: sx.best_shift(sx.Spectrum([1.0]), 3, loss="fid")),
        ("sizes", lambda: sx.frequency_power_law(2.0, (2, 2, 2, 2))),
        ("sizes", lambda: sx.frequency_power_law(2.0, (1,))),
        ("exponent", lambda: sx.frequency_power_law(-1.0, (4, 4))),
        ("exponent", lambda: shift_of_few_steps(2.0, (8, 8), 5)),
    ],
)
def test_errors_name_the_argument(words, call):
    with pytest.raises(UserError, match=words):
        call()


def test_the_command(run):
    code, out, err = run("shift", "--power-law", 2.4, "--sizes", "8", "4x8x8", "--steps", 3, 6,
                         "--json")  # fmt: skip
    assert (code, err) == (0, "")
    rows = json.loads(out)["shifts"]
    assert [row["dimension"] for row in rows] == [64, 256]
    for row, sizes in zip(rows, ((8, 8), (4, 8, 8)), strict=True):
        law = sx.frequency_power_law(2.4, sizes)
        np.testing.assert_allclose(
            [one["shift"] for one in row["steps"]],
            [sx.best_shift(law, steps).shift for steps in (3, 6)], rtol=1e-12,
        )  # fmt: skip
    np.save("few.npy", np.random.default_rng(0).normal(size=(9, 4, 4)))
    code, out, _ = run("shift", "few.npy", "--steps", 3)
    assert code == 0
    assert "9 samples of 16" in out
    code, out, _ = run("shift", "digits", "--steps", 3)
    assert code == 0
    assert "+-" in out
    for given, name in ((["digits", "--power-law", 2], "power_law"), ([], "power_law"),
                        (["--power-law", 2, "--sizes", "8y8"], "sizes")):  # fmt: skip
        code, _, err = run("shift", *given)
        assert code == 2
        assert name in err
