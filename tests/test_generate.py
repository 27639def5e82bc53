import gc
import importlib
import itertools
import os
import subprocess
import sys
import weakref

import checks
import equinox
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

import specjax as sx
from specjax.sampling.generate import generate
from specjax.sampling.programs import program_of

core = importlib.import_module("specjax.sampling.generate")

SAMPLES = 20_000
SIGMAS = 5.0  # standard errors; about 100 comparisons in this file
SPECTRUM = sx.Spectrum([9.0, 0.5, 0.01], [1.0, -2.0, 0.3])
SCHEDULE = sx.NoiseSchedule([-6.0, -2.0, 0.5, 3.0, np.inf])
OTHER = sx.NoiseSchedule([-7.0, -3.0, 1.0, 2.0, np.inf])

# Batches of other sizes sum in another order: some roundings of numbers up to 100 (heun's slopes).
RTOL, ATOL = 1e-5, 1e-5


def wiener_eps(x, logsnr):
    """The noise in x as the Wiener estimate of a VP process sees it."""
    alpha, sigma = jnp.sqrt(jax.nn.sigmoid(logsnr)), jnp.sqrt(jax.nn.sigmoid(-logsnr))
    return (x - alpha * sx.wiener(SPECTRUM)(x, alpha, sigma)) / sigma


def wiener_v(x, logsnr):
    alpha, sigma = jnp.sqrt(jax.nn.sigmoid(logsnr)), jnp.sqrt(jax.nn.sigmoid(-logsnr))
    return (x - sigma * wiener_eps(x, logsnr)) / alpha * -sigma + alpha * wiener_eps(x, logsnr)


def wiener_f(scaled, c_noise, sigma_data=0.5):
    s = jnp.exp(4 * c_noise)
    total = s**2 + sigma_data**2
    x = scaled * jnp.sqrt(total)
    estimate = sx.wiener(SPECTRUM)(x, jnp.ones(()), s)
    return (estimate - sigma_data**2 / total * x) * jnp.sqrt(total) / (s * sigma_data)


WIENER = {
    "x0": sx.wiener(SPECTRUM),
    "eps": sx.from_eps(wiener_eps),
    "v": sx.from_v(wiener_v),
    "f": sx.from_edm(wiener_f, sigma_data=0.5),
}


FORMS = list(itertools.product(WIENER, ["ddim", "ddpm", "heun", "dpmpp_2m_sde"], ["vp", "ve"]))
FORMS = [  # every form, sampler and process by default, but not all their combinations
    pytest.param(*case, marks=() if i in (0, 11, 20, 31) else pytest.mark.thorough)
    for i, case in enumerate(FORMS)
]


