"""Corrections: the samplers that can be learned, written as numbers added to DDIM's steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import one_line
from hypothesis import given, settings
from hypothesis import strategies as st

import specjax as sx
from specjax.fitting.learned import PlanResult
from specjax.sampling.corrections import (
    LEARNABLE,
    Corrections,
    check_learnable,
    corrected_plan,
    corrections_of,
)
from specjax.sampling.samplers import SAMPLERS
from specjax.sampling.scaled import level_steps

CASES = [
    ("ddim", {}),
    ("ddim", {"eta": 0.5}),
    ("ddim", {"eta": 1.0}),
    ("ddpm", {}),
    ("ddpm", {"variance": "beta"}),
    ("euler_ancestral", {}),
    ("euler_ancestral", {"eta": 0.3}),
    ("dpmpp_2m", {}),
    ("dpmpp_2m_sde", {}),
    ("dpmpp_2m_sde", {"eta": 0.4}),
    ("dpmpp_3m", {}),
    ("unipc", {}),
    ("unipc", {"order": 1}),
]
WITH_MORE = {"heun", "lms", "deis", "ipndm"}
SPECTRUM = sx.Spectrum([30.0, 2.0, 0.4, 0.01], [0.7, -1.0, 0.2, 0.0])
ROUNDING = 1e-11  # relative, float64: 1 - r and its inverse cost a digit or two


def levels(clean, steps=6):
    return sx.family("cosine", steps, alpha_bar_range=(4e-5, clean))


def nonlinear(x, alpha, sigma):
    s = sigma / alpha
    xp = jnp if isinstance(x, jax.Array) else np
    return xp.tanh(1.5 * x / alpha / (1 + s)) + 0.1 * xp.cos(x / alpha) / (1 + s**2)


def run(plan, denoise, start, noise):
    """The equation of a plan, in NumPy."""
    r = np.zeros((plan.registers, *np.shape(start)))
    r[0] = plan.start * start
    for k in range(plan.calls):
        d = denoise(r[0], plan.alpha[k], plan.sigma[k])
        r = np.tensordot(plan.keep[k], r, 1) + np.multiply.outer(plan.pull[k], d)
        r = r + np.multiply.outer(plan.push[k], noise[k])
    return r[0]


def as_corrections(sampler, options, schedule, process, memory=None):
    by = corrections_of(SAMPLERS[sampler](**options), level_steps(schedule.logsnr, process))
    return by if memory is None else by.remembering(memory)


@pytest.mark.parametrize(("sampler", "options"), CASES)
def test_a_sampler_is_its_corrections(sampler, options):
    for process, clean in (("vp", 1.0), ("ve", 0.9999), ("vp", 0.9999), ("ve", 1.0)):
        check_corrections(sampler, options, process, clean)


def check_corrections(sampler, options, process, clean):
    schedule = levels(clean)
    own = sx.plan(sampler, schedule, process, **options)
    expected = sx.transfer(own, SPECTRUM)
    start, *noise = np.random.default_rng(0).standard_normal((7, 12))
    drawn = run(own, nonlinear, start, noise)
    for memory in (None, 2):
        by = as_corrections(sampler, options, schedule, process, memory)
        plan = corrected_plan(schedule.logsnr, by, process)
        assert plan.stochastic == own.stochastic
        found = sx.transfer(plan, SPECTRUM)
        for name in ("gain", "mean_gain", "variance"):
            np.testing.assert_allclose(
                getattr(found, name), getattr(expected, name), rtol=ROUNDING, atol=1e-14
            )
        again = run(plan, nonlinear, start, noise)
        np.testing.assert_allclose(again, drawn, rtol=ROUNDING, atol=1e-12)


@pytest.mark.thorough
def test_and_so_is_what_sample_draws():
    schedule = levels(1.0)
    by = as_corrections("dpmpp_2m_sde", {}, schedule, "vp", 2)
    plans = sx.plan("dpmpp_2m_sde", schedule), corrected_plan(schedule.logsnr, by, "vp")
    with jax.enable_x64(True):
        key = jax.random.key(1)
        own, again = (sx.sample(plan, nonlinear, key, (3, 4)) for plan in plans)
    np.testing.assert_allclose(again, own, rtol=ROUNDING, atol=1e-12)


def test_all_others_call_twice_a_step_or_remember_slopes():
    assert {sampler for sampler, _ in CASES} == set(LEARNABLE) == set(SAMPLERS) - WITH_MORE


def test_published_numbers():
    # The module's docstring, from 2010.02502 (DDIM), 2006.11239 (posterior), 2211.01095 (2M).
    schedule = levels(1.0)
    h = np.diff(schedule.logsnr[:-1])
    ddim = as_corrections("ddim", {}, schedule, "vp")
    assert np.abs(ddim.ratio).max() < 1e-12
    assert ddim.weights.shape == (6, 0)
    posterior = as_corrections("ddpm", {}, schedule, "vp")
    np.testing.assert_allclose(posterior.ratio[:-1], -h / 2, rtol=1e-9)
    np.testing.assert_allclose(posterior.noise, [1, 1, 1, 1, 1, 0], rtol=1e-9)
    two = as_corrections("dpmpp_2m", {}, schedule, "vp")
    np.testing.assert_allclose(two.weights[1:-1, 0], -h[1:] / (2 * h[:-1]), rtol=1e-9)
    np.testing.assert_allclose(two.weights[[0, -1], 0], 0, atol=1e-15)


NUMBER = st.floats(-3, 3)


@st.composite
def steps_and_corrections(draw):
    steps, memory = draw(st.integers(1, 6)), draw(st.integers(0, 2))
    gaps = draw(st.lists(st.floats(0.05, 6), min_size=steps, max_size=steps))
    logsnr = -9.0 + np.cumsum([0.0, *gaps])
    numbers = [draw(NUMBER) for _ in range(steps * (2 + memory))]
    ratio, noise, weights = np.split(np.array(numbers), [steps, 2 * steps])
    return logsnr, Corrections(ratio, weights.reshape(steps, memory), np.abs(noise))


@pytest.mark.thorough
@given(steps_and_corrections(), st.sampled_from(["vp", "ve"]), NUMBER, NUMBER)
@settings(max_examples=60)
def test_a_constant_answer_is_reached_whatever_the_corrections(made, process, answer, start):
    logsnr, by = made
    steps = len(logsnr) - 1
    noise = np.random.default_rng(0).standard_normal(steps)
    clean = np.append(logsnr[:-1], np.inf)
    plan = corrected_plan(clean, by, process)
    found = run(plan, lambda *level: answer, start, noise)
    assert abs(found - answer) < 1e-9
    # An end with noise: without pushes, y - answer shrinks by the product of e^c s' / s.
    still = Corrections(by.ratio, by.weights)
    plan = corrected_plan(logsnr, still, process)
    found = run(plan, lambda *level: answer, start, noise)
    s, vp = np.exp(-logsnr / 2), process == "vp"
    alpha = 1 / np.sqrt(1 + s**2) if vp else np.ones_like(s)
    begin = start / alpha[0] if vp else start * s[0]
    expected = answer + np.exp(by.ratio.sum()) * s[-1] / s[0] * (begin - answer)
    assert abs(found / alpha[-1] - expected) < 1e-9 * (1 + abs(begin) * np.exp(abs(by.ratio).sum()))


def test_the_pushed_noise_has_the_stated_size():
    schedule = levels(0.9999)
    g = np.array([0.0, 0.5, 1.0, 1.5, 0.2, 2.0])
    plan = corrected_plan(schedule.logsnr, Corrections(0 * g, np.zeros((6, 0)), g), "ve")
    sigmas = np.exp(-np.asarray(schedule.logsnr) / 2)
    # p = g s' sqrt(1 - e^-h) = g s' sqrt(1 - s'^2 / s^2)
    expected = g * sigmas[1:] * np.sqrt(1 - (sigmas[1:] / sigmas[:-1]) ** 2)
    np.testing.assert_allclose(plan.push[:, 0], expected, rtol=1e-12)


def test_weights_of_estimates_that_do_not_exist_yet_do_nothing():
    schedule, rng = levels(1.0), np.random.default_rng(3)
    ratio, weights = rng.standard_normal(6) / 5, rng.standard_normal((6, 2)) / 5
    wild = weights.copy()
    wild[0], wild[1, 1] = np.nan, 1e30
    plans = [corrected_plan(schedule.logsnr, Corrections(ratio, w), "vp") for w in (weights, wild)]
    for a, b in zip(*(plan.rows for plan in plans), strict=True):
        np.testing.assert_array_equal(a, b)


def test_memory_is_widened_by_zeros_and_cut():
    by = Corrections(np.zeros(2), np.array([[1.0], [2.0]]))
    np.testing.assert_array_equal(by.remembering(2).weights, [[1, 0], [2, 0]])
    np.testing.assert_array_equal(by.remembering(0).weights, np.zeros((2, 0)))
    assert by.remembering(2).memory == 2


@pytest.mark.thorough
@pytest.mark.parametrize(("sampler", "options"), [("ddim", {}), ("dpmpp_2m_sde", {})])
def test_gradients_agree_with_finite_differences(sampler, options):
    def value(parts):
        gaps, ratio, weights, noise = parts
        logsnr = jnp.concatenate([jnp.array([-9.0]), -9 + jnp.cumsum(gaps), jnp.array([jnp.inf])])
        own = corrections_of(SAMPLERS[sampler](**options), level_steps(logsnr, "vp")).remembering(2)
        pushed = None if own.noise is None else own.noise * jnp.exp(noise)
        by = Corrections(own.ratio + ratio, own.weights + weights, pushed)
        return jnp.sum(sx.transfer(corrected_plan(logsnr, by, "vp"), SPECTRUM).variance)

    rng = np.random.default_rng(0)
    parts = [rng.uniform(1, 4, 4), *(rng.standard_normal(n) / 5 for n in (5, (5, 2), 5))]
    with jax.enable_x64(True):
        parts = [jnp.asarray(x) for x in parts]
        slope = jax.jit(jax.grad(value))(parts)
        value = jax.jit(value)  # traced: levels, too, are arguments
        assert all(np.isfinite(x).all() for x in slope)
        for i, x in enumerate(parts):
            way = jnp.asarray(rng.standard_normal(x.shape))
            high, low = (
                value([y + e * way if j == i else y for j, y in enumerate(parts)])
                for e in (1e-5, -1e-5)
            )
            expected = (high - low) / 2e-5
            assert abs((slope[i] * way).sum() - expected) < 1e-6 * (1 + abs(expected))


def test_a_result_has_its_plan_in_both_processes():
    # From the same noise VP starts at y = v sqrt(1 + s^2), VE at v s; all else is the same.
    schedule, rng = levels(1.0), np.random.default_rng(1)
    by = Corrections(rng.standard_normal(6) / 9, rng.standard_normal((6, 1)) / 9)
    result = PlanResult(
        schedule=schedule, corrections=by, sampler="ddim", process="vp", groups=("ratios",),
        value=0.0, history=np.zeros((0, 2)),
    )  # fmt: skip
    vp, ve = (sx.transfer(result.plan_in(p), SPECTRUM) for p in ("vp", "ve"))
    s = np.exp(-float(schedule.logsnr[0]) / 2)
    np.testing.assert_allclose(vp.gain / ve.gain, np.sqrt(1 + s**2) / s, rtol=1e-9)
    np.testing.assert_allclose(vp.mean_gain, ve.mean_gain, rtol=1e-6, atol=1e-9)
    assert "process = 'edm'" in one_line(result.plan_in, "edm")


def test_samplers_of_other_forms_are_refused_with_the_remedy():
    for sampler in ("heun", "lms"):
        text = one_line(check_learnable, SAMPLERS[sampler])
        assert f"sampler = {sampler!r}" in text
        assert "groups = ('levels',)" in text
