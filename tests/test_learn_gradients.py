"""The objective of learning: its terms, and its gradient through every rung of the ladder."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import by_default, one_line

import specjax as sx
from specjax.evaluate import energy_distance
from specjax.gaussian.losses import LOSSES
from specjax.gaussian.modes import modes_of
from specjax.learning.energy_distance import mean_pairwise_distance
from specjax.learning.objective import PlanObjective
from specjax.learning.parameters import pack, parameters_of, plan_of, unpack
from specjax.learning.terms import check_weights
from specjax.priors import Empirical, Gaussian, Mixture, Network, ScaleMixture
from specjax.priors.prior import as_denoiser
from specjax.sampling.samplers import sampler_of
from specjax.schedules.schedule import alpha_bar_to_logsnr
from specjax.spectra.response import Measured

ENDS = (4e-5, 1.0)
GROUPS = ("levels", "ratios", "weights", "noise")
STEPS, N = 3, 6
ERROR = 0.01  # of the teacher, squared
STEP, RTOL = 1e-4, 2e-6  # of central differences in float64: their error is about the step squared

SPECTRUM = sx.Spectrum([3.0, 0.5, 0.05], [0.4, -0.6, 0.0])
DATA = np.random.default_rng(7).standard_normal((10, 3)) * [1.7, 0.7, 0.2] + [0.4, -0.6, 0.0]


def probed():
    at = np.linspace(-12, 12, 9)
    s2 = np.exp(-at)[:, None]
    lam = np.asarray(SPECTRUM.eigenvalues)
    gain = lam * (1 + 0.1 * np.sin(at)[:, None]) / (lam + s2)
    bias = 0.05 * np.cos(at)[:, None] * [1.0, -1.0, 0.5]
    return Gaussian(SPECTRUM, response=Measured.from_levels(lam, at, gain, bias))


def convolution(x, params):
    for kernel in params:
        x = jnp.tanh(
            jax.lax.conv_general_dilated(
                x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
        )
    return x


def network(params, x, alpha, sigma):
    """A small convolution that bends Wiener's answer for variance 1; params are leaves."""
    y, s = x / alpha, sigma / alpha
    return y / (1 + s**2) + convolution(y / jnp.sqrt(1 + s**2), params) / (1 + s)


def net(dtype=np.float64):
    rng = np.random.default_rng(5)
    shapes = ((3, 3, 1, 2), (3, 3, 2, 1))
    params = [(rng.standard_normal(shape) / 3).astype(dtype) for shape in shapes]
    return Network(jax.tree_util.Partial(network, params), (4, 4, 1))


COVARIANCES = [[1.0, 0.3, 0.1], [0.2, 0.6, 0.1]]
MEANS = [[1.0, 0.0, 0.1], [-1.0, 0.5, 0.0]]
RUNGS = {
    "gaussian": lambda: Gaussian(SPECTRUM),
    "probed": probed,
    "scale_mixture": lambda: ScaleMixture(SPECTRUM, [0.3, 1.7], [0.5, 0.5]),
    "mixture": lambda: Mixture.from_covariances([0.4, 0.6], MEANS, COVARIANCES),
    "empirical": lambda: Empirical.from_samples(DATA, 0.3, held_out=0),
    "pieces": lambda: Empirical.from_samples(DATA, 0.3, held_out=0, piece=4),
    "network": net,
}


def on_device(x):
    return jnp.asarray(x) if isinstance(x, np.ndarray) else x


def objective_of(prior, weights, *, call_by_call=False, batch=None, dtype=np.float64):
    """An objective of made-up noise, target and data; all of a dtype."""
    rng = np.random.default_rng(0)
    noise, target, data = (
        jnp.asarray(rng.standard_normal((n, *prior.shape)), dtype) for n in (N, N, 7)
    )
    modes = modes_of(
        SPECTRUM if prior.spectrum is None else prior.spectrum,
        denoiser=getattr(prior, "response", None),
    )
    return PlanObjective(
        jax.tree.map(on_device, as_denoiser(prior)),
        noise, jax.random.split(jax.random.key(1), N), target, np.asarray(ERROR, dtype), data,
        mean_pairwise_distance(data), modes, check_weights(weights), LOSSES["w2"], batch,
        call_by_call,
    )  # fmt: skip


def start_of(parameters, seed=2):
    """Parameters [n] of a plan somewhat off its sampler's."""
    levels = np.asarray(sx.family("cosine", STEPS, alpha_bar_range=ENDS).logsnr)
    theta = np.asarray(pack(parameters, levels, None))
    return theta + 0.2 * np.random.default_rng(seed).standard_normal(theta.size)


def parameters_for(sampler, memory=2, groups=GROUPS):
    return parameters_of(STEPS, sampler_of(sampler), memory, groups, True, "vp")


def of_theta(parameters, objective):
    ends = alpha_bar_to_logsnr(ENDS)
    return lambda theta: objective.value(plan_of(parameters, theta, ends))


