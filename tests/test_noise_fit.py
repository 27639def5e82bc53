"""Learning noise and schedule together: gradients, what is recovered, what is never lost."""

import jax
import numpy as np
import pytest
from checks import by_default, one_line

import specjax as sx
from specjax.fitting.levels import theta_of
from specjax.fitting.noise_fit import ISOTROPIC, fit_noise
from specjax.fitting.noise_problem import joint_inputs, joint_loss, noise_parameters
from specjax.fitting.problem import FitShape
from specjax.gaussian.task import GaussianTask
from specjax.noise.bases import radius
from specjax.noise.families import noise_spectrum
from specjax.noise.whitening import effective
from specjax.schedules.schedule import alpha_bar_to_logsnr
from specjax.spectra.basis import FourierBasis

ENDS = (4.0358e-5, 1.0)
LEVELS = np.array([*np.linspace(alpha_bar_to_logsnr(ENDS)[0], 2.0, 3), np.inf])
STEP, RTOL = 1e-5, 1e-7  # central differences of float64: STEP^2, and rounding / STEP


def shift_invariant(lam, channels=1, mean=0.0):
    """A spectrum in the Fourier basis of eigenvalues [height, width, channels]."""
    grid = lam.shape[:2]
    vectors = np.broadcast_to(
        np.eye(channels, dtype=complex), (lam[..., 0].size, channels, channels)
    )
    shape = (*grid, channels) if channels > 1 else grid
    values = lam.ravel()
    return sx.Spectrum(values, mean * np.sqrt(values), basis=FourierBasis(vectors, shape, 2))


def power_law(exponent, size=6, channels=1, spread=0.0, r0=0.01):
    """lambda = (r + r0)^exponent, times numbers around 1 (the same at k and -k)."""
    lam = (radius("fourier", (size, size)) + r0) ** exponent
    noise = np.exp(spread * np.random.default_rng(0).normal(size=(size, size, channels)))
    flipped = np.roll(np.flip(noise, (0, 1)), 1, (0, 1))
    return shift_invariant(lam[..., None] * np.sqrt(noise * flipped), channels, mean=0.3)


FORMS = {
    "exponent": ("power_law", {"exponent": -0.3, "r0": 0.05}, ("exponent",)),
    "exponent and r0": ("power_law", {"exponent": -0.3, "r0": 0.05}, ("exponent", "r0")),
    "decay": ("exponential", {"decay": 0.7}, ("decay",)),
    "gains": (
        "two_band", {"low": (0.0, 0.4), "high": (0.4, 1.0), "gains": (0.8, 0.5)}, ("gains",)
    ),
}  # fmt: skip


def directly(spectrum, chosen, form, phi, logsnr, basis):
    """log(loss) by the noise of these parameters and the effective spectrum, all of it."""
    with jax.enable_x64(True):
        numbers = {
            k: np.asarray(v).tolist() for k, v in form.parameters(jax.numpy.asarray(phi)).items()
        }
    shape = spectrum.basis.shape if spectrum.basis else (spectrum.dimension,)
    noise = noise_spectrum(form.family, shape, basis=basis, **numbers)
    under = effective(spectrum, noise)
    task = GaussianTask.resolve(under, loss=chosen.loss)
    return float(np.log(task.value(sx.NoiseSchedule(logsnr))))


def padded_loss(spectrum, basis, chosen, form):
    """Padded parameters of LEVELS, the inputs, and the loss of levels and noise."""
    shape = FitShape.of(chosen, 3, ends_clean=True)._replace(noise=form)
    which = shape.losses.index(chosen.loss)
    joint = joint_inputs(spectrum, basis, np.asarray(alpha_bar_to_logsnr(ENDS)), 13, which)
    levels = np.pad(theta_of(np.asarray(LEVELS), ends_clean=True), (13, 0))
    return levels, joint, joint_loss(shape, joint)


CASES = [(n, loss, basis) for n in FORMS for loss in ("w2", "kl") for basis in ("fourier", "data")]


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "loss", "basis"), by_default(CASES, 0, 3, 6, 8, 11, 12))
def test_the_gradient_in_the_noise_agrees_with_finite_differences(name, loss, basis):
    family, parameters, learned = FORMS[name]
    spectrum = power_law(-1.0, spread=0.3) if basis == "fourier" else sx.Spectrum.power_law(9, 1.2)
    form = noise_parameters(family, learned, parameters)
    chosen = GaussianTask.resolve(spectrum, loss=loss).objective
    phi = form.pack(parameters)
    levels, _, function = padded_loss(spectrum, basis, chosen, form)
    with jax.enable_x64(True):
        value, slope = jax.jit(jax.value_and_grad(function))(np.concatenate([levels, phi]))
    at = (spectrum, chosen, form)
    assert float(value) == pytest.approx(directly(*at, phi, LEVELS, basis), abs=1e-12)
    for k in range(len(phi)):
        high, low = (
            directly(*at, phi + e * np.eye(len(phi))[k], LEVELS, basis) for e in (STEP, -STEP)
        )
        expected = (high - low) / (2 * STEP)
        assert abs(expected) > 1e-4
        assert float(slope[len(levels) + k]) == pytest.approx(expected, rel=RTOL, abs=RTOL)


