"""Losses that see frequencies, against NumPy and PyWavelets."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt
from checks import one_line

from specjax.nn.losses import FREQUENCY_LOSSES, wavelet
from specjax.nn.wavelets import bands, most_scales

# Float32: FFTs of at most 256 numbers, sums of a few hundred.
RTOL = 2e-5

SHAPES = [(2, 8, 6, 1), (2, 7, 5, 3), (3, 16, 1), (2, 9, 2), (2, 1, 4, 1)]
LOSSES = {name: jax.jit(row.value) for name, row in FREQUENCY_LOSSES.items()} | {
    "bior1.3": jax.jit(partial(wavelet, name="bior1.3", scales=2)),
}
AMPLITUDE, PHASE = LOSSES["amplitude"], LOSSES["amplitude_phase"]


def pair(shape, seed=0):
    """An estimate and a clean sample, with different amplitudes and phases."""
    random = np.random.default_rng(seed)
    clean = random.normal(size=shape)
    return 0.7 * clean + 0.5 * random.normal(size=shape), clean


def each_channel(shape):
    return [(i, c) for i in range(shape[0]) for c in range(shape[-1])]


def fourier(x):
    """[n, channel, *all frequencies], a channel at a time."""
    parts = [
        np.fft.fftn(x[i, ..., c]) / np.sqrt(x[i, ..., c].size) for i, c in each_channel(x.shape)
    ]
    return np.reshape(parts, (len(x), x.shape[-1], *x.shape[1:-1]))


def mean(x):
    return x.reshape(len(x), -1).mean(1)


@pytest.mark.parametrize("shape", SHAPES)
def test_amplitudes_are_those_of_numpy(shape):
    estimate, clean = pair(shape)
    expected = mean(np.abs(np.abs(fourier(clean)) - np.abs(fourier(estimate))))
    np.testing.assert_allclose(AMPLITUDE(*map(jnp.asarray, (estimate, clean))), expected, RTOL)


@pytest.mark.parametrize("shape", SHAPES)
def test_phases_are_those_of_numpy(shape):
    estimate, clean = pair(shape)
    a, b = fourier(clean), fourier(estimate)
    turned = (np.angle(a) - np.angle(b) + np.pi) % (2 * np.pi) - np.pi
    expected = mean(np.abs(np.abs(a) - np.abs(b)) * (1 + np.abs(turned)))
    found = PHASE(*map(jnp.asarray, (estimate, clean)))
    np.testing.assert_allclose(found, expected, RTOL)
    assert (expected > 1.1 * mean(np.abs(np.abs(a) - np.abs(b)))).any()


def test_a_difference_of_phases_is_wrapped():
    """Two waves of amplitudes a, b: sqrt(T) / 2 times these at two of T frequencies."""
    T, k, a, b = 24, 3, 1.0, 0.6
    waves = [r * np.cos(2 * np.pi * k * np.arange(T) / T + p) for r, p in ((a, 3.0), (b, -3.0))]
    clean, estimate = (jnp.asarray(w, jnp.float32).reshape(1, T, 1) for w in waves)
    error = 2 * (np.sqrt(T) / 2) * (a - b) / T
    np.testing.assert_allclose(AMPLITUDE(estimate, clean), [error], rtol=1e-4)
    expected = error * (1 + 2 * np.pi - 6)
    np.testing.assert_allclose(PHASE(estimate, clean), [expected], rtol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shift_moves_phases_alone(shape):
    _, clean = pair(shape)
    moved = np.roll(clean, (1, 2)[: len(shape) - 2], tuple(range(1, len(shape) - 1)))
    moved, clean = jnp.asarray(moved, jnp.float32), jnp.asarray(clean, jnp.float32)
    assert float(jnp.max(AMPLITUDE(moved, clean))) < 1e-6
    assert float(jnp.max(PHASE(moved, clean))) < 5e-6


def test_a_mean_does_not_depend_on_the_size():
    """White samples, estimate 0: E|z| is sqrt(pi)/2 at complex frequencies, sqrt(2/pi) at real."""
    for side in (4, 17):
        clean = np.random.default_rng(side).normal(size=(400, side, side, 1)).astype(np.float32)
        real = 4 if side % 2 == 0 else 1
        at_real, at_complex = np.sqrt(2 / np.pi), np.sqrt(np.pi) / 2
        expected = at_complex + (at_real - at_complex) * real / side**2
        found = np.asarray(AMPLITUDE(jnp.zeros_like(clean), jnp.asarray(clean)))
        assert abs(found.mean() - expected) < 4 * found.std() / np.sqrt(len(found))


def of_pywt(x, name, scales):
    """Sub-bands of one channel [*sides], approximation first."""
    transform = pywt.wavedec if x.ndim == 1 else pywt.wavedec2
    first, *rest = transform(x, name, "periodization", scales)
    return [first, *(b for scale in rest for b in (scale if x.ndim == 2 else [scale]))]


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:Level value of")  # PyWavelets, of sides below the filter
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("haar", (2, 8, 16, 3)), ("haar", (1, 7, 13, 2)), ("haar", (2, 11, 1)),
        ("bior1.3", (2, 8, 16, 3)), ("bior1.3", (1, 7, 13, 2)), ("bior1.3", (2, 32, 2)),
        ("bior1.3", (1, 4, 5, 1)), ("db4", (2, 6, 3)),
    ],
)  # fmt: skip
def test_sub_bands_are_those_of_pywavelets(name, shape):
    """At all scales, of which the last sides are shorter than a filter."""
    estimate, clean = (np.asarray(x, np.float32) for x in pair(shape))
    scales = most_scales(shape[1:-1])
    found = jax.jit(partial(bands, wavelet=name, scales=scales))(clean)
    total = np.zeros(len(clean))
    for i, c in each_channel(shape):
        both = [of_pywt(x[i, ..., c].astype(float), name, scales) for x in (clean, estimate)]
        flat = [b for scale in found for b in scale]
        for own, expected, other in zip(flat, *both, strict=True):
            np.testing.assert_allclose(own[i, ..., c], expected, atol=1e-5)
            total[i] += np.abs(expected - other).sum()
    loss = jax.jit(partial(wavelet, name=name, scales=scales))(estimate, clean)
    np.testing.assert_allclose(loss, total / np.prod(shape[1:]), RTOL)


@pytest.mark.thorough
@pytest.mark.parametrize("shape", [(1, 6, 5, 2), (1, 9, 1)])
@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_finite_differences(name, shape):
    with jax.enable_x64(True):
        estimate, clean = (jnp.asarray(x) for x in pair(shape, seed=3))
        gradient = jax.jit(jax.grad(lambda x: LOSSES[name](x, clean)[0]))(estimate)
        steps = 1e-6 * np.eye(estimate.size).reshape(-1, *shape[1:])
        both = [np.asarray(LOSSES[name](estimate + d, jnp.broadcast_to(clean, d.shape)))
                for d in (steps, -steps)]  # fmt: skip
        np.testing.assert_allclose(np.ravel(gradient), (both[0] - both[1]) / 2e-6, 1e-6, 1e-8)


@pytest.mark.thorough
@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_where_an_amplitude_is_zero(name):
    """At 0, at a constant (one amplitude), at equal inputs, where the gradient is 0."""
    _, drawn = pair((2, 8, 7, 2))
    drawn = jnp.asarray(drawn, jnp.float32)
    gradient = jax.jit(jax.grad(lambda x, clean: LOSSES[name](x, clean).sum()))
    nothing, constant = jnp.zeros_like(drawn), jnp.full_like(drawn, 0.3)
    for estimate in (nothing, constant, drawn, 1e-30 * drawn):
        for clean in (nothing, constant, drawn, 1e-30 * drawn):
            found = gradient(estimate, clean)
            assert bool(jnp.isfinite(found).all())
            if estimate is clean:
                np.testing.assert_array_equal(found, 0)


def test_faint_amplitudes_have_no_phase():
    """The clean sample is one wave; the estimate's other waves, and a wave of 1e-4, are faint."""
    t = 2 * np.pi * np.arange(16) / 16
    clean = np.cos(t)
    for size, told in ((0.5, 1 + np.pi / 2), (1e-4, 1.0)):
        estimate = jnp.asarray(size * np.sin(t), jnp.float32).reshape(1, 16, 1)
        found = PHASE(estimate, jnp.asarray(clean, jnp.float32).reshape(1, 16, 1))
        np.testing.assert_allclose(found, [told * 2 * 2 * (1 - size) / 16], rtol=1e-4)
    # Their size is relative: the units of the data do not matter.
    with jax.enable_x64(True):
        one, other = map(jnp.asarray, pair((2, 8, 8, 1)))
        scaled = PHASE(1e-5 * one, 1e-5 * other)
        np.testing.assert_allclose(scaled, 1e-5 * PHASE(one, other), rtol=1e-9)


@pytest.mark.thorough
def test_channels_and_samples_are_by_themselves():
    estimate, clean = (np.asarray(x, np.float32) for x in pair((3, 8, 6, 2)))
    for loss in LOSSES.values():
        alone = [loss(estimate[i : i + 1, ..., c : c + 1], clean[i : i + 1, ..., c : c + 1])[0]
                 for i, c in each_channel(clean.shape)]  # fmt: skip
        np.testing.assert_allclose(loss(estimate, clean), np.reshape(alone, (3, 2)).mean(1), RTOL)


def test_what_wavelets_refuse():
    x = jnp.ones((1, 8, 6, 1))
    for name in ("harr", "morl"):  # unknown; continuous
        assert f"wavelet = '{name}'" in one_line(wavelet, x, x, name=name)
    assert "wavelet_scales = 4" in one_line(wavelet, x, x, scales=4)
    assert "wavelet_scales = 1" in one_line(wavelet, x[:, :1], x[:, :1], scales=1)