@pytest.mark.thorough
@pytest.mark.parametrize(("form", "sampler", "process"), FORMS)
def test_the_wiener_estimate_reproduces_transfer(form, sampler, process):
    plan = sx.plan(sampler, SCHEDULE, process)
    x = generate(plan, WIENER[form], SAMPLES, (3,), batch=SAMPLES // 2).astype(np.float64)
    want = sx.transfer(plan, SPECTRUM)
    mean_error = np.abs(x.mean(0) - want.mean_gain * SPECTRUM.mean) / want.std * SAMPLES**0.5
    assert mean_error.max() < SIGMAS
    variance_error = np.abs(x.var(0) / want.variance - 1) / np.sqrt(2 / SAMPLES)
    assert variance_error.max() < SIGMAS


@pytest.mark.thorough
@pytest.mark.parametrize("sampler", ["heun", "dpmpp_2m_sde"])
def test_a_sample_does_not_know_its_batch(sampler):
    plan = sx.plan(sampler, SCHEDULE)
    ten = generate(plan, WIENER["x0"], 10, (3,), seed=5, batch=10)
    for n, batch in [(10, 4), (10, None), (16, 16), (16, 3), (11, 1)]:
        more = generate(plan, WIENER["x0"], n, (3,), seed=5, batch=batch)
        np.testing.assert_allclose(more[:10], ten, rtol=RTOL, atol=ATOL)
    other = generate(plan, WIENER["x0"], 10, (3,), seed=6)
    assert not np.isclose(other, ten, rtol=1e-3, atol=0).any()


def starts(n, shape, seed=0):
    """The unit noise that samples start from: one step that returns it."""
    plan = sx.plan("ddim", sx.NoiseSchedule([-1.0, np.inf]))
    return generate(plan, lambda x, alpha, sigma: x, n, shape, seed=seed)


@pytest.mark.thorough
def test_noise_of_samples_and_calls_is_independent():
    # Along a plan of one register that only adds noise: x = start + the noise of two calls.
    ones, zeros = np.ones((2, 1)), np.zeros((2, 1))
    plan = sx.SamplerPlan(ones[:, 0], ones[:, 0], ones[..., None], zeros, ones, np.float64(1), True)
    first = sx.SamplerPlan(
        *(x[:1] for x in (ones[:, 0], ones[:, 0], ones[..., None], zeros, ones)),
        np.float64(1), True,
    )  # fmt: skip
    start = starts(4000, (2,))
    after = [start] + [generate(p, lambda x, a, s: 0 * x, 4000, (2,)) for p in (first, plan)]
    parts = np.stack([after[0], after[1] - after[0], after[2] - after[1]])  # [3, n, 2]
    columns = [*parts.transpose(0, 2, 1).reshape(6, -1), parts[0, ::-1, 0]]
    correlation = np.corrcoef(columns) - np.eye(7)
    assert np.abs(correlation).max() * 4000**0.5 < SIGMAS
    np.testing.assert_allclose(np.std(columns, axis=1), 1, atol=SIGMAS / np.sqrt(2 * 4000))


def by_hand(eps, start, levels):
    """DDIM in NumPy float64 (2010.02502, eq. 12 without noise); eps(x, alpha_bar)."""
    x = start.astype(np.float64)
    alpha_bar = 1 / (1 + np.exp(-levels))
    for now, after in itertools.pairwise(alpha_bar):
        e = eps(x, now)
        x0 = (x - np.sqrt(1 - now) * e) / np.sqrt(now)
        x = np.sqrt(after) * x0 + np.sqrt(1 - after) * e
    return x


W = np.array([[0.5, 0.1, 0.0], [-0.2, 0.7, 0.3], [0.0, 0.4, 0.9]], np.float32)


class LinenEps(linen.Module):
    @linen.compact
    def __call__(self, x, logsnr):
        return linen.Dense(3, use_bias=False)(x) * jax.nn.sigmoid(logsnr)


class EquinoxEps(equinox.Module):
    linear: equinox.nn.Linear
    gate: object  # a function among the leaves

    def __call__(self, x, logsnr):
        return jax.vmap(self.linear)(x) * self.gate(logsnr)


class NnxEps(nnx.Module):
    def __init__(self):
        self.w = nnx.Param(jnp.asarray(W))

    def __call__(self, x, logsnr):
        return x @ self.w[...] * jax.nn.sigmoid(logsnr)


def linen_eps():
    return jax.tree_util.Partial(LinenEps().apply, {"params": {"Dense_0": {"kernel": W}}})


def equinox_eps(w=W):
    linear = equinox.nn.Linear(3, 3, use_bias=False, key=jax.random.key(0))
    linear = equinox.tree_at(lambda m: m.weight, linear, jnp.asarray(w.T))
    return EquinoxEps(linear, jax.nn.sigmoid)


NETWORKS = {
    "linen": linen_eps,
    "linen, closed over": lambda: lambda x, t: linen_eps()(x, t),
    "equinox": equinox_eps,
    "nnx": NnxEps,
}


@pytest.mark.thorough
@pytest.mark.parametrize("network", NETWORKS)
def test_networks_of_every_library(network):
    got = generate(sx.plan("ddim", SCHEDULE), sx.from_eps(NETWORKS[network]()), 6, (3,), batch=4)
    levels = np.asarray(SCHEDULE.logsnr)
    want = by_hand(lambda x, a: x @ W * a, starts(6, (3,)), levels)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_a_network_of_discrete_times():
    table = np.random.default_rng(0).uniform(size=1000).astype(np.float32)

    def network(x, t):
        return x @ jnp.asarray(W) * jnp.asarray(table)[jnp.round(t).astype(int)]

    alpha_bar = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
    times = [900, 500, 100]
    levels = np.append(np.log(alpha_bar[times] / (1 - alpha_bar[times])), np.inf)
    denoise = sx.from_eps(network, level=sx.GRIDS["sd"].timestep_of_sigma)
    got = generate(sx.plan("ddim", sx.NoiseSchedule(levels)), denoise, 5, (3,))
    known = {float(a): table[t] for a, t in zip(alpha_bar[times], times, strict=True)}

    def eps(x, a):
        return x @ W * known[min(known, key=lambda b: abs(a - b))]

    np.testing.assert_allclose(got, by_hand(eps, starts(5, (3,)), levels), rtol=1e-4, atol=1e-3)


def counted():
    """A denoiser and the shapes that it was traced with."""
    traced = []

    def denoise(x, alpha, sigma):
        traced.append(x.shape)
        return 0.5 * x

    return denoise, traced


def test_on_a_cpu_one_compilation_serves_every_plan_of_its_registers():
    denoise, traced = counted()
    for schedule in (SCHEDULE, OTHER, sx.NoiseSchedule([-3.0, 0.0, np.inf])):
        generate(sx.plan("ddim", schedule), denoise, 10, (3,), batch=4)
    assert traced == [(4, 3)]
    generate(sx.plan("ddpm", SCHEDULE), denoise, 10, (3,), batch=4)  # with noise
    generate(sx.plan("heun", SCHEDULE), denoise, 10, (3,), batch=4)  # two registers
    assert traced == [(4, 3)] * 3


def test_the_scan_of_accelerators_gives_the_same_with_one_compilation(monkeypatch):
    denoise, traced = counted()
    plans = [sx.plan("dpmpp_2m_sde", schedule) for schedule in (SCHEDULE, OTHER)]
    want = [generate(plan, denoise, 10, (3,), batch=4) for plan in plans]
    traced.clear()
    monkeypatch.setattr(core, "_call_by_call", core._one_scan)
    got = [generate(plan, denoise, 10, (3,), batch=4) for plan in plans]
    assert traced == [(4, 3)]
    np.testing.assert_allclose(got, want, rtol=RTOL, atol=ATOL)


def compilations(caplog, call):
    """How many programs of a denoiser XLA compiles during a call."""
    caplog.clear()
    with jax.log_compiles(), caplog.at_level("WARNING"):
        call()
    return sum("Finished XLA compilation of jit(one_row)" in m for m in caplog.messages)


@pytest.mark.parametrize("place", ["default", "committed", "replicated"])
def test_xla_compiles_once_wherever_the_parameters_are(caplog, place):
    weights, device = jnp.full((3,), 0.5), jax.devices()[0]
    if place == "committed":
        weights = jax.device_put(weights, device)
    mesh = jax.sharding.Mesh(np.array([device]), ("data",))
    plan = sx.plan("dpmpp_2m_sde", SCHEDULE)

    def draw():
        denoise = Halving(weights, place)
        generate(plan, denoise, 10, (3,), batch=4, mesh=mesh if place == "replicated" else None)

    assert compilations(caplog, draw) == 1
    assert compilations(caplog, draw) == 0


class Halving(equinox.Module):
    w: jax.Array
    name: str  # no array, so part of the program

    def __call__(self, x, alpha, sigma):
        TRACED.append(self.name)
        return self.w * x


TRACED = []


def test_other_parameters_need_no_compilation():
    plan = sx.plan("ddim", sx.NoiseSchedule([-1.0, np.inf]))
    TRACED.clear()
    for w in (0.5, 3.0):
        got = generate(plan, Halving(jnp.asarray(w), "a"), 4, (3,))
        np.testing.assert_allclose(got, w * starts(4, (3,)), rtol=1e-6)
    generate(plan, Halving(jnp.asarray(1.0), "b"), 4, (3,))
    assert TRACED == ["a", "b"]


def test_a_closure_is_compiled_once_and_not_kept_alive():
    class Weights:
        scale = 2.0

    weights, traced = Weights(), []

    def made(weights):
        def denoise(x, alpha, sigma):
            traced.append(1)
            return weights.scale * x

        return denoise

    denoise, gone = made(weights), weakref.ref(weights)
    for _ in range(3):
        generate(sx.plan("ddim", SCHEDULE), denoise, 4, (3,))
    assert traced == [1]
    program = weakref.ref(program_of(denoise)[0].one_row)
    del denoise, weights
    gc.collect()
    assert gone() is None
    assert program() is None


class Unhashable:
    __hash__ = None

    def __call__(self, x, alpha, sigma):
        return 2 * x


def test_callables_without_a_hash():
    plan = sx.plan("ddim", sx.NoiseSchedule([-1.0, np.inf]))
    np.testing.assert_allclose(
        generate(plan, Unhashable(), 4, (3,)), 2 * starts(4, (3,)), rtol=1e-6
    )


def test_labels_go_with_their_samples():
    plan = sx.plan("ddim", sx.NoiseSchedule([-1.0, np.inf]))

    def denoise(x, alpha, sigma, labels):
        return x + 100 * labels[:, None]

    labels = np.arange(10) % 7
    got = generate(plan, denoise, 10, (3,), labels=labels, batch=4)
    np.testing.assert_allclose(got, starts(10, (3,)) + 100 * labels[:, None], rtol=1e-5)


def test_progress_rises_to_n_and_ctrl_c_passes_through():
    plan, calls = sx.plan("ddim", SCHEDULE), []
    want = generate(plan, WIENER["x0"], 10, (3,), batch=4)
    generate(plan, WIENER["x0"], 10, (3,), batch=4, progress=lambda *at: calls.append(at))
    done = [one for one, _ in calls]
    assert done == [1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 9, 10]  # 3 batches of 4 calls
    assert {n for _, n in calls} == {10}

    def stop(done, n):
        if done > 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(plan, WIENER["x0"], 10, (3,), batch=4, progress=stop)
    again = generate(plan, WIENER["x0"], 10, (3,), batch=4)
    np.testing.assert_array_equal(again, want)


@pytest.mark.thorough
def test_dtypes():
    plan = sx.plan("dpmpp_2m", SCHEDULE)
    single = generate(plan, WIENER["x0"], 8, (3,))
    assert single.dtype == np.float32
    half = generate(plan, WIENER["x0"], 8, (3,), dtype=jnp.bfloat16)
    assert half.dtype == jnp.bfloat16
    with jax.enable_x64(True):
        double = generate(plan, sx.wiener(SPECTRUM), 8, (3,), dtype=np.float64)
    assert double.dtype == np.float64


DEVICES = """
import jax, numpy as np, jax.numpy as jnp, specjax as sx
from specjax.sampling.generate import generate
plan = sx.plan("dpmpp_2m_sde", sx.NoiseSchedule([-6.0, -2.0, 0.5, 3.0, np.inf]))
kernel = jax.random.normal(jax.random.key(0), (3, 3, 1, 1)) / 3
def convolve(kernel, x, alpha, sigma):
    y = jax.lax.conv_general_dilated(x[..., None], kernel, (1, 1), "SAME",
                                     dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jnp.tanh(y[..., 0])
denoise = jax.tree_util.Partial(convolve, kernel)
one = generate(plan, denoise, 19, (8, 8), batch=19)
devices = np.array(jax.devices())
for mesh in (jax.sharding.Mesh(devices, ("data",)), jax.make_mesh((4, 2), ("data", "model"))):
    for batch in (None, 8):
        more = generate(plan, denoise, 19, (8, 8), mesh=mesh, batch=batch)
        np.testing.assert_allclose(more, one, rtol=1e-4, atol=1e-5)
everywhere = jax.sharding.NamedSharding(jax.make_mesh((8,), ("data",)), jax.P())
spread = jax.tree.map(lambda x: jax.device_put(x, everywhere), denoise)
np.testing.assert_allclose(generate(plan, spread, 19, (8, 8)), one, rtol=1e-4, atol=1e-5)
try:
    generate(plan, denoise, 19, (8, 8), mesh=jax.sharding.Mesh(devices, ("data",)), batch=12)
except ValueError as error:
    print(error)
print(len(devices))
"""


@pytest.mark.thorough
def test_eight_devices_give_what_one_gives():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", DEVICES], capture_output=True, text=True,
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "8"}, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "batch = 12 does not divide over 8 devices: give a multiple of 8", "8",
    ]  # fmt: skip


