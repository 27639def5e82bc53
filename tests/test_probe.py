from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import one_line
from oracles import ORACLES, scales

from specjax import (
    NoiseSchedule,
    Spectrum,
    fit,
    load,
    loss,
    plan,
    sample,
    save,
    transfer,
    wiener,
)
from specjax.gaussian.modes import modes_of
from specjax.gaussian.probe import MEASURED, Probe, probe
from specjax.gaussian.task import GaussianTask
from specjax.sampling.denoisers import linearised
from specjax.spectra.basis import DenseBasis
from specjax.spectra.response import Measured

D = 8
LAM = np.geomspace(4.0, 0.01, D)
MU = np.linspace(-0.6, 0.8, D)
VECTORS = np.linalg.qr(np.random.default_rng(3).normal(size=(D, D)))[0]
SPECTRUM = Spectrum(LAM, MU, basis=DenseBasis(VECTORS, (2, 4)))
LEVELS = np.linspace(-9.0, 9.0, 13)
BOUND = 5.0  # standard errors: one false alarm in a million numbers
ROUNDING = 2e-5  # float32 samples and answers


@pytest.fixture(scope="module")
def samples():
    c = MU + np.sqrt(LAM) * np.random.default_rng(5).normal(size=(20_000, D))
    return (c @ VECTORS.T).reshape(-1, 2, 4)


def wiener_gain(levels=LEVELS, lam=LAM):
    return lam / (lam + np.exp(-np.asarray(levels))[:, None])


def in_eigenbasis(answer):
    """A denoiser of samples from one of coefficients y at s."""

    def denoise(x, alpha, sigma):
        y = SPECTRUM.project(x / alpha)
        return jnp.asarray(SPECTRUM.lift(answer(y, sigma / alpha)), x.dtype)

    return denoise


def measured(gain_factor=0.9, bias=0.1, levels=LEVELS, lam=LAM):
    """A denoiser that is not the ideal one, in its gain around s = 1 and in its mean."""
    bump = np.exp(-((np.asarray(levels)[:, None] - 1) ** 2) / 8)
    gain = wiener_gain(levels, lam) * (1 - (1 - gain_factor) * bump)
    return gain, bias * bump * np.sqrt(lam) * np.where(np.arange(lam.size) % 2, 1, -1)


def test_the_ideal_denoiser_has_wieners_gain_and_error(samples):
    found = probe(wiener(SPECTRUM), samples, SPECTRUM, levels=LEVELS, n=2000)
    np.testing.assert_allclose(found.gain, wiener_gain(), atol=ROUNDING)
    np.testing.assert_allclose(found.bias, 0, atol=ROUNDING)
    noise = np.exp(-LEVELS)[:, None]
    np.testing.assert_allclose(found.wiener_error, LAM * noise / (LAM + noise))
    np.testing.assert_allclose(found.excess / found.wiener_error, 0, atol=1e-3)
    apart = (found.error - found.wiener_error) / found.standard_errors["error"]
    assert abs(apart).max() < BOUND


