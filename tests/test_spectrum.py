import itertools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import by_default, one_line
from sklearn.covariance import OAS, LedoitWolf

import specjax as sx
from specjax import (
    LOSSES,
    NoiseSchedule,
    Spectrum,
    UserError,
    family,
    fit,
    loss,
    plan,
    transfer,
)
from specjax._core.arrays import as_float_array
from specjax.gaussian.losses import evaluate
from specjax.spectra import estimate as estimators

# Eigenvalues are exact to rounding relative to the largest; so are sums of products.
RTOL = {"float64": 1e-11, "float32": 1e-5}


def samples(shape, seed=0):
    """Correlated samples with a mean."""
    rng = np.random.default_rng(seed)
    d = int(np.prod(shape[1:]))
    mixing = rng.normal(size=(d, d)) * np.logspace(0, -2, d)
    return (rng.normal(size=(shape[0], d)) @ mixing + rng.normal(size=d)).reshape(shape)


def vectors_of(spectrum):
    """Columns: what each coefficient stands for in the flattened data."""
    return spectrum.lift(np.eye(spectrum.dimension)).reshape(spectrum.dimension, -1).T


def assert_close(got, want, rtol=RTOL["float64"]):
    np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * np.abs(want).max())


def in_batches(x):
    return (x[i : i + 13] for i in range(0, len(x), 13))


@pytest.mark.parametrize("shape", [(50, 6), (7, 12), (40, 3, 2), (40, 2, 2, 3)])
def test_exact_is_the_covariance(shape):
    x = samples(shape).astype(np.float32)
    flat = x.reshape(len(x), -1).astype(np.float64)
    covariance = np.cov(flat.T)
    for given in (x, in_batches(x), jnp.asarray(x)):
        spectrum = Spectrum.from_samples(given)
        assert_close(spectrum.eigenvalues, np.linalg.eigvalsh(covariance)[::-1].clip(0))
        basis = vectors_of(spectrum)
        assert_close(basis * spectrum.eigenvalues @ basis.T, covariance)
        assert_close(spectrum.lift(spectrum.mean).ravel(), flat.mean(0))
        rank = min(len(x) - 1, flat.shape[1])
        assert (spectrum.eigenvalues > 0).sum() == rank
        assert spectrum.source["samples"] == len(x)


@pytest.mark.parametrize("method", ["exact", "shift-invariant"])
def test_a_mean_a_million_times_the_standard_deviation(method):
    # By E x^2 - (E x)^2 twelve of sixteen digits would be lost, and with batches as well.
    deviations = np.random.default_rng(3).normal(size=(1000, 4))
    deviations = np.round(deviations * 2**20) / 2**20  # exact beside the mean
    far = deviations + 2.0**20
    want = Spectrum.from_samples(deviations, method=method)
    for x in (far, in_batches(far)):
        got = Spectrum.from_samples(x, method=method)
        assert_close(got.eigenvalues, want.eigenvalues, rtol=1e-10)
        assert_close(got.lift(got.mean), far.mean(0), rtol=1e-15)


def shifts(x, axes):
    """All cyclic shifts of deviations from the mean, flattened."""
    deviations = x - x.mean(0)
    steps = itertools.product(*(range(x.shape[axis]) for axis in axes))
    rolled = [np.roll(deviations, step, axes) for step in steps]
    return np.concatenate(rolled).reshape(-1, int(np.prod(x.shape[1:])))


GRIDS = [
    ((30, 5), None),
    ((30, 6), None),
    ((3, 8), None),
    ((30, 6, 5), None),
    ((5, 3, 3), None),
    ((30, 4, 5, 3), None),
    ((4, 3, 5, 3), None),
    ((30, 6, 2), 1),
    ((12, 3, 4, 2, 2), None),
    ((12, 3, 2, 4), 3),
]


