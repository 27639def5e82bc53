"""Learning plans under noise with a spectrum: what it equals, what is colored, what files keep."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from checks import by_default, one_line
from plan_oracles import objectives, transfer_loss

import specjax as sx
from specjax.gaussian.modes import modes_of
from specjax.learning.objective import terms_of
from specjax.learning.prior_from import prior_from
from specjax.learning.settings import LearnSettings
from specjax.noise.families import noise_spectrum
from specjax.noise.noise_spectrum import NoiseSpectrum, covariance
from specjax.noise.whitening import effective
from specjax.priors import Colored, Empirical, Gaussian, Network, prior_of

S, N = 3, 32
RNG = np.random.default_rng(0)
SPECTRUM = sx.Spectrum.power_law(12, 1.5)
OWN = NoiseSpectrum(np.linspace(1.4, 0.5, 12), (12,), "data")
POINTS = (RNG.normal(size=(40, 6)) * [2, 1, 1, 0.5, 0.5, 0.3]).astype(np.float32)
NOISE = noise_spectrum("power_law", (6,), exponent=-0.4)
QUICK = {"n": N, "max_iterations": 12}


@pytest.fixture(scope="module")
def colored():
    return prior_of("empirical", POINTS, noise=NOISE, kernel_width=0.4)


@pytest.fixture(scope="module")
def learned(colored):
    return sx.learn(colored, S, **QUICK)


@pytest.mark.thorough
@pytest.mark.parametrize("loss", by_default(["w2", "kl"], 0))
def test_a_gaussian_under_noise_is_the_isotropic_one_of_whitened_data(loss):
    # lambda / nu; in data units each direction counts nu times where the loss has a unit.
    nu = OWN.weights**2
    counts = nu if loss == "w2" else np.ones(12)
    whitened = sx.Spectrum(SPECTRUM.eigenvalues / nu, weights=counts)
    result = sx.learn(SPECTRUM, S, noise=OWN, loss=loss)
    same = sx.learn(whitened, S, loss=loss)
    assert result.value == pytest.approx(same.value, abs=1e-7)
    assert transfer_loss(result.plan, whitened, loss) == pytest.approx(np.exp(result.value))
    assert result.baselines == pytest.approx(same.baselines)
    assert result.noise is OWN


@pytest.mark.thorough
def test_a_spectrum_under_noise_says_so_itself():
    options = {"groups": ("ratios",), "sampler": "ddim"}
    result = sx.learn(SPECTRUM, S, noise=OWN, **options)
    again = sx.learn(effective(SPECTRUM, OWN), S, **options)
    assert again.value == result.value
    assert again.noise is OWN


@pytest.mark.thorough
@pytest.mark.parametrize("rung", by_default(["gaussian", "empirical", "network"], 0))
def test_white_noise_gives_the_same_bits(rung):
    white = noise_spectrum("isotropic", (6,))
    priors = {
        "gaussian": lambda **o: sx.Spectrum.from_samples(POINTS),
        "empirical": lambda **o: prior_of("empirical", POINTS, kernel_width=0.4, **o),
        "network": lambda **o: Network(sx.wiener(sx.Spectrum(np.ones(6))), (6,), **o),
    }
    plain, same = (priors[rung](**o) for o in ({}, {"noise": white}))
    options = {"n": 8, "max_iterations": 3, "sampler": "ddpm", "seed": 3}
    first, second = (sx.learn(plain, 2, **options), sx.learn(same, 2, noise=white, **options))
    assert first.value == second.value
    assert second.noise is None
    np.testing.assert_array_equal(first.corrections.ratio, second.corrections.ratio)


def test_no_program_is_given_white_noise():
    prior = prior_of("empirical", POINTS, noise=noise_spectrum("isotropic", (6,)), kernel_width=0.4)
    objective = objectives(prior, True, n=4, objective={"energy": 1.0}, data=POINTS).training
    assert objective.forward is None
    rng = np.random.default_rng(np.random.SeedSequence((0, 0, 0)))  # of the training noise
    np.testing.assert_array_equal(objective.noise, rng.standard_normal((4, 6), np.float32))


@pytest.mark.thorough
def test_what_starts_and_what_is_pushed_is_of_the_noise(colored):
    """And distances are in units of the data: of a denoiser that always says 0, in one step."""
    network = Network(lambda x, alpha, sigma: 0 * x, (6,), noise=NOISE)
    n, expected = 4096, np.asarray(covariance(NOISE))
    data = np.zeros((4, 6), np.float32)
    objective = objectives(network, True, n=n, objective={"energy": 1.0}, data=data).training
    # Ancestral steps of a denoiser of 0 end in the pushes of the last noisy level alone, or
    # here, before a clean end is there, in start and pushes: alpha x0 + sigma eps of x0 = 0.
    schedule = sx.NoiseSchedule([-9.0, -2.0, 0.0])
    for plan in (sx.plan("ddpm", schedule), sx.plan("ddim", schedule)):
        for by in (
            objective,
            replace(objective, call_by_call=not objective.call_by_call),
            replace(objective, batch=n // 2),
        ):
            made = np.asarray(by.samples(plan), np.float64)
            found = made.T @ made / n / float(schedule.sigma[-1]) ** 2
            # Standard errors of a covariance: sqrt((N_ii N_jj + N_ij^2) / n).
            size = np.sqrt((np.outer(*[np.diag(expected)] * 2) + expected**2) / n)
            assert np.abs((found - expected) / size).max() < 4.5
    power = (made**2).sum(1).mean()
    energy = float(terms_of(objective, plan)["energy"])
    squared = (made**2).sum(1)[:, None] + (made**2).sum(1) - 2 * made @ made.T
    pairs = np.sqrt(np.maximum(squared, 0)).sum() / (n * (n - 1))
    assert energy == pytest.approx(2 * np.linalg.norm(made, axis=1).mean() - pairs, rel=0.02)
    assert power == pytest.approx(6 * 0.5, rel=0.1)  # the mean variance of the noise is 1


@pytest.mark.thorough
def test_the_teacher_is_the_sampler_with_the_noise(colored, learned):
    """The judged value, from nothing but the plan: sx.sample, the data's own space."""
    white = np.asarray(NOISE.whiten(objectives(colored, n=N).judging.taught.noises.start))
    key = jax.random.key(0)
    fine = sx.plan("dpmpp_2m", sx.spectral(colored.held_out.spectrum, 256))
    ends = [
        np.asarray(sx.sample(plan, colored.held_out, key, white.shape, start=white, noise=NOISE))
        for plan in (learned.plan, fine)
    ]
    gap = ((ends[0] - ends[1]) ** 2).sum(1).mean()
    assert gap == pytest.approx(learned.terms["teacher_mean"], rel=0.02)
    transfer = transfer_loss(learned.plan, colored.held_out.spectrum)
    assert transfer == pytest.approx(learned.terms["transfer"], rel=1e-3)
    assert learned.noise is colored.noise