def test_a_known_band_is_found(samples):
    band = np.where(np.arange(D) // 2 == 1, 0.9, 1.0)

    def answer(y, s):
        return MU + 0.05 * (1 - band) * s + band * LAM / (LAM + s**2) * (y - MU)

    found = probe(in_eigenbasis(answer), samples, SPECTRUM, levels=LEVELS, n=200)
    np.testing.assert_allclose(found.gain, band * wiener_gain(), atol=ROUNDING)
    s = np.exp(-LEVELS / 2)[:, None]
    np.testing.assert_allclose(found.bias, 0.05 * (1 - band) * s, atol=ROUNDING * s.max())
    np.testing.assert_allclose(found.offset, (1 - found.gain) * MU + found.bias, atol=1e-12)


def test_what_is_not_linear_is_averaged_as_stein_says(samples):
    # For y ~ N(mu, v): E sin(w y) = sin(w mu) r, slope E w cos(w y) = w cos(w mu) r, with
    # r = exp(-w^2 v / 2), and E sin^2 = (1 - cos(2 w mu) r^4) / 2.
    omega, size = 1.5, 0.3
    found = probe(
        in_eigenbasis(lambda y, s: MU + size * jnp.sin(omega * y)),
        samples, SPECTRUM, levels=LEVELS, n=4000, seed=1,
    )  # fmt: skip
    v = LAM + np.exp(-LEVELS)[:, None]
    r = np.exp(-(omega**2) * v / 2)
    level, slope = size * np.sin(omega * MU) * r, size * omega * np.cos(omega * MU) * r
    square = size**2 * (1 - np.cos(2 * omega * MU) * r**4) / 2
    residual = square - level**2 - slope**2 * v
    error = LAM + square - 2 * slope * LAM  # of d - mu = size sin(w y) against x0 - mu
    wanted = {"gain": slope, "bias": level, "residual": residual, "error": error,
              "excess": error - found.wiener_error}  # fmt: skip
    for name in MEASURED:
        apart = (getattr(found, name) - wanted[name]) / found.standard_errors[name]
        assert abs(apart).max() < BOUND, name
        assert 0.5 < np.sqrt((apart**2).mean()) < 1.6, name  # not wider or narrower than it is


def test_standard_errors_are_the_spread_over_seeds(samples):
    denoise = in_eigenbasis(lambda y, s: jnp.tanh(y * y[..., ::-1]))
    many = [probe(denoise, samples, SPECTRUM, levels=[-2.0, 2.0], n=400, seed=i) for i in range(40)]
    for name in MEASURED:
        spread = np.std([getattr(one, name) for one in many], 0, ddof=1)
        said = np.mean([one.standard_errors[name] for one in many], 0)
        ratio = spread / said  # each known to 11 %, samples in common and correlated
        assert ratio.min() > 0.6, name
        assert ratio.max() < 1.5, name


def test_numbers_do_not_depend_on_the_batch_and_do_on_the_seed(samples):
    given = {"levels": [-1.0, 1.0], "n": 50}
    denoise = in_eigenbasis(lambda y, s: jnp.tanh(y))
    whole, parts, other = (
        probe(denoise, samples, SPECTRUM, **given, batch=batch, seed=seed)
        for batch, seed in ((100, 0), (7, 0), (None, 1))
    )
    np.testing.assert_allclose(parts.gain, whole.gain, rtol=1e-5)
    assert abs(other.gain - whole.gain).max() > 1e-3


def test_labels_go_with_their_samples():
    x = np.random.default_rng(0).normal(size=(30, 2)) * [2, 1]
    labels = np.arange(30)

    def denoise(y, alpha, sigma, label):
        return jnp.asarray(x, y.dtype)[label]  # it knows the answer by the label alone

    found = probe(denoise, x, Spectrum([4.0, 1.0]), labels=labels, n=40, batch=16, levels=[-1, 1.0])
    np.testing.assert_allclose(found.error, 0, atol=1e-12)


def test_no_sample_counts_twice():
    # All 12 are used, whatever n is above that; repeats would say 12/400 of the variance.
    x = np.random.default_rng(0).normal(size=(12, 2)) * [2, 1]
    spectrum = Spectrum([4.0, 1.0])
    given = {"levels": [-1.0, 1.0]}
    many, all_of_them = (probe(squashed, x, spectrum, n=n, **given) for n in (400, 12))
    assert many.source["n"] == many.source["samples"] == 12
    for name in MEASURED:
        np.testing.assert_array_equal(getattr(many, name), getattr(all_of_them, name))
        np.testing.assert_array_equal(many.standard_errors[name], all_of_them.standard_errors[name])
    # At the clean end the denoiser's answers hardly know the noise: of x and -x alike the error
    # is (tanh x - x)^2 of each sample, the standard error that of a mean of 12.
    clean = probe(squashed, x, spectrum, n=400, levels=[25.0, 30.0])
    square = (np.tanh(x) - x) ** 2
    want = square.std(0, ddof=1) / np.sqrt(12)
    np.testing.assert_allclose(clean.standard_errors["error"][-1], want, rtol=1e-3)


def squashed(x, alpha, sigma):
    return jnp.tanh(x / alpha)


def test_progress_counts_answers():
    calls = []
    x = np.random.default_rng(0).normal(size=(10, 2))
    spectrum = Spectrum([1.0, 1.0])
    probe(wiener(spectrum), x, spectrum, n=8, levels=[-1.0, 0, 1], batch=10,
          progress=lambda done, total: calls.append((done, total)))  # fmt: skip
    assert calls == [(10, 48), (16, 48), (26, 48), (32, 48), (42, 48), (48, 48)]


SAMPLERS = [
    ("ddim", {"eta": 0.0}),
    ("ddpm", {"variance": "posterior"}),
    ("heun", {}),
    ("dpmpp_2m", {}),
]


@pytest.mark.parametrize(("sampler", "options"), SAMPLERS, ids=[name for name, _ in SAMPLERS])
def test_transfer_is_the_recursion_of_that_denoiser(sampler, options):
    # At the levels that were measured the interpolation is exact.
    gain, bias = measured()
    spectrum = modes_of(Spectrum(LAM, MU), denoiser=Measured.from_levels(LAM, LEVELS, gain, bias))
    schedule = NoiseSchedule(np.append(LEVELS[:-1], np.inf))
    process = next(iter(ORACLES[sampler]))
    sigma = scales(schedule.logsnr, process)[1]

    def denoise(x, a, s):  # rows: the starting noise, the mean, the bias, noises
        k = np.argmin(abs(LEVELS - 2 * np.log(a / s)))
        unit = np.zeros_like(x)
        unit[1], unit[2] = 1 - gain[k], bias[k]
        return gain[k] * x / a + unit

    x = np.zeros((schedule.steps + 3, D))
    x[0] = 1.0 if process == "vp" else sigma[0]
    unit = np.eye(len(x))[:, :, None]
    with np.errstate(divide="ignore"):
        want = ORACLES[sampler][process](
            denoise, x, schedule.logsnr, lambda k: unit[3 + k], **options
        )
    got = transfer(plan(sampler, schedule, process, **options), spectrum)
    np.testing.assert_allclose(got.gain, want[0], rtol=1e-9)
    np.testing.assert_allclose(got.mean_gain, want[1], rtol=1e-9)
    np.testing.assert_allclose(got.drift, want[2], rtol=1e-9)
    np.testing.assert_allclose(got.variance, want[0] ** 2 + (want[3:] ** 2).sum(0), rtol=1e-9)


@pytest.mark.thorough
@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpmpp_2m"])
def test_transfer_is_what_samples_of_a_probed_denoiser_do(samples, sampler):
    def answer(y, s):
        gain = LAM / (LAM + s**2) * (1 - 0.15 * jnp.exp(-(jnp.log(s) ** 2)))
        return MU + gain * (y - MU) + 0.2 * jnp.sqrt(LAM) * s / (1 + s)

    denoise = in_eigenbasis(answer)
    probed = probe(denoise, samples, SPECTRUM, n=100)
    steps = plan(sampler, NoiseSchedule(np.append(np.linspace(-9, 6, 7), np.inf)))
    want = transfer(steps, SPECTRUM, denoiser=probed)
    ideal = transfer(steps, SPECTRUM)
    count = 20_000
    x = SPECTRUM.project(np.asarray(sample(steps, denoise, jax.random.key(0), (count, 2, 4))))
    std = want.std / np.sqrt(count)
    mean = want.mean_gain * MU + want.drift
    assert (abs(x.mean(0) - mean) < BOUND * std + 1e-4).all()
    assert (abs(x.var(0) - want.variance) < BOUND * want.variance * np.sqrt(2 / count)).all()
    assert (abs(x.var(0) - ideal.variance) > BOUND * want.variance * np.sqrt(2 / count)).any()


@pytest.mark.thorough
def test_the_linear_stand_in_can_be_sampled():
    gain, bias = measured()
    response = Measured.from_levels(LAM, LEVELS, gain, bias)
    x = np.random.default_rng(0).normal(size=(5, 2, 4))
    k = 7
    (alpha,), (sigma,) = scales(LEVELS[[k]], "vp")
    want = (1 - gain[k]) * MU + bias[k] + gain[k] * SPECTRUM.project(x) / alpha
    got = SPECTRUM.project(linearised(SPECTRUM, response)(x, alpha, sigma))
    np.testing.assert_allclose(got, want, rtol=1e-9)
    same = linearised(SPECTRUM, None)(x, alpha, sigma)
    np.testing.assert_array_equal(same, wiener(SPECTRUM)(x, alpha, sigma))


@pytest.mark.thorough
def test_beyond_the_measured_levels_the_gain_goes_on_as_it_must():
    gain, bias = measured(gain_factor=0.5, levels=[-1.0, 0.0, 1.0])
    response = Measured.from_levels(LAM, np.array([-1.0, 0.0, 1.0]), gain, bias)
    with jax.enable_x64(True):
        for s, want in ((1e-6, 1.0), (1e6, 0.0)):
            at, offset, shift = response.affine(jnp.ones(()), jnp.asarray(s))
            np.testing.assert_allclose(at, want, atol=1e-4)
            np.testing.assert_allclose(offset, 1 - want, atol=1e-4)
        assert abs(np.asarray(shift)).max() < 1.0
        at, offset, shift = response.affine(jnp.ones(()), jnp.zeros(()))
        np.testing.assert_array_equal(at, 1)
        np.testing.assert_array_equal(shift, 0)


@pytest.mark.thorough
def test_gradients_are_finite_differences_and_smooth_at_a_level():
    gain, bias = measured()
    spectrum = modes_of(Spectrum(LAM, MU), denoiser=Measured.from_levels(LAM, LEVELS, gain, bias))
    levels = np.array([-8.0, LEVELS[5], 0.3, LEVELS[8], 7.5])

    def value(x):
        return loss(spectrum, NoiseSchedule(x), sampler="ddpm")

    with jax.enable_x64(True):
        got = jax.jit(jax.grad(value))(jnp.asarray(levels))
        batch = jax.vmap(value)(jnp.stack([jnp.asarray(levels), jnp.asarray(levels) - 0.1]))
    step = 1e-5
    for i, slope in enumerate(got):
        ends = [float(value(levels + sign * step * (np.arange(5) == i))) for sign in (1, -1)]
        np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(batch[1], value(levels - 0.1), rtol=1e-12)


@pytest.mark.slow
def test_a_fit_to_the_ideal_denoiser_is_the_plain_fit():
    levels = np.linspace(-12, 12, 33)
    gain = wiener_gain(levels)
    ideal = Measured.from_levels(LAM, levels, gain, 0 * gain)
    plain, probed = (fit(modes_of(Spectrum(LAM, MU), denoiser=one), 6) for one in (None, ideal))
    np.testing.assert_allclose(probed.value, plain.value, rtol=1e-9)
    np.testing.assert_allclose(probed.schedule.logsnr, plain.schedule.logsnr, atol=1e-4)


@pytest.mark.slow
def test_a_fit_to_a_denoiser_is_better_for_it_than_the_plain_fit():
    gain, bias = measured(gain_factor=0.7)
    spectrum = modes_of(Spectrum(LAM, MU), denoiser=Measured.from_levels(LAM, LEVELS, gain, bias))
    plain, probed = fit(Spectrum(LAM, MU), 6), fit(spectrum, 6)
    assert probed.converged
    assert probed.value < 0.99 * loss(spectrum, plain.schedule)
    assert plain.value < loss(Spectrum(LAM, MU), probed.schedule)
    rng = np.random.default_rng(0)
    for _ in range(20):
        moved = probed.schedule.logsnr + np.append(rng.normal(size=6) * 0.02, 0)
        moved[0] = probed.schedule.logsnr[0]
        assert loss(spectrum, NoiseSchedule(moved)) >= probed.value * (1 - 1e-9)


@pytest.mark.slow
def test_groups_of_directions_stand_for_all_of_them():
    d = 600
    lam, rng = np.geomspace(50, 1e-3, d), np.random.default_rng(1)
    mean = rng.normal(size=d) * np.sqrt(lam) * 0.5
    gain, bias = measured(levels=LEVELS, lam=lam)
    wiener = wiener_gain(lam=lam)  # what is over it is no smooth function of the eigenvalue
    gain = wiener + (gain - wiener) * (1 + 0.3 * rng.normal(size=d))
    spectrum = modes_of(Spectrum(lam, mean), denoiser=Measured.from_levels(lam, LEVELS, gain, bias))
    nodes = spectrum.quadrature(40)
    assert nodes.dimension <= 164
    np.testing.assert_allclose(nodes.weights.sum(), d)
    for sampler in ("ddim", "ddpm"):
        for steps in (4, 12):
            schedule = NoiseSchedule(np.append(np.linspace(-10, 7, steps), np.inf))
            want = float(loss(spectrum, schedule, sampler=sampler))
            np.testing.assert_allclose(loss(nodes, schedule, sampler=sampler), want, rtol=0.02)
    whole, grouped = (fit(spectrum, 5, nodes=n, restarts=1) for n in (None, 40))
    assert grouped.value < 1.001 * whole.value
    assert nodes.quadrature(40).dimension == nodes.dimension


def test_zeros_are_one_group():
    lam = np.concatenate([np.geomspace(1, 1e-2, 200), np.zeros(50)])
    gain, bias = measured(levels=LEVELS, lam=lam)
    spectrum = modes_of(Spectrum(lam), denoiser=Measured.from_levels(lam, LEVELS, gain, bias))
    nodes = spectrum.quadrature(10)
    assert nodes.weights[nodes.eigenvalues == 0].sum() == 50
    np.testing.assert_allclose(nodes.weights @ nodes.eigenvalues, lam.sum(), rtol=1e-3)


@pytest.fixture(scope="module")
def found(samples):
    denoise = in_eigenbasis(lambda y, s: jnp.tanh(y))
    source = {"run": "runs/x", "step": 7}
    return probe(denoise, samples, SPECTRUM, levels=LEVELS, n=20, source=source)


def test_a_task_says_whose_denoiser_it_has_and_keeps_a_floor(found):
    given = replace(SPECTRUM, source={"name": "data"})
    task = GaussianTask.resolve(given, denoiser=found)
    assert task.source["name"] == "data"
    assert task.source["denoiser"]["run"] == "runs/x"
    assert task.fingerprint != given.fingerprint
    floored = GaussianTask.resolve(given.floor(0.05), denoiser=found).modes
    np.testing.assert_allclose(floored.eigenvalues, np.maximum(LAM, 0.05))
    (alpha,), (sigma,) = scales(LEVELS[[4]], "vp")
    with jax.enable_x64(True):  # what it does is what was measured, whatever the data
        got = np.asarray(floored.response.affine(jnp.asarray(alpha), jnp.asarray(sigma))[0])
    np.testing.assert_allclose(got * alpha, found.gain[4], rtol=1e-9)


def test_a_probe_of_other_data_is_refused(found):
    assert "8 dimensions, the spectrum has 2" in one_line(found.on, Spectrum([1.0, 2.0]))
    other = Spectrum(LAM * 1.01, MU)
    assert "differ by 0.49" in one_line(found.on, other, name="mine")


def test_a_probe_survives_its_file(found, tmp_path):
    back = load(save(tmp_path / "probe.npz", found))
    assert isinstance(back, Probe)
    for name in MEASURED:
        np.testing.assert_array_equal(getattr(back, name), getattr(found, name))
        np.testing.assert_array_equal(back.standard_errors[name], found.standard_errors[name])
    np.testing.assert_array_equal(back.logsnr, LEVELS)
    assert back.source == dict(found.source)
    assert back.fingerprint == found.fingerprint


def _changed(path, **changes):
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    for name, change in changes.items():
        arrays[name] = change(arrays[name])
    np.savez(path, **{name: x for name, x in arrays.items() if x is not None})


def _of_a_later_version(header):
    later = header.tobytes().replace(b'"format_version": 1', b'"format_version": 9')
    return np.frombuffer(later, np.uint8)


def test_a_changed_probe_file_is_refused(found, tmp_path):
    for change, word in [
        ({"gain": lambda x: x + 1e-9}, "corrupted"),
        ({"standard_errors/bias": lambda x: x * 2}, "corrupted"),
        ({"gain": lambda x: None}, "corrupted"),
        ({"header": _of_a_later_version}, "version 9"),
    ]:
        path = save(tmp_path / "probe.npz", found)
        _changed(path, **change)
        assert word in one_line(load, path)


def test_a_truncated_probe_file_is_refused(found, tmp_path):
    path = save(tmp_path / "probe.npz", found)
    path.write_bytes(path.read_bytes()[:-200])
    assert "truncated" in one_line(load, path)


@pytest.mark.thorough
def test_the_file_of_a_fit_holds_the_denoiser(found, tmp_path):
    result = fit(SPECTRUM, 4, denoiser=found)
    back = load(save(tmp_path / "schedule.json", result))
    assert back.source["denoiser"]["step"] == 7
    np.testing.assert_allclose(loss(back.nodes, back.schedule), result.node_value, rtol=1e-12)


def test_bad_input_names_the_argument(samples):
    for change in (
        {"levels": [1.0, 0.0]}, {"levels": [0.0, np.inf]}, {"n": 2}, {"seed": -1},
        {"samples": np.zeros((2, 2, 4))}, {"samples": np.full((5, 2, 4), np.nan)},
        {"samples": np.zeros((5, 8))}, {"labels": np.zeros(19_999, int)},
        {"labels": np.zeros(20_001, int)}, {"denoise": lambda x, a, s: x[..., :2]},
        {"denoise": lambda x, a, s: x / 0},
    ):  # fmt: skip
        given = {"denoise": wiener(SPECTRUM), "samples": samples, "levels": LEVELS, "n": 8}
        said = one_line(probe, spectrum=SPECTRUM, **{**given, **change})
        assert next(iter(change)) in said


def test_a_constant_of_another_program_is_no_other_array():
    # JAX 0.10.2 took the float32 constant of the denoiser for the float64 argument.
    lam = np.geomspace(3.0, 0.02, 11)
    spectrum = Spectrum(lam)
    denoise = jax.jit(wiener(spectrum))
    denoise(np.ones((2, 11), np.float32), np.float32(1), np.float32(1))
    schedule = NoiseSchedule([-9.0, -1.0, 0.5, 3.0, np.inf])
    got = transfer(plan("ddim", schedule), spectrum)
    want = transfer(plan("ddim", schedule), Spectrum(lam.copy()))
    np.testing.assert_array_equal(got.variance, want.variance)
    assert denoise is not None
