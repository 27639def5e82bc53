import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from checks import by_default, one_line

import specjax as sx
from specjax.noise.noise_spectrum import covariance
from specjax.spectra.basis import DenseBasis

RTOL = 1e-9  # eigendecompositions of condition numbers of some thousands
SHAPE = (4, 5)
D = 20
NOISES = {
    "power law": {"family": "power_law", "exponent": -0.8},
    "cosine": {"family": "exponential", "decay": 1.0, "basis": "cosine"},
    "omission": {"family": "power_law", "exponent": 0.4, "omit": (0.4, 0.7)},
}
LEVELS = sx.NoiseSchedule.from_sigmas([30.0, 3.0, 0.8, 0.2, 0.0])


def made(name):
    options = dict(NOISES[name])
    return sx.noise_spectrum(options.pop("family"), SHAPE, **options)


def gaussian(seed=0, mean=True):
    """Mean [d], covariance [d, d] and its spectrum."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(D, 2 * D)) * np.linspace(0.3, 2, D)[:, None]
    centre, matrix = mean * rng.normal(size=D), mixing @ mixing.T / D
    found = sx.Spectrum.from_covariance(matrix, centre)
    basis = DenseBasis(found.basis.vectors, SHAPE)
    return centre, matrix, sx.Spectrum(found.eigenvalues, found.mean, basis=basis)


def shift_invariant(seed=0, shape=SHAPE):
    """A stationary Gaussian: mean, covariance, spectrum in the Fourier basis."""
    x = np.random.default_rng(seed).normal(size=(50, *shape)).cumsum(1).cumsum(2)
    found = sx.Spectrum.from_samples(x, method="shift-invariant")
    rows = np.asarray(found.lift(np.eye(found.dimension))).reshape(found.dimension, -1)
    return rows.T @ np.asarray(found.mean), (rows.T * found.eigenvalues) @ rows, found


def support(noise_matrix):
    values, vectors = np.linalg.eigh(noise_matrix)
    return vectors[:, values > 1e-9]


@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize("data", [gaussian, shift_invariant])
def test_eigenvalues_are_those_of_the_pencil(data, name):
    """By SciPy's generalised eigenproblem, on the directions that have noise."""
    centre, matrix, spectrum = data()
    noise = made(name)
    n = np.asarray(covariance(noise))
    q = support(n)
    under = sx.effective(spectrum, noise)
    pencil = scipy.linalg.eigh(q.T @ matrix @ q, q.T @ n @ q, eigvals_only=True)
    np.testing.assert_allclose(np.sort(under.eigenvalues), pencil, rtol=RTOL, atol=1e-9)
    assert under.dimension == D - noise.omitted == q.shape[1]
    up = np.asarray(under.lift(np.eye(under.dimension))).reshape(under.dimension, D)
    inside = q @ q.T
    np.testing.assert_allclose(up.T @ up, n, atol=1e-10)  # whitened coefficients: noise is white
    np.testing.assert_allclose(
        (up.T * under.eigenvalues) @ up, inside @ matrix @ inside, rtol=1e-8, atol=1e-8
    )
    np.testing.assert_allclose(up.T @ under.mean, inside @ centre, atol=1e-9)
    np.testing.assert_allclose(under.whitening.variance, (up**2).sum(1), rtol=1e-9)
    x = np.random.default_rng(0).normal(size=(3, *SHAPE))
    back = under.lift(under.project(x)).reshape(3, D)
    np.testing.assert_allclose(back, x.reshape(3, D) @ inside, atol=1e-9)


@pytest.mark.parametrize("name", ["power law", "omission"])
def test_where_bases_are_shared_eigenvalues_are_divided(name):
    _, _, spectrum = shift_invariant()
    noise = made(name)
    ratio = noise.weights.ravel() ** 2
    kept = ratio > 0
    under = sx.effective(spectrum, noise)
    np.testing.assert_allclose(under.eigenvalues, spectrum.eigenvalues[kept] / ratio[kept])
    np.testing.assert_allclose(under.whitening.variance, ratio[kept])
    own = sx.NoiseSpectrum(np.sqrt(spectrum.eigenvalues), SHAPE, "data", own=spectrum.basis)
    np.testing.assert_allclose(sx.effective(spectrum, own).eigenvalues, 1.0)