def check_gradient(parameters, objective):
    both = jax.jit(jax.value_and_grad(of_theta(parameters, objective)))
    theta, rng = jnp.asarray(start_of(parameters)), np.random.default_rng(3)
    _, slope = both(theta)
    assert slope.dtype == np.float64
    assert np.abs(slope).max() > 1e-3
    for _ in range(3):
        way = rng.standard_normal(theta.size)
        high, low = (float(both(theta + e * way)[0]) for e in (STEP, -STEP))
        expected = (high - low) / (2 * STEP)
        assert abs(float(slope @ way) - expected) < RTOL * (1 + abs(expected))


ALL_TERMS = {"transfer": 0.3, "teacher": 1.0, "teacher_mean": 0.2, "energy": 0.5}


@pytest.mark.thorough
@pytest.mark.parametrize("rung", by_default(RUNGS, 1, 5, 6))
def test_the_gradient_agrees_with_finite_differences_through_every_rung(rung):
    with jax.enable_x64(True):
        check_gradient(parameters_for("dpmpp_2m"), objective_of(RUNGS[rung](), ALL_TERMS))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("sampler", "weights"),
    by_default(
        [
            ("dpmpp_2m_sde", {"energy": 1.0, "transfer": 0.5}),
            ("ddim", {"teacher": 1.0}),
            ("ddpm", {"energy": 1.0}),
            ("euler_ancestral", {"transfer": 1.0}),
        ],
        0,
    ),
)
def test_and_with_noise_and_of_each_term(sampler, weights):
    with jax.enable_x64(True):
        check_gradient(parameters_for(sampler, 1), objective_of(RUNGS["scale_mixture"](), weights))


@pytest.mark.slow
@pytest.mark.parametrize("batch", by_default([None, 3], 1))
def test_calls_one_by_one_give_the_gradient_of_the_scan(batch):
    # Two compiled forms of the same sum, float64: rounding.
    with jax.enable_x64(True):
        parameters = parameters_for("dpmpp_2m_sde", 1)
        objective = objective_of(net(), {"energy": 1.0})
        theta = jnp.asarray(start_of(parameters))
        (value, slope), (again, its) = (
            jax.jit(jax.value_and_grad(of_theta(parameters, replace(objective, **how))))(theta)
            for how in ({"call_by_call": False, "batch": batch}, {"call_by_call": True, "batch": 2})
        )
        assert abs(again - value) < 1e-12 * (1 + abs(value))
        np.testing.assert_allclose(its, slope, rtol=1e-9, atol=1e-11)


@pytest.mark.thorough
def test_no_half_of_the_work_is_in_another_precision():
    parameters = parameters_for("dpmpp_2m")
    objective = objective_of(net(np.float32), ALL_TERMS, dtype=np.float32)
    theta = jnp.asarray(start_of(parameters), jnp.float32)
    text = str(jax.make_jaxpr(jax.value_and_grad(of_theta(parameters, objective)))(theta))
    assert "f64" not in text
    with jax.enable_x64(True):  # a program of float32 stays one
        plan = plan_of(parameters, np.asarray(theta), alpha_bar_to_logsnr(ENDS))
        samples = objective.samples(plan)
    assert samples.dtype == np.float32


def run_plan(plan, prior, noise):
    """The equation of a plan, in NumPy, call by call."""
    r = [np.asarray(plan.start * noise), *[np.zeros_like(noise)] * (plan.registers - 1)]
    for k in range(plan.calls):
        d = np.asarray(prior(r[0], plan.alpha[k], plan.sigma[k]))
        r = [
            sum(plan.keep[k, i, j] * r[j] for j in range(len(r))) + plan.pull[k, i] * d
            for i in range(len(r))
        ]
    return r[0]


@pytest.mark.thorough
def test_the_terms_are_what_they_say():
    prior, parameters = RUNGS["mixture"](), parameters_for("dpmpp_2m")
    with jax.enable_x64(True):
        objective = objective_of(prior, ALL_TERMS)
        made_up = plan_of(parameters, start_of(parameters), alpha_bar_to_logsnr(ENDS))
        plan = jax.tree.map(np.asarray, made_up)
        terms = {name: float(x) for name, x in objective.terms(plan).items()}
        value = float(objective.value(plan))
        given = (objective.noise, objective.target, objective.data)
        noise, target, data = (np.asarray(x) for x in given)
    made = run_plan(plan, prior, noise)
    squared = ((made - target) ** 2).sum(1)
    assert abs(terms["teacher_mean"] - np.mean(squared)) < 1e-10 * N
    assert abs(terms["teacher"] - np.exp(np.mean(np.log(squared + ERROR)))) < 1e-10 * N
    assert abs(terms["teacher_median"] - np.median(squared)) < 1e-10 * N

    def pairs(a, b):  # of a sample with itself, too
        return np.mean(np.linalg.norm(a[:, None] - b, axis=-1))

    within = pairs(made, made), pairs(data, data)
    assert abs(terms["energy"] - (2 * pairs(made, data) - sum(within))) < 1e-10
    # The unbiased distance leaves a sample's distance to itself out: n / (n - 1) of each spread.
    unbiased = 2 * pairs(made, data) - within[0] * N / (N - 1) - within[1] * 7 / 6
    assert abs(unbiased - energy_distance(made, data)) < 1e-10
    moments = sx.transfer(plan, prior.spectrum)
    lam, mu = np.asarray(prior.spectrum.eigenvalues), np.asarray(prior.spectrum.mean)
    w2 = np.sum((np.sqrt(lam) - moments.std) ** 2 + ((moments.mean_gain - 1) * mu) ** 2)
    assert abs(terms["transfer"] - w2) < 1e-9 * w2
    logs = sum(weight * np.log(terms[name]) for name, weight in ALL_TERMS.items())
    assert abs(value - logs) < 1e-12 * (1 + abs(logs))