def test_without_noise_in_a_band_data_are_compared_where_there_is():
    noise = noise_spectrum("isotropic", (6,), omit=(0.5, 1.0))
    prior = prior_of("empirical", POINTS, noise=noise, kernel_width=0.3)
    objective = objectives(prior, n=8, objective={"energy": 1.0}, data=POINTS).training
    data = np.asarray(objective.data)
    np.testing.assert_allclose(noise.left_out(data), 0, atol=1e-6)
    made = np.asarray(objective.samples(sx.plan("ddim", sx.spectral(prior.spectrum, 4))))
    np.testing.assert_allclose(noise.left_out(made), 0, atol=5e-5)  # of noise up to 90, float32


@pytest.mark.slow
def test_the_ladder_and_its_verdicts_are_under_one_noise(colored):
    spectrum = sx.Spectrum.from_samples(POINTS)
    options = {"noise": NOISE, "sampler": "ddim", "groups": ("levels",)}
    results = sx.learn_all([spectrum, colored], [2], **options, **QUICK)
    assert [one.noise is not None for one in results] == [True, True]
    judged = sx.verdicts(results, [spectrum, colored], noise=NOISE, n=N)
    own = {one.on: one.value for one in judged if one.plan == one.on}
    assert own["empirical"] == pytest.approx(results[1].value, abs=1e-4)
    assert own["gaussian"] == pytest.approx(results[0].value, abs=1e-8)
    text = one_line(sx.verdicts, results, [spectrum])
    assert "the plan was made for power-law (exponent -0.4, r0 0.01) noise" in text


