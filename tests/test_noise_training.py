"""Networks under noise with a spectrum: training, runs, samples, probes, to closed forms."""

import json
import shutil
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import specjax as sx
from specjax import files
from specjax.data import collect
from specjax.files.forward_noise import ForwardNoise
from specjax.nn import KeepingConfig, ModelConfig, OptimiserConfig, TrainConfig, open_run, train
from specjax.nn.run import RunInfo, read_run
from specjax.nn.start import start_or_resume
from specjax.nn.train_step import Batch, Task, initial_state, update, validation_loss
from specjax.nn.training import make_task
from specjax.noise.families import noise_spectrum
from specjax.noise.noise_spectrum import NoiseSpectrum, same_noise
from specjax.noise.whitening import effective
from specjax.sampling.denoisers import from_edm, from_eps

pytestmark = pytest.mark.slow

MANY_SIGMAS = 5.0  # of the largest of some hundred normal numbers: once in 10,000 runs


class Gain(NamedTuple):
    """D(x) = a x: it mixes no directions."""

    params: dict
    sigma_data: float = 0.5
    shape: tuple[int, ...] = ()

    def __call__(self, x, alpha, sigma, labels=None, *, key=None):
        return self.params["a"] * x


STEADY = OptimiserConfig(warmup=0, decay="constant", learning_rate=0.02, weight_decay=0.0)


def task(noise=None, config=None):
    config = config or TrainConfig(optimiser=STEADY)
    omits = noise is not None and noise.omitted > 0
    return Task(Gain, 0, lambda u: jnp.linspace(-2.0, 2.0, u.size), config, noise, omits)


def learned(chosen, batch, times=3, noise=None):
    """The state and the losses after some updates."""
    state, losses = initial_state(chosen, {"a": jnp.asarray(0.3)}), []
    step = jax.jit(partial(update, chosen))
    for _ in range(times):
        state, metrics = step(state, batch, noise)
        losses.append(np.asarray(metrics["loss"]))
    return state, np.concatenate(losses)


def dense(weights, sides):
    """T as a matrix, by NumPy's complex FFT of unit vectors."""
    d = int(np.prod(sides))
    axes = tuple(range(1, 1 + len(sides)))
    units = np.eye(d).reshape(d, *sides)
    return np.fft.ifftn(weights * np.fft.fftn(units, axes=axes), axes=axes).real.reshape(d, d).T


@pytest.mark.parametrize("sides", [(4, 5), (7,)])
def test_training_has_noise_of_the_stated_covariance(sides):
    noise = noise_spectrum("power_law", sides, exponent=-0.7)
    seen = []

    class Listening(Gain):
        def __call__(self, x, alpha, sigma, labels=None, *, key=None):
            jax.debug.callback(lambda x: seen.append(np.asarray(x)), x)
            return super().__call__(x, alpha, sigma)

    n = 20_000
    chosen = replace(task(noise), denoiser=Listening, quantile=jnp.zeros_like)  # s = 1
    batch = Batch(jnp.zeros((1, n, *sides)), None)
    jax.block_until_ready(update(chosen, initial_state(chosen, {"a": jnp.asarray(0.3)}), batch)[1])
    jax.effects_barrier()
    x = seen[0].reshape(n, -1).astype(np.float64)
    transform = dense(noise.weights, sides)
    want = transform @ transform.T
    error = np.sqrt((want**2 + np.outer(np.diag(want), np.diag(want))) / n)  # of a product's mean
    assert np.abs((x.T @ x / n - want) / error).max() < MANY_SIGMAS
    assert np.diag(want).mean() == pytest.approx(1)


def run_info(config, spectrum, noise=None):
    return RunInfo(
        config=config, content="", shape=(4, 4), class_names=(), spectrum=spectrum, source={},
        sigma_data=0.5, versions={}, noise=noise,
    )  # fmt: skip


