import itertools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft
from checks import one_line

import specjax as sx
from specjax.noise.families import noise_of_document
from specjax.noise.noise_spectrum import check_noise, covariance, same_noise
from specjax.sampling.denoisers import within
from specjax.spectra.basis import DenseBasis

# Some tens of float64 roundings of an FFT; float32 has 2^29 times larger ones.
RTOL, RTOL32 = 1e-12, 1e-5

GRIDS = [((8,), 1), ((7,), 1), ((6, 8), 2), ((5, 6), 2), ((5, 7), 2), ((4, 5, 3), 2), ((6, 2), 1)]
FAMILIES = [
    ("power_law", {"exponent": -0.7, "r0": 0.05}),
    ("power_law", {"exponent": 0.3}),
    ("exponential", {"decay": 1.5}),
    ("two_band", {"low": (0.0, 0.4), "high": (0.6, 1.0), "gains": (1.0, 0.3)}),
    ("isotropic", {"offset": 0.4}),
    ("power_law", {"exponent": -0.3, "omit": (0.2, 0.55)}),
]
each_family = pytest.mark.parametrize(
    ("family", "options"), FAMILIES, ids=[f"{f}-{'-'.join(o)}" for f, o in FAMILIES]
)
each_basis = pytest.mark.parametrize("basis", ["fourier", "cosine"])


def transform(basis, x, axes):
    """F x by SciPy, complex for "fourier"."""
    if basis == "fourier":
        return scipy.fft.fftn(x, axes=axes, norm="ortho")
    return scipy.fft.dctn(x, axes=axes, norm="ortho")


def dense(noise):
    """T [d, d], column by column, by SciPy's transforms."""
    d, axes = math.prod(noise.shape), tuple(range(1, 1 + len(noise.grid)))
    units = np.eye(d).reshape(d, *noise.shape)
    weights = np.asarray(noise.weights, np.float64)
    weights = weights if weights.ndim == len(noise.shape) else weights[..., None]
    weights = weights if len(noise.shape) > len(noise.grid) else weights.reshape(noise.shape)
    inverse = scipy.fft.ifftn if noise.basis == "fourier" else scipy.fft.idctn
    back = inverse(weights * transform(noise.basis, units, axes), axes=axes, norm="ortho")
    assert np.abs(np.imag(back)).max() < RTOL
    return np.real(back).reshape(d, d).T


def radius(basis, k, n):
    """The radial frequency of one frequency, from its definition."""
    parts = [
        min(i, m - i) / (m / 2) if basis == "fourier" else i / m for i, m in zip(k, n, strict=True)
    ]
    return math.sqrt(sum(f**2 for f in parts) / len(parts))


def by_hand(family, r, *, exponent=0.0, r0=0.01, decay=0.0, low=(), high=(), gains=()):
    if family == "power_law":
        return (r + r0) ** exponent
    if family == "exponential":
        return math.exp(-decay * r * r)
    if family == "isotropic":
        return 1.0
    if low[0] <= r < low[1]:
        return gains[0]
    return gains[1] if high[0] <= r <= high[1] else 0.0


@each_family
def test_weights_are_the_published_ones_normalised(family, options):
    options = dict(options)
    omit, offset = options.pop("omit", None), options.pop("offset", 0.0)
    for (shape, spatial), basis in itertools.product(GRIDS, ("fourier", "cosine")):
        noise = sx.noise_spectrum(
            family, shape, basis=basis, spatial=spatial, omit=omit, offset=offset, **options
        )
        grid, expected = shape[:spatial], np.zeros(shape[:spatial])
        for k in itertools.product(*map(range, grid)):
            r = radius(basis, k, grid)
            w = by_hand(family, r, **options)
            w = 0.0 if omit and omit[0] <= r < omit[1] else w
            expected[k] = math.sqrt(w**2 + (offset**2 * math.prod(grid) if not any(k) else 0))
        expected /= math.sqrt(np.mean(expected**2))
        np.testing.assert_allclose(noise.weights, expected, rtol=RTOL)
        assert math.isclose(noise.variance, 1.0, rel_tol=RTOL)
        assert noise.omitted == (expected == 0).sum() * math.prod(shape[spatial:])