def test_the_default_batch(monkeypatch):
    cpu = jax.devices("cpu")[0]
    size = core.batch_size
    monkeypatch.setattr(core, "device_memory", lambda device: 2**40)
    # 4 batches of at most 256, and few sizes: 4, 5 or 6 times a power of two
    assert {size(n, (8, 8), 1, None, 1, cpu) for n in range(960, 1025)} == {256}
    assert len({size(n, (8, 8), 1, None, 1, cpu) for n in range(1, 2000)}) < 30
    assert size(10, (8, 8), 1, None, 8, cpu) == 16
    assert size(10, (8, 8), 1, 64, 1, cpu) == 10
    # 2,000 images of 3 MB each and a quarter of 128 GB: 5 at a time
    monkeypatch.setattr(core, "device_memory", lambda device: 128 * 2**30)
    assert size(1000, (512, 512, 3), 1, None, 1, cpu) == 5


def test_bad_input_names_the_argument():
    plan = sx.plan("ddim", SCHEDULE)
    for options in (
        {"n": 0}, {"seed": -1}, {"seed": 2**32}, {"batch": 0}, {"labels": [1, 2]},
        {"dtype": np.int32}, {"dtype": np.float64},
    ):  # fmt: skip
        given = {"n": 4, "shape": (3,), **options}
        text = checks.one_line(generate, plan, WIENER["x0"], **given)
        assert next(iter(options)) in text


