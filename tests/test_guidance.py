"""Guided denoisers: their closed form, calls that are not made, weights that are learned."""

import sys
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import one_line

import specjax as sx
from specjax.interop.k_diffusion import sample_plan
from specjax.learning import solve, teacher
from specjax.learning.guidance import patterns, with_guidance
from specjax.learning.parameters import GROUPS, pack, parameters_of
from specjax.learning.trajectories import Noises, RowDerivatives, column, follow
from specjax.sampling.generate import generate
from specjax.sampling.samplers import sampler_of
from specjax.sampling.step import drop_idle, pad
from specjax.schedules.schedule import alpha_bar_to_logsnr

SINGLE = 2e-5  # of float32 along six calls, relative
COLUMN, STEP = 3e-3, 1e-5  # as in test_least_squares
CONDITIONAL = sx.Spectrum([2.0, 0.5, 0.1], [1.0, -2.0, 0.5])
ANY = sx.Spectrum([6.0, 1.0, 0.3], [0.2, 0.3, -0.4])
WEIGHTS = np.array([1.0, 3.0, 2.5, 0.0, -0.5, 1.0])
INTERVAL = (0.5, 5.0)


def thorough(case):
    return pytest.param(case, marks=pytest.mark.thorough)


def a_plan(sampler="dpmpp_2m", guidance=None):
    schedule = sx.family("cosine", 6, alpha_bar_range=(1e-3, 1.0))
    return replace(sx.plan(sampler, schedule), guidance=guidance)


def wiener(of, x, alpha, sigma):
    """The posterior mean of a Gaussian in NumPy."""
    lam, mean = np.asarray(of.eigenvalues), np.asarray(of.mean)
    return mean + alpha * lam / (alpha**2 * lam + sigma**2) * (x - alpha * mean)


def oracle(plan, weights, start):
    """The run of two Wiener denoisers, mode by mode, in float64."""
    r = np.zeros((plan.registers, *start.shape))
    r[0] = plan.start * start
    for k in range(plan.calls):
        a, s = float(plan.alpha[k]), float(plan.sigma[k])
        d_c, d_u = (wiener(of, r[0], a, s) for of in (CONDITIONAL, ANY))
        d = d_u + weights[k] * (d_c - d_u)
        r = np.einsum("ij,j...->i...", plan.keep[k], r) + np.multiply.outer(plan.pull[k], d)
    return r[0]


def in_interval(plan, weight):
    s = np.asarray(plan.sigma) / np.asarray(plan.alpha)
    return np.where((s > INTERVAL[0]) & (s <= INTERVAL[1]), weight, 1.0)


CASES = {
    "of the plan": (3.0, None, WEIGHTS),
    "interval": (3.0, INTERVAL, None),
    "constant": (3.0, None, None),
    "one for each call": (WEIGHTS, None, None),
    "the plan's before the interval": (7.0, INTERVAL, WEIGHTS),
}


@pytest.mark.parametrize("case", [*list(CASES)[:2], *(thorough(x) for x in list(CASES)[2:])])
@pytest.mark.parametrize("as_boxes", [thorough(False), True])
def test_samples_are_those_of_the_closed_form(case, as_boxes):
    weight, interval, of_plan = CASES[case]
    plan = a_plan(guidance=of_plan)
    parts = [sx.wiener(CONDITIONAL), sx.wiener(ANY)]
    if as_boxes:
        parts = [sx.BlackBox(one, (3,)) for one in parts]
    denoise = sx.guided(*parts, weight, interval=interval)
    start = np.random.default_rng(0).standard_normal((5, 3))
    own = in_interval(plan, weight) if interval else np.broadcast_to(weight, 6)
    expected = oracle(plan, own if of_plan is None else of_plan, start)
    found = sx.sample(plan, denoise, jax.random.key(0), (5, 3), start=jnp.asarray(start))
    np.testing.assert_allclose(found, expected, rtol=SINGLE, atol=SINGLE * abs(expected).max())


def test_the_moments_of_many_samples_are_those_of_the_transfer():
    plan, n = a_plan(guidance=WEIGHTS), 4000
    denoise = sx.guided(sx.wiener(CONDITIONAL), sx.wiener(ANY))
    offset = oracle(plan, WEIGHTS, np.zeros(3))
    std = abs(oracle(plan, WEIGHTS, np.ones(3)) - offset)
    x = generate(plan, denoise, n, (3,))
    assert (abs(x.mean(0) - offset) < 4 * std / n**0.5).all()
    assert (abs(x.std(0) / std - 1) < 4 / (2 * n) ** 0.5).all()


def at_levels(plan, calls, value):
    """A denoiser that is right, and NaN at the levels of some calls."""

    def denoise(x, alpha, sigma, *labels):
        bad = jnp.isclose(sigma, np.asarray(plan.sigma)[calls]).any()
        return jnp.where(bad, jnp.nan, value * x)

    return denoise


