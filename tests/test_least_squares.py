"""Learning by least squares: derivatives along trajectories, the equations, the minimum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plan_oracles import transfer_loss
from scipy import optimize

import specjax as sx
from specjax.gaussian.losses import LOSSES
from specjax.gaussian.modes import modes_of
from specjax.learning.least_squares import Stopping, begin, iterate
from specjax.learning.parameters import GROUPS, pack, parameters_of
from specjax.learning.sums_of_squares import SumOfSquares, Taught, Terms
from specjax.learning.trajectories import Noises, RowDerivatives, column, end_of, follow
from specjax.sampling.corrections import corrected_plan
from specjax.sampling.multistep import exponential_adams
from specjax.sampling.samplers import sampler_of
from specjax.sampling.scaled import level_steps
from specjax.schedules.schedule import alpha_bar_to_logsnr

ENDS, D, N = (1e-3, 1.0), 4, 12
RNG = np.random.default_rng(5)
KERNELS = [RNG.standard_normal(shape) / 2 for shape in ((D, 7), (7, D))]
NOISES = Noises(RNG.standard_normal((N, D)))
SPECTRUM = sx.Spectrum(np.linspace(1.5, 0.5, D))

# Derivatives of answers are differences over a thousandth of the sample: so good is a column.
COLUMN = 3e-3
OF_THE_RUN = 1e-5  # the step of a parameter in central differences of a whole run, in float64


def bend(x, alpha, sigma, xp=np):
    """A small network around the answer for unit variance."""
    s = sigma / alpha
    y = x / alpha / xp.sqrt(1 + s**2)
    return y / xp.sqrt(1 + s**2) + s / (1 + s) * xp.tanh(y @ KERNELS[0]) @ KERNELS[1]


class Float64:
    """Answers in float64, so that tests can tell derivatives from rounding."""

    precision = float(np.finfo(np.float64).eps)

    def __call__(self, x, alpha, sigma, conditions, weight=None):
        return bend(x, alpha, sigma)


def form(sampler, memory, groups, process):
    """Parameters of three steps, numbers [n] somewhat off the sampler's own, and both ends."""
    parameters = parameters_of(3, sampler_of(sampler), memory, groups, True, process)
    logsnr = np.asarray(sx.family("cosine", 3, alpha_bar_range=ENDS).logsnr)
    theta = np.asarray(pack(parameters, logsnr, None))
    off = 0.1 * np.random.default_rng(2).standard_normal(theta.size)
    return parameters, theta + off, alpha_bar_to_logsnr(ENDS)


FORMS = {
    "ddim": ("ddim", 0, ("levels", "ratios"), "vp"),
    "ddim, VE": ("ddim", 0, ("levels", "ratios"), "ve"),
    "dpmpp_2m": ("dpmpp_2m", 1, GROUPS, "vp"),
    "memory 2": ("dpmpp_2m", 2, GROUPS, "vp"),
    "memory 2, VE": ("ddim", 2, GROUPS, "ve"),
    "heun": ("heun", None, ("levels",), "vp"),
    "heun, VE": ("heun", None, ("levels",), "ve"),
}


def run_plan(plan, noise, xp):
    """The equation of a plan, call by call."""
    r = xp.zeros((plan.registers, *noise.shape))
    r = xp.concatenate([plan.start * noise[None], r[1:]])
    for k in range(plan.calls):
        d = bend(r[0], plan.alpha[k], plan.sigma[k], xp)
        r = xp.einsum("ij,jnd->ind", plan.keep[k], r) + plan.pull[k][:, None, None] * d
    return r[0]


def columns(parameters, theta, ends):
    plan = parameters.plan(theta, ends)
    changes = RowDerivatives.of(lambda x: parameters.plan(x, ends), theta)
    trajectory = follow(plan, Float64(), NOISES)
    np.testing.assert_allclose(trajectory.samples, run_plan(plan, NOISES.start, np), rtol=1e-12)
    return np.stack([
        column(plan, changes.of_parameter(j), trajectory, Float64(), None)
        for j in range(len(theta))
    ])  # fmt: skip


def check_columns(found, expected):
    for one, wanted in zip(found, expected, strict=True):
        assert np.linalg.norm(one - wanted) <= COLUMN * np.linalg.norm(wanted) + 1e-7


@pytest.mark.parametrize("name", FORMS)
def test_columns_are_finite_differences_of_the_whole_run(name):
    parameters, theta, ends = form(*FORMS[name])

    def end(theta):
        return run_plan(parameters.plan(theta, ends), NOISES.start, np)

    steps = OF_THE_RUN * np.eye(len(theta))
    expected = [(end(theta + h) - end(theta - h)) / (2 * OF_THE_RUN) for h in steps]
    check_columns(columns(parameters, theta, ends), expected)


@pytest.mark.thorough
@pytest.mark.parametrize("name", FORMS)
def test_columns_are_those_of_forward_mode(name):
    parameters, theta, ends = form(*FORMS[name])
    with jax.enable_x64(True):
        noise = jnp.asarray(NOISES.start)
        whole = jax.jit(lambda x: run_plan(parameters.plan(x, jnp.asarray(ends)), noise, jnp))
        expected = np.moveaxis(np.asarray(jax.jacfwd(whole)(jnp.asarray(theta))), -1, 0)
    check_columns(columns(parameters, theta, ends), expected)