def spectrum_of(shape=(4, 4), seed=0):
    """The exact one of coloured samples; its basis is none of the noise's."""
    random = np.random.default_rng(seed)
    d = int(np.prod(shape))
    x = random.normal(size=(400, d)) @ (random.normal(size=(d, d)) / np.sqrt(d)) + 0.3
    return sx.Spectrum.from_samples(x.reshape(400, *shape))


def test_isotropic_noise_is_the_path_without_noise():
    """A power law of exponent 0 is white: the same program, the same bits."""
    config = TrainConfig(forward=ForwardNoise(noise="power-law", noise_exponent=0.0))
    config.check()
    spectrum = spectrum_of()
    noise = config.forward.spectrum((4, 4))
    assert noise is None
    assert effective(spectrum, noise) is spectrum
    plain = replace(config, forward=ForwardNoise())
    tasks = [
        make_task(run_info(one, spectrum, one.forward.spectrum((4, 4))), Gain)
        for one in (config, plain)
    ]
    batch = Batch(jax.random.normal(jax.random.key(0), (1, 64, 4, 4)), None)
    states = [learned(one, batch)[0] for one in tasks]
    for a, b in zip(*map(jax.tree.leaves, states), strict=True):
        np.testing.assert_array_equal(a, b)
    text = str(jax.make_jaxpr(partial(update, tasks[0]))(states[0], batch))
    assert "fft" not in text


@pytest.mark.slow
def test_noise_as_an_argument_is_the_noise_of_the_task():
    noise = noise_spectrum("exponential", (4, 4), omit=(0.7, 1.0))
    batch = Batch(jax.random.normal(jax.random.key(0), (1, 64, 4, 4)), None)
    state, losses = learned(task(noise), batch)
    other, again = learned(task(noise), batch, noise=noise)
    np.testing.assert_allclose(losses, again, rtol=1e-6)
    np.testing.assert_allclose(state.params["a"], other.params["a"], rtol=1e-6)
    loss = validation_loss(task(noise), {"a": 0.3}, Batch(batch.samples[0], None))
    same = jax.jit(partial(validation_loss, task(noise)))(
        {"a": 0.3}, Batch(batch.samples[0], None), 0, noise
    )
    assert float(loss) == pytest.approx(float(same), rel=1e-5)


@pytest.mark.parametrize("basis", ["fourier", "cosine"])
def test_the_loss_does_not_see_what_is_omitted(basis):
    """Data with another content of the band, and the same of all others: the same learning."""
    noise = noise_spectrum("isotropic", (6, 5), omit=(0.3, 0.6), basis=basis)
    random = np.random.default_rng(0)
    clean, more = random.normal(size=(2, 1, 32, 6, 5)).astype(np.float32)
    within_band = 3 * (more - noise.supported(more))
    assert np.abs(within_band).max() > 1
    state, losses = learned(task(noise), Batch(jnp.asarray(clean), None))
    changed, others = learned(task(noise), Batch(jnp.asarray(clean + within_band), None))
    np.testing.assert_allclose(losses, others, rtol=1e-5)  # float32
    np.testing.assert_allclose(state.params["a"], changed.params["a"], rtol=1e-5)
    _, seen = learned(task(), Batch(jnp.asarray(clean), None))
    _, seen_more = learned(task(), Batch(jnp.asarray(clean + within_band), None))
    assert (np.abs(seen_more / seen - 1) > 0.1).all()


def as_f(ideal, sigma_data):
    """The ideal denoiser as EDM's F (2206.00364, eq. 7), solved for F."""

    def network(scaled, logsnr):
        s = jnp.exp(-logsnr / 2)
        total = s**2 + sigma_data**2
        x = scaled * jnp.sqrt(total)
        skip, out = sigma_data**2 / total, s * sigma_data / jnp.sqrt(total)
        return (ideal(x, 1.0, s) - skip * x) / out

    return from_edm(network, sigma_data=sigma_data, level=lambda s: -2 * jnp.log(s))