@pytest.mark.parametrize("run", ["sample", "generate", "as on an accelerator", thorough("jit")])
def test_answers_that_count_nothing_are_not_asked_for(run, monkeypatch):
    plan = a_plan(guidance=WEIGHTS)
    unasked = [np.flatnonzero(w == WEIGHTS) for w in (0, 1)]
    denoise = sx.guided(at_levels(plan, unasked[0], 0.5), at_levels(plan, unasked[1], 0.3))

    if run == "as on an accelerator":
        module = sys.modules[generate.__module__]
        monkeypatch.setattr(module, "_call_by_call", module._one_scan)

    def draw():
        if run in ("generate", "as on an accelerator"):
            return generate(plan, denoise, 4, (3,))
        return sx.sample(plan, denoise, jax.random.key(0), (4, 3))

    assert np.isfinite(jax.jit(draw)() if run == "jit" else draw()).all()


def test_network_calls_are_those_that_are_made():
    plan = a_plan(guidance=WEIGHTS.tolist())
    boxes = [sx.BlackBox(lambda x, a, s: x / 2, (3,)) for _ in "cu"]
    generate(plan, sx.guided(*boxes), 7, (3,))
    assert [box.answers / 7 for box in boxes] == [5, 4]  # all but weight 0, all but the two of 1
    assert plan.network_calls == 9
    generate(replace(plan, guidance=None), sx.guided(*boxes, 1.0), 7, (3,))
    assert [box.answers / 7 for box in boxes] == [11, 4]


@pytest.mark.parametrize("as_box", [False, True])
def test_one_denoiser_is_told_null_in_place_of_the_label(as_box):
    seen = []

    def shifted(x, alpha, sigma, told):
        seen.append(np.shape(told["of"]))
        return x / 2 + told["of"][:, None]

    denoise = sx.BlackBox(shifted, (3,), batch=3) if as_box else shifted
    labels = np.arange(4, dtype=np.float32)
    plan = a_plan("ddim", np.full(6, 2.0))
    both = sx.guided(denoise, null={"of": np.float32(10)})
    found = generate(plan, both, 4, (3,), conditions={"of": labels})
    summed = lambda x, a, s, told: x / 2 + (2 * told["of"] - 10)[:, None]  # noqa: E731
    plain = replace(plan, guidance=None)
    expected = generate(plain, summed, 4, (3,), conditions={"of": labels})
    np.testing.assert_allclose(found, expected, rtol=SINGLE, atol=1e-4)
    assert not as_box or set(seen) == {(3,), (1,)}


def scaled(scale, x, alpha, sigma):
    return scale * x


def test_parameters_are_arguments_of_one_program(caplog):
    plan = a_plan()

    def denoise(scale, weight):
        part = jax.tree_util.Partial(scaled, jnp.float32(scale))
        return sx.guided(part, part, weight)

    generate(plan, denoise(0.5, 2.0), 4, (3,))
    jax.config.update("jax_log_compiles", True)
    try:
        generate(plan, denoise(0.7, 3.0), 4, (3,))
        generate(a_plan(guidance=np.linspace(2, 4, 6)), denoise(0.7, 3.0), 4, (3,))
    finally:
        jax.config.update("jax_log_compiles", False)
    assert not [m for m in caplog.messages if "compilation of jit(one_row)" in m]


def test_rows_that_do_nothing_have_a_weight(tmp_path):
    plan = pad(a_plan(guidance=WEIGHTS), 9)
    np.testing.assert_array_equal(plan.guidance, [*WEIGHTS, 1, 1, 1])
    np.testing.assert_array_equal(drop_idle(plan).guidance, WEIGHTS)
    assert pad(a_plan(), 9).guidance is None