class Counting(equinox.Module):
    w: jax.Array

    def __call__(self, x, level, labels):
        TRACED.append("adapted")
        return self.w * x + labels[:, None] * level


def test_an_adapted_network_keeps_its_parameters_as_arguments_and_takes_labels():
    # DDIM's one step from alpha_bar = 1/2 returns x0 = sqrt(2) x - eps.
    plan, labels = sx.plan("ddim", sx.NoiseSchedule([0.0, np.inf])), np.arange(4)
    TRACED.clear()
    for w in (0.5, 3.0):
        denoise = sx.from_eps(Counting(jnp.asarray(w)), level=jnp.ones_like)
        got = generate(plan, denoise, 4, (3,), labels=labels)
        want = (np.sqrt(2) - w) * starts(4, (3,)) - labels[:, None]
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    assert TRACED == ["adapted"]


@pytest.mark.thorough
def test_sample_i_of_generate_is_a_function_of_seed_and_i():
    denoise = WIENER["x0"]
    many = generate(sx.plan("ddpm", SCHEDULE), denoise, 3, (3,), seed=7)
    for i in range(3):
        key = jax.random.fold_in(jax.random.key(7), i)
        one = sx.sample(sx.plan("ddpm", SCHEDULE), denoise, key, (3,))
        np.testing.assert_allclose(many[i], one, rtol=1e-5, atol=1e-6)


def test_plans_of_different_length_start_from_the_same_noise():
    """A call at a level so clean that nothing changes gives back the start."""
    starts = []
    for sigmas in ([80.0, 79.0], [80.0, 79.9, 79.5, 79.0]):
        plan = sx.plan("ddim", sx.NoiseSchedule.from_sigmas(sigmas), "ve")
        starts.append(sx.sample(plan, lambda x, alpha, sigma: x, jax.random.key(0), (5,)))
    np.testing.assert_allclose(*starts, rtol=1e-5)