@pytest.mark.thorough
@each_basis
@pytest.mark.parametrize(("shape", "spatial"), GRIDS, ids=["x".join(map(str, s)) for s, _ in GRIDS])
def test_color_whiten_and_covariance_are_those_of_the_dense_matrix(shape, spatial, basis):
    noise = sx.noise_spectrum(
        "power_law", shape, basis=basis, spatial=spatial, exponent=-0.7, omit=(0.25, 0.5)
    )
    t, z = dense(noise), np.random.default_rng(0).normal(size=(3, *shape))
    flat = z.reshape(3, -1)
    for found, matrix in ((noise.color(z), t), (noise.whiten(z), np.linalg.pinv(t))):
        assert found.dtype == np.float64
        np.testing.assert_allclose(found.reshape(3, -1), flat @ matrix.T, atol=1e-11)
    np.testing.assert_allclose(covariance(noise), t @ t.T, atol=RTOL)
    in_jax = noise.color(jnp.asarray(z, jnp.float32))
    assert in_jax.dtype == jnp.float32
    np.testing.assert_allclose(in_jax.reshape(3, -1), flat @ t.T, atol=RTOL32)


@each_family
@pytest.mark.parametrize(
    ("shape", "spatial", "basis"),
    [(*GRIDS[1], "fourier"), (*GRIDS[3], "cosine"), (*GRIDS[5], "fourier")],
    ids=["odd", "even", "channels"],
)
def test_sampled_noise_has_the_stated_spectrum(family, options, shape, spatial, basis):
    """The mean power at each frequency, in standard errors of exponential or chi^2 variables."""
    noise = sx.noise_spectrum(family, shape, basis=basis, spatial=spatial, **options)
    n = 3000
    white = jax.random.normal(jax.random.key(1), (n, *shape))
    axes = tuple(range(1, 1 + spatial))
    power = np.abs(transform(basis, np.asarray(noise.color(white), np.float64), axes)) ** 2
    stated = np.broadcast_to(
        noise.weights**2 if len(shape) == spatial else noise.weights[..., None] ** 2, shape
    )
    present = stated > 0
    assert power[:, ~present].max(initial=0.0) < 1e-10
    own = [basis == "cosine" or all(2 * i % m == 0 for i, m in zip(k, shape[:spatial], strict=True))
           for k in itertools.product(*map(range, shape[:spatial]))]  # fmt: skip
    of_real = np.broadcast_to(
        np.reshape(own, shape[:spatial] + (1,) * (len(shape) - spatial)), shape
    )
    relative = np.where(of_real, math.sqrt(2), 1.0) / math.sqrt(n)
    errors = ((power.mean(0) / np.where(present, stated, 1) - 1) / relative)[present]
    assert np.abs(errors).max() < 4.5  # of some hundred numbers
    assert abs(np.mean(errors**2) - 1) < 5 * math.sqrt(2 / errors.size) + 0.1


def test_channels_have_noise_of_their_own():
    noise = sx.noise_spectrum("power_law", (6, 6, 2), exponent=[-0.5, 0.2])
    z = np.random.default_rng(0).normal(size=(6, 6, 2))
    for c, exponent in enumerate((-0.5, 0.2)):
        # Alone it is normalised by itself: the ratio is one number.
        one = sx.noise_spectrum("power_law", (6, 6), exponent=exponent).color(z[..., c])
        ratio = noise.color(z)[..., c] / one
        np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-10)
    np.testing.assert_allclose(covariance(noise), dense(noise) @ dense(noise).T, atol=RTOL)


def test_noise_in_the_eigenbasis_of_the_data():
    rng = np.random.default_rng(0)
    vectors = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    weights = rng.uniform(0.5, 2.0, 12)
    own = DenseBasis(vectors, (3, 4))
    noise = sx.NoiseSpectrum(weights, (3, 4), "data", own=own)
    np.testing.assert_allclose(covariance(noise), (vectors * weights**2) @ vectors.T, atol=RTOL)
    ranked = sx.noise_spectrum("exponential", (3, 4), basis="data", own=own, decay=2.0)
    expected = np.exp(-2 * (np.arange(12) / 11) ** 2)
    expected /= np.sqrt((expected**2).mean())
    np.testing.assert_allclose(ranked.weights, expected, rtol=RTOL)


def test_ranks_need_eigenvalues_in_order():
    x = np.random.default_rng(0).normal(size=(20, 6)).cumsum(1)
    spectrum = sx.Spectrum.from_samples(x, method="shift-invariant")
    options = {"basis": "data", "own": spectrum.basis}
    assert "no ranks" in one_line(sx.noise_spectrum, "power_law", (6,), **options)
    loaded = sx.NoiseSpectrum(np.linspace(1, 2, 6), (2, 3), "data")
    assert "its file does not hold" in one_line(loaded.color, np.ones((2, 3)))


def test_two_halves_of_a_half_have_a_quarter_of_the_variance_as_published():
    assert sx.noise_spectrum("two-band", (8, 8), normalise=False).variance == 0.25
    assert math.isclose(sx.noise_spectrum("two-band", (8, 8)).variance, 1.0, rel_tol=RTOL)