def boxed(denoise, weight=2.0):
    return sx.guided(sx.BlackBox(denoise, (3,)), denoise, weight)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("conditional", lambda d: sx.guided(None, d)),
        ("null", lambda d: sx.guided(d)),
        ("null", lambda d: sx.guided(d, d, null=3)),
        ("weight", lambda d: sx.guided(d, d, np.nan)),
        ("weight", lambda d: sx.guided(d, d, "much")),
        ("interval", lambda d: sx.guided(d, d, interval=(2, 1))),
        ("interval", lambda d: sx.guided(d, d, interval=3)),
        ("weight", lambda d: generate(a_plan(), sx.guided(d, d, [1, 2, 3]), 2, (3,))),
        ("guidance", lambda d: generate(a_plan(guidance=WEIGHTS[:4]), sx.guided(d, d), 2, (3,))),
        ("guidance", lambda d: generate(a_plan(guidance=WEIGHTS), d, 2, (3,))),
        ("guidance", lambda d: generate(a_plan(guidance=[np.inf] * 6), sx.guided(d, d), 2, (3,))),
        ("guidance", lambda d: sx.sample(a_plan(guidance=WEIGHTS), d, jax.random.key(0), (2, 3))),
        ("guidance", lambda d: sx.transfer(a_plan(guidance=WEIGHTS), ANY)),
        ("groups", lambda d: sx.learn(sx.priors.Network(d, (3,)), 3, groups=("guidance",))),
        ("network_calls", lambda d: sx.learn(sx.priors.Network(d, (3,)), 3, network_calls=4)),
        ("network_calls", lambda d: sx.learn(boxed(d), 3, network_calls=7)),
        ("network_calls", lambda d: sx.learn(boxed(d), 3, network_calls=2)),
        ("network_calls", lambda d: sx.learn(boxed(d), 1, network_calls=1)),
        ("weight", lambda d: sx.learn(boxed(d, [2, 3, 4]), 3)),
    ],
)  # fmt: skip
def test_mistakes_are_named(name, call):
    assert name in one_line(call, lambda x, alpha, sigma, *told: x / 2)


# Learning


def test_few_patterns_are_tried():
    assert patterns(4, None) == patterns(4, 8) == [(True,) * 4]
    assert patterns(4, 4) == [(False,) * 4]
    assert patterns(4, 6) == [
        (True, True, False, False), (False, False, True, True), (False, True, True, False),
    ]  # fmt: skip
    assert all(4 + sum(one) == 7 for one in patterns(4, 7))


class Float64:
    """Answers of two small networks in float64."""

    precision = float(np.finfo(np.float64).eps)

    def of(self, x, alpha, sigma, tilt):
        s = sigma / alpha
        return x / alpha / (1 + s**2) + s / (1 + s) * np.tanh(x @ KERNEL + tilt) @ KERNEL.T

    def __call__(self, x, alpha, sigma, conditions, weight=None):
        return self.with_slope(x, alpha, sigma, conditions, weight)[0]

    def with_slope(self, x, alpha, sigma, conditions, weight):
        d_c, d_u = (self.of(x, alpha, sigma, tilt) for tilt in (0.5, -0.2))
        return d_u + weight * (d_c - d_u), d_c - d_u


KERNEL = np.random.default_rng(5).standard_normal((3, 6)) / 2


@pytest.mark.parametrize("interval", [None, (0.8, np.inf)])
def test_columns_are_finite_differences_of_the_whole_run(interval):
    parameters = parameters_of(4, sampler_of("dpmpp_2m"), 1, GROUPS, True, "vp")
    ends = alpha_bar_to_logsnr((1e-3, 1.0))
    logsnr = np.asarray(sx.family("cosine", 4, alpha_bar_range=(1e-3, 1.0)).logsnr)
    denoise = sx.guided(print, print, 3.0, interval=interval)
    pattern = (True, False, True, True)
    theta = pack(parameters, logsnr, None)
    parameters, theta = with_guidance(parameters, theta, ends, denoise, pattern)
    theta = theta + 0.1 * np.random.default_rng(2).standard_normal(theta.size)
    noises = Noises(np.random.default_rng(1).standard_normal((8, 3)))
    answers = Float64()

    def run(theta):
        return follow(parameters.plan(theta, ends), answers, noises)

    free = [0, 2, 3] if interval is None else [0, 2]  # the last call is beyond the interval
    assert parameters.guided.tolist() == free
    np.testing.assert_array_equal(parameters.plan(theta, ends).guidance[1], 1.0)
    plan, trajectory = parameters.plan(theta, ends), run(theta)
    changes = RowDerivatives.of(lambda x: parameters.plan(x, ends), theta)
    for j in range(len(theta)):
        h = STEP * np.eye(len(theta))[j]
        wanted = (run(theta + h).samples - run(theta - h).samples) / (2 * STEP)
        found = column(plan, changes.of_parameter(j), trajectory, answers, None)
        assert np.linalg.norm(found - wanted) <= COLUMN * np.linalg.norm(wanted) + 1e-7


@pytest.fixture
def nothing_remembered(monkeypatch):
    monkeypatch.setattr(teacher, "_MEMORY", type(teacher._MEMORY)())
    monkeypatch.setattr(solve, "_STATES", type(solve._STATES)())


D, N, CALLS = 4, 64, 6


def two_mixtures():
    """The exact denoisers of one class and of all, a mixture of two components each class."""
    rng = np.random.default_rng(0)
    means, variances = 1.5 * rng.normal(size=(4, D)), np.exp(rng.normal(size=(4, D)) - 1.5)
    make = sx.priors.Mixture.from_covariances
    return make([0.5] * 2, means[:2], variances[:2]), make([0.25] * 4, means, variances)


