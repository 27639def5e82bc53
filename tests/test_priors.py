"""The ladder of priors: each an exact denoiser, by integrals, Tweedie's formula and libraries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import by_default, one_line
from jax.test_util import check_grads
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm
from sklearn.mixture import GaussianMixture

import specjax as sx
from specjax.priors import PRIORS, Empirical, Gaussian, Mixture, Network, ScaleMixture, prior_of
from specjax.priors.prior import as_denoiser
from specjax.spectra.response import Measured

# Rounding of float32 sums of some ten terms; of float64 ones, after divisions by small variances.
RTOL = {"float64": 1e-9, "float32": 2e-5}
LEVELS = [(1.0, 0.3), (0.8, 0.6), (0.2, 3.0)]  # (alpha, sigma): VE, VP and neither
RNG = np.random.default_rng(0)


def matrices(k, d):
    roots = RNG.normal(size=(k, d, d))
    return roots @ roots.swapaxes(1, 2) / d + 0.05 * np.eye(d)


POINTS = RNG.normal(size=(12, 3))
SPECTRUM = sx.Spectrum([2.0, 0.5, 0.1], [0.3, -1.0, 0.0])
MEANS, FULL = RNG.normal(size=(2, 3)), matrices(2, 3)
MADE = {
    "gaussian": Gaussian(SPECTRUM),
    "scale_mixture": ScaleMixture(SPECTRUM, [0.2, 1.0, 3.0], [0.3, 0.5, 0.2]),
    "mixture": Mixture.from_covariances([0.3, 0.7], MEANS, FULL),
    "diagonal mixture": Mixture.from_covariances([0.3, 0.7], MEANS, [[1.0, 0.1, 2.0]] * 2),
    "empirical": Empirical.from_samples(POINTS, 0.4, held_out=0),
    "empirical in pieces": Empirical.from_samples(POINTS, 0.4, held_out=0, piece=5),
}


def noisy(alpha, sigma, seed=1):
    rng = np.random.default_rng(seed)
    return alpha * rng.normal(size=(4, 3)) + sigma * rng.normal(size=(4, 3))


# Compiled once for each form of a prior: one operation after the other takes seconds.
compiled = jax.jit(lambda prior, x, alpha, sigma: prior(x, alpha, sigma))
compiled_density = jax.jit(lambda prior, x, s: prior.log_density(x, s))


def denoised(prior, *at):
    with jax.enable_x64(True):
        return np.asarray(compiled(prior, *at))


def log_density(prior, *at):
    with jax.enable_x64(True):
        return np.asarray(compiled_density(prior, *at))


def slope(f, x, step=1e-5):
    """Of f [n] at x [n, d], by central differences."""
    steps = step * np.eye(x.shape[1])
    return np.stack([(f(x + e) - f(x - e)) / (2 * step) for e in steps], axis=1)


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize(("alpha", "sigma"), LEVELS)
def test_tweedie(name, alpha, sigma):
    prior, x, s = MADE[name], noisy(alpha, sigma), sigma / alpha
    y = x / alpha
    want = y + s**2 * slope(lambda y: log_density(prior, y, s), y)
    np.testing.assert_allclose(denoised(prior, x, alpha, sigma), want, rtol=1e-6, atol=1e-7)


@pytest.mark.thorough
@pytest.mark.parametrize("name", MADE)
def test_derivatives_are_finite_differences(name):
    modes = ["rev"] if "empirical" in name else ["fwd", "rev"]
    prior = jax.jit(MADE[name])
    with jax.enable_x64(True):
        for alpha, sigma in LEVELS:
            x = jnp.asarray(noisy(alpha, sigma))
            check_grads(prior, (x, alpha, sigma), order=1, modes=modes, eps=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("name", by_default(list(MADE), 1, 3, 4))
def test_float32_and_jit_follow_the_sample(name):
    prior, x = MADE[name], noisy(0.8, 0.6)
    want = prior(x, 0.8, 0.6)
    assert want.dtype == np.float64
    assert isinstance(want, np.ndarray)
    got = compiled(prior, jnp.asarray(x), np.float64(0.8), 0.6)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=RTOL["float32"], atol=RTOL["float32"])
    with jax.enable_x64(True):
        single = jax.jit(prior)(jnp.asarray(x, "f4"), 0.8, 0.6)
        double = compiled(prior, jnp.asarray(x), 0.8, 0.6)
    assert single.dtype == np.float32
    np.testing.assert_allclose(double, want, rtol=RTOL["float64"])
    assert prior.fingerprint == jax.tree.map(np.asarray, prior).fingerprint


def integrals(density, x, alpha, sigma):
    """E[x0 | x] in one dimension, by quadrature."""

    def joint(x0, power):
        return x0**power * density(x0) * norm.pdf(x, alpha * x0, sigma)

    ends = {"limit": 400, "points": np.linspace(-3, 3, 13), "epsabs": 0}
    return quad(joint, -12, 12, (1,), **ends)[0] / quad(joint, -12, 12, (0,), **ends)[0]


LINE = {
    "gaussian": (Gaussian(sx.Spectrum([0.5], [1.0])), [(1.0, 1.0, 0.5)]),
    "scale_mixture": (
        ScaleMixture(sx.Spectrum([0.5], [1.0]), [0.1, 2.0], [0.6, 0.4]),
        [(0.6, 1.0, 0.05), (0.4, 1.0, 1.0)],
    ),
    "mixture": (
        Mixture.from_covariances([0.2, 0.8], [[-1.0], [1.5]], [[0.1], [0.4]]),
        [(0.2, -1.0, 0.1), (0.8, 1.5, 0.4)],
    ),
    "empirical": (
        Empirical.from_samples([[-1.0], [0.4], [1.0]] * np.ones(1), 0.2, held_out=0),
        [(1 / 3, -1.0, 0.04), (1 / 3, 0.4, 0.04), (1 / 3, 1.0, 0.04)],
    ),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", LINE)
def test_the_posterior_mean_is_the_integral(name):
    prior, components = LINE[name]

    def density(x0):
        return sum(w * norm.pdf(x0, mean, np.sqrt(v)) for w, mean, v in components)

    for alpha, sigma in LEVELS:
        for x in (-1.0, 0.3):
            want = integrals(density, x, alpha, sigma)
            got = denoised(prior, np.array([[x]]), alpha, sigma)
            np.testing.assert_allclose(got, [[want]], rtol=1e-6)


def test_gaussian_is_wiener_and_one_scale_is_gaussian():
    x = noisy(0.8, 0.6)
    want = sx.wiener(SPECTRUM)(x, 0.8, 0.6)
    np.testing.assert_allclose(Gaussian(SPECTRUM)(x, 0.8, 0.6), want, rtol=1e-12)
    one = ScaleMixture(SPECTRUM, [1.0], [1.0])
    np.testing.assert_allclose(denoised(one, x, 0.8, 0.6), want, rtol=1e-12)
    law = multivariate_normal(np.asarray(SPECTRUM.mean), np.diag(SPECTRUM.eigenvalues + 0.25))
    for prior in (one, Gaussian(SPECTRUM)):
        np.testing.assert_allclose(log_density(prior, x, 0.5), law.logpdf(x), rtol=1e-12)


def test_a_probed_spectrum_answers_with_what_was_probed():
    # A linear denoiser that takes the noise for 1.3 times what it is, and has a bias.
    levels = np.linspace(-8, 8, 65)
    s2 = np.exp(-levels)[:, None]
    lam, mean = np.asarray(SPECTRUM.eigenvalues), np.asarray(SPECTRUM.mean)
    gain, bias = lam / (lam + 1.69 * s2), 0.2 * s2 / (1 + s2)
    measured = Measured.from_levels(lam, levels, gain, bias * np.ones(3))
    prior = Gaussian(SPECTRUM, response=measured)
    assert prior.kind == "probed"
    for alpha, sigma in LEVELS:
        x, s2 = noisy(alpha, sigma), (sigma / alpha) ** 2
        gain = lam / (lam + 1.69 * s2)
        want = mean + gain * (x / alpha - mean) + 0.2 * s2 / (1 + s2)
        # A cubic spline over knots 0.25 apart.
        np.testing.assert_allclose(denoised(prior, x, alpha, sigma), want, atol=1e-4)


def test_one_full_component_is_a_gaussian():
    prior = Mixture.from_covariances([1.0], MEANS[:1], FULL[:1])
    whole = prior.spectrum
    x = noisy(0.8, 0.6)
    want = sx.wiener(whole)(x, 0.8, 0.6)
    np.testing.assert_allclose(denoised(prior, x, 0.8, 0.6), want, rtol=1e-10)
    law = multivariate_normal(MEANS[0], FULL[0])
    np.testing.assert_allclose(log_density(prior, x, 0.0), law.logpdf(x), rtol=1e-10)


@pytest.mark.thorough
def test_scales_and_mixtures_at_no_noise():
    flat = sx.Spectrum([1.0, 0.0], [0.0, 2.0])  # one direction without variance
    x = jnp.asarray([[0.5, 2.0]])
    for prior in (
        ScaleMixture(flat, [0.5, 2.0], [0.5, 0.5]),
        Mixture.from_covariances([0.5, 0.5], [[0.0, 2.0], [0.5, 2.0]], [[1.0, 0.0]] * 2),
    ):
        np.testing.assert_allclose(denoised(prior, x, 1.0, 0.0), x, rtol=1e-6)
        slopes = jax.jit(jax.grad(lambda x, s, p=prior: p(x, 1.0, s).sum(), (0, 1)))(x, 0.0)
        assert all(np.isfinite(g).all() for g in slopes)


def blobs(n=600, seed=3):
    rng = np.random.default_rng(seed)
    centres = 4 * rng.normal(size=(2, 5))
    return centres[rng.integers(2, size=n)] + rng.normal(size=(n, 5)) * [1, 0.5, 1, 2, 1]


@pytest.mark.thorough
def test_mixture_is_that_of_scikit_learn():
    x = blobs()
    prior = Mixture.from_samples(x, 2, held_out=0, seed=0)
    c = prior.project(x)
    order = np.random.default_rng(0).permutation(len(x))
    floor = 1e-3 * prior.spectrum.eigenvalues.mean()
    other = GaussianMixture(2, reg_covar=floor, random_state=0).fit(c[order])
    np.testing.assert_allclose(prior.log_density(c), other.score_samples(c), rtol=1e-5)
    np.testing.assert_allclose(prior.lift(c), x, rtol=1e-9, atol=1e-9)


@pytest.mark.thorough
@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_held_out_likelihood_finds_the_blobs(covariance):
    prior = Mixture.from_samples(blobs(), covariance=covariance)
    assert prior.source["components"] == 2
    assert len(prior.held_out.weights) == 2
    assert (prior.vectors is None) == (covariance == "diagonal")
    aside = blobs()[np.random.default_rng(0).permutation(600)[:300]]
    want = prior.log_density(prior.project(aside)).mean()
    assert prior.source["held_out_log_likelihood"] == pytest.approx(want, rel=1e-9)


@pytest.mark.thorough
def test_scales_are_found():
    rng = np.random.default_rng(0)
    n, d = 4000, 24
    strong = rng.random(n) < 0.25
    x = np.sqrt(np.where(strong, 3.0, 1 / 3))[:, None] * rng.normal(size=(n, d))
    prior = ScaleMixture.from_samples(x, 2, held_out=0)
    # 0.25 and scales in the ratio of 9, within 4 standard errors: sqrt(p q / n), sqrt(2 / n p d).
    assert abs(prior.probabilities[1] - 0.25) < 4 * np.sqrt(0.25 * 0.75 / n)
    ratio = prior.scales[1] / prior.scales[0]
    assert abs(np.log(ratio / 9)) < 4 * np.sqrt(2 / (n * d) * (1 / 0.25 + 1 / 0.75))
    assert prior.probabilities @ prior.scales == pytest.approx(1, rel=1e-12)
    chosen = ScaleMixture.from_samples(x, None)
    assert chosen.source["components"] > 1
    one = ScaleMixture.from_samples(rng.normal(size=(n, d)), None)
    gain = [one.log_density(one.project(x[:500]), 0.1), one.held_out]
    assert np.isfinite(gain[0]).all()
    assert one.scales @ one.probabilities == pytest.approx(1)
    assert np.ptp(one.scales) < 0.5  # Gaussian data: nothing varies but by chance


@pytest.mark.thorough
@pytest.mark.parametrize("kind", PRIORS)
def test_a_kind_of_data_by_name(kind):
    dataset = sx.data.open("digits", limit=200)
    options = {} if kind != "mixture" else {"components": 2}
    prior = prior_of(kind, dataset, held_out=0.4, seed=1, **options)
    held = prior.held_out
    assert prior.kind == held.kind == kind
    assert held.held_out is None
    assert (prior.source["samples"], held.source["samples"]) == (120, 80)
    assert prior.source["name"] == "digits"
    assert prior.fingerprint != held.fingerprint
    again = prior_of(kind, dataset, held_out=0.4, seed=1, **options)
    assert again.fingerprint == prior.fingerprint
    other = prior_of(kind, dataset, held_out=0.4, seed=2, **options)
    assert other.fingerprint != prior.fingerprint
    # Both denoise digits that neither has seen better than a constant, and own ones better still.
    x = np.asarray(sx.data.open("digits").samples[200:300], float) / 8 - 1
    for p in (prior, held):
        c = p.project(x)
        assert c.shape[1:] == p.shape
        found = p(c + 0.5 * np.random.default_rng(0).normal(size=c.shape), 1.0, 0.5)
        assert np.mean((found - c) ** 2) < 0.5 * x.var(0).mean()
    assert prior_of(kind, dataset, held_out=0, **options).held_out is None


def test_a_network_keeps_its_arrays():
    denoise = sx.from_edm(jax.tree_util.Partial(lambda w, x, level: w * x, 2.0), sigma_data=0.5)
    prior = Network(denoise, (3,), SPECTRUM, source={"name": "net"})
    assert jax.tree.leaves(prior)[: len(jax.tree.leaves(denoise))] == jax.tree.leaves(denoise)
    x = noisy(0.8, 0.6)
    np.testing.assert_array_equal(prior(x, 0.8, 0.6), denoise(x, 0.8, 0.6))
    assert prior.project(x) is x
    assert prior.shape == (3,)
    weights = [jnp.ones(3), jnp.zeros(3)]
    priors = [Network(jax.tree_util.Partial(lambda w, x, a, s: w * x, w), (3,)) for w in weights]
    assert priors[0].fingerprint != priors[1].fingerprint
    np.testing.assert_array_equal(jax.jit(lambda p, x: p(x, 1.0, 1.0))(priors[1], x), 0 * x)


def test_bad_input_is_named():
    digits = sx.data.open("digits", limit=9)
    cases = {
        "kind = 'gauss'": [lambda: prior_of("gauss", POINTS)],
        "components": [
            lambda: prior_of("gaussian", POINTS, components=2),
            lambda: Mixture.from_samples(POINTS, 0),
            lambda: Mixture.from_samples(POINTS, 9),
        ],
        "held_out": [
            lambda: prior_of("gaussian", POINTS, held_out=1.0),
            lambda: prior_of("gaussian", POINTS, held_out=0.01),
        ],
        "NaN": [lambda: prior_of("empirical", POINTS * np.nan)],
        "data_range": [
            lambda: prior_of("empirical", np.eye(4, dtype=int)),
            lambda: prior_of("empirical", digits, data_range=(0, 1)),
        ],
        "covariance": [lambda: Mixture.from_samples(POINTS, covariance="tied")],
        "floor = 0": [lambda: Mixture.from_samples(POINTS, floor=0)],
        "scales": [
            lambda: ScaleMixture(SPECTRUM, [1.0, -1.0], [0.5, 0.5]),
            lambda: ScaleMixture(SPECTRUM, [1.0, 2.0], [1.0]),
        ],
        "probabilities": [lambda: ScaleMixture(SPECTRUM, [1.0, 2.0], [0.5, 0.6])],
        "spectrum": [lambda: Gaussian(np.eye(2)), lambda: ScaleMixture(np.eye(2), [1.0], [1.0])],
        "weights": [lambda: Mixture.from_covariances([0.5, 0.2], MEANS, FULL)],
        "covariances": [
            lambda: Mixture.from_covariances([0.5, 0.5], MEANS, FULL[0]),
            lambda: Mixture.from_covariances([1.0], [[0, 0]], [[[1, 0.5], [0, 1]]]),
            lambda: Mixture.from_covariances([1.0], [[0, 0]], [[[1, 2], [2, 1]]]),
        ],
        "kernel_width": [
            lambda: Empirical.from_samples(POINTS, -0.1),
            lambda: Empirical.from_samples(np.ones((8, 2))),  # copies have no most likely width
        ],
        "piece = 0": [lambda: Empirical.from_samples(POINTS, piece=0)],
        "denoise": [lambda: Network(3, (2,))],
        "shape = ()": [lambda: Network(lambda x, a, s: x, ())],
    }
    for name, calls in cases.items():
        for call in calls:
            assert name in one_line(call)


class Halves:
    """A dataset of somebody else's: batches of 8-bit numbers, and their range."""

    data_range, source = (0, 255), {"name": "halves"}

    def batches(self):
        x = np.arange(24, dtype=np.uint8).reshape(8, 3) ** 2
        return iter(np.split(x, 2))