@each_basis
def test_offset_noise_adds_one_number_to_all_pixels(basis):
    made = sx.noise_spectrum("isotropic", (4, 5), basis=basis, offset=0.3, normalise=False)
    np.testing.assert_allclose(covariance(made), np.eye(20) + 0.3**2, atol=RTOL)


@pytest.mark.parametrize("omit", [None, (0.4, 0.7)], ids=["full", "singular"])
@each_basis
def test_the_score_is_that_of_a_gaussian(basis, omit):
    """-C^-1 (x - alpha mu), C = alpha^2 Sigma + sigma^2 N, on the directions that have noise."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(20, 20))
    mean, sigma_matrix = rng.normal(size=20), mixing @ mixing.T / 20
    spectrum = sx.Spectrum.from_covariance(sigma_matrix, mean)
    spectrum = sx.Spectrum(
        spectrum.eigenvalues, spectrum.mean, basis=DenseBasis(spectrum.basis.vectors, (4, 5))
    )
    noise = sx.noise_spectrum("power_law", (4, 5), basis=basis, exponent=-0.6, omit=omit)
    t = dense(noise)
    vectors, values, _ = np.linalg.svd(t)
    q = vectors[:, values > 1e-9]  # the support
    denoise = sx.wiener(sx.effective(spectrum, noise))
    for alpha, s in ((0.8, 0.6), (1.0, 2.0), (0.05, 1.0)):
        x = rng.normal(size=(3, 4, 5))
        found = noise.score(x, denoise(x, alpha, s), alpha, s).reshape(3, -1)
        inner = q.T @ (alpha**2 * sigma_matrix + s**2 * t @ t.T) @ q
        expected = -(x.reshape(3, -1) - alpha * mean) @ q @ np.linalg.inv(inner) @ q.T
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)


def test_without_noise_the_score_is_that_of_the_data_whatever_the_weights():
    rng = np.random.default_rng(1)
    mixing = rng.normal(size=(16, 40))
    spectrum = sx.Spectrum.from_covariance(mixing @ mixing.T / 40)
    spectrum = sx.Spectrum(spectrum.eigenvalues, basis=DenseBasis(spectrum.basis.vectors, (16,)))
    x = rng.normal(size=(2, 16))
    precision = np.linalg.inv(mixing @ mixing.T / 40)
    for exponent in (-1.0, 0.5):
        noise = sx.noise_spectrum("power_law", (16,), exponent=exponent)
        x0 = sx.wiener(sx.effective(spectrum, noise))(x, 1.0, 1e-4)
        found = noise.score(x, x0, 1.0, 1e-4)
        np.testing.assert_allclose(found, -x @ precision, rtol=1e-4, atol=1e-4)


def smooth_denoiser(x, alpha, sigma):
    return jnp.tanh(x) / (1 + sigma**2)


PLAN = sx.plan("ddpm", sx.family("cosine", 4, alpha_bar_range=(4.0358e-5, 1.0)))


@pytest.mark.thorough
def test_isotropic_noise_changes_no_bit():
    ones = sx.noise_spectrum("power_law", (8, 8), exponent=0.0)
    assert ones.isotropic
    for noise in (ones, sx.NoiseSpectrum(np.ones((8, 8)), (8, 8), "cosine")):
        key = jax.random.key(3)
        plain = sx.sample(PLAN, smooth_denoiser, key, (5, 8, 8))
        assert (sx.sample(PLAN, smooth_denoiser, key, (5, 8, 8), noise=noise) == plain).all()
        many = sx.generate(PLAN, smooth_denoiser, 5, (8, 8))
        assert (sx.generate(PLAN, smooth_denoiser, 5, (8, 8), noise=noise) == many).all()
        assert noise.color(many) is many
        assert within(smooth_denoiser, noise) is smooth_denoiser


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_sample_and_generate_use_coloured_noise(sampler):
    """By hand: the loop of the sampler's rows with noise that is coloured by the dense matrix."""
    noise = sx.noise_spectrum("power_law", (3, 4), exponent=-0.8)
    plan = sx.plan(sampler, sx.family("cosine", 3))
    key, t = jax.random.key(5), dense(noise)
    draw = [
        np.asarray(jax.random.normal(jax.random.fold_in(key, k), (2, 3, 4))).reshape(2, -1) @ t.T
        for k in range(4)
    ]
    r = plan.start * draw[0]  # the first key is the start's
    for k in range(3):
        d = np.tanh(r) / (1 + plan.sigma[k] ** 2)
        r = plan.keep[k, 0, 0] * r + plan.pull[k, 0] * d + plan.push[k, 0] * draw[k + 1]
    found = sx.sample(plan, smooth_denoiser, key, (2, 3, 4), noise=noise)
    np.testing.assert_allclose(found.reshape(2, -1), r, atol=1e-4)


