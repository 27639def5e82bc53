import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import scales

from specjax import Spectrum, from_edm, from_eps, from_flow, from_v, from_x0, wiener

# Solving with full covariances of condition 1e4 to 1e6.
RTOL = {"float64": 1e-9, "float32": 1e-4}
LOGSNR = np.array([-9.0, -1.0, 0.5, 8.0])


def data(shape, seed=0):
    rng = np.random.default_rng(seed)
    d = int(np.prod(shape))
    return (rng.normal(size=(4 * d, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)).reshape(
        -1, *shape
    )


def gaussian(spectrum):
    """Full covariance and mean of flattened samples."""
    rows = spectrum.lift(np.eye(spectrum.dimension)).reshape(spectrum.dimension, -1)
    return rows.T * spectrum.eigenvalues @ rows, spectrum.lift(spectrum.mean).ravel()


def posterior_mean(covariance, mean, x, alpha, sigma):
    """E[x0 | alpha x0 + sigma eps = x], by conditioning a joint Gaussian."""
    total = alpha**2 * covariance + sigma**2 * np.eye(len(mean))
    return mean + (x - alpha * mean) @ np.linalg.solve(total, alpha * covariance)


def both_processes():
    """Levels (alpha, sigma) of VP and VE."""
    return [level for p in ("vp", "ve") for level in zip(*scales(LOGSNR, p), strict=True)]


SPECTRA = {
    "dense": lambda: Spectrum.from_samples(data((3, 2))),
    "fourier": lambda: Spectrum.from_samples(data((3, 4, 2)), method="shift-invariant"),
    "no basis": lambda: Spectrum([2.0, 0.5, 0.0], mean=[1.0, -1.0, 3.0]),
}


@pytest.mark.thorough
@pytest.mark.parametrize("kind", SPECTRA)
@pytest.mark.parametrize("dtype", RTOL)
def test_wiener_is_the_posterior_mean(kind, dtype):
    spectrum = SPECTRA[kind]()
    covariance, mean = gaussian(spectrum)
    shape = spectrum.basis.shape if spectrum.basis else (3,)
    denoise = wiener(spectrum)
    for alpha, sigma in both_processes():
        x = (alpha * data(shape, seed=1)[:5] + sigma).astype(dtype)
        want = posterior_mean(covariance, mean, x.reshape(5, -1).astype(float), alpha, sigma)
        got = denoise(x if dtype == "float64" else jnp.asarray(x), alpha, sigma)
        assert got.dtype == dtype
        assert isinstance(got, np.ndarray if dtype == "float64" else jax.Array)
        np.testing.assert_allclose(
            got.reshape(5, -1), want, rtol=RTOL[dtype], atol=RTOL[dtype] * abs(want).max()
        )


def test_wiener_without_noise():
    # Nothing to remove, and where the data do not vary the estimate is the mean.
    x = np.array([[0.3, -4.0, 2.0]])
    got = wiener(SPECTRA["no basis"]())(x, 1.0, 0.0)
    np.testing.assert_array_equal(got, [[0.3, -4.0, 3.0]])


def networks(covariance, mean):
    """Networks of each form that know the exact posterior, in VP as they were trained."""

    def eps(x, logsnr):
        alpha, sigma = scales(logsnr, "vp")
        x0 = posterior_mean(covariance, mean, x, alpha, sigma)
        return (x - alpha * x0) / sigma

    def v(x, logsnr):
        alpha, sigma = scales(logsnr, "vp")
        x0 = posterior_mean(covariance, mean, x, alpha, sigma)
        return alpha * (x - alpha * x0) / sigma - sigma * x0

    def edm(scaled, noise):  # 2206.00364, table 1
        s = np.exp(4 * noise)
        x = scaled * np.sqrt(s**2 + 0.25)
        x0 = posterior_mean(covariance, mean, x, 1.0, s)
        c_skip, c_out = 0.25 / (s**2 + 0.25), s * 0.5 / np.sqrt(s**2 + 0.25)
        return (x0 - c_skip * x) / c_out

    def x0(x, logsnr):
        return posterior_mean(covariance, mean, x, *scales(logsnr, "vp"))

    def flow(x, t):  # 2210.02747: x = (1 - t) x0 + t eps, v = eps - x0
        x0 = posterior_mean(covariance, mean, x, 1 - t, t)
        return (x - (1 - t) * x0) / t - x0

    return (
        from_eps(eps), from_v(v), from_edm(edm, sigma_data=0.5), from_x0(x0), from_flow(flow),
    )  # fmt: skip


@pytest.mark.parametrize("form", range(5), ids=["eps", "v", "edm", "x0", "flow"])
def test_adapters_give_back_the_estimate(form):
    covariance, mean = gaussian(SPECTRA["dense"]())
    denoise = networks(covariance, mean)[form]
    with jax.enable_x64(True):
        for alpha, sigma in both_processes():
            x = alpha * data((6,), seed=1)[:5] + sigma
            want = posterior_mean(covariance, mean, x, alpha, sigma)
            got = denoise(x, alpha, sigma)
            # At logsnr = -9 the noise is 90 times the data: so much is lost in x - s eps.
            np.testing.assert_allclose(got, want, atol=1e-9 * abs(want).max())


@pytest.mark.parametrize("adapter", [from_eps, from_v, from_x0])
def test_networks_get_the_level_they_know(adapter):
    seen = {}

    def network(x, level):
        seen.update(x=x, level=level)
        return 0 * x

    denoise = adapter(network, level=lambda s: 1000 * s / (1 + s))
    x = jnp.ones((2, 3))
    for alpha, sigma in ((0.6, 0.8), (1.0, 4 / 3)):  # the same level in VP and VE
        denoise(x * alpha, alpha, sigma)
        np.testing.assert_allclose(seen["level"], 1000 * 4 / 7, rtol=1e-6)
        np.testing.assert_allclose(seen["x"], 0.6 * x, rtol=1e-6)