@pytest.mark.thorough
def test_channels_share_a_basis_if_they_have_the_same_weights():
    x = np.random.default_rng(0).normal(size=(60, 4, 4, 2)).cumsum(1) @ [[1.0, 0.5], [0.0, 1.0]]
    spectrum = sx.Spectrum.from_samples(x, method="shift-invariant")
    rows = np.asarray(spectrum.lift(np.eye(32))).reshape(32, -1)
    matrix = (rows.T * spectrum.eigenvalues) @ rows
    for exponent in ([-0.5, -0.5], [-0.5, 0.3]):
        noise = sx.noise_spectrum("power_law", (4, 4, 2), exponent=exponent)
        n = np.asarray(covariance(noise))
        pencil = scipy.linalg.eigh(matrix, n, eigvals_only=True)
        found = sx.effective(spectrum, noise).eigenvalues
        np.testing.assert_allclose(np.sort(found), pencil, rtol=RTOL)


def generated(plan, under):
    """Mean and covariance in the data's own space of what a plan makes of a Gaussian."""
    moments = sx.transfer(plan, under)
    up = np.asarray(under.lift(np.eye(under.dimension))).reshape(under.dimension, -1)
    return up.T @ (moments.mean_gain * under.mean), (up.T * moments.variance) @ up


def root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def wasserstein(mean, matrix, other_mean, other):
    """Squared, of two Gaussians (Bures)."""
    half = root(matrix)
    cross = np.trace(root(half @ other @ half))
    return ((mean - other_mean) ** 2).sum() + np.trace(matrix) + np.trace(other) - 2 * cross


@pytest.mark.parametrize("sampler", by_default(["ddim", "ddpm", "dpmpp_2m"], 1))
@pytest.mark.parametrize("name", ["power law", "cosine"])
def test_losses_are_distances_of_dense_gaussians(name, sampler):
    noise, plan = made(name), sx.plan(sampler, sx.NoiseSchedule(LEVELS.logsnr[:-1]))
    schedule = sx.NoiseSchedule(LEVELS.logsnr[:-1])
    for data in (shift_invariant, gaussian):
        mean, matrix, spectrum = data()
        under = sx.effective(spectrum, noise)
        made_mean, made_matrix = generated(plan, under)
        exact = wasserstein(mean, matrix, made_mean, made_matrix)
        found = sx.loss(under, schedule, sampler=sampler, loss="w2")
        if data is shift_invariant and noise.basis == "fourier":
            np.testing.assert_allclose(found, exact, rtol=1e-7)
        precision = np.linalg.inv(made_matrix)
        gap = made_mean - mean
        logs = np.linalg.slogdet(made_matrix)[1] - np.linalg.slogdet(matrix)[1]
        kl = (np.trace(precision @ matrix) - D + gap @ precision @ gap + logs) / 2
        np.testing.assert_allclose(
            sx.loss(under, schedule, sampler=sampler, loss="kl"), kl, rtol=1e-6
        )


@pytest.mark.parametrize("name", ["power law", "cosine"])
def test_in_another_basis_w2_is_the_cost_of_a_coupling(name):
    """An upper bound of the Wasserstein distance; by the map between the coefficients."""
    mean, matrix, spectrum = gaussian(mean=False)
    under = sx.effective(spectrum, made(name))
    plan = sx.plan("ddim", LEVELS)
    made_mean, made_matrix = generated(plan, under)
    moments = sx.transfer(plan, under)
    up = np.asarray(under.lift(np.eye(D))).reshape(D, D)
    map_to = up.T @ np.diag(np.sqrt(moments.variance / under.eigenvalues)) @ np.linalg.inv(up.T)
    cost = np.trace((np.eye(D) - map_to) @ matrix @ (np.eye(D) - map_to).T)
    found = sx.loss(under, LEVELS)
    np.testing.assert_allclose(found, cost, rtol=1e-8)
    assert found >= wasserstein(mean, matrix, made_mean, made_matrix)