def as_eps(ideal):
    """The same as a prediction of the noise: ``(x - alpha x0) / sigma``."""

    def network(x_vp, logsnr):
        s = jnp.exp(-logsnr / 2)
        x = x_vp * jnp.sqrt(1 + s**2)
        return (x - ideal(x, 1.0, s)) / s

    return from_eps(network)


@pytest.mark.parametrize(
    ("sampler", "network", "options"),
    [
        ("ddpm", as_eps, {"family": "power_law", "exponent": -0.5}),
        ("ddim", partial(as_f, sigma_data=0.7), {"family": "exponential", "basis": "cosine"}),
        ("ddpm", partial(as_f, sigma_data=0.7), {"family": "isotropic", "omit": (0.5, 0.8)}),
    ],
)
def test_an_ideal_network_under_noise_samples_what_transfer_says(sampler, network, options):
    """Through the whole path: T colours start and pushes, the network answers in data space."""
    spectrum = spectrum_of((4, 3), seed=3)
    noise = noise_spectrum(shape=(4, 3), **options)
    seen = effective(spectrum, noise)
    plan = sx.plan(sampler, sx.spectral(seen, 6, alpha_bar_range=(4e-5, 0.999)))
    n = 8000
    samples = sx.generate(plan, network(sx.wiener(seen)), n, (4, 3), noise=noise, seed=5)
    moments, c = sx.transfer(plan, seen), seen.project(samples.astype(np.float64))
    variance, mean = np.asarray(moments.variance), np.asarray(moments.mean_gain * seen.mean)
    assert len(variance) == 12 - noise.omitted
    centred = c - mean
    found = centred.T @ centred / n
    error = np.sqrt((np.diag(variance**2) + np.outer(variance, variance)) / n)
    # What remains of the start's mean is 0; eigenvalues far below the rest have float32's noise.
    assert np.abs((found - np.diag(variance)) / error).max() < MANY_SIGMAS
    assert np.abs(centred.mean(0) / np.sqrt(variance / n)).max() < MANY_SIGMAS


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpmpp_2m"])
def test_sampling_leaves_an_omitted_band_alone(sampler):
    """Whatever the network says of it: samples have nothing there but the start's rounding,
    which x0 = x / alpha magnifies."""
    noise = noise_spectrum("power_law", (8, 8), omit=(0.4, 0.6))

    def denoise(x, alpha, sigma):
        return 0.5 * x + jnp.flip(x, -1) + 0.7

    schedule = sx.family("karras", 5)
    plan = sx.plan(sampler, schedule)
    samples = sx.generate(plan, denoise, 8, (8, 8), noise=noise).astype(np.float64)
    in_band = samples - noise.supported(samples)
    assert np.abs(samples).max() > 0.5
    assert np.abs(in_band).max() < 20 * np.finfo(np.float32).eps / schedule.alpha[0]


def test_probing_under_noise_finds_the_effective_gains():
    spectrum = spectrum_of()
    noise = noise_spectrum("power_law", (4, 4), exponent=-0.4, omit=(0.75, 0.85))
    assert 0 < noise.omitted < 8
    seen = effective(spectrum, noise)
    x = spectrum.lift(np.random.default_rng(1).normal(size=(60, 16)) * spectrum.eigenvalues**0.5)
    levels = np.linspace(-6, 6, 5)

    def broken(x, alpha, sigma):  # right but in the omitted band, which must not be asked for
        return sx.wiener(seen)(x, alpha, sigma) + 5 * (x - noise.supported(x))

    for denoise in (sx.wiener(seen), broken):
        found = sx.probe(denoise, x.astype(np.float32), seen, levels=levels)
        want = seen.eigenvalues / (seen.eigenvalues + np.exp(-levels)[:, None])
        np.testing.assert_allclose(found.gain, want, atol=2e-4)  # float32
        assert found.gain.shape == (5, 16 - noise.omitted)
        assert np.abs(found.excess / found.wiener_error).max() < 1e-2
    assert found.spectrum.noise is noise
    np.testing.assert_array_equal(found.spectrum.whitening.variance, seen.whitening.variance)
    schedule = sx.family("karras", 5)
    ideal = sx.loss(seen, schedule)
    probed = sx.loss(seen, schedule, denoiser=found)
    assert float(probed) == pytest.approx(float(ideal), rel=0.02)
    with pytest.raises(sx.UserError, match="the probe was made for power-law"):
        found.on(spectrum)