@pytest.mark.parametrize(("shape", "spatial"), GRIDS)
def test_shift_invariant_is_the_covariance_averaged_over_shifts(shape, spatial):
    x = samples(shape)
    axes = tuple(range(1, 1 + (spatial or max(min(len(shape) - 1, 2), len(shape) - 2))))
    every = shifts(x, axes)
    covariance = every.T @ every / len(every) * len(x) / (len(x) - 1)
    spectrum = Spectrum.from_samples(in_batches(x), method="shift-invariant", spatial=spatial)
    assert_close(np.sort(spectrum.eigenvalues), np.linalg.eigvalsh(covariance).clip(0))
    basis = vectors_of(spectrum)
    assert_close(basis.T @ covariance @ basis, np.diag(spectrum.eigenvalues))
    assert_close(spectrum.lift(spectrum.mean), x.mean(0))
    got = (spectrum.project(every.reshape(-1, *shape[1:])) ** 2).mean(0)
    assert_close(got * len(x) / (len(x) - 1), spectrum.eigenvalues)


@pytest.mark.parametrize("layout", ["NCHW", "nhwc", "NTCHW", "NLC", "NCL", "NTHW"])
def test_a_layout_says_which_axis_is_that_of_channels(layout):
    sizes = {"N": 20, "C": 2, "T": 3, "H": 4, "W": 5, "L": 6}
    x = samples(tuple(sizes[letter] for letter in layout.upper()))
    channel = layout.upper().find("C")
    last = x if channel < 0 else np.moveaxis(x, channel, -1)
    spatial = len(layout) - 1 - (channel > 0)
    options = {"method": "shift-invariant"}
    spectrum = Spectrum.from_samples(x, layout=layout, **options)
    expected = Spectrum.from_samples(last, spatial=spatial, **options)
    assert_close(spectrum.eigenvalues, expected.eigenvalues)
    assert_close(spectrum.project(x), expected.project(last))
    assert_close(spectrum.lift(spectrum.project(x)), x)
    assert spectrum.source["layout"] == layout


@pytest.mark.parametrize("layout", ["CHW", "NHWWC", "NHW", "N", "NCHWX", 3])
@pytest.mark.parametrize("method", ["exact", "shift-invariant"])
def test_a_layout_of_other_samples_is_refused(layout, method):
    with pytest.raises(UserError, match="layout"):
        Spectrum.from_samples(samples((40, 2, 3, 3)), layout=layout, method=method)


@pytest.mark.parametrize("batches", [False, True])
def test_few_samples_have_the_spectrum_of_their_covariance(batches, tmp_path):
    x = samples((9, 5, 4)) + 3
    x[:, 0, 0] = 0  # a constant number
    spectrum = Spectrum.from_samples(in_batches(x) if batches else x, shrinkage=0.1)
    covariance = np.cov(x.reshape(9, -1).T)
    shrunk = 0.9 * covariance + 0.1 * np.trace(covariance) / 20 * np.eye(20)
    assert_close(spectrum.eigenvalues, np.linalg.eigvalsh(shrunk)[::-1])
    basis = vectors_of(spectrum)
    assert_close(basis.T @ basis, np.eye(20))
    assert_close(basis.T @ shrunk @ basis, np.diag(spectrum.eigenvalues))
    assert_close(spectrum.lift(spectrum.mean), x.mean(0))
    loaded = sx.load(sx.save(tmp_path / "s.npz", spectrum))
    assert_close(loaded.project(x), spectrum.project(x))
    assert_close(jax.jit(lambda s, y: s.lift(s.project(y)))(spectrum, jnp.asarray(x)), x, 1e-5)


def test_few_integers_are_mapped_from_their_range():
    x = np.random.default_rng(0).integers(0, 256, (6, 4, 4), dtype=np.uint8)
    found = Spectrum.from_samples(x, data_range=(0, 255))
    assert_close(found.eigenvalues, Spectrum.from_samples(x / 127.5 - 1).eigenvalues)
    assert_close(found.mean, Spectrum.from_samples(x / 127.5 - 1).mean)


def test_few_samples_along_axes_have_a_basis():
    x = np.zeros((3, 5))
    x[0, 1], x[1, 3] = 2.0, -1.0
    spectrum = Spectrum.from_samples(x)
    basis = vectors_of(spectrum)
    assert_close(basis.T @ basis, np.eye(5))
    assert_close(basis.T @ np.cov(x.T) @ basis, np.diag(spectrum.eigenvalues))


def test_projected_samples_have_the_eigenvalues_as_covariance():
    x = samples((60, 3, 4))
    spectrum = Spectrum.from_samples(x)
    coefficients = spectrum.project(x)
    assert_close(np.cov(coefficients.T), np.diag(spectrum.eigenvalues))
    assert_close(coefficients.mean(0), spectrum.mean)


