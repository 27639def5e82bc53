"""The denoiser of a finite dataset: softmax over the data, in pieces, and its kernel's width."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.neighbors import KernelDensity

import specjax as sx
from specjax.priors import Empirical
from specjax.priors.attention import average

RTOL = {"float64": 1e-10, "float32": 3e-5}
RNG = np.random.default_rng(0)
DATA = RNG.normal(size=(23, 2, 3)) * 0.7 + 5.0  # a mean that would cost digits if it stayed


def brute(x, alpha, sigma, h, data=DATA):
    """The posterior mean as it is defined, in NumPy."""
    y, s = x / alpha, sigma / alpha
    flat, rows = y.reshape(len(y), 1, -1), data.reshape(len(data), -1)
    w = softmax(-((flat - rows) ** 2).sum(-1) / (2 * (h**2 + s**2)), axis=1)
    each = rows + h**2 / (h**2 + s**2) * (flat - rows)
    return np.einsum("nj,njd->nd", w, each).reshape(x.shape)


compiled = jax.jit(lambda prior, x, alpha, sigma: prior(x, alpha, sigma))


def noisy(alpha, sigma, n=7, seed=1):
    rng = np.random.default_rng(seed)
    return alpha * DATA[:n] + sigma * rng.normal(size=DATA[:n].shape)


@pytest.mark.parametrize(("piece", "h"), [(100, 0.0), (23, 0.3), (8, 0.0), (8, 0.3), (1, 0.3)])
@pytest.mark.parametrize("dtype", RTOL)
def test_it_is_the_softmax_over_the_data(piece, h, dtype):
    prior = Empirical.from_samples(DATA, h, held_out=0, piece=piece)
    for alpha, sigma in ((1.0, 0.1), (0.6, 0.8), (0.1, 8.0)):
        x = noisy(alpha, sigma)
        with jax.enable_x64(dtype == "float64"):
            got = compiled(prior, jnp.asarray(x), alpha, sigma)
        assert got.dtype == dtype
        # In float32 sigma 8 / alpha 0.1 leaves y of some hundred beside data of about 5.
        want = brute(x, alpha, sigma, h)
        np.testing.assert_allclose(got, want, rtol=RTOL[dtype] * max(1, sigma / alpha))


@pytest.mark.thorough
@pytest.mark.parametrize("piece", [8, 7, 1])
def test_pieces_have_the_derivatives_of_the_whole(piece):
    def value(prior, x, alpha, sigma):
        return (prior(x, alpha, sigma) ** 3).sum() + prior.log_density(x / alpha, sigma).sum()

    whole, parts = (Empirical.from_samples(DATA, 0.2, held_out=0, piece=p) for p in (23, piece))
    with jax.enable_x64(True):
        x = jnp.asarray(noisy(0.8, 0.6))
        slopes = jax.jit(jax.grad(value, argnums=(1, 2, 3)))
        for got, want in zip(slopes(parts, x, 0.8, 0.6), slopes(whole, x, 0.8, 0.6), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-9)


@pytest.mark.thorough
@pytest.mark.parametrize("piece", [100, 8])
def test_without_noise_it_is_the_nearest_sample(piece):
    prior = Empirical.from_samples(DATA, 0.0, held_out=0, piece=piece)
    x = jnp.asarray(DATA[:5] + 0.05 * RNG.normal(size=(5, 2, 3)), "f4")

    def total(x, alpha, sigma):
        return (prior(x, alpha, sigma) ** 2).sum()

    slopes = jax.jit(jax.grad(total, argnums=(0, 1, 2)))
    for sigma in (0.0, 1e-30, 1e-12, 1e-6, 1e-3):
        np.testing.assert_allclose(prior(x, 1.0, sigma), DATA[:5], rtol=1e-6)
        for g in slopes(x, 1.0, sigma):  # locally constant
            np.testing.assert_allclose(g, 0.0, atol=1e-3)
    wide = Empirical.from_samples(DATA, 0.3, held_out=0, piece=piece)
    np.testing.assert_allclose(wide(x, 1.0, 0.0), x, rtol=1e-6)  # all is signal


@pytest.mark.thorough
def test_float32_keeps_the_logits_of_large_samples():
    # 3,072 numbers around 0.9, two of the samples within 0.3 of each other, s of that size.
    rng = np.random.default_rng(0)
    data = 0.9 + 0.2 * rng.normal(size=(50, 3072))
    data[1] = data[0] + 0.3 / np.sqrt(3072) * rng.normal(size=3072)
    x = (data[:1] + data[1:2]) / 2 + 0.05 * rng.normal(size=(1, 3072))
    prior = Empirical.from_samples(data.astype("f4"), 0.0, held_out=0)
    want = brute(x, 1.0, 0.1, 0.0, data.astype("f4").astype(float))
    # |X|^2 / s^2 is 12,000, of which 1e-6 moves a weight by 0.003 between samples 0.02 apart.
    np.testing.assert_allclose(prior(jnp.asarray(x, "f4"), 1.0, 0.1), want, atol=6e-5)


@pytest.mark.thorough
def test_log_density_is_the_kernel_estimate():
    flat = DATA.reshape(23, -1)
    prior = Empirical.from_samples(DATA, 0.3, held_out=0, piece=8)
    for s in (0.0, 0.4):
        law = KernelDensity(bandwidth=np.hypot(0.3, s)).fit(flat)
        x = noisy(1.0, 0.5)
        got = prior.log_density(x, s)
        np.testing.assert_allclose(got, law.score_samples(x.reshape(7, -1)), rtol=1e-10)


@pytest.mark.parametrize("name", ["digits", "line"])
def test_the_width_is_the_most_likely(name):
    if name == "digits":
        x = np.asarray(sx.data.open("digits", limit=300).samples) / 8 - 1
    else:
        x = np.random.default_rng(0).normal(size=(300, 1))
    prior = Empirical.from_samples(x, held_out=1 / 3, seed=4)
    width, source = float(prior.kernel_width), prior.source
    assert float(prior.held_out.kernel_width) == width
    inside, aside = (p.samples.reshape(len(p.samples), -1) for p in (prior, prior.held_out))
    assert (len(inside), len(aside)) == (200, 100)

    def score(h):  # one leaf: with more, scikit-learn 1.7 is wrong by some nats in 64 dimensions
        law = KernelDensity(bandwidth=h, leaf_size=len(inside))
        return law.fit(inside).score(aside) / len(aside)

    assert source["held_out_log_likelihood"] == pytest.approx(score(width), rel=1e-9)
    grid = [score(h) for h in width * np.exp(np.linspace(-3, 3, 121))]
    assert score(width) >= max(grid) - 1e-6
    assert score(width) >= max(score(width * np.exp(step)) for step in (-0.01, 0.01))


def test_the_spectrum_is_that_of_the_density():
    prior = Empirical.from_samples(DATA, 0.3, held_out=0)
    covariance = np.cov(DATA.reshape(23, -1).T, bias=True) + 0.09 * np.eye(6)
    np.testing.assert_allclose(
        prior.spectrum.eigenvalues, np.linalg.eigvalsh(covariance)[::-1], rtol=1e-10
    )
    np.testing.assert_allclose(prior.spectrum.lift(prior.spectrum.mean), DATA.mean(0), rtol=1e-10)
    np.testing.assert_allclose(np.sort(prior.samples.ravel()), np.sort(DATA.ravel()), rtol=1e-12)


def test_bytes_and_batches_are_the_same_data():
    x = np.random.default_rng(0).integers(256, size=(20, 4)).astype(np.uint8)
    options = {"kernel_width": 0.1, "held_out": 0.25, "data_range": (0, 255)}
    prior = Empirical.from_samples(x, **options)
    assert prior.offsets.dtype == np.float32
    other = Empirical.from_samples([x[:7], x[7:]], **options)
    assert other.fingerprint == prior.fingerprint
    both = np.concatenate([prior.samples, prior.held_out.samples])
    np.testing.assert_allclose(np.sort(both, axis=0), np.sort(x / 127.5 - 1, axis=0), atol=1e-6)


def temporary_bytes(rows, n=256, dimension=16, piece=512):
    shapes = (n, dimension), (), (rows, dimension), (rows,)
    given = [jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes]

    def chained(y, p, x, b):  # three calls, one after the other, as a sampler's
        for _ in range(3):
            y = y + average(y, p, x, b, piece)[0]
        return (y**2).sum()

    compiled = jax.jit(jax.grad(chained, argnums=(0, 1))).lower(*given).compile()
    return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.thorough
def test_the_memory_of_a_derivative_does_not_grow_with_the_data():
    few, many = temporary_bytes(2_000), temporary_bytes(32_000)
    assert many < 1.1 * few
    assert many < 4 * 256 * 32_000  # less than one float32 [n, N]


@pytest.mark.slow
def test_fifty_thousand_images():
    x = np.random.default_rng(0).integers(256, size=(50_000, 3072), dtype=np.uint8)
    prior = Empirical.from_samples(x, 0.1, held_out=0, data_range=(0, 255))
    truth = x[np.random.default_rng(0).permutation(50_000)[:4]] / 127.5 - 1
    noise = np.random.default_rng(1).normal(size=truth.shape)
    y = jnp.asarray(truth + 2.0 * noise, "f4")

    @jax.jit
    def slopes(prior, y, s):
        return jax.value_and_grad(lambda y, s: (prior(y, 1.0, s) ** 2).mean(), (0, 1))(y, s)

    mean, (by_sample, by_level) = slopes(prior, y, 2.0)
    # Samples are 45 apart and the noise is 2: the answer is each one's own, by Gauss's formula.
    h2, s2 = 0.01, 4.0
    want = truth + h2 / (h2 + s2) * (y - truth)
    np.testing.assert_allclose(prior(y, 1.0, 2.0), want, atol=1e-4)
    np.testing.assert_allclose(mean, (want**2).mean(), rtol=1e-5)
    step = h2 / (h2 + s2)
    np.testing.assert_allclose(by_sample, 2 * want * step / want.size, rtol=1e-3, atol=1e-12)
    change = -2 * 2.0 * h2 / (h2 + s2) ** 2 * (y - truth)
    np.testing.assert_allclose(by_level, (2 * want * change).mean(), rtol=1e-3)