@pytest.mark.thorough
@each_basis
def test_short_floats_and_whole_numbers_are_colored_in_float32(basis):
    noise = sx.noise_spectrum("power_law", (6, 5), exponent=-0.7, basis=basis)
    x = np.random.default_rng(0).integers(-100, 100, (3, 6, 5))
    want = noise.color(x.astype(np.float64))
    np.testing.assert_allclose(noise.color(x), want, rtol=1e-5, atol=1e-3)
    for dtype in (jnp.bfloat16, jnp.float16):
        found = noise.color(jnp.asarray(x, dtype))
        assert found.dtype == dtype
        rounding = jnp.finfo(dtype).eps * np.abs(want).max()
        np.testing.assert_allclose(np.asarray(found, np.float64), want, atol=rounding)
    key, shape = jax.random.key(0), (2, 6, 5)
    short = sx.sample(PLAN, smooth_denoiser, key, shape, noise=noise, dtype=jnp.bfloat16)
    assert short.dtype == jnp.bfloat16


@pytest.mark.thorough
@each_basis
def test_omitted_directions_stay_as_they_are(basis):
    noise = sx.noise_spectrum("isotropic", (8, 8), basis=basis, omit=(0.3, 0.5))
    denoise, x = within(smooth_denoiser, noise), jax.random.normal(jax.random.key(0), (4, 8, 8))
    left_out = x - noise.supported(x)
    found = denoise(x, 0.5, 0.3)
    np.testing.assert_allclose(noise.left_out(found), left_out / 0.5, atol=1e-5)
    inside = noise.supported(smooth_denoiser(noise.supported(x), 0.5, 0.3))
    np.testing.assert_allclose(noise.supported(found), inside, atol=1e-5)
    for family in ("cosine", "karras"):  # unpinned, cosine begins at alpha = 3e-5
        plan, key = sx.plan("ddpm", sx.family(family, 4)), jax.random.key(1)
        many = sx.generate(plan, smooth_denoiser, 6, (8, 8), noise=noise)
        for samples in (many, sx.sample(plan, smooth_denoiser, key, (6, 8, 8), noise=noise)):
            assert np.abs(samples).max() > 0.1
            assert np.abs(noise.left_out(samples)).max() < 1e-6 * np.abs(samples).max()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("family", "name", "at", "options"),
    [
        ("power_law", "exponent", -0.4, {}),
        ("power_law", "r0", 0.2, {"exponent": -0.4}),
        ("exponential", "decay", 0.7, {}),
        ("isotropic", "offset", 0.3, {}),
    ],
)
@each_basis
def test_gradients_of_parameters_are_finite_differences(basis, family, name, at, options):
    z = np.random.default_rng(0).normal(size=(2, 5, 6))

    def scalar(value):
        noise = sx.noise_spectrum(family, (5, 6), basis=basis, **{**options, name: value})
        return (noise.color(jnp.asarray(z)) ** 3).sum()

    with jax.enable_x64(True):
        found = float(jax.jit(jax.grad(scalar))(at))
        h = 1e-5
        expected = (float(scalar(at + h)) - float(scalar(at - h))) / (2 * h)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.thorough
def test_gradients_of_gains_are_finite_differences():
    z = np.random.default_rng(0).normal(size=(6, 6))

    def scalar(gains):
        noise = sx.noise_spectrum("two_band", (6, 6), gains=gains, normalise=False)
        return (noise.color(jnp.asarray(z)) ** 3).sum()

    with jax.enable_x64(True):
        at = np.array([0.5, 1.5])
        found = jax.grad(scalar)(jnp.asarray(at))
        for i in range(2):
            h = 1e-5 * np.eye(2)[i]
            expected = (float(scalar(at + h)) - float(scalar(at - h))) / 2e-5
            np.testing.assert_allclose(found[i], expected, rtol=1e-6)