def test_a_dataset_is_taken_by_its_protocol():
    prior = prior_of("empirical", Halves(), kernel_width=0.1)
    samples = np.concatenate([prior.samples, prior.held_out.samples])
    expected = np.concatenate(list(Halves().batches())) / 127.5 - 1
    np.testing.assert_allclose(np.sort(samples, 0), np.sort(expected, 0), atol=1e-6)
    assert (prior.source["name"], prior.source["data_range"]) == ("halves", [0.0, 255.0])


def test_nothing_is_lost_by_a_transformation():
    x = POINTS @ RNG.normal(size=(3, 3)) + 1
    options = {"mixture": {"components": 2}}
    for kind in PRIORS:
        prior = prior_of(kind, x, source={"name": "x"}, **options.get(kind, {}))
        same = jax.tree.map(lambda leaf: leaf, prior)
        np.testing.assert_array_equal(same.project(x), prior.project(x))
        assert (same.source, same.held_out.source) == (prior.source, prior.held_out.source)
        assert same.held_out.fingerprint == prior.held_out.fingerprint
        np.testing.assert_array_equal(same.spectrum.eigenvalues, prior.spectrum.eigenvalues)


@pytest.mark.thorough
def test_both_parts_of_a_dataset_share_one_compilation():
    traces = []

    @jax.jit
    def denoise(prior, x):
        traces.append(prior.kind)
        return prior(x, 1.0, 1.0)

    for kind in PRIORS:
        prior = prior_of(kind, POINTS, **({"components": 1} if kind == "mixture" else {}))
        bare = [as_denoiser(one) for one in (prior, prior.held_out)]
        c = [np.asarray(one.project(POINTS), "f4") for one in (prior, prior.held_out)]
        found = [denoise(one, x) for one, x in zip(bare, c, strict=True)]
        np.testing.assert_allclose(found[1], prior.held_out(c[1], 1.0, 1.0), rtol=1e-4, atol=1e-5)
    assert traces == list(PRIORS)