def test_a_run_brings_its_own_noise():
    spectrum = sx.Spectrum.from_samples(POINTS)
    run = type("Run", (), {
        "denoiser": lambda self: sx.wiener(effective(spectrum, NOISE)), "shape": (6,),
        "spectrum": spectrum, "effective": effective(spectrum, NOISE), "source": {}, "noise": NOISE,
    })()  # fmt: skip
    prior = prior_from(run)
    assert (prior.kind, prior.noise, prior.spectrum.noise) == ("network", NOISE, NOISE)
    x = POINTS[:3]
    np.testing.assert_allclose(prior(x, 0.8, 0.6), sx.wiener(run.effective)(x, 0.8, 0.6))


def test_a_plan_file_keeps_the_noise(learned, tmp_path):
    path = tmp_path / "plan.json"
    sx.save(path, learned)
    document = json.loads(path.read_text())
    assert document["noise"]["family"] == "power_law"
    found = sx.load(path)
    assert found.noise.fingerprint == learned.noise.fingerprint
    np.testing.assert_array_equal(found.noise.weights, NOISE.weights)
    np.testing.assert_array_equal(found.plan.pull, learned.plan.pull)
    sx.save(path, replace(learned, noise=None))
    document = json.loads(path.read_text())
    assert "noise" not in document
    assert sx.load(path).noise is None


def test_a_noise_of_ones_own_in_a_plan_file(learned, tmp_path):
    noise, path = NoiseSpectrum([2.0, 1.0, 0.5, 0.0, 0.5, 1.0], (6,)), tmp_path / "plan.json"
    sx.save(path, replace(learned, noise=noise))
    np.testing.assert_array_equal(sx.load(path).noise.weights, noise.weights)
    from specjax.files import checksum

    document = json.loads(path.read_text())
    document["noise"]["weights"][0] = 3.0
    path.write_text(json.dumps({**document, "checksum": checksum(document)}))
    text = one_line(sx.load, path)
    assert "has other weights than this version of specjax" in text


def test_another_noise_is_refused(colored):
    other = noise_spectrum("power_law", (6,), exponent=0.4)
    text = one_line(sx.learn, colored, 2, noise=other)
    assert "the prior was made for power-law (exponent -0.4" in text
    text = one_line(sx.learn, Empirical.from_samples(POINTS, 0.3), 2, noise=NOISE)
    assert "the prior was made for isotropic noise" in text
    text = one_line(
        sx.learn, effective(SPECTRUM, OWN), 2, noise=replace(OWN, weights=OWN.weights + 1)
    )
    assert "the prior was made for" in text
    text = one_line(sx.learn, SPECTRUM, 2, noise=NOISE)
    assert "the noise is of samples of shape (6,)" in text


def test_kinds_under_noise_keep_their_default_objectives(colored):
    gaussian = prior_from(SPECTRUM, OWN)
    assert isinstance(gaussian, Colored)
    assert isinstance(gaussian.inner, Gaussian)
    for prior, expected in (
        (gaussian, (("transfer", 1.0),)),
        (colored, (("transfer", 0.1), ("teacher", 1.0))),
    ):
        assert LearnSettings.resolve().for_prior(prior).objective == expected
    weights = modes_of(gaussian.spectrum, in_data_units=True).weights
    assert weights == pytest.approx(OWN.weights**2)


@pytest.mark.thorough
def test_plans_of_a_spectrum_under_noise_can_be_judged_by_samples():
    x = np.random.default_rng(0).normal(size=(60, 4, 4)).cumsum(1).cumsum(2)
    spectrum = sx.Spectrum.from_samples(x, method="shift-invariant")
    noise = sx.noise_spectrum("power_law", (4, 4), exponent=-0.5)
    n = 2000
    found = sx.learn(
        spectrum, 2, noise=noise, objective={"teacher_mean": 1.0}, n=n, max_iterations=3,
        teacher_tolerance=1e-3,
    )  # fmt: skip
    under = sx.effective(spectrum, noise)
    fine = sx.transfer(sx.plan("dpmpp_2m", sx.spectral(under, 512)), under)
    made = sx.transfer(found.plan, under)
    size = np.asarray(under.whitening.variance) * (made.gain - fine.gain) ** 2
    shift = (
        np.asarray(under.whitening.variance) * ((made.mean_gain - fine.mean_gain) * under.mean) ** 2
    )
    error = np.sqrt((2 * size**2 + 4 * size * shift).sum() / n)  # of the mean of n squares
    assert found.terms["teacher_mean"] == pytest.approx((size + shift).sum(), abs=4 * error)
