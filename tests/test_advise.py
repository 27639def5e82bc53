"""What a spectrum advises, against closed forms, quadrature, resampled data and exact flows."""

import json
import math

import numpy as np
import pytest
from checks import one_line
from scipy.integrate import quad

import specjax as sx
from specjax.advise import levels
from specjax.advise.by_steps import ends_for
from specjax.advise.channels import channels_of
from specjax.advise.resampling import replicates_of

LAM, W = np.array([40.0, 2.0, 0.03]), np.array([1.0, 3.0, 8.0])
SPECTRUM = sx.Spectrum(LAM, mean=[1.0, 0.0, 2.0], weights=W)


def test_the_cost_of_a_start_is_that_of_the_exact_flow():
    """Heun's method in 4,000 steps from N(0, sigma^2) stands for the flow."""
    for sigma in (0.5, 9.0):
        schedule = sx.family(
            "uniform_logsnr", 4000, alpha_bar_range=(1 / (1 + sigma**2), 1 - 1e-12)
        )
        for mean in (False, True):
            spectrum = SPECTRUM if mean else sx.Spectrum(LAM, weights=W)
            lost = sx.loss(spectrum, schedule, sampler="heun", process="ve") / (W @ LAM)
            power = SPECTRUM.mean_power if mean else None
            np.testing.assert_allclose(levels.lost_at_start(LAM, W, sigma, power), lost, rtol=1e-3)


def test_the_ends_lose_what_they_may():
    assert math.isclose(
        levels.lost_at_start(LAM, W, levels.sigma_max(LAM, W)), levels.LOST_AT_START, rel_tol=1e-6
    )
    sigma = levels.sigma_min(LAM, W)
    blurred = W @ (1 - np.sqrt(LAM / (LAM + sigma**2))) ** 2 / W.sum()
    assert math.isclose(blurred, levels.BLURRED_AT_END, rel_tol=1e-6)


def test_the_training_density_is_what_is_there_to_be_learned():
    c = W @ LAM / W.sum()

    def learnable(u):
        s = math.exp(2 * u)
        return 1 - (W @ (LAM * s / (LAM + s)) / W.sum()) / (c * s / (c + s))

    mass = quad(learnable, -15, 15, limit=200)[0]
    mean = quad(lambda u: u * learnable(u), -15, 15, limit=200)[0] / mass
    variance = quad(lambda u: (u - mean) ** 2 * learnable(u), -15, 15, limit=200)[0] / mass
    density = levels.LevelDensity(LAM, W)
    np.testing.assert_allclose([density.mean, density.std], [mean, variance**0.5], rtol=2e-3)
    below = quad(learnable, -15, math.log(density.quantiles(np.array([0.3]))[0]), limit=200)[0]
    np.testing.assert_allclose(below / mass, 0.3, atol=2e-3)


def test_white_data_have_a_density_all_the_same():
    density = levels.LevelDensity(np.array([4.0]), np.array([7.0]))
    np.testing.assert_allclose(density.mean, math.log(2), atol=1e-6)


def test_half_the_variance_is_known_where_a_direction_is_decided():
    shares = np.array([0.5, 0.9, 1.0])
    np.testing.assert_allclose(levels.decided(LAM, W, shares), np.sqrt([0.03, 2.0, 40.0]))


def test_ddpms_betas_come_from_its_ends():
    sigmas = np.exp(-np.asarray(sx.GRIDS["ddpm"].logsnr) / 2)
    betas = levels.linear_betas(float(sigmas.min()), float(sigmas.max()))
    np.testing.assert_allclose(betas, (0.1, 20.0), rtol=0.01)


