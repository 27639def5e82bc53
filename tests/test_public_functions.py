"""Every public function that computes: the same numbers eagerly, traced and with JAX arguments.

A row of CASES is a function and what makes its arguments, of a seed: the numbers differ, shapes and
names do not. Functions that read files or folders, or that learn through a network, are in tests of
their own.
"""

import gc
import weakref

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest

import specjax as sx
from specjax.sampling.corrections import corrected_plan
from specjax.sampling.step import Row
from specjax.spectra.basis import DenseBasis
from specjax.spectra.response import Measured

# Sums in float32 over some tens of steps; float64 with JAX's kernels instead of NumPy's.
RTOL = {"float32": 2e-4, "float64": 1e-9}
D, SHAPE = 6, (2, 3)
LEVELS = np.linspace(-8.0, 8.0, 9)


def rng(seed):
    return np.random.default_rng(seed)


def basis(seed):
    return DenseBasis(np.linalg.qr(rng(seed).normal(size=(D, D)))[0], SHAPE)


def spectrum(seed):
    return sx.Spectrum(
        np.sort(rng(seed).uniform(0.1, 4, D))[::-1].copy(), rng(seed).normal(size=D),
        basis=basis(seed), source={"name": "a test"},
    )  # fmt: skip


def schedule(seed):
    return sx.NoiseSchedule(np.append(np.sort(rng(seed).uniform(-9, 5, 5)), np.inf))


def noise(seed):
    """Noise that leaves out the constant."""
    weights = np.abs(rng(seed).normal(size=(2, 3))) + 0.5
    weights[0, 2] = weights[0, 1]
    weights[1, 2] = weights[1, 1]
    weights[0, 0] = 0.0
    return sx.NoiseSpectrum(weights, SHAPE)


def under(seed):
    return sx.effective(spectrum(seed), noise(seed))


def response(seed):
    lam = spectrum(seed).eigenvalues
    gain = lam / (lam + np.exp(-LEVELS)[:, None])
    return Measured.from_levels(lam, LEVELS.copy(), 0.9 * gain, 0.1 * (1 - gain))


def batch(seed):
    return rng(seed).normal(size=(4, *SHAPE))


def level(seed):
    return np.asarray(0.8), np.asarray(rng(seed).uniform(0.3, 0.9))


def network(x, at):
    return 0.1 * x * at


def mixture(seed):
    means, variances = rng(seed).normal(size=(3, D)), rng(seed).uniform(0.1, 1, (3, D))
    return sx.priors.Mixture(np.array([0.2, 0.3, 0.5]), means, variances)


CASES = {
    "loss": (lambda s, x: sx.loss(s, x), (spectrum, schedule)),
    "loss of ddpm, kl": (
        lambda s, x: sx.loss(s, x, sampler="ddpm", loss="kl", process="ve"),
        (spectrum, schedule),
    ),
    "loss under a noise": (lambda s, x: sx.loss(s, x), (under, schedule)),
    "loss of a measured denoiser": (
        lambda s, x, r: sx.loss(s, x, denoiser=r, denoiser_error=0.1),
        (spectrum, schedule, response),
    ),
    "transfer": (lambda s, x: sx.transfer(sx.plan("heun", x), s), (spectrum, schedule)),
    "plan": (lambda x: sx.plan("dpmpp_2m_sde", x, eta=0.5), (schedule,)),
    "corrected_plan": (
        lambda x, c: corrected_plan(x.logsnr, sx.Corrections(c, c[:, None] / 9), "vp"),
        (schedule, lambda seed: rng(seed).normal(size=5) / 9),
    ),
    "advance": (
        lambda r, k, d: sx.advance(r, Row(d[0], d[0], k, k[0], k[1]), d, d),
        (
            lambda seed: rng(seed).normal(size=(2, 4)),
            lambda seed: rng(seed).normal(size=(2, 2)),
            lambda seed: rng(seed).normal(size=4),
        ),
    ),
    "schedule": (lambda x: (x.alpha_bar, x.sigmas, x.flow_time[:-1]), (schedule,)),
    "wiener": (lambda s, x, at: sx.wiener(s)(x, *at), (spectrum, batch, level)),
    "wiener under a noise": (lambda s, x, at: sx.wiener(s)(x, *at), (under, batch, level)),
    "linearised": (
        lambda s, r, x, at: sx.linearised(s, r)(x, *at),
        (spectrum, response, batch, level),
    ),
    "from_eps": (lambda x, at: sx.from_eps(network)(x, *at), (batch, level)),
    "from_v": (lambda x, at: sx.from_v(network)(x, *at), (batch, level)),
    "from_edm": (lambda x, at: sx.from_edm(network, sigma_data=0.5)(x, *at), (batch, level)),
    "color": (lambda n, x: n.color(x), (noise, batch)),
    "whiten": (lambda n, x: n.whiten(x), (noise, batch)),
    "score": (lambda n, x, at: n.score(x, 0.1 * x, *at), (noise, batch, level)),
    "project and lift": (lambda s, x: s.lift(s.project(x)) + s.project(x).sum(), (under, batch)),
    "floor": (lambda s: s.floor(1.0).eigenvalues, (spectrum,)),
    "gaussian prior": (
        lambda s, x, at: sx.priors.Gaussian(s)(s.project(x), *at),
        (spectrum, batch, level),
    ),
    "mixture prior": (
        lambda p, x, at: p(x.reshape(4, D), *at) + p.project(x.reshape(4, D)),
        (mixture, batch, level),
    ),
}