@pytest.mark.thorough
@pytest.mark.parametrize("sampler", by_default(["ddim", "ddpm", "dpmpp_2m_sde"], 1))
@pytest.mark.parametrize(
    ("data", "name"),
    [(shift_invariant, "power law"), (gaussian, "cosine"), (gaussian, "omission")],
    ids=["shared", "cosine", "omission"],
)
def test_transfer_is_what_sampling_makes(data, name, sampler):
    """Means and variances of 4,000 samples in standard errors."""
    spectrum, noise, n = data()[2], made(name), 4000
    under, plan = sx.effective(spectrum, noise), sx.plan(sampler, LEVELS)
    moments = sx.transfer(plan, under)
    samples = sx.generate(plan, sx.wiener(under), n, SHAPE, noise=noise, seed=1)
    c = np.asarray(under.project(samples.astype(np.float64)))
    mean_errors = (c.mean(0) - moments.mean_gain * under.mean) / (moments.std / np.sqrt(n))
    variance_errors = (c.var(0) / moments.variance - 1) / np.sqrt(2 / n)
    for errors in (mean_errors, variance_errors):
        assert np.abs(errors).max() < 4
        assert abs(np.mean(errors**2) - 1) < 4 * np.sqrt(2 / errors.size)


@pytest.mark.thorough
@pytest.mark.parametrize("loss", by_default(["w2", "kl"], 0))
def test_fit_and_compare_take_the_noise_or_the_spectrum_under_it(loss):
    spectrum, noise = shift_invariant()[2], made("power law")
    under = sx.effective(spectrum, noise)
    first = sx.fit(spectrum, 4, loss=loss, noise=noise)
    again = sx.fit(under, 4, loss=loss)
    np.testing.assert_array_equal(first.schedule.logsnr, again.schedule.logsnr)
    assert first.noise is noise
    # Fitted on nodes or on every direction: the same loss on every direction.
    whole = sx.fit(under, 4, loss=loss, nodes=None)
    np.testing.assert_allclose(first.value, whole.value, rtol=1e-6)
    table = sx.compare(spectrum, 4, loss=loss, noise=noise, learned=first)
    assert table.rows[0].name == "learned"
    assert table.learned.noise is noise


@pytest.mark.thorough
def test_noise_like_the_data_makes_them_white():
    """nu = lambda: every eigenvalue is 1, whose best schedule is the cosine in closed form."""
    spectrum = sx.Spectrum([9.0, 1.0, 0.04])
    noise = sx.NoiseSpectrum(np.sqrt(spectrum.eigenvalues), (3,), "data")
    found = sx.fit(spectrum, 4, noise=noise)
    angles = np.arctan(np.exp(-found.schedule.logsnr / 2))
    np.testing.assert_allclose(np.diff(angles), np.diff(angles)[0], rtol=1e-5)
    # W2^2 of one eigenvalue 1: every step loses the cosine of its angle. Counted lambda times.
    one = (1 - np.cos(np.arctan(np.exp(-found.schedule.logsnr[0] / 2)) / 4) ** 4) ** 2
    np.testing.assert_allclose(found.value, one * spectrum.eigenvalues.sum(), rtol=1e-6)


@pytest.mark.parametrize("loss", ["w2", "kl", "kl_reverse", "l1", "relative"])
def test_losses_without_a_unit_do_not_see_the_scale_of_the_noise(loss):
    """Twice the noise and half of every s: the same process."""
    spectrum, noise = shift_invariant()[2], made("power law")
    twice = sx.NoiseSpectrum(2 * noise.weights, SHAPE)
    half = sx.NoiseSchedule(LEVELS.logsnr + 2 * np.log(2))
    options = {"sampler": "ddpm", "loss": loss, "process": "ve"}
    first = sx.loss(sx.effective(spectrum, noise), sx.NoiseSchedule(LEVELS.logsnr[:-1]), **options)
    same = sx.loss(sx.effective(spectrum, twice), sx.NoiseSchedule(half.logsnr[:-1]), **options)
    np.testing.assert_allclose(first, same, rtol=1e-9)