@pytest.mark.slow
@pytest.mark.parametrize(("process", "sampler"), by_default([("vp", "ddim"), ("ve", "ddpm")], 0))
def test_a_power_law_is_found_whose_noise_is_that_of_the_data(process, sampler):
    # lambda = (r + r0)^-1.4, so nu = lambda up to a factor where w = (r + r0)^-0.7.
    spectrum = power_law(-1.4)
    # There is a second minimum near +0.28, 1.2 % above, where two starts of DDIM end.
    result = fit_noise(spectrum, 2, process=process, sampler=sampler)
    assert result.converged
    assert result.noise.source["parameters"]["exponent"] == pytest.approx(-0.7, abs=1e-4)
    under = effective(spectrum, result.noise)
    np.testing.assert_allclose(under.eigenvalues, under.eigenvalues[0], rtol=1e-3)
    # And the levels are those that are learned for this noise.
    again = sx.fit(spectrum, 2, process=process, sampler=sampler, noise=result.noise)
    assert result.value == pytest.approx(again.value, rel=1e-8)
    np.testing.assert_allclose(result.schedule.logsnr, again.schedule.logsnr, atol=1e-3)


@pytest.mark.slow
def test_it_is_never_worse_than_isotropic_noise():
    for spectrum, options in (
        (sx.Spectrum(np.ones(8)), {"family": "exponential"}),  # white data: white noise is best
        (sx.Spectrum(np.geomspace(3, 1e-3, 8)), {"family": "two_band", "max_iterations": 1}),
        (sx.Spectrum(np.linspace(2, 1, 8)), {"start": {"exponent": 1.5}, "restarts": 1}),
    ):
        result = fit_noise(spectrum, 2, basis="data", **options)
        white = sx.fit(spectrum, 2)
        assert result.baselines[ISOTROPIC] == white.value
        assert result.value <= white.value
        if result.noise is None:
            np.testing.assert_array_equal(result.schedule.logsnr, white.schedule.logsnr)


@pytest.mark.thorough
def test_frequencies_are_put_together_without_loss():
    # 20 x 20 x 3 eigenvalues of 55 radial frequencies; within one they spread by a factor of 2.
    spectrum = power_law(-2.0, size=20, channels=3, spread=0.5)
    family, parameters, learned = FORMS["exponent"]
    form = noise_parameters(family, learned, parameters)
    for loss in ("w2", "kl"):
        chosen = GaussianTask.resolve(spectrum, loss=loss).objective
        phi = form.pack(parameters)
        levels, joint, function = padded_loss(spectrum, "fourier", chosen, form)
        assert joint.nodes.dimension < spectrum.dimension / 3
        with jax.enable_x64(True):
            value = float(jax.jit(function)(np.concatenate([levels, phi])))
        assert value == pytest.approx(
            directly(spectrum, chosen, form, phi, LEVELS, "fourier"), abs=1e-5
        )


@pytest.mark.thorough
def test_the_result_is_kept_in_a_file(tmp_path):
    result = fit_noise(power_law(-1.0), 2, restarts=1)
    found = sx.load(sx.save(tmp_path / "schedule.json", result))
    assert found.noise.fingerprint == result.noise.fingerprint
    assert found.baselines == result.baselines
    assert sx.loss(found.nodes, found.schedule) == pytest.approx(result.node_value, rel=1e-6)


def test_bad_input_names_the_argument():
    fourier, dense = power_law(-1.0), sx.Spectrum.from_covariance(np.diag([2.0, 1.0]))
    for options in (
        {"basis": "cosine"}, {"family": "pink"}, {"family": "isotropic"}, {"learn": ("decay",)},
        {"learn": ()}, {"start": {"decay": 1.0}}, {"start": {"exponent": (1, 2)}},
        {"start": {"exponent": "a"}}, {"start": {"exponent": 9.0}},
        {"start": {"gains": (0.0, 1.0)}, "family": "two_band"},
        {"start": {"gains": (1.0, 0.0)}, "family": "two_band"},
        {"start": {"low": (0, 0.2)}, "family": "two_band"},
        {"start": {"r0": 20.0}, "learn": ("r0",)}, {"restarts": 0}, {"sampler": "euler"},
    ):  # fmt: skip
        assert next(iter(options)) in one_line(fit_noise, fourier, 2, **options)
    for spectrum in (sx.Spectrum([2.0, 1.0]), dense):
        assert "basis = 'data'" in one_line(fit_noise, spectrum, 2)
    under = effective(fourier, noise_spectrum("power_law", (6, 6)))
    assert "under a noise already" in one_line(fit_noise, under, 2, basis="data")