def test_a_probe_says_its_noise(capsys, tmp_path):
    from specjax.report.figures import probe_figure
    from specjax.report.probe import print_probe, probe_json

    noise = noise_spectrum("power_law", (4, 4), exponent=-0.4)
    seen = effective(spectrum_of(), noise)
    x = np.random.default_rng(1).normal(size=(20, 4, 4)).astype(np.float32)
    found = sx.probe(sx.wiener(seen), x, seen, levels=[-3.0, 0.0, 3.0])
    words = "under power-law (exponent -0.4, r0 0.01) noise"
    print_probe(found, [])
    assert words in capsys.readouterr().out
    assert probe_json(found)["noise"] == noise.name
    assert words in probe_figure(found).get_suptitle()


TINY = TrainConfig(
    model=ModelConfig(width=4, multipliers=(1,)),
    optimiser=OptimiserConfig(updates=2, batch=8, warmup=1),
    keeping=KeepingConfig(checkpoint_every=2, log_every=2, samples_every=2, sample_steps=2,
                          sample_count=4),
)  # fmt: skip
DATA = sx.data.open("digits", limit=120)


def weights(exponent=-0.5):
    """Radial, of no mean variance 1, with a band left out."""
    noise = noise_spectrum("power_law", (8, 8), exponent=exponent, omit=(0.55, 0.7))
    return 1.5 * np.asarray(noise.weights)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run under noise whose weights were in a file, which is gone."""
    folder = tmp_path_factory.mktemp("noise")
    file = folder / "weights.npy"
    np.save(file, weights())
    config = replace(TINY, forward=ForwardNoise(noise=str(file)))
    run = train(DATA, folder / "run", config)
    file.unlink()
    return run


def test_a_run_keeps_its_noise(trained):
    """Of the mean variance 1, as is the default for files, too."""
    again = open_run(trained.folder)
    want = weights() / np.sqrt((weights() ** 2).mean())
    np.testing.assert_allclose(again.noise.weights, want, rtol=1e-12)
    assert same_noise(again.noise, trained.noise)
    assert again.effective.noise is again.noise
    assert again.effective.dimension == 64 - again.noise.omitted < 64


def test_samples_of_a_run_start_from_its_noise(trained, run, tmp_path):
    command = ("sample", trained.folder, "--n", 4, "--steps", 3, "--seed", 2, "-o", "x.npz")
    code, out, err = run(*command)
    assert (code, err) == (0, "")
    assert "weights of its own noise, seed 2" in out
    with np.load(tmp_path / "x.npz") as file:
        samples, header = file["samples"], json.loads(file["header"].tobytes())
    assert header["noise"]["fingerprint"] == trained.noise.fingerprint
    schedule = sx.spectral(trained.effective, 3)
    np.testing.assert_allclose(np.array(header["logsnr"], float), schedule.logsnr)
    plan, denoise = sx.plan("ddim", schedule), trained.denoiser()
    again = sx.generate(plan, denoise, 4, (8, 8), seed=2, noise=trained.noise)
    np.testing.assert_array_equal(samples, again)
    in_band = again - trained.noise.supported(again)
    assert np.abs(in_band).max() < 20 * np.finfo(np.float32).eps / schedule.alpha[0]


def test_schedules_for_another_noise_are_refused(trained, run, tmp_path):
    spectrum = trained.spectrum
    sx.save(tmp_path / "white.json", sx.fit(spectrum, steps=3))
    sx.save(tmp_path / "its.json", sx.fit(spectrum, steps=3, noise=trained.noise))
    for command in (
        ("sample", trained.folder, "--schedule", "white.json", "-o", "x.npz"),
        ("evaluate", trained.folder, "--against", "digits", "--schedule", "white.json", "-o",
         "e.json"),
    ):  # fmt: skip
        code, out, err = run(*command)
        assert (code, out) == (2, "")
        assert err.count("\n") == 1
        assert "white.json was made for isotropic noise" in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["its.json", "white.json"]
    from specjax.cli.runs import RunSampling

    for allowed in ("its.json", "14.6,1,0", "karras"):
        RunSampling().schedule_on(trained, "run", allowed, None)


def test_a_run_goes_on_under_its_noise_alone(trained, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained.folder, folder)
    file = trained.config.forward.noise
    with pytest.raises(ValueError, match=r"noise = 'isotropic' \('.*weights.npy' in the run\)"):
        train(DATA, folder, TINY)
    config = replace(TINY, forward=ForwardNoise(noise=file))
    with pytest.raises(ValueError, match=r"cannot read .*weights\.npy"):
        train(DATA, folder, config)
    np.save(file, weights(exponent=-0.6))
    try:
        with pytest.raises(ValueError, match="was made for weights of its own noise"):
            train(DATA, folder, config)
        np.save(file, weights())
        assert train(DATA, folder, config).step == 2
    finally:
        (trained.folder.parent / "weights.npy").unlink()


def test_noise_in_the_datas_own_basis_comes_back_with_their_spectrum(tmp_path):
    config = replace(TINY, forward=ForwardNoise(noise="exponential", noise_basis="data"))
    made = start_or_resume(tmp_path, config, DATA, collect(DATA))
    spectrum = files.load(tmp_path / "spectrum.npz")
    noise = read_run(tmp_path).noise
    nu = np.exp(-2 * np.linspace(0, 1, 64) ** 2)
    want = spectrum.eigenvalues / (nu / nu.mean())
    np.testing.assert_allclose(made.effective.eigenvalues, want, rtol=1e-12)
    np.testing.assert_allclose(effective(spectrum, noise).eigenvalues, want, rtol=1e-12)
    vectors = spectrum.basis.vectors
    white = np.random.default_rng(0).normal(size=(8, 8))
    by_hand = vectors @ (np.sqrt(nu / nu.mean()) * (vectors.T @ white.ravel()))
    np.testing.assert_allclose(noise.color(white).ravel(), by_hand, atol=1e-12)
    assert made.noise.basis == "data"


def test_noise_levels_are_those_of_the_effective_spectrum():
    config = replace(TINY, noise=replace(TINY.noise, noise_levels="spectral"))
    spectrum = spectrum_of()
    noise = noise_spectrum("power_law", (4, 4), exponent=-1.5)
    u = jnp.linspace(0.05, 0.95, 7)
    seen = effective(spectrum, noise)
    levels = make_task(run_info(config, spectrum, noise), Gain).quantile(u)
    want = sx.spectral(seen, 1024, alpha_bar_range=(4.0358e-5, 0.9999)).logsnr
    np.testing.assert_allclose(levels, np.interp(u, np.linspace(0, 1, 1025), want), rtol=1e-4)
    plain = make_task(run_info(config, spectrum), Gain).quantile(u)
    assert np.abs(levels - plain).max() > 0.1


BAD = {
    "another family's option": (
        ("--noise", "power-law", "--noise-decay", 2), "decay of exponential noise"),
    "unknown": (("--noise", "pink"), "noise = 'pink' is unknown"),
    "no file": (("--noise", "w.npy"), "cannot read w.npy"),
    "wrong shape": (("--noise", "small.npy"), "weights has shape (4, 4)"),
    "negative": (("--noise", "negative.npy"), "negative value(s)"),
    "reversed band": (("--noise-omit", 0.6, 0.4), "low before high"),
    "band without frequencies": (("--noise-omit", 0.41, 0.42), "no frequency of these samples"),
    "levels of white noise": (
        ("--noise", "power-law", "--noise-levels", "schedule", "--noise-options",
         "file=white.json"), "white.json' was made for isotropic noise"),
    "corrupted band": (("--corrupt", 0.6, 0.4), "low before high"),
    "std without a band": (("--corrupt-std", 0.4), "give the band, too"),
    "std": (("--corrupt", 0.4, 0.6, "--corrupt-std", -1), "std = -1.0"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(name, run, tmp_path):
    options, words = BAD[name]
    np.save(tmp_path / "small.npy", np.ones((4, 4)))
    np.save(tmp_path / "negative.npy", -np.ones((8, 8)))
    sx.save(tmp_path / "white.json", sx.fit(spectrum_of(), steps=3))
    before = sorted(tmp_path.iterdir())
    code, out, err = run("train", "digits", *options, "--out", "run", "--updates", 2)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert words in err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("basis", ["data", "cosine"])
def test_noise_that_needs_an_exact_spectrum(basis, tmp_path):
    large = sx.data.open(np.zeros((4, 80, 80), np.float32))
    noise = ForwardNoise(noise="power-law", noise_basis=basis)
    config = replace(TINY, forward=noise)
    with pytest.raises(ValueError, match="needs the exact spectrum of the data"):
        train(large, tmp_path / "run", config)
    bare = sx.Spectrum(np.linspace(2, 1, 64))
    with pytest.raises(ValueError, match="spectrum has no basis"):
        train(DATA, tmp_path / "run", config, spectrum=bare)
    assert not (tmp_path / "run").exists()


def test_per_channel_noise_on_images_with_channels():
    """Channels that differ have noise of their own."""
    given = NoiseSpectrum(np.ones((4, 4, 3)) * [1.0, 2.0, 0.5], (4, 4, 3))
    batch = Batch(jnp.zeros((1, 4000, 4, 4, 3)), None)
    chosen = replace(task(given), quantile=jnp.zeros_like)
    # D(x) = 0.3 x of x = eps: the loss is weight 0.09 mean nu, the weight at s = 1 that of EDM.
    _, losses = learned(chosen, batch, times=1)
    want = (1 + 0.25) / 0.25 * 0.09 * (1 + 4 + 0.25) / 3
    assert losses[0] == pytest.approx(want, rel=5 * np.sqrt(2 / (4000 * 16)))


def test_a_run_goes_on_with_its_corruption_alone(tmp_path):
    corrupted = sx.data.corrupted(DATA, (0.4, 0.6), 0.5)
    made = start_or_resume(tmp_path, TINY, corrupted, collect(corrupted))
    assert read_run(tmp_path).source["corruption"]["band"] == [0.4, 0.6]
    again = start_or_resume(tmp_path, TINY, corrupted, collect(corrupted))
    assert again.content == made.content
    for other in (DATA, sx.data.corrupted(DATA, (0.4, 0.6), 0.4)):
        with pytest.raises(ValueError, match="holds a run on other data"):
            start_or_resume(tmp_path, TINY, other, collect(other))


def test_evaluated_samples_start_from_the_noise():
    """x0 = x / alpha in one step from s = 1: samples are the coloured start, of power nu."""
    noise = noise_spectrum("exponential", (4, 4), decay=2.0)
    data = noise.color(np.random.default_rng(0).normal(size=(600, 4, 4)))
    plan = sx.plan("ddim", sx.NoiseSchedule.from_sigmas([1.0, 0.0]), process="ve")
    reference = sx.evaluate.Reference.of(data, measures=["frechet"])

    def distance(noise):
        rows = sx.evaluate.evaluate_schedules(
            {"one": plan}, lambda x, alpha, sigma: x / alpha, reference, noise=noise
        )
        return rows[0].values["frechet"].value

    # Of Gaussians with the variances nu and 1 in one basis: sum (sqrt(nu) - 1)^2.
    apart = ((np.asarray(noise.weights) - 1) ** 2).sum()
    assert distance(noise) < 0.2 * apart
    assert distance(None) > 0.8 * apart