@pytest.mark.thorough
@pytest.mark.parametrize(("shape", "spatial"), [*GRIDS[::2], ((30, 4, 2), "exact")])
@pytest.mark.parametrize("dtype", RTOL)
def test_project_and_lift_are_inverse_isometries(shape, spatial, dtype):
    method = {"method": "shift-invariant", "spatial": spatial}
    spectrum = Spectrum.from_samples(samples(shape), **({} if spatial == "exact" else method))
    x = samples((2, 3, *shape[1:]), seed=1).astype(dtype)
    x = x if dtype == "float64" else jnp.asarray(x)
    c = spectrum.project(x)
    assert c.dtype == x.dtype
    assert c.shape == (2, 3, spectrum.dimension)
    assert isinstance(c, jax.Array) == isinstance(x, jax.Array)
    assert_close(spectrum.lift(c), x, RTOL[dtype])
    assert_close(spectrum.project(spectrum.lift(c)), c, RTOL[dtype])
    squares = (np.asarray(x, np.float64) ** 2).reshape(2, 3, -1).sum(-1)
    assert_close((np.asarray(c, np.float64) ** 2).sum(-1), squares, RTOL[dtype])


def test_shrinkage_is_scikit_learns():
    x = samples((25, 8))
    for name, estimator in (("ledoit-wolf", LedoitWolf), ("oas", OAS)):
        fitted = estimator().fit(x)
        spectrum = Spectrum.from_samples(x, shrinkage=name)
        np.testing.assert_allclose(spectrum.source["shrinkage"], fitted.shrinkage_, rtol=1e-12)
        want = np.linalg.eigvalsh(fitted.covariance_)[::-1] * len(x) / (len(x) - 1)
        assert_close(spectrum.eigenvalues, want)


def test_a_shrinkage_of_choice():
    x = samples((5, 8))
    covariance = 0.9 * np.cov(x.T) + 0.1 * np.trace(np.cov(x.T)) / 8 * np.eye(8)
    spectrum = Spectrum.from_samples(x, shrinkage=0.1)
    assert_close(spectrum.eigenvalues, np.linalg.eigvalsh(covariance)[::-1])


def test_integers_are_mapped_from_their_range():
    x = np.random.default_rng(0).integers(0, 256, (40, 5), dtype=np.uint8)
    want = Spectrum.from_samples(x / 127.5 - 1)
    for source in (x, in_batches(x)):
        got = Spectrum.from_samples(source, data_range=(0, 255))
        assert_close(got.eigenvalues, want.eigenvalues)
        assert_close(got.lift(got.mean), want.lift(want.mean))


@pytest.mark.parametrize(("name", "method"), [("ledoit-wolf", "exact"), ("oas", "shift-invariant")])
def test_shrinkage_of_batches_is_that_of_the_array(name, method):
    x = np.random.default_rng(0).integers(0, 256, (40, 6), np.uint8)
    given = {"shrinkage": name, "method": method, "data_range": (0, 255)}
    want = Spectrum.from_samples(x, **given)
    got = Spectrum.from_samples(in_batches(x), **given)
    np.testing.assert_allclose(got.eigenvalues, want.eigenvalues, rtol=1e-12)
    estimator = {"ledoit-wolf": LedoitWolf, "oas": OAS}[name]().fit(x / 127.5 - 1)
    np.testing.assert_allclose(got.source["shrinkage"], estimator.shrinkage_, rtol=1e-12)
    assert got.source["data_range"] == (0, 255)


def test_batches_too_large_to_collect_are_refused(monkeypatch):
    monkeypatch.setattr(estimators, "COLLECTED_BYTES", 8 * 40 * 6 - 1)
    x = samples((40, 6))
    assert Spectrum.from_samples(x, shrinkage="oas").source["shrinkage"] > 0
    assert "shrinkage" in one_line(Spectrum.from_samples, in_batches(x), shrinkage="oas")


LARGE = """
import time
import numpy as np
from specjax import Spectrum
images = (np.random.default_rng(i).integers(0, 256, (2, 1024, 1024, 3), np.uint8) for i in range(8))
start = time.perf_counter()
spectrum = Spectrum.from_samples(images, method="shift-invariant", data_range=(0, 255))
with open("/proc/self/status") as file:
    peak = next(int(x.split()[1]) for x in file if x.startswith("VmHWM"))
print(time.perf_counter() - start, peak / 2**20)
print(spectrum.eigenvalues.mean(), spectrum.dimension)
"""