def test_a_column_asks_from_its_own_step_on():
    parameters, theta, ends = form("dpmpp_2m", 2, GROUPS, "vp")
    plan, asked = parameters.plan(theta, ends), []

    class Counted(Float64):
        def __call__(self, x, alpha, sigma, conditions, weight=None):
            asked.append(sigma / alpha)
            return super().__call__(x, alpha, sigma, conditions)

    changes = RowDerivatives.of(lambda x: parameters.plan(x, ends), theta)
    trajectory = follow(plan, Float64(), NOISES)
    ratios = range(parameters.sizes["levels"], parameters.sizes["levels"] + 3)
    counts = []
    for j in ratios:  # of steps 0, 1 and 2: the last one returns estimates and has none
        asked.clear()
        column(plan, changes.of_parameter(j), trajectory, Counted(), None)
        counts.append(len(asked))
    assert counts == [2, 1, 0]


def problem_of(weights, form_of="memory 2", sizes=(N,), target=None, error=0.01):
    """A plan's objective towards the end of a finer one, in float64."""
    parameters, theta, ends = form(*FORMS[form_of])
    if target is None:
        logsnr = np.asarray(sx.family("cosine", 40, alpha_bar_range=ENDS).logsnr)
        by = exponential_adams(level_steps(logsnr, parameters.process), 3)
        fine = corrected_plan(logsnr, by, parameters.process)
        target = end_of(fine, Float64(), NOISES)
    taught = Taught(NOISES, target, error)
    terms = Terms(tuple(weights.items()), LOSSES["w2"], Float64(), taught, modes_of(SPECTRUM))
    if "transfer" not in weights:
        terms = Terms(terms.weights, terms.loss, terms.answers, taught, None)
    changes = RowDerivatives.of(lambda x: parameters.plan(x, ends), theta)
    learned = [
        j for j in range(len(theta)) if any(row is not None for row in changes.of_parameter(j))
    ]
    problem = SumOfSquares(parameters, theta, np.array(learned), ends, terms, terms, sizes)
    return problem, theta[learned]


WEIGHTS = {"transfer": 0.3, "teacher": 1.0, "teacher_mean": 0.5}


@pytest.mark.parametrize("weights", [WEIGHTS, *({name: 1.0} for name in WEIGHTS)])
def test_the_equations_have_the_gradient_of_the_objective(weights):
    problem, theta = problem_of(weights)
    residuals = problem.residuals(theta, N)
    plan = problem.plan(theta)
    made, target = run_plan(plan, NOISES.start, np), problem.training.taught.target
    squared = ((made - target) ** 2).sum(1)
    terms = {
        "transfer": transfer_loss(plan, SPECTRUM),
        "teacher": np.exp(np.log(squared + 0.01).mean()), "teacher_mean": squared.mean(),
    }  # fmt: skip
    expected = sum(weight * np.log(terms[name]) for name, weight in weights.items())
    assert residuals.value == pytest.approx(expected, rel=1e-9)
    assert problem.training.worth(plan) == pytest.approx(expected, rel=1e-9)
    slope = [
        (problem.residuals(theta + h, N).value - problem.residuals(theta - h, N).value) / 2e-5
        for h in 1e-5 * np.eye(len(theta))
    ]
    found = problem.linear(theta, residuals).equations()
    assert np.linalg.norm(2 * found.vector - slope) < 2 * COLUMN * np.linalg.norm(slope)
    np.testing.assert_allclose(found.matrix, found.matrix.T, rtol=1e-9)
    assert np.linalg.eigvalsh(found.matrix).min() > -1e-9 * np.trace(found.matrix)


def minimise(problem, theta):
    state = begin(problem, theta)
    stopping = Stopping(grow=0.1, gain=1e-6, patience=2)
    while not state.done and len(state.history) < 200:
        state = iterate(problem, state, stopping)
    return state


def test_the_minimum_is_that_of_scipy():
    problem, theta = problem_of({"teacher_mean": 1.0}, "dpmpp_2m")
    target = problem.training.taught.target

    def residuals(theta):
        return (run_plan(problem.plan(theta), NOISES.start, np) - target).ravel()

    expected = optimize.least_squares(residuals, theta, xtol=1e-12, ftol=1e-12, gtol=1e-12)
    found = minimise(problem, theta)
    assert found.done
    assert found.training == pytest.approx(np.log(2 * expected.cost / N), abs=1e-3)


@pytest.mark.thorough
def test_the_geometric_mean_has_its_own_minimum():
    problem, theta = problem_of({"teacher": 1.0}, "dpmpp_2m")
    found = minimise(problem, theta)
    expected = optimize.minimize(
        lambda x: problem.training.worth(problem.plan(x)), theta, method="BFGS"
    )
    assert found.training < expected.fun + 1e-3


def test_the_sample_grows_and_what_is_held_out_decides():
    problem, theta = problem_of({"teacher_mean": 1.0}, "ddim", sizes=(4, N))
    found = minimise(problem, theta)
    assert found.size == 1
    assert found.held_out == found.history[:, 1].min()
    assert found.held_out == pytest.approx(problem.held_out(found.best))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_exponential_adams_is_of_its_order(order):
    """On the flow of a Gaussian, from so much noise that the first steps, of lower order, err by
    nothing."""
    variance, s = 0.7, np.array([1e4, 0.1])
    errors = []
    for steps in (256, 512, 1024):
        logsnr = np.linspace(*(-2 * np.log(s)), steps + 1)
        plan = corrected_plan(logsnr, exponential_adams(level_steps(logsnr, "ve"), order), "ve")
        x = np.array([s[0] * np.sqrt(1 + variance / s[0] ** 2)]) / plan.start
        r = np.zeros((plan.registers, 1))
        r[0] = plan.start * x
        for k in range(plan.calls):
            d = variance / (variance + plan.sigma[k] ** 2) * r[0]
            r = plan.keep[k] @ r + plan.pull[k][:, None] * d
        errors.append(abs(r[0, 0] - np.sqrt(variance + s[1] ** 2)))
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(rates, order, atol=0.2)
