"""Priors under noise with a spectrum: dense matrices and Bayes' rule, direction by direction."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from checks import one_line
from scipy.stats import multivariate_normal

import specjax as sx
from specjax.learning.prior_from import prior_from
from specjax.noise.families import noise_spectrum
from specjax.noise.noise_spectrum import NoiseSpectrum, covariance
from specjax.noise.whitening import effective
from specjax.priors import Colored, Empirical, Gaussian, Mixture, Network, ScaleMixture, prior_of
from specjax.priors.kernel_width import choose_width

# Rounding of float64 sums of some ten terms after a division by small variances.
RTOL = 1e-8
LEVELS = [(1.0, 0.3), (0.8, 0.6), (0.2, 3.0)]
RNG = np.random.default_rng(0)
SHAPE = (4,)
POINTS = RNG.normal(size=(5, 4)) * [2.0, 1.0, 0.5, 0.2]
NOISES = {
    "fourier": NoiseSpectrum([2.0, 1.0, 0.5, 1.0], SHAPE),
    "cosine": NoiseSpectrum([2.0, 1.5, 0.3, 0.7], SHAPE, "cosine"),
    "data": NoiseSpectrum([2.0, 1.5, 0.3, 0.7], SHAPE, "data",
                          own=sx.Spectrum.from_samples(RNG.normal(size=(9, 4))).basis),
    "omitted": NoiseSpectrum([2.0, 1.0, 0.0, 1.0], SHAPE),
}  # fmt: skip


def root(noise):
    """T [4, 4]."""
    return np.asarray(noise.color(np.eye(4))).T


def seen(noise):
    """The orthogonal projection on directions with noise, and N^+."""
    own = np.asarray(covariance(noise))
    inverse = np.linalg.pinv(own, rcond=1e-9)
    return own @ inverse, own, inverse


def posterior(x, alpha, sigma, weights, means, covariances, noise):
    """E[x0 | x] of a mixture of Gaussians [K] whose covariances are within N's range.

    By Bayes' rule with dense matrices on the range of N; ``x / alpha`` beyond it.
    """
    inside, own, _ = seen(noise)
    s2, y = (sigma / alpha) ** 2, x / alpha
    found, density = [], []
    for mean, one in zip(means, covariances, strict=True):
        total = one + s2 * own
        gain = one @ np.linalg.pinv(total, rcond=1e-10)
        found.append(mean + (y - mean) @ inside @ gain.T)
        law = multivariate_normal(inside @ mean, total, allow_singular=True)
        density.append(law.logpdf(y @ inside))
    logits = np.log(weights)[:, None] + np.array(density)
    share = np.exp(logits - logits.max(0))
    share /= share.sum(0)
    estimate = (share[..., None] * np.array(found)).sum(0)
    return estimate @ inside + y @ (np.eye(4) - inside)


@pytest.mark.thorough
@pytest.mark.parametrize("name", NOISES)
def test_the_empirical_prior_is_bayes_rule_over_the_points(name):
    noise, h = NOISES[name], 0.4
    prior = prior_of("empirical", POINTS, noise=noise, kernel_width=h, held_out=0)
    inside, own, _ = seen(noise)
    x = RNG.normal(size=(6, 4)) * 1.5
    for alpha, sigma in LEVELS:
        # Each point of the part that has noise, widened by h times the noise.
        expected = posterior(
            x, alpha, sigma, np.full(5, 0.2), POINTS @ inside, [h**2 * own] * 5, noise
        )
        np.testing.assert_allclose(prior(x, alpha, sigma), expected, rtol=RTOL, atol=RTOL)
        with jax.enable_x64(True):
            jitted = jax.jit(lambda p, *at: p(*at))(prior, x, alpha, sigma)
        np.testing.assert_allclose(jitted, expected, rtol=RTOL, atol=RTOL)


@pytest.mark.thorough
@pytest.mark.parametrize("name", NOISES)
def test_gaussians_and_mixtures_are_bayes_rule_with_dense_matrices(name):
    noise = NOISES[name]
    inside = seen(noise)[0]
    data = RNG.normal(size=(40, 4)) * [1.0, 0.6, 0.4, 0.3] + [0.5, 0, 0, -0.2]
    x, (alpha, sigma) = RNG.normal(size=(6, 4)), LEVELS[1]
    mean, spread = data.mean(0), np.cov(data.T)
    within = inside @ spread @ inside
    linear = prior_of("gaussian", data, noise=noise, held_out=0)
    expected = posterior(x, alpha, sigma, np.ones(1), [inside @ mean], [within], noise)
    np.testing.assert_allclose(linear(x, alpha, sigma), expected, rtol=RTOL, atol=RTOL)
    scaled = prior_of("scale_mixture", data, noise=noise, held_out=0, components=2)
    inner = scaled.inner
    expected = posterior(
        x, alpha, sigma, inner.probabilities, [inside @ mean] * 2,
        [v * within for v in inner.scales], noise,
    )  # fmt: skip
    np.testing.assert_allclose(scaled(x, alpha, sigma), expected, rtol=RTOL, atol=RTOL)
    two = prior_of("mixture", data, noise=noise, held_out=0, components=2)
    inner, t = two.inner, root(noise)
    up = np.asarray(inner.lift(np.eye(4))) @ t.T  # coordinates to samples, colored
    covariances = [
        up.T @ (v * e) @ v.T @ up for v, e in zip(inner.vectors, inner.eigenvalues, strict=True)
    ]
    expected = posterior(x, alpha, sigma, inner.weights, inner.means @ up, covariances, noise)
    np.testing.assert_allclose(two(x, alpha, sigma), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["gaussian", "scale_mixture", "mixture", "empirical"])
@pytest.mark.parametrize("name", ["fourier", "omitted"])
def test_the_spectrum_is_the_effective_one(kind, name):
    noise, data = NOISES[name], RNG.normal(size=(40, 4)) * [1.0, 0.6, 0.4, 0.3] + 0.1
    options = {"components": 1} if "mixture" in kind else {}
    prior = prior_of(kind, data, noise=noise, held_out=0, **options)
    expected = effective(sx.Spectrum.from_samples(data), noise)
    values = expected.eigenvalues
    if kind == "empirical":
        values = values * (1 - 1 / 40) + float(prior.inner.kernel_width) ** 2
    found = prior.spectrum
    np.testing.assert_allclose(found.eigenvalues, values, rtol=1e-8)
    np.testing.assert_allclose(found.whitening.variance, expected.whitening.variance, rtol=1e-8)
    np.testing.assert_allclose(np.abs(found.mean), np.abs(expected.mean), atol=1e-9)
    assert found.noise is noise
    # Its ideal denoiser is the Gaussian's: the same projection, the same lift.
    x = RNG.normal(size=(3, 4))
    np.testing.assert_allclose(
        found.lift(found.project(x)), noise.supported(x), rtol=1e-9, atol=1e-12
    )


def test_a_spectrum_of_data_with_more_null_directions_than_omitted_ones():
    # Three samples in four dimensions: null directions of the data mix with those without noise.
    data, noise = RNG.normal(size=(3, 4)), NOISES["omitted"]
    found = prior_of("gaussian", data, noise=noise, held_out=0).spectrum
    expected = effective(sx.Spectrum.from_samples(data), noise)
    np.testing.assert_allclose(found.eigenvalues, expected.eigenvalues, atol=1e-12)


@pytest.mark.thorough
def test_a_spectrum_under_a_noise_becomes_a_prior_in_the_data_space():
    spectrum = sx.Spectrum.from_samples(RNG.normal(size=(30, 4)) * [2, 1, 1, 0.5])
    x = RNG.normal(size=(5, 4))
    for noise in NOISES.values():
        if noise.basis == "data":
            continue
        prior = prior_from(spectrum, noise)
        assert (prior.kind, prior.shape) == ("gaussian", SHAPE)
        wiener = sx.wiener(effective(spectrum, noise))
        np.testing.assert_allclose(prior(x, 0.8, 0.6), wiener(x, 0.8, 0.6), rtol=1e-12)
    bare = sx.Spectrum([4.0, 1.0], [0.5, 0.0])
    noise = NoiseSpectrum([2.0, 1.0], (2,), "data")
    expected = np.array([0.5, 0]) + (x[:, :2] - [0.5, 0]) * [4 / (4 + 4 * 0.09), 1 / 1.09]
    np.testing.assert_allclose(prior_from(bare, noise)(x[:, :2], 1.0, 0.3), expected, rtol=1e-12)
    square = NoiseSpectrum([2.0, 1.0, 1.0, 3.0], (2, 2), "data")
    wide = prior_from(sx.Spectrum([4.0, 1.0, 1.0, 1.0]), square)(x.reshape(5, 2, 2), 1.0, 1.0)
    np.testing.assert_allclose(wide, x.reshape(5, 2, 2) * [[0.5, 0.5], [0.5, 0.1]], rtol=1e-12)


def test_white_noise_is_the_prior_itself():
    white = noise_spectrum("isotropic", SHAPE)
    for noise in (None, white):
        prior = prior_of("empirical", POINTS, noise=noise, kernel_width=0.4, held_out=0)
        assert type(prior) is Empirical
    assert type(prior_from(sx.Spectrum([1.0, 2.0]), noise_spectrum("isotropic", (2,)))) is Gaussian
    assert (
        Network(sx.wiener(sx.Spectrum([1.0])), (1,), noise=noise_spectrum("isotropic", (1,))).noise
        is None
    )


def test_halves_and_provenance_go_along():
    noise = noise_spectrum("power_law", (8, 8), exponent=-0.3)
    digits = sx.data.open("digits")
    prior, white = (
        prior_of("scale_mixture", digits, components=2, **o) for o in ({"noise": noise}, {})
    )
    assert isinstance(prior, Colored)
    assert isinstance(prior.inner, ScaleMixture)
    assert prior.source == white.source
    assert prior.held_out.source == white.held_out.source
    assert prior.held_out.noise is prior.noise
    louder = Colored(prior.inner, replace(noise, weights=noise.weights * 2))
    assert len({prior.fingerprint, prior.held_out.fingerprint, white.fingerprint,
                louder.fingerprint}) == 4  # fmt: skip
    own = prior_of(
        "gaussian", digits, noise=noise_spectrum("power_law", (8, 8), basis="data")
    ).noise
    whole = digits.spectrum().basis
    np.testing.assert_allclose(
        np.abs(own.own.vectors[:, :9]), np.abs(whole.vectors[:, :9]), atol=1e-5
    )


def test_the_most_likely_width_counts_only_directions_that_have_noise():
    data = RNG.normal(size=(300, 4))
    noise = NoiseSpectrum([1.0, 1.0, 0.0, 1.0], SHAPE)
    prior = prior_of("empirical", data, noise=noise)
    x, judges = (
        np.asarray(one.samples) @ np.asarray(effective_directions(noise))
        for one in (prior.inner, prior.inner.held_out)
    )
    assert float(prior.inner.kernel_width) == pytest.approx(choose_width(x, judges).width, rel=1e-3)


def effective_directions(noise):
    """[4, 3], orthonormal, of the part that has noise."""
    values, vectors = np.linalg.eigh(seen(noise)[0])
    return vectors[:, values > 0.5]


def test_a_network_leaves_what_has_no_noise():
    noise = NOISES["omitted"]
    prior = Network(
        lambda x, alpha, sigma: 0 * x, SHAPE, sx.Spectrum.from_samples(POINTS), noise=noise
    )
    x = RNG.normal(size=(3, 4))
    outside = np.eye(4) - seen(noise)[0]
    np.testing.assert_allclose(prior(x, 0.5, 1.0), x @ outside / 0.5, atol=1e-12)
    np.testing.assert_allclose(prior.project(x), x - x @ outside, atol=1e-12)
    assert prior.spectrum.dimension == 3
    again = replace(prior, source={"name": "again"})
    assert again.denoise is prior.denoise


def test_bad_noise_is_refused_in_one_line():
    noise = NOISES["fourier"]
    assert "noise" in one_line(prior_of, "gaussian", RNG.normal(size=(9, 3)), noise=noise)
    assert "noise" in one_line(Network, sx.wiener(sx.Spectrum([1.0])), (3,), noise=noise)
    made = prior_of("gaussian", POINTS, noise=noise, held_out=0)
    other = NoiseSpectrum([3.0, 1.0, 0.5, 1.0], SHAPE)
    assert "noise" in one_line(prior_from, made, other)
    assert "noise" in one_line(prior_from, Mixture.from_samples(POINTS, 1, held_out=0), noise)