@pytest.mark.slow
def test_large_images_take_seconds_and_less_than_two_gigabytes():
    done = subprocess.run(
        [sys.executable, "-c", LARGE], capture_output=True, text=True, check=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    seconds, gigabytes, mean, dimension = (float(x) for x in done.stdout.split())
    assert seconds < 60
    assert gigabytes < 2
    assert dimension == 3 * 1024**2
    # The variance of uniform integers, known to 1 / sqrt(16 * 3 * 2^20) of itself.
    np.testing.assert_allclose(mean, (256**2 - 1) / 12 * (2 / 255) ** 2, rtol=1e-3)


def test_progress_counts_samples():
    seen = []
    x = samples((30, 4))
    Spectrum.from_samples(in_batches(x), progress=lambda *report: seen.append(report))
    assert seen == [(13, None), (26, None), (30, None)]
    Spectrum.from_samples(x, progress=lambda *report: seen.append(report))
    assert seen[-1] == (30, 30)


def test_large_arrays_are_read_in_pieces(monkeypatch):
    x, seen = samples((30, 4)), []
    monkeypatch.setattr(estimators, "_CHUNK_BYTES", 8 * 4 * 7)
    spectrum = Spectrum.from_samples(x, progress=lambda done, _: seen.append(done))
    assert seen == [7, 14, 21, 28, 30]
    assert_close(spectrum.eigenvalues, np.linalg.eigvalsh(np.cov(x.T))[::-1])


def test_from_covariance():
    x = samples((50, 6))
    spectrum = Spectrum.from_covariance(np.cov(x.T), x.mean(0))
    assert_close(spectrum.eigenvalues, np.linalg.eigvalsh(np.cov(x.T))[::-1])
    assert_close(spectrum.lift(spectrum.mean), x.mean(0))


def test_power_law_and_floor():
    spectrum = Spectrum.power_law(4, 2.0, scale=3.0)
    np.testing.assert_allclose(spectrum.eigenvalues, [3, 3 / 4, 3 / 9, 3 / 16], rtol=1e-15)
    assert (spectrum.floor(0.5).eigenvalues == [3, 0.75, 0.5, 0.5]).all()


def test_fingerprints_tell_spectra_apart():
    one = Spectrum([2.0, 1.0])
    assert one.fingerprint == Spectrum(np.array([2.0, 1.0], np.float32), mean=[0, 0]).fingerprint
    others = [Spectrum([1.0, 2.0]), Spectrum([2.0, 1.0], mean=[1, 0]),
              Spectrum([2.0, 1.0], weights=[1, 2])]  # fmt: skip
    assert len({s.fingerprint for s in [one, *others]}) == 4


def natural(mean=None, zeros=0):
    """3,072 eigenvalues over seven decades, like patches of photographs."""
    d = 3072 - zeros
    jitter = np.exp(0.3 * np.random.default_rng(0).normal(size=d))
    lam = 1e3 * np.arange(1, d + 1) ** -1.6 * jitter
    lam *= (1e3 / lam.max()) * np.logspace(0, -1.6, d)
    assert np.log10(lam.max() / lam.min()) > 7
    return Spectrum(np.append(lam, np.zeros(zeros)), mean)


def schedules():
    """Levels a user may choose: even in logsnr, cosine, both ends."""
    for steps in (5, 50):
        yield NoiseSchedule(np.linspace(-10.1177, 9.2, steps + 1))
        angles = np.linspace(np.pi / 2 - 0.0064, 0, steps + 1)
        yield NoiseSchedule(np.append(-2 * np.log(np.tan(angles[:-1])), np.inf))


# Of W2 and of the other losses. 16 nodes are 6e-5 and, at worst (KL of DDPM in 5 steps, a coarse
# schedule), 7e-4 off, 32 nodes 1e-7; 1e-12 is the rounding of a sum of 3,072 terms.
QUADRATURE_RTOL = {16: (1e-4, 1e-3), 32: (1e-8, 5e-7), 64: (1e-12, 1e-12)}


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("nodes", "kind"),
    by_default([(16, "plain"), (32, "mean"), (32, "zeros"), (64, "mean")], 0, 2),
)
def test_quadrature_keeps_losses(nodes, kind):
    rng = np.random.default_rng(1)
    mean = rng.normal(size=3072) * np.append(np.logspace(1, -1, 3062), np.ones(10))
    full = natural() if kind == "plain" else natural(mean, zeros=10 if kind == "zeros" else 0)
    few = full.quadrature(nodes)
    assert few.dimension <= 2 * nodes + 1
    np.testing.assert_allclose(few.weights.sum(), 3072, rtol=1e-12)
    # l1 is not smooth: its integrand has a kink where V crosses lambda.
    names = ["w2"] if kind == "zeros" else ["w2", "kl", "kl_reverse", "relative"]
    with jax.enable_x64(True):
        for schedule, sampler in itertools.product(schedules(), ("ddim", "ddpm")):
            numbers = plan(sampler, schedule)
            got, want = (
                np.array([evaluate(LOSSES[name], transfer(numbers, s), s) for name in names])
                for s in (few, full)
            )
            w2_rtol, rtol = QUADRATURE_RTOL[nodes]
            np.testing.assert_allclose(got[0], want[0], rtol=w2_rtol)
            np.testing.assert_allclose(got, want, rtol=rtol)