@pytest.mark.thorough
def test_isotropic_noise_gives_the_spectrum_itself():
    spectrum = gaussian()[2]
    assert sx.effective(spectrum, None) is spectrum
    ones = sx.noise_spectrum("power_law", SHAPE, exponent=0.0)
    assert sx.effective(spectrum, ones) is spectrum
    plain, given = sx.fit(spectrum, 3), sx.fit(spectrum, 3, noise=ones)
    np.testing.assert_array_equal(plain.schedule.logsnr, given.schedule.logsnr)
    assert plain.value == given.value


def test_a_floor_is_in_units_of_the_data():
    spectrum, noise = shift_invariant()[2], made("power law")
    first = sx.effective(spectrum.floor(0.5), noise).eigenvalues
    np.testing.assert_allclose(first, sx.effective(spectrum, noise).floor(0.5).eigenvalues)


@pytest.mark.thorough
def test_gradients_of_a_loss_in_the_noise_are_finite_differences():
    spectrum = shift_invariant()[2]

    def value(exponent):
        noise = sx.noise_spectrum("power_law", SHAPE, exponent=exponent, r0=0.1)
        return jnp.log(sx.loss(sx.effective(spectrum, noise), LEVELS))

    with jax.enable_x64(True):
        found = float(jax.grad(value)(-0.3))
        expected = (float(value(-0.3 + 1e-5)) - float(value(-0.3 - 1e-5))) / 2e-5
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("name", NOISES)
def test_directions_without_data_stay_without_in_any_unit(name):
    """Data of rank 12 have 12 eigenvalues under any noise, not 12 and rounding errors."""
    mixing = np.random.default_rng(0).normal(size=(D, 12))
    noise = made(name)
    found = {}
    for unit in (1.0, 1e-9):  # of the data
        data = sx.Spectrum.from_covariance(unit**2 * mixing @ mixing.T)
        data = sx.Spectrum(data.eigenvalues, basis=DenseBasis(data.basis.vectors, SHAPE))
        assert (data.eigenvalues > 0).sum() == 12
        found[unit] = sx.effective(data, noise).eigenvalues / unit**2
        assert len(found[unit]) == D - noise.omitted
        assert (found[unit] > 0).sum() == min(12, D - noise.omitted)
    np.testing.assert_allclose(found[1e-9], found[1.0], rtol=1e-6)


def test_a_traced_noise_in_another_basis_is_refused():
    def value(exponent):
        noise = sx.noise_spectrum("power_law", SHAPE, exponent=exponent)
        return sx.effective(gaussian()[2], noise).eigenvalues.sum()

    assert "differentiate on a spectrum" in one_line(jax.grad(value), 0.1)


def test_bad_pairs_are_one_line():
    spectrum, noise = gaussian()[2], made("power law")
    under = sx.effective(spectrum, noise)
    assert "under a noise already" in one_line(sx.effective, under, noise)
    other = sx.noise_spectrum("power_law", (5, 5))
    assert "noise is of samples of shape (5, 5)" in one_line(sx.effective, spectrum, other)
    bare = sx.Spectrum(np.ones(20))
    assert "has no basis" in one_line(sx.effective, bare, noise)
    mine = sx.NoiseSpectrum(np.linspace(1, 2, D), SHAPE, "data", own=gaussian(1)[2].basis)
    assert "eigenbasis of other data" in one_line(sx.effective, spectrum, mine)
    assert "weights depend on the loss" in one_line(under.quadrature)
    large = sx.Spectrum(np.ones(6400), basis=DenseBasis(np.ones((1, 6400)), (80, 80)))
    big = sx.noise_spectrum("power_law", (80, 80))
    assert "shift-invariant" in one_line(sx.effective, large, big)


@pytest.mark.parametrize("name", ["power law", "omission"])
def test_a_basis_under_noise_can_be_an_argument_of_a_compiled_function(name):
    _, _, spectrum = shift_invariant()
    under = sx.effective(spectrum, made(name))
    unit = np.eye(under.dimension, dtype=np.float32)
    rows = np.asarray(jax.jit(lambda s, c: s.lift(c))(under, unit)).reshape(len(unit), -1)
    np.testing.assert_allclose(rows.T @ rows, covariance(made(name)), atol=1e-5)
