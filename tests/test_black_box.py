"""Denoisers that are never traced, around the closed form of a Gaussian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import one_line

import specjax as sx

SPECTRUM = sx.Spectrum([4.0, 1.0, 0.2], [0.3, 0.0, -1.0])
WIENER = jax.jit(sx.wiener(SPECTRUM))
SHAPE = (3,)


def rng(seed=0):
    return np.random.default_rng(seed)


def boxed(denoise=WIENER, **options):
    return sx.BlackBox(denoise, SHAPE, **options)


def test_calls_are_batches_of_float32_and_python_floats():
    seen = []

    def denoise(x, alpha, sigma):
        seen.append((len(x), x.dtype, type(x), type(alpha), type(sigma)))
        return x

    box = boxed(denoise, batch=8)
    box(rng().normal(size=(20, 3)), np.float64(0.6), jnp.float32(0.8))
    assert seen == [(n, np.dtype("f4"), np.ndarray, float, float) for n in (8, 8, 4)]
    assert box.answers == 20
    assert box(np.zeros((0, 3)), 1.0, 1.0).shape == (0, 3)
    assert box.answers == 20


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_answer_has_the_dtype_and_leading_axes_of_x(dtype):
    x = rng().normal(size=(2, 5, 3)).astype(dtype)
    got = boxed(batch=4)(x, 0.6, 0.8)
    assert (got.dtype, type(got)) == (np.dtype(dtype), np.ndarray)
    want = sx.wiener(SPECTRUM)(x.astype("f8"), 0.6, 0.8)
    np.testing.assert_allclose(got, want, rtol=2e-3 if dtype == "float16" else 1e-5, atol=1e-6)
    assert boxed()(x[0, 0], 0.6, 0.8).shape == SHAPE
    assert boxed()(jnp.asarray(x), 0.6, 0.8).shape == x.shape


@pytest.mark.parametrize("answer", [np.float16, np.float32, np.float64, jnp.bfloat16, jnp.float32])
def test_answers_of_any_float_are_taken(answer):
    x = np.full((4, 3), 1.5)  # exact in all of them
    like = (lambda x: jnp.asarray(x, answer)) if answer is jnp.float32 else (
        lambda x: x.astype(answer)
    )  # fmt: skip
    np.testing.assert_array_equal(boxed(lambda x, alpha, sigma: like(x))(x, 1.0, 1.0), x)


def test_a_function_may_write_into_what_it_gets_and_reuse_what_it_gives():
    buffer = np.zeros((2, 3), np.float32)

    def denoise(x, alpha, sigma):
        x *= 2
        buffer[:] = x
        return buffer

    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.testing.assert_array_equal(
        boxed(denoise, batch=2)(x, 1.0, 1.0), 2 * np.arange(12.0).reshape(4, 3)
    )
    np.testing.assert_array_equal(x.ravel(), np.arange(12))


def test_what_is_told_is_cut_like_samples():
    def denoise(x, alpha, sigma, told):
        assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(told))
        return x + told["class"][:, None] + told["text"].sum((1, 2))[:, None]

    told = {"class": np.arange(7, dtype="f4"), "text": jnp.ones((7, 2, 2))}
    got = boxed(denoise, batch=3)(np.zeros((7, 3)), 1.0, 1.0, told)
    np.testing.assert_array_equal(got, np.arange(7)[:, None] + 4 + np.zeros((7, 3)))


class CustomError(Exception):
    pass


def test_what_the_function_raises_is_raised_as_it_is():
    error = CustomError("server is down")

    def denoise(x, alpha, sigma):
        raise error

    with pytest.raises(CustomError) as caught:
        boxed(denoise)(np.zeros((4, 3)), 1.0, 1.0)
    assert caught.value is error


def nan_in_one(x, alpha, sigma):
    x[1, 0] = np.nan
    return x


class Tensor:
    """Of another library."""

    def __array__(self, dtype=None, copy=None):
        return np.zeros((4, 3), np.float32)


BAD_ANSWERS = {
    "NaN": (nan_in_one, "1 of 4"),
    "infinite": (lambda x, alpha, sigma: x + np.inf, "4 of 4"),
    "too large for float32": (lambda x, alpha, sigma: x.astype("f8") + 1e300, "4 of 4"),
    "one sample less": (lambda x, alpha, sigma: x[1:], "(3, 3)"),
    "flat": (lambda x, alpha, sigma: x.ravel(), "(12,)"),
    "integers": (lambda x, alpha, sigma: x.astype(int), "int64"),
    "complex": (lambda x, alpha, sigma: x + 1j, "complex"),
    "objects": (lambda x, alpha, sigma: x.astype(object), "object"),
    "text": (lambda x, alpha, sigma: x.astype(str), "<U"),
    "long double": (lambda x, alpha, sigma: x.astype(np.longdouble), "longdouble|float128"),
    "masked": (lambda x, alpha, sigma: np.ma.masked_less(x, 1), "masked"),
    "a list": (lambda x, alpha, sigma: x.tolist(), "list"),
    "nothing": (lambda x, alpha, sigma: None, "NoneType"),
    "a tensor": (lambda x, alpha, sigma: Tensor(), "Tensor"),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_bad_answers_are_refused_in_one_line_that_says_what_they_are(name):
    denoise, what = BAD_ANSWERS[name]
    said = one_line(boxed(denoise), np.zeros((4, 3)), 0.25, 0.75)
    assert any(part in said for part in what.split("|"))
    assert "denoise" in said
    assert "0.25" in said or name == "masked"


def test_a_sample_that_is_not_finite_is_not_the_function_s_fault():
    x = np.ones((3, 3))
    x[1, 0] = np.nan
    x[2] = 1e300  # infinite in float32
    got = boxed(batch=2)(x, 0.6, 0.8)
    assert np.isfinite(got[0]).all()
    assert np.isnan(got[1:]).all()


BAD_CALLS = {
    "another shape": ((np.zeros((4, 2)), 1.0, 1.0), "shape (4, 2)"),
    "too few axes": ((np.zeros(()), 1.0, 1.0), "shape ()"),
    "a level for each sample": ((np.zeros((4, 3)), np.ones(4), 1.0), "alpha"),
    "other labels": ((np.zeros((4, 3)), 1.0, 1.0, np.zeros(3)), "conditions"),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_bad_calls_are_refused(name):
    args, what = BAD_CALLS[name]
    assert what in one_line(boxed(), *args)


@pytest.mark.parametrize(
    "traced",
    [
        lambda box: jax.jit(box)(jnp.zeros((4, 3)), 1.0, 1.0),
        lambda box: jax.grad(lambda x: box(x, 1.0, 1.0).sum())(jnp.zeros((4, 3))),
        lambda box: jax.vmap(box, (0, None, None))(jnp.zeros((4, 3)), 1.0, 1.0),
        lambda box: jax.grad(lambda a: box(np.zeros((4, 3)), a, 1.0).sum())(1.0),
    ],
)
def test_it_is_never_traced(traced):
    assert "BlackBox" in one_line(traced, boxed())


@pytest.mark.parametrize(
    ("args", "what"),
    [
        ((None, (3,)), "denoise"),
        ((WIENER, 3), "shape"),
        ((WIENER, ()), "shape"),
        ((WIENER, (3, -1)), "shape"),
        ((WIENER, (3.0,)), "shape"),
        ((WIENER, (3,), 0), "batch"),
        ((WIENER, (3,), 2.5), "batch"),
    ],
)
def test_what_is_no_box_is_refused(args, what):
    assert what in one_line(sx.BlackBox, *args)


@pytest.mark.parametrize("precision", [0.0, 1.0, np.nan, "float16"])
def test_a_precision_is_a_unit_roundoff(precision):
    assert boxed().precision == 2.0**-23
    assert boxed(precision=2**-10).precision == 2**-10
    assert "precision" in one_line(boxed, precision=precision)


SCHEDULE = sx.NoiseSchedule([-8.0, -3.0, -1.0, 0.5, 3.0, np.inf])
# Some roundings of samples of order 1; a schedule from alpha = 0.02 enlarges those at its start.
RTOL, ATOL = 1e-4, 1e-4


def coloured(omit):
    weights = np.array([1.5, 0.5, 0.5])  # of a real signal of 3: one constant, one pair
    return sx.NoiseSpectrum(weights * [not omit, 1, 1], SHAPE)


def shifted(x, alpha, sigma, told=None):
    """The Wiener estimate, moved by labels or conditions."""
    moved = 0 if told is None else sum(leaf.reshape(len(x), -1) for leaf in jax.tree.leaves(told))
    return WIENER(x - moved, alpha, sigma) + moved


SAMPLED = {
    "ddim": ("ddim", {}),
    "two registers": ("dpmpp_2m", {}),
    "two calls a step": ("heun", {}),
    "stochastic": ("ddpm", {}),
    "stochastic, two registers": ("dpmpp_2m_sde", {}),
    "labels": ("ddpm", {"labels": np.arange(11.0)}),
    "conditions": ("ddim", {"conditions": {"a": np.ones((11, 3)), "b": jnp.arange(11.0)}}),
    "noise with a spectrum": ("ddpm", {"noise": coloured(omit=False)}),
    "noise that omits": ("ddpm", {"noise": coloured(omit=True)}),
}


@pytest.mark.parametrize("process", ["vp", pytest.param("ve", marks=pytest.mark.thorough)])
@pytest.mark.parametrize("name", SAMPLED)
def test_samples_are_those_of_the_same_function_in_jax(name, process):
    sampler, options = SAMPLED[name]
    plan = sx.plan(sampler, SCHEDULE, process)
    box = boxed(shifted, batch=3)
    got = sx.generate(plan, box, 11, SHAPE, seed=5, batch=8, **options)
    assert (box.answers, got.dtype) == (11 * plan.calls, np.dtype("f4"))  # none for nothing
    want = sx.generate(plan, shifted, 11, SHAPE, seed=5, **options)
    np.testing.assert_allclose(got, want, RTOL, ATOL)


@pytest.mark.thorough
def test_sample_is_that_of_generate():
    for sampler in ("dpmpp_2m", "ddpm"):
        plan, box = sx.plan(sampler, SCHEDULE), boxed()
        key = jax.random.fold_in(jax.random.key(3), 2)
        one = sx.sample(plan, box, key, SHAPE)
        np.testing.assert_allclose(one, sx.generate(plan, box, 3, SHAPE, seed=3)[2], RTOL, ATOL)
        many = sx.sample(plan, box, key, (4, *SHAPE))
        np.testing.assert_allclose(many, sx.sample(plan, WIENER, key, (4, *SHAPE)), RTOL, ATOL)


def test_sample_inside_jit_says_that_a_box_cannot_be_traced():
    plan = sx.plan("ddim", SCHEDULE)
    draw = jax.jit(lambda key: sx.sample(plan, boxed(), key, (4, *SHAPE)))
    assert "BlackBox" in one_line(draw, jax.random.key(0))


@pytest.mark.parametrize("told", [None, "labels", "conditions"])
def test_a_probe_is_that_of_the_same_function_in_jax(told):
    x = rng().normal(size=(30, 3)) * np.sqrt(SPECTRUM.eigenvalues)
    options = {} if told is None else {told: np.linspace(0, 0.1, 30)}
    levels, box = [-3.0, 0.0, 3.0], boxed(shifted, batch=7)
    got = sx.probe(box, x, SPECTRUM, levels=levels, batch=16, **options)
    assert box.answers == 2 * 30 * 3
    want = sx.probe(shifted, x, SPECTRUM, levels=levels, **options)
    for name in ("gain", "bias", "error", "residual"):
        np.testing.assert_allclose(getattr(got, name), getattr(want, name), RTOL, ATOL)


def test_evaluate_draws_from_a_box_and_keeps_going_where_a_plan_overflows():
    data = rng().normal(size=(200, 3)) * np.sqrt(SPECTRUM.eigenvalues) + SPECTRUM.mean
    reference = sx.evaluate.Reference.of(data, measures=["frechet"])
    plan = sx.plan("ddim", SCHEDULE)
    wild = sx.SamplerPlan(
        plan.alpha, plan.sigma, plan.keep * 1e30, plan.pull, plan.push, plan.start, stochastic=False
    )
    plans = {"plan": plan, "wild": wild}
    got, broken = sx.evaluate.evaluate_schedules(plans, boxed(), reference, seeds=1)
    want, _ = sx.evaluate.evaluate_schedules(plans, WIENER, reference, seeds=1)
    assert got.values["frechet"].value == pytest.approx(want.values["frechet"].value, rel=1e-3)
    assert np.isnan(broken.values["frechet"].value)


def test_progress_is_told_within_a_batch():
    seen = []
    plan = sx.plan("ddim", SCHEDULE)
    sx.generate(plan, boxed(), 8, SHAPE, progress=lambda *step: seen.append(step))
    assert seen == sorted(seen)
    assert len(seen) > plan.calls
    assert seen[-1] == (8, 8)


def test_what_a_box_raises_ends_sampling_as_it_is():
    calls = []

    def denoise(x, alpha, sigma):
        calls.append(alpha)
        if len(calls) == 3:
            raise CustomError("gone")
        return x

    with pytest.raises(CustomError, match="gone"):
        sx.generate(sx.plan("ddim", SCHEDULE), boxed(denoise), 4, SHAPE)
    assert len(calls) == 3


BAD_SAMPLING = {
    "another shape": ({"shape": (4,)}, "shape"),
    "a mesh": ({"mesh": jax.make_mesh((1,), ("x",))}, "mesh"),
    "labels of another number": ({"labels": np.zeros(3)}, "labels"),
    "labels of two axes": ({"labels": np.zeros((4, 1))}, "labels"),
    "conditions of another number": ({"conditions": {"a": np.zeros((3, 2))}}, "conditions"),
    "a number as condition": ({"conditions": 3.0}, "conditions"),
    "labels and conditions": ({"labels": np.zeros(4), "conditions": np.zeros(4)}, "labels"),
}


@pytest.mark.parametrize("name", BAD_SAMPLING)
def test_bad_sampling_is_refused(name):
    options, what = BAD_SAMPLING[name]
    options = {"shape": SHAPE, **options}
    plan = sx.plan("ddim", SCHEDULE)
    assert what in one_line(sx.generate, plan, boxed(), 4, options.pop("shape"), **options)
