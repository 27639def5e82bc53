import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_transfer import TABLE

from specjax import LOSSES, NoiseSchedule, Spectrum, plan, spectral, transfer
from specjax.gaussian.losses import evaluate

# Few sizes, so that few programs are compiled; up to the 1,000 steps of training grids.
STEPS = [1, 7, 1000]
NOISY = -10.1177
# By how many decades the widths of a schedule differ. In float32 levels must stay apart, and
# lms, which extrapolates a narrow step over a wide one, must not overflow.
DECADES = {"float64": 6.0, "float32": 1.5}

decades = st.lists(st.floats(-8, 4), min_size=4, max_size=4)
means = st.lists(st.floats(-10, 10), min_size=4, max_size=4)


@st.composite
def spectra(draw):
    """Four eigenvalues over twelve decades, up to three of them zero, with a mean."""
    eigenvalues = 10.0 ** np.array(draw(decades))
    eigenvalues[: draw(st.integers(0, 3))] = 0
    return Spectrum(eigenvalues, draw(means))


@st.composite
def schedules(draw, steps, dtype="float64"):
    """Levels far more uneven than a sensible one's, to either kind of end."""
    spread = draw(st.floats(0, DECADES[dtype])) / 2
    exponents = np.random.default_rng(draw(st.integers(0, 2**32))).uniform(-spread, spread, steps)
    widths = 10**exponents
    levels = NOISY + np.append(0, widths.cumsum()) / widths.sum() * draw(st.floats(4, 25))
    if draw(st.booleans()):
        levels[-1] = np.inf
    return levels


def floored(spectrum):
    """Zeros lifted as the losses that are infinite there ask for, within the twelve decades."""
    eigenvalues = spectrum.eigenvalues
    least = jnp.maximum(1e-6 * eigenvalues.max(), 1e-8)
    return Spectrum(jnp.where(eigenvalues > 0, eigenvalues, least), spectrum.mean)


def losses_of(numbers, spectrum):
    positive = floored(spectrum)
    pairs = (spectrum, transfer(numbers, spectrum)), (positive, transfer(numbers, positive))
    found = []
    for loss in LOSSES.values():
        on, moments = pairs[loss.needs_positive]
        found.append(evaluate(loss, moments, on))
    return jnp.stack(found)


@functools.cache
def gradients(index):
    """The losses and the gradient of their sum by the levels, compiled once a size and dtype."""
    sampler, options = TABLE[index]

    def total(logsnr, spectrum):
        found = losses_of(plan(sampler, NoiseSchedule(logsnr), **options), spectrum)
        return found.sum(), found

    return jax.jit(jax.grad(total, has_aux=True))


@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        pytest.param(*row, marks=[pytest.mark.thorough] * (i not in (0, 4, 6, 9)))
        for i, row in enumerate(TABLE)
    ],
)
@settings(max_examples=30)
@given(data=st.data(), steps=st.sampled_from(STEPS))
def test_moments_are_finite(sampler, options, steps, data):
    schedule, spectrum = NoiseSchedule(data.draw(schedules(steps))), data.draw(spectra())
    moments = transfer(plan(sampler, schedule, **options), spectrum)
    for numbers in (moments.gain, moments.mean_gain, moments.std, moments.variance):
        assert np.isfinite(numbers).all()
    assert (moments.variance >= 0).all()
    assert (moments.std >= abs(moments.gain) * (1 - 1e-12)).all()
    if schedule.ends_clean and sampler not in ("heun", "lms"):  # the last answer is the denoiser's
        np.testing.assert_array_equal(moments.mean_gain[spectrum.eigenvalues == 0], 1)
        np.testing.assert_array_equal(moments.variance[spectrum.eigenvalues == 0], 0)


# Each case is a compilation of a second or two: here one sampler of each kind of step.
CASES = [(6, 3, "float64"), (13, 3, "float64"), (9, 3, "float32")]
SLOW = [(i, n, dtype) for i in range(len(TABLE)) for n in (3, 64, 1000) for dtype in DECADES]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("index", "steps", "dtype"),
    CASES + [pytest.param(*case, marks=pytest.mark.slow) for case in SLOW if case not in CASES],
)
@settings(max_examples=15)
@given(data=st.data())
def test_losses_and_gradients_are_finite(index, steps, dtype, data):
    levels, spectrum = data.draw(schedules(steps, dtype)), data.draw(spectra())
    with jax.enable_x64(dtype == "float64"):
        spectrum = jax.tree.map(jnp.asarray, spectrum)
        both = gradients(index)(jnp.asarray(levels), spectrum)
    gradient, losses = (np.asarray(numbers) for numbers in both)
    assert losses.dtype == gradient.dtype == dtype
    assert np.isfinite(losses).all()
    assert (losses >= 0).all()
    assert np.isfinite(gradient[np.isfinite(levels)]).all()


@pytest.mark.parametrize("loss", ["w2", "kl", "l1"])  # every kind of importance
@settings(max_examples=30)
@given(steps=st.sampled_from(STEPS), spectrum=spectra(), clean=st.sampled_from([1.0, 0.9999]))
def test_the_spectral_schedule_is_monotone(loss, steps, spectrum, clean):
    schedule = spectral(spectrum, steps, loss=loss, alpha_bar_range=(4.0358e-5, clean))
    assert (np.diff(schedule.logsnr) > 0).all()
    np.testing.assert_allclose(schedule.alpha_bar[[0, -1]], [4.0358e-5, clean], rtol=1e-10)