def test_quadrature_integrates_polynomials_of_the_logarithm():
    # A K-point Gauss rule is exact for polynomials up to degree 2 K - 1.
    rng = np.random.default_rng(0)
    x, weights = rng.uniform(-3, 2, 200), rng.uniform(0, 2, 200)
    rule = Spectrum(np.exp(x), weights=weights).quadrature(6)
    for degree in range(12):
        want = weights @ x**degree
        got = rule.weights @ np.log(rule.eigenvalues) ** degree
        np.testing.assert_allclose(got, want, rtol=1e-11)


def test_quadrature_of_few_points_is_exact():
    lam = np.repeat([4.0, 1.0, 0.5, 0.0], 25)
    mean = np.tile([1.0, -2.0], 50)
    rule = Spectrum(lam, mean).quadrature(8)
    for value in (4.0, 1.0, 0.5, 0.0):
        at = np.isclose(rule.eigenvalues, value, rtol=1e-12)
        np.testing.assert_allclose(rule.weights[at].sum(), 25, rtol=1e-12)
        np.testing.assert_allclose(
            rule.mean_power[at].sum(), (mean**2)[lam == value].sum(), rtol=1e-12
        )
    small = Spectrum([2.0, 1.0], mean=[1.0, 0.0])
    assert small.quadrature(8).fingerprint == small.fingerprint