@pytest.mark.thorough
@pytest.mark.parametrize("steps", [5, 12])
@pytest.mark.parametrize("loss", ["w2", "kl"])
def test_advised_ends_lose_less_than_a_thousandth_of_the_optimum(steps, loss):
    for spectrum in (sx.Spectrum.power_law(200, 1.5, 50.0), SPECTRUM):
        task = sx.GaussianTask.resolve(spectrum, loss=loss)
        noisy, clean = ends_for(task, steps)
        assert clean == 1.0
        own = sx.fit(spectrum, steps, loss=loss, alpha_bar_range=(noisy, 1.0)).value
        squares = (1 / noisy - 1) * np.array([0.3, 0.7, 0.85, 0.95, 1.05, 1.2, 1.5, 4.0]) ** 2
        others = [
            sx.fit(spectrum, steps, loss=loss, alpha_bar_range=(1 / (1 + x), 1)).value
            for x in squares
        ]
        assert own < 1.001 * min(others)


@pytest.fixture(scope="module")
def advice():
    return sx.advise("digits", steps=[5])


def test_the_digits(advice):
    x = np.asarray(sx.data.open("digits").samples, np.float64) / 8 - 1
    own = advice.numbers["sigma_data"]
    np.testing.assert_allclose(own.value, x.std(), rtol=1e-3)  # n - 1 in place of n
    np.testing.assert_allclose(advice.channels.mean, [x.mean()], rtol=1e-9)
    assert all(one.error > 0 and one.equation and one.reason for one in advice.numbers.values())
    assert set(advice.configuration("edm")) >= {"sigma_data", "sigma_min", "sigma_max", "P_mean"}
    edm, flow = advice.configuration("edm"), advice.configuration("flow")
    assert (edm["P_mean"], edm["P_std"]) == (flow["logit_mean"], flow["logit_std"])
    np.testing.assert_allclose(
        flow["shift"][5], sx.best_shift(sx.data.open("digits").spectrum(), 5).shift, rtol=2e-3
    )
    assert (advice.quantile_errors > 0).all()
    assert (advice.decided_errors > 0).all()
    assert all(one.error > 0 for row in advice.calls.values() for one in row.values())
    assert "sigma_data" in repr(advice)
    assert list(advice.to_pandas()["name"]) == list(advice.numbers)


@pytest.mark.thorough
def test_standard_errors_are_those_of_other_data():
    rng = np.random.default_rng(0)
    scale, n = np.array([4.0, 2.0, 1.0, 0.5, 0.3, 0.2]), 300

    def data():
        return rng.normal(size=(n, 6)) * scale

    def numbers(x):
        lam = np.asarray(sx.Spectrum.from_samples(x).eigenvalues)
        density = levels.LevelDensity(lam, np.ones(6))
        spectrum, schedule = sx.Spectrum(lam), sx.family("cosine", 4)
        shift, middle = sx.best_shift(spectrum, 4).shift, density.quantiles(np.array([0.5]))[0]
        largest = levels.decided(lam, np.ones(6), np.array([0.99]))[0]
        return [math.sqrt(lam.mean()), levels.sigma_max(lam, np.ones(6)), density.mean, shift,
                middle, largest, sx.loss(spectrum, schedule) / lam.sum()]  # fmt: skip

    spread = np.std([numbers(data()) for _ in range(60)], axis=0)
    found = sx.advise(data(), steps=[4])
    errors = [found.numbers[name].error for name in ("sigma_data", "sigma_max", "P_mean")]
    errors += [found.by_steps[0].errors["shift"], found.quantile_errors[16]]
    errors.append(found.decided_errors[4])
    spectrum = sx.Spectrum.from_samples(data())
    resampled = replicates_of(spectrum, sx.data.open(data()), 100, 0)
    shares = resampled.shares(sx.GaussianTask.resolve(spectrum), sx.family("cosine", 4))
    errors.append(np.std(shares[1:]))
    # 60 values give a standard deviation to 9 %, and 300 samples its estimate to some more.
    np.testing.assert_allclose(errors, spread, rtol=0.4)


def samples(shape, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape) * rng.uniform(0.5, 2, shape[1:])
    return x.cumsum(-1) + rng.normal(size=shape[1:])


