import numpy as np
import pytest
from scipy.stats import multivariate_normal

import specjax as sx

pytestmark = pytest.mark.usefixtures("beside_the_package")


@pytest.mark.thorough
def test_the_exact_posterior_is_that_of_matrices():
    """Each component given x and y, by its precision, and its weight by the density of both."""
    from experiments.restoration.posterior import ExactPosterior

    rng, shape, d, width, noise = np.random.default_rng(0), (4, 3), 12, 0.4, 0.3
    data = rng.normal(size=(5, *shape))
    prior = sx.priors.Empirical.from_samples(data, width, held_out=0)
    spectrum = sx.Spectrum.from_samples(data, method="shift-invariant")
    blur = sx.measure.blur(0.8, shape, sigma=noise)
    exact = ExactPosterior(prior, blur, spectrum)
    h = blur.forward(np.eye(d).reshape(d, *shape)).reshape(d, d).T
    x, y = rng.normal(size=(2, 2, d))
    alpha, sigma = 0.6, 0.7
    expected = np.zeros((2, d))
    for i in range(2):
        logs, means = [], []
        for one in data.reshape(5, d):
            maps = np.concatenate([alpha * np.eye(d), h])
            noises = np.diag(np.repeat([sigma**2, noise**2], d))
            seen = np.concatenate([x[i], y[i]])
            total = width**2 * maps @ maps.T + noises
            logs.append(multivariate_normal(maps @ one, total).logpdf(seen))
            gain = width**2 * maps.T @ np.linalg.inv(total)
            means.append(one + gain @ (seen - maps @ one))
        weights = np.exp(np.array(logs) - max(logs))
        expected[i] = weights @ means / weights.sum()
    import jax.numpy as jnp

    given = [jnp.asarray(v.reshape(2, *shape), "float32") for v in (x, y)]
    found = exact.denoise(given[0], alpha, sigma, given[1])
    np.testing.assert_allclose(np.asarray(found).reshape(2, d), expected, atol=2e-4)
    # At the noisiest level it is the mean of the posterior's samples.
    n = 20_000
    mean = np.asarray(exact.denoise(0 * given[0], 1.0, 1e4, given[1]))[0]
    samples = exact.sample(np.tile(np.asarray(given[1][:1]), (n, 1, 1)), rng)
    error = samples.std(0) / np.sqrt(n)
    assert (np.abs(samples.mean(0) - mean) < 4 * error + 1e-4).all()