INTEGERS, NINE = np.arange(12).reshape(4, 3), samples((9, 3))
SHIFTS = {"method": "shift-invariant"}
REFUSED_SAMPLES = [
    ("empty", np.zeros((0, 3)), {}),
    ("empty", [], {}),
    ("one sample", np.ones((1, 3)), {}),
    ("one sample", [np.ones((1, 3))], {}),
    ("constant", np.full((1000, 3), 0.1), {}),
    ("constant", np.full((1000, 3), 0.1), SHIFTS),
    ("constant", (np.full((7, 3), 0.1) for _ in range(9)), {}),
    ("1 sample(s) have NaN", np.where(np.arange(27).reshape(9, 3) == 5, np.nan, NINE), {}),
    ("4 sample(s) have NaN or infinite", np.full((4, 3), np.inf), {}),
    ("dtype int64", INTEGERS, {}),
    ("data_range", INTEGERS, {"data_range": (0, 9)}),
    ("data_range = (9, 0)", INTEGERS, {"data_range": (9, 0)}),
    ("data_range", [INTEGERS], {"data_range": (1, 20)}),
    ("shape (5,)", np.ones(5), {}),
    ("shape ()", np.array(1.0), {}),
    ("type float", 3.0, {}),
    ("shape (2,), those before (3,)", [np.ones((4, 3)), np.ones((4, 2))], {}),
    ("method = 'fft'", NINE, {"method": "fft"}),
    ("shrinkage = 1.5", NINE, {"shrinkage": 1.5}),
    ("shrinkage = 'lw'", NINE, {"shrinkage": "lw"}),
    ("rank", NINE, {**SHIFTS, "rank": 2}),
    ("spatial", NINE, {"spatial": 1}),
    ("spatial = None", samples((9, 2, 2, 2, 2, 2)), SHIFTS),
    ("spatial = 2", NINE, {**SHIFTS, "spatial": 2}),
]
REFUSED_NUMBERS = [
    ("eigenvalues has 1 negative", lambda: Spectrum([1.0, -0.5])),
    ("eigenvalues has NaN", lambda: Spectrum([1.0, np.nan])),
    ("eigenvalues are all zero", lambda: Spectrum([0.0, 0.0])),
    ("eigenvalues has shape (0,)", lambda: Spectrum([])),
    ("eigenvalues has shape (1, 1)", lambda: Spectrum([[1.0]])),
    ("eigenvalues has shape ()", lambda: Spectrum(1.0)),
    ("complex128", lambda: Spectrum(np.array([1 + 2j, 1]))),
    ("mean has shape (1,)", lambda: Spectrum([1.0, 2.0], mean=[1.0])),
    ("mean has NaN", lambda: Spectrum([1.0, 2.0], mean=[1.0, np.inf])),
    ("weights has shape (1,)", lambda: Spectrum([1.0, 2.0], weights=[1.0])),
    ("weights has 1 negative", lambda: Spectrum([1.0], weights=[-1.0])),
    ("weights are all zero", lambda: Spectrum([1.0], weights=[0.0])),
    ("eigenvalues has 1 negative", lambda: Spectrum(jnp.array([1.0, -2.0]))),
    ("shape (2, 3)", lambda: Spectrum.from_covariance(np.ones((2, 3)))),
    ("not symmetric", lambda: Spectrum.from_covariance([[1.0, 0.5], [0.2, 1.0]])),
    ("negative eigenvalue, -1", lambda: Spectrum.from_covariance([[1.0, 2.0], [2.0, 1.0]])),
    ("NaN or infinite", lambda: Spectrum.from_covariance([[np.nan]])),
    ("mean has shape (3,)", lambda: Spectrum.from_covariance(np.eye(2), np.ones(3))),
    ("dimension = 0", lambda: Spectrum.power_law(0, 1.0)),
    ("scale = -1.0", lambda: Spectrum.power_law(3, 1.0, scale=-1.0)),
    ("floor = 0.0", lambda: Spectrum([1.0]).floor(0.0)),
    ("nodes = 0", lambda: Spectrum([1.0]).quadrature(0)),
]


def test_errors_name_the_argument():
    for words, x, options in REFUSED_SAMPLES:
        assert words in one_line(Spectrum.from_samples, x, **options)
    for words, make in REFUSED_NUMBERS:
        assert words in one_line(make)


def test_many_zeros_are_one_node():
    rng = np.random.default_rng(0)
    lam, mean = np.append(rng.uniform(0.1, 2, 9), np.zeros(200)), rng.normal(size=209)
    spectrum = Spectrum(lam, mean)
    small = spectrum.quadrature(40)
    assert small.dimension == 10
    schedule = family("karras", 5)
    for sampler in ("ddim", "ddpm"):
        whole, nodes = (loss(one, schedule, sampler=sampler) for one in (spectrum, small))
        assert nodes == pytest.approx(whole, rel=1e-12)


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", [np.float16, np.longdouble, np.int32, jnp.int32, jnp.bfloat16])
def test_any_real_numbers_can_be_fitted(dtype):
    given = np.array([4, 1], dtype) if dtype is not jnp.int32 else jnp.array([4, 1])
    found, wanted = fit(Spectrum(given), 2), fit(Spectrum([4.0, 1.0]), 2)
    assert found.value == pytest.approx(wanted.value, rel=1e-5)  # float32, and its tolerance


def test_whole_numbers_in_jax_arrays_become_the_default_float():
    whole = [2**24 + 1, 1]  # float32 has no odd numbers there
    with jax.enable_x64(True):
        made = as_float_array(jnp.array(whole, jnp.int32))
        assert made.dtype == np.float64
        assert made.tolist() == whole
        assert Spectrum(jnp.array(whole, jnp.int32)).eigenvalues.tolist() == whole
        assert NoiseSchedule(jnp.array([-2, 1])).logsnr.dtype == np.float64
        assert as_float_array(jnp.array(whole, jnp.bfloat16)).dtype == np.float32
    assert as_float_array(jnp.array(whole, jnp.int32)).dtype == np.float32
    assert as_float_array(whole).dtype == np.float64