def numbers(tree):
    return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree)]


def same(found, wanted, rtol):
    found, wanted = numbers(found), numbers(wanted)
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        scale = np.abs(other).max(initial=0.0)
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol * scale)


def made(name, seed=0):
    function, makers = CASES[name]
    return function, [maker(seed) for maker in makers]


every_function = pytest.mark.parametrize("name", CASES)


@pytest.mark.thorough
@every_function
def test_numbers_are_the_same_traced_and_with_jax_arguments(name):
    function, args = made(name)
    wanted = function(*args)
    constant = jax.jit(lambda c: jax.tree.map(lambda x: c * x, function(*args)))(1.0)
    same(constant, wanted, RTOL["float32"])
    scanned = jax.lax.scan(lambda c, _: (c, function(*args)), 0.0, None, length=2)[1]
    same(jax.tree.map(lambda x: x[1], scanned), wanted, RTOL["float32"])
    with jax.enable_x64(True):
        given = jax.tree.map(jnp.asarray, args)
        eager = function(*given)
        assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(eager))
        same(eager, wanted, RTOL["float64"])
        same(jax.jit(function)(*given), wanted, RTOL["float64"])


@pytest.fixture
def compilations():
    count = []

    def listener(event, *_, **__):
        if "backend_compile" in event:
            count.append(event)

    jax.monitoring.register_event_duration_secs_listener(listener)
    yield count
    jax.monitoring.unregister_event_duration_listener(listener)


@pytest.mark.thorough
@every_function
def test_a_second_call_compiles_nothing_and_nothing_is_kept_alive(name, compilations):
    function, args = made(name)
    jax.block_until_ready(jax.tree.leaves(function(*args)))
    others = made(name, seed=1)[1]
    del compilations[:]
    jax.block_until_ready(jax.tree.leaves(function(*others)))
    assert compilations == []
    watched = [weakref.ref(leaf) for leaf in jax.tree.leaves(args) if leaf.ndim]
    del args
    gc.collect()
    assert [ref() is None for ref in watched] == [True] * len(watched)


@pytest.mark.thorough
def test_a_fit_can_be_a_constant_of_somebody_elses_program():
    wanted = sx.fit(spectrum(0), 3)
    assert jax.jit(lambda c: c * sx.fit(spectrum(0), 3).value)(1.0) == pytest.approx(wanted.value)
    best = jax.jit(lambda c: c * sx.limits.gaussian(spectrum(0), 2))(1.0)
    assert best == pytest.approx(sx.limits.gaussian(spectrum(0), 2), abs=1e-9)
    levels = jax.jit(lambda c: c * sx.spectral(spectrum(0), 3).logsnr[:-1])(1.0)
    same(levels, sx.spectral(spectrum(0), 3).logsnr[:-1], RTOL["float32"])


VALUES = {
    "spectrum": spectrum, "under a noise": under, "noise": noise, "mixture": mixture,
    "response": response, "schedule": schedule,
    "prior": lambda seed: sx.priors.Gaussian(spectrum(seed)),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_a_flattened_value_loses_nothing(name):
    value = VALUES[name](0)
    again = jax.tree.map(lambda x: x, value)
    assert type(again) is type(value)
    for field in vars(value):
        if field.startswith("_"):
            continue
        before, after = getattr(value, field), getattr(again, field)
        if isinstance(before, np.ndarray):
            np.testing.assert_array_equal(after, before)
        else:
            assert (after is None) == (before is None), field
    if hasattr(value, "source"):
        assert again.source == value.source
    if hasattr(value, "fingerprint"):
        assert again.fingerprint == value.fingerprint