@pytest.mark.parametrize(
    ("shape", "axis", "options"),
    [
        ((200, 4, 5, 3), 3, {}),
        ((9, 4, 5, 3), 3, {}),
        ((200, 3, 4, 5), 1, {"layout": "NCHW"}),
        ((60, 2, 3, 4, 5), 2, {"layout": "NTCHW", "method": "shift-invariant"}),
        ((60, 4, 5, 2), 3, {"method": "shift-invariant"}),
        ((60, 12), None, {}),
    ],
)
def test_channels_have_their_mean_and_deviation(shape, axis, options):
    x = samples(shape)
    over = tuple(i for i in range(len(shape)) if i != axis)
    found = channels_of(sx.Spectrum.from_samples(x, **options))
    np.testing.assert_allclose(found.mean, np.atleast_1d(x.mean(over)), rtol=1e-9)
    of_places = x.mean(0)[None]
    variance = np.atleast_1d(
        x.var(0, ddof=1).mean(tuple(i - 1 for i in over[1:])) + of_places.var(over)
    )
    np.testing.assert_allclose(found.std, np.sqrt(variance), rtol=1e-9)


@pytest.mark.thorough
def test_few_samples_and_layouts_are_remarked_on():
    few = sx.advise(samples((20, 40)) + 1000, steps=[3])
    assert any("20 samples of 40" in remark for remark in few.remarks)
    assert any("the mean is" in remark for remark in few.remarks)
    video = sx.advise(samples((64, 4, 17, 17)), steps=[3], method="shift-invariant")
    assert any("layout" in remark for remark in video.remarks)
    assert any("stationary" in remark for remark in video.remarks)


def test_a_spectrum_alone_has_no_errors():
    found = sx.advise(SPECTRUM, steps=[3], loss="kl")
    assert math.isnan(found.numbers["P_mean"].error)
    assert found.channels is None


CONSTANT = samples((40, 4, 4, 3))
CONSTANT[..., 1] = 0.25


@pytest.mark.parametrize(
    ("words", "x", "options"),
    [
        ("channel 1", CONSTANT, {}),
        ("one sample", np.ones((1, 4)), {}),
        ("NaN", np.where(np.arange(40).reshape(10, 4) == 5, np.nan, 1.0), {}),
        ("complex128", np.ones((9, 4), complex), {}),
        ("layout", samples((40, 4, 4)), {"layout": "NCHW"}),
        ("steps", samples((40, 4)), {"steps": []}),
        ("steps", samples((40, 4)), {"steps": [0]}),
        ("replicates", samples((40, 4)), {"replicates": 0}),
        ("loss", samples((40, 4)), {"loss": "fid"}),
    ],
)
def test_errors_name_the_argument(words, x, options):
    assert words in one_line(sx.advise, x, **options)


def test_the_command(run, advice):
    code, out, err = run("advise", "digits", "--steps", 5, "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["configuration"]["edm"]["P_mean"] == advice.numbers["P_mean"].value
    assert told["by_steps"][0]["parameters"]["shift"]["standard_error"] > 0
    assert len(told["training_levels"]["sigma"]) == 33
    code, out, _ = run("advise", "digits", "--steps", 5, "--framework", "flow")
    assert code == 0
    assert "logit mean" in out
    assert "beta_max" not in out
    code, _, err = run("advise", "digits", "--framework", "sd3")
    assert code == 2
    assert "framework" in err


@pytest.mark.slow
def test_edms_own_numbers_come_out_for_cifar10(data_folder):
    pytest.importorskip("tensorflow_datasets")
    dataset = sx.data.open("tfds:cifar10", data_dir=str(data_folder / "tfds"))
    found = sx.advise(dataset, steps=[18], method="shift-invariant")
    own = {"sigma_data": 0.5, "sigma_min": 0.002, "sigma_max": 80.0}
    for name, value in own.items():
        assert 0.8 < found.numbers[name].value / value < 1.25
    assert abs(found.numbers["P_mean"].value + 1.2) < 0.5
    assert 4 < found.by_steps[0].parameters["rho"][0] < 8  # EDM: 7