@pytest.mark.parametrize(
    "noise",
    [
        sx.noise_spectrum("power-law", (6, 6, 2), exponent=[-0.5, 0.2], r0=0.1, offset=0.2),
        sx.noise_spectrum("two_band", (7,), gains=(1.0, 0.5), omit=(0.2, 0.4), normalise=False),
        sx.noise_spectrum("exponential", (4, 4), basis="cosine", decay=0.3),
        sx.NoiseSpectrum([1.0, 2.0, 0.0, 2.0], (4,)),
        sx.NoiseSpectrum(np.linspace(1, 2, 6), (2, 3), "data"),
    ],
    ids=["channels", "bands", "cosine", "weights", "data"],
)
def test_documents_bring_the_same_noise_back(noise):
    again = noise_of_document(json.loads(json.dumps(noise.document())))
    assert same_noise(noise, again)
    assert again.fingerprint == noise.fingerprint
    np.testing.assert_array_equal(again.weights, noise.weights)
    assert again.name == noise.name
    changed = {**noise.document(), "fingerprint": "0"}
    assert "other weights" in one_line(noise_of_document, changed)


def test_the_same_noise_is_the_same_covariance():
    a = sx.noise_spectrum("power_law", (8, 8), exponent=-0.06)
    given = sx.NoiseSpectrum(np.asarray(a.weights, np.float32), (8, 8))
    assert same_noise(a, given)
    weights = np.outer([3.0, 2.0, 1.0, 2.0], [1.0, 2.0])  # of an image 4 x 2, or of stereo sound
    image, sound = (sx.NoiseSpectrum(weights, (4, 2), spatial=n) for n in (2, 1))
    assert not same_noise(image, sound)
    assert same_noise(None, sx.noise_spectrum("isotropic", (8, 8)))
    for other in (None, sx.noise_spectrum("power_law", (8, 8), exponent=-0.07),
                  sx.noise_spectrum("power_law", (8, 8), exponent=-0.06, basis="cosine"),
                  sx.noise_spectrum("power_law", (4, 4), exponent=-0.06)):  # fmt: skip
        assert not same_noise(a, other)
        text = one_line(check_noise, a, other, what="plan.json", where="runs/x")
        assert "plan.json was made for power-law (exponent -0.06, r0 0.01) noise" in text


NAN, INF = float("nan"), float("inf")
REFUSED_WEIGHTS = [
    ("negative", ([1.0, -1.0, 1.0], (3,), "cosine")),
    ("weights", ([1.0, 1.0j, 1.0], (3,), "cosine")),
    ("NaN or infinite", ([1.0, NAN, 1.0], (3,), "cosine")),
    ("NaN or infinite", ([1.0, INF, 1.0], (3,), "cosine")),
    ("all zero", (np.zeros(4), (4,))),
    ("weights has shape (5,)", (np.ones(5), (4,))),
    ("weights has shape (4, 4)", (np.ones((4, 4)), (8, 8))),
    ("k and -k", ([1.0, 2.0, 3.0], (3,))),
    ("1e-08", ([1.0, 1e-8, 1.0], (3,), "cosine")),
    ("basis = 'wavelet'", (np.ones(4), (4,), "wavelet")),
    ("spatial = None", (np.ones((2,) * 5), (2,) * 5)),
]
REFUSED_PARAMETERS = [
    ("noise = 'pink'", "pink", {}),
    ("decay", "power_law", {"decay": 1.0}),
    ("exponent = nan", "power_law", {"exponent": NAN}),
    ("exponent = 'a'", "power_law", {"exponent": "a"}),
    ("(8, 2)", "power_law", {"exponent": [1.0, 2.0]}),
    ("r0 = 0.0", "power_law", {"r0": 0.0}),
    ("decay = inf", "exponential", {"decay": INF}),
    ("low", "two_band", {"low": (0.5, 0.2)}),
    ("high", "two_band", {"low": (0.0, 0.6)}),
    ("gains", "two_band", {"gains": (-1.0, 1.0)}),
    ("all zero", "two_band", {"gains": (0.0, 0.0)}),
    ("omit = (0.3, 0.1)", "isotropic", {"omit": (0.3, 0.1)}),
    ("omit = (0.3, 0.4)", "isotropic", {"omit": (0.3, 0.4)}),
    ("offset = -1.0", "isotropic", {"offset": -1.0}),
    ("offset = 'a'", "isotropic", {"offset": "a"}),
    ("offset", "isotropic", {"basis": "data", "offset": 1.0}),
]


def test_errors_name_the_argument():
    for words, args in REFUSED_WEIGHTS:
        assert words in one_line(sx.NoiseSpectrum, *args)
    for words, family, options in REFUSED_PARAMETERS:
        assert words in one_line(sx.noise_spectrum, family, (8,), **options)
    noise = sx.noise_spectrum("power_law", (8, 8))
    assert "(8, 7)" in one_line(noise.color, np.ones((8, 7)))
    assert "(8, 8)" in one_line(sx.generate, PLAN, smooth_denoiser, 2, (4, 4), noise=noise)