@pytest.fixture(scope="module")
def learned():
    one, every = two_mixtures()
    prior = sx.priors.Network(sx.guided(one, every, 3.0), (D,), every.spectrum)
    return sx.learn(prior, 4, n=N, network_calls=CALLS)


def distances(plans, denoise, seed):
    """Geometric means of squared distances to 100 steps of Heun, from 200 other noises."""
    every = [sx.plan("heun", sx.family("karras", 100)), *plans]
    fine, *ends = (generate(one, denoise, 200, (D,), seed=seed) for one in every)
    return [np.exp(np.log(((x - fine) ** 2).sum(1)).mean()) for x in ends]


@pytest.mark.thorough
def test_a_learned_plan_is_better_than_constant_guidance_of_as_many_calls(learned):
    assert learned.kept == "learned"
    assert learned.plan.network_calls == CALLS
    assert learned.value < min(learned.baselines.values()) - 2
    denoise = sx.guided(*two_mixtures(), 3.0)
    plans = [
        sx.plan(sampler, sx.family(family, CALLS // 2))
        for sampler in ("ddim", "dpmpp_2m")
        for family in ("cosine", "karras")
    ]
    own, *constant = distances([learned.plan, *plans], denoise, 3)
    assert own < min(constant) / 5


def test_files_and_reports_have_the_weights(learned, tmp_path, run):
    path = sx.save(tmp_path / "plan.json", learned)
    read = sx.load(path)
    np.testing.assert_array_equal(read.guidance, learned.guidance)
    np.testing.assert_array_equal(read.plan.guidance, learned.guidance)
    assert read.source["guidance"]["weight"] == 3.0
    assert "guidance" in repr(read)
    code, out, _ = run("show", path)
    assert code == 0
    assert f"{learned.guidance[0]:.6g}" in out


def test_a_plan_of_constant_guidance_has_no_weights_of_its_own():
    boxes = [sx.BlackBox(partial(wiener, one), (3,)) for one in (CONDITIONAL, ANY)]
    groups = ("levels", "ratios", "weights")
    result = sx.learn(sx.guided(*boxes, 2.0), 2, groups=groups, n=16)
    assert result.guidance is None
    assert result.network_calls == 4
    assert sum(box.answers for box in boxes) == sum(result.source["calls"].values())


@pytest.mark.thorough
def test_what_is_interrupted_goes_on(nothing_remembered):
    asked, most = 0, np.inf

    def of(spectrum):
        def denoise(x, alpha, sigma):
            nonlocal asked
            asked += len(x)
            if asked > most:
                raise KeyboardInterrupt
            return np.tanh(wiener(spectrum, x, alpha, sigma)).astype(x.dtype)

        return sx.BlackBox(denoise, (3,))

    prior = sx.guided(of(CONDITIONAL), of(ANY), 2.0)
    options = {"n": 32, "max_iterations": 12, "teacher_tolerance": 0.05, "network_calls": 4}
    whole = sx.learn(prior, 2, **options)
    calls = whole.source["calls"]
    assert asked == sum(calls.values())
    solve._STATES.clear()
    teacher._MEMORY.clear()
    asked, most = 0, calls["teacher"] + calls["heuristics"] + 0.9 * calls["learning"]
    with pytest.raises(KeyboardInterrupt):
        sx.learn(prior, 2, **options)
    assert solve._STATES
    most = np.inf
    again = sx.learn(prior, 2, **options)
    np.testing.assert_array_equal(again.guidance, whole.guidance)
    assert again.value == whole.value


@pytest.mark.thorough
def test_weights_carry_over_to_other_steps(learned):
    one, every = two_mixtures()
    prior = sx.priors.Network(sx.guided(one, every, 3.0), (D,), every.spectrum)
    more = sx.learn(prior, 6, n=32, start=learned, max_iterations=1)
    assert more.plan.network_calls == 12
    judged = sx.verdicts([learned], [every.spectrum, prior], n=32)
    assert {x.on for x in judged} == {"gaussian", "network"}


def test_k_diffusion_gives_each_call_its_weight():
    weights = np.array([3.0, 1.5, 1.0])
    result = replace(sx.fit(ANY, 3), guidance=weights)
    start = np.random.default_rng(0).standard_normal((5, 3))

    def model(x, sigma, cond_scale, cond=None):
        d_c, d_u = (wiener(of, x, 1.0, sigma[0]) for of in (CONDITIONAL, ANY))
        return d_u + cond_scale * (d_c - d_u)

    plan = result.plan_in("ve")
    x = np.asarray(plan.start) * start
    found = sample_plan(model, x, result, {"cond_scale": 7.5, "cond": "a prompt"}, disable=True)
    np.testing.assert_allclose(found, oracle(plan, weights, start), rtol=1e-9)
    with pytest.warns(UserWarning, match="cond_scale"):
        sample_plan(lambda x, sigma: model(x, sigma, 2.0), x, result, disable=True)