@pytest.mark.thorough
def test_samples_that_are_not_finite_have_no_distance():
    # One that counted as near would make a plan that blows up the best of all.
    objective = objective_of(RUNGS["mixture"](), {"energy": 1.0}, dtype=np.float32)
    for bad in (np.nan, np.inf):
        wild = replace(objective, noise=objective.noise.at[2, 1].set(bad))
        assert np.isnan(wild.value(sx.plan("ddim", sx.family("cosine", STEPS))))


def test_the_spread_of_data_is_the_same_in_pieces():
    x = np.random.default_rng(0).standard_normal((1500, 2, 2)).astype(np.float32)  # over 1,024
    flat = x.reshape(len(x), -1).astype(np.float64)
    squared = (flat**2).sum(1)[:, None] + (flat**2).sum(1) - 2 * flat @ flat.T
    expected = np.sqrt(np.maximum(squared, 0)).mean()
    assert abs(float(mean_pairwise_distance(jnp.asarray(x))) / expected - 1) < 1e-6


FORMS = [
    ("ddim", GROUPS, None, 1.0),
    ("ddim", ("levels", "ratios"), None, 0.9999),
    ("dpmpp_2m", GROUPS, 2, 1.0),
    ("ddpm", GROUPS, 1, 0.9999),
    ("heun", ("levels",), None, 1.0),
]


@pytest.mark.parametrize(("sampler", "groups", "memory", "clean"), by_default(FORMS, 1, 2, 3, 4))
def test_parameters_and_plans_are_inverse_to_each_other(sampler, groups, memory, clean):
    parameters = parameters_of(4, sampler_of(sampler), memory, groups, clean == 1, "vp")
    rng, ends = np.random.default_rng(1), alpha_bar_to_logsnr((4e-5, clean))
    with jax.enable_x64(True):
        theta = rng.standard_normal(sum(parameters.sizes.values()))
        logsnr, by = jax.tree.map(np.asarray, unpack(parameters, theta, ends))
        again = pack(parameters, logsnr, by)
        second, its = unpack(parameters, again, ends)
    np.testing.assert_allclose(second[:-1], logsnr[:-1], rtol=1e-9, atol=1e-9)
    if by is None:
        return
    for name in ("ratio", "weights", "noise"):
        if getattr(by, name) is not None:
            np.testing.assert_allclose(getattr(its, name), getattr(by, name), atol=1e-9)
    # With fixed ends the scale of all gaps together is free, and noise of the last step to 0 is.
    fixed = theta[len(theta) - sum(parameters.sizes.values()) + parameters.sizes["levels"] :]
    found = np.asarray(again)[parameters.sizes["levels"] :]
    counts = np.ones(len(fixed), bool)
    counts[-1] = clean < 1 or not parameters.stochastic
    np.testing.assert_allclose(found[counts], fixed[counts], atol=1e-8)


def test_zero_is_the_samplers_own_plan():
    parameters = parameters_of(4, sx.dpmpp_2m, 2, GROUPS, True, "ve")
    schedule = sx.family("karras", 4, alpha_bar_range=ENDS)
    theta = pack(parameters, np.asarray(schedule.logsnr), None)
    np.testing.assert_array_equal(theta[parameters.sizes["levels"] :], 0)
    with jax.enable_x64(True):
        found = plan_of(parameters, theta, alpha_bar_to_logsnr(ENDS))
    expected = sx.plan("dpmpp_2m", schedule, "ve")
    np.testing.assert_allclose(found.keep[:, 0, 0], expected.keep[:, 0, 0], atol=1e-9)
    np.testing.assert_allclose(found.pull[:, 0], expected.pull[:, 0], rtol=1e-9)


@pytest.mark.parametrize(
    ("sampler", "memory", "groups", "names"),
    [
        ("ddim", None, ("level",), "groups"),
        ("ddim", None, (), "groups"),
        ("heun", None, ("levels", "ratios"), "sampler"),
        ("ddim", None, ("noise",), "groups"),
        ("ddim", -1, GROUPS, "memory"),
        ("dpmpp_2m", 0, GROUPS, "memory"),
        ("ddim", 1, ("levels", "ratios"), "memory"),
        ("ddim", True, GROUPS, "memory"),
        ("ddim", 2, ("levels",), "memory"),
    ],
)
def test_what_cannot_be_learned_is_refused(sampler, memory, groups, names):
    given = (3, sampler_of(sampler), memory, groups, True, "vp")
    assert one_line(parameters_of, *given).startswith(names)
