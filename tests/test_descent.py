"""Descent and padded problems: closed-form minima, SciPy beside it, and ends without loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import by_default
from scipy.optimize import minimize, rosen

from specjax import SAMPLERS, NoiseSchedule, Spectrum, loss
from specjax._core.arrays import shared_size
from specjax.fitting.bfgs import BFGS, PATIENCE, descend
from specjax.fitting.levels import floor, levels_of, padded, theta_of
from specjax.fitting.problem import FitInputs, FitShape, log_loss
from specjax.gaussian.losses import LOSSES
from specjax.gaussian.modes import modes_of
from specjax.gaussian.task import Objective

NOISY = -10.0
FIXED, FREE = (NOISY, 9.0), (NOISY, np.inf)


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def follow(function, problems, starts, *, tolerance=1e-9, most=500, scale=None, history=0):
    """The last states of a batch: function(problem)(theta)."""
    scale = np.ones(starts.shape[1]) if scale is None else scale

    @jax.jit
    def run(problems, starts):
        begin = jax.vmap(lambda p, x: BFGS.begin(function(p), x, scale, history))
        return descend(BFGS, function, problems, begin(problems, starts), tolerance, most)

    return jax.tree.map(np.asarray, run(problems, jnp.asarray(starts)))


# Convex quadratics x' A x / 2 - b' x + c with the minimum A^-1 b, from round to a condition of 1e6.


def quadratics(dimension=6):
    rng = np.random.default_rng(0)
    matrices = []
    for condition in (1, 10, 1e3, 1e6):
        rotation = np.linalg.qr(rng.normal(size=(dimension, dimension)))[0]
        matrices.append(rotation * np.geomspace(1, condition, dimension) @ rotation.T)
    return np.stack(matrices), rng.normal(size=(len(matrices), dimension))


def quadratic(problem):
    matrix, slope = problem
    return lambda x: x @ (matrix @ x) / 2 - slope @ x


@pytest.mark.thorough
def test_quadratics_of_different_difficulty():
    A, b = quadratics()
    tolerance = 1e-7
    want = np.linalg.solve(A, b[..., None])[..., 0]
    starts = want + 0.5 * np.array([1, -1, 1, 1, -1, 1])
    found = follow(quadratic, (A, b), starts, tolerance=tolerance)
    # The least eigenvalue is 1: |x - x*| <= |gradient| <= sqrt(n) tolerance.
    np.testing.assert_allclose(found.theta, want, atol=np.sqrt(6) * tolerance)
    values = [quadratic(p)(x) for p, x in zip(zip(A, b, strict=True), want, strict=True)]
    np.testing.assert_allclose(found.value, values, atol=1e-12)
    gradient = (A @ found.theta[..., None])[..., 0] - b
    np.testing.assert_allclose(found.gradient, gradient, atol=1e-9)
    assert (found.slope <= tolerance).all()
    # The round one is there after one whole step (the start, the step); the others take longer,
    # and none waits for another.
    assert found.iteration[0] == 2
    assert (found.iteration[1:] > 6).all()
    for i in range(len(A)):
        alone = follow(quadratic, (A[i:][:1], b[i:][:1]), starts[i:][:1], tolerance=tolerance)
        np.testing.assert_array_equal(alone.iteration, found.iteration[i : i + 1])
        # Matrix products of another batch round differently, times the condition.
        np.testing.assert_allclose(alone.theta[0], found.theta[i], rtol=0, atol=1e-9)


def rosenbrock(curve):
    return lambda x: (curve * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def test_rosenbrock_beside_scipy():
    start = np.array([-1.2, 1.0, -0.5, 0.8])
    found = follow(rosenbrock, np.array([100.0, 1.0]), np.stack([start, start]))
    np.testing.assert_allclose(found.theta, np.ones((2, 4)), atol=1e-8)
    scipy = minimize(rosen, start, method="BFGS", options={"gtol": 1e-9})
    assert found.value[0] <= max(scipy.fun, 1e-18)
    assert found.iteration[0] <= 2 * scipy.nfev / (start.size + 1)  # it differences each gradient


def test_history_is_of_the_best_values():
    start = np.array([[-1.2, 1.0]])
    found = follow(rosenbrock, np.array([100.0]), start, history=200)
    count = found.iteration[0]
    history = found.history[0]
    assert np.isnan(history[count:]).all()
    assert history[0] == pytest.approx(rosen(start[0]), rel=1e-12)
    assert history[count - 1] == found.value[0]
    assert (np.diff(history[:count]) <= 1e-12).all()


@pytest.mark.thorough
def test_a_limit_is_respected_and_gone_on_from():
    A, b = quadratics()
    starts = np.full(b.shape, 3.0)
    most = np.array([1, 2, 5, 7])
    found = follow(quadratic, (A, b), starts, most=most, tolerance=1e-14)
    assert (found.iteration <= most).all()
    np.testing.assert_array_equal(found.iteration[2:], most[2:])
    np.testing.assert_array_equal(found.theta[0], starts[0])  # the start alone was evaluated
    assert not BFGS.wants_more(jax.tree.map(lambda x: x[3], found), 1e-14, 7)
    assert BFGS.wants_more(jax.tree.map(lambda x: x[3], found), 1e-14, 8)
    assert not BFGS.wants_more(jax.tree.map(lambda x: x[3], found), 1e9, 8)  # flat enough
    whole = follow(quadratic, (A, b), starts)
    resumed = jax.jit(lambda s: descend(BFGS, quadratic, (A, b), s, 1e-9, 500))(found)
    np.testing.assert_array_equal(resumed.iteration[2:], whole.iteration[2:])
    np.testing.assert_allclose(resumed.theta[2:], whole.theta[2:], rtol=0, atol=1e-9)


def awkward(kind):
    """NaN everywhere, NaN right of 1, infinite left of 0, |x|, a slope without an end."""

    cases = [
        lambda x: x.sum() * jnp.nan,
        lambda x: jnp.where(x.sum() > 1, jnp.nan, (x.sum() - 1) ** 2),
        lambda x: jnp.where(x.sum() < 0, jnp.inf, (x.sum() + 0.5) ** 2),
        lambda x: jnp.abs(x).sum(),
        lambda x: -x.sum(),
    ]
    return lambda x: jax.lax.switch(kind, cases, x)


def test_awkward_functions_end():
    starts = np.array([[0.3, 0.2]] * 5)
    found = follow(awkward, np.arange(5), starts, most=400)
    assert found.iteration[0] == 1  # NaN at the start: nothing to descend from
    assert not np.isfinite(found.value[0])
    np.testing.assert_array_equal(found.theta[0], starts[0])
    assert np.isfinite(found.value[1:]).all()
    assert found.value[1] <= 0.25  # not worse than its start, and never NaN
    assert 0.25 <= found.value[2] <= 1.0  # the wall is at 0
    assert found.value[3] < 0.5
    # No gradient goes to zero there: what ends it is patience, long before the limit.
    assert (found.iteration[[2, 3]] < 50 * PATIENCE).all()
    assert found.iteration[4] < 400
    assert found.value[4] <= -0.5


# Padded problems: idle steps in front change nothing.

STEPS = 5


def problems(ends):
    k = np.arange(1, 9)
    nodes = Spectrum(k**-1.5, mean=0.3 / k)
    logsnr = np.append(np.linspace(NOISY, 6.0, STEPS) + 0.4 * np.sin(np.arange(STEPS)), ends[1])
    logsnr[0] = NOISY
    return nodes, logsnr


def log_loss_at(objective, ends, steps):
    """The logarithm of the loss of the same schedule, idle steps in front; and its gradient."""
    nodes, logsnr = problems(ends)
    idle = steps - STEPS
    losses = tuple(LOSSES.values())
    shape = FitShape(objective.sampler, objective.process, losses, steps, bool(np.isinf(ends[1])))
    which = losses.index(objective.loss)
    problem = FitInputs(modes_of(nodes), np.array(ends), np.asarray(idle), np.asarray(which))
    theta = theta_of(jnp.asarray(padded(logsnr, idle)), ends_clean=shape.ends_clean, idle=idle)
    return jax.jit(jax.value_and_grad(log_loss(shape, problem)))(theta)


# All take the free end; a fixed end has another parametrisation, which is the same for all.
PADDED = [(name, FREE) for name in SAMPLERS] + [("ddim", FIXED)]


@pytest.mark.thorough
@pytest.mark.parametrize(("sampler", "ends"), by_default(PADDED, 0, 3, 7))
def test_idle_steps_change_nothing(sampler, ends):
    chosen = Objective(SAMPLERS[sampler], LOSSES["w2"], "ve" if sampler == "ddpm" else "vp")
    value, slope = log_loss_at(chosen, ends, 8)
    nodes, logsnr = problems(ends)
    public = loss(nodes, NoiseSchedule(logsnr), sampler=sampler, loss="w2", process=chosen.process)
    np.testing.assert_allclose(value, np.log(public), rtol=1e-12)
    assert np.isfinite(slope).all()
    np.testing.assert_array_equal(slope[:3], 0)
    assert np.asarray(slope[3:]).all()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("sampler", "ends"),
    [
        ("ddim", FIXED),
        ("dpmpp_2m", FREE),
        *[pytest.param(name, FREE, marks=pytest.mark.slow) for name in SAMPLERS],
    ],
)
def test_idle_steps_change_no_gradient(sampler, ends):
    chosen = Objective(SAMPLERS[sampler], LOSSES["w2"], "vp")
    value, slope = log_loss_at(chosen, ends, STEPS)
    same, padded_slope = log_loss_at(chosen, ends, 8)
    np.testing.assert_allclose(same, value, rtol=1e-12)
    np.testing.assert_allclose(padded_slope[3:], slope, rtol=1e-9, atol=1e-12)


@pytest.mark.thorough
@pytest.mark.parametrize("ends", [FIXED, FREE])
@pytest.mark.parametrize("idle", [0, 3])
def test_levels_and_parameters_are_inverses(ends, idle):
    ends_clean = bool(np.isinf(ends[1]))
    logsnr = padded(problems(ends)[1], idle)
    theta = theta_of(jnp.asarray(logsnr), ends_clean=ends_clean, idle=idle)
    assert theta.shape == (STEPS + idle - ends_clean,)
    np.testing.assert_array_equal(theta[:idle], 0)
    again = levels_of(theta, ends, ends_clean=ends_clean, idle=idle)
    np.testing.assert_allclose(again, logsnr, rtol=0, atol=1e-12)
    # softplus(theta) is the gap (less the floor), whatever the ends.
    gaps = np.diff(logsnr)[idle : STEPS + idle - ends_clean]
    np.testing.assert_allclose(np.logaddexp(0, theta[idle:]) + floor(float), gaps, rtol=1e-12)


@pytest.mark.parametrize("ends", [FIXED, FREE])
def test_any_parameters_give_rising_levels(ends):
    ends_clean = bool(np.isinf(ends[1]))
    for idle in (0, 4):
        for size in (1e-3, 3.0, 300.0):
            draws = np.random.default_rng(idle).normal(scale=size, size=8 - ends_clean)
            levels = np.asarray(
                levels_of(jnp.asarray(draws), ends, ends_clean=ends_clean, idle=idle)
            )
            assert levels.shape == (9,)
            assert (np.diff(levels) > 0).all()
            assert levels[idle] == NOISY
            assert levels[-1] == ends[1]
            other = np.where(np.arange(draws.size) < idle, 7.0, draws)
            same = levels_of(jnp.asarray(other), ends, ends_clean=ends_clean, idle=idle)
            np.testing.assert_array_equal(same, levels)


def test_shared_size():
    shared = np.array([shared_size(s) for s in range(1, 3000)])
    wanted = np.arange(1, 3000)
    assert (shared >= wanted).all()
    assert (shared - wanted <= shared / 4).all()
    assert (np.diff(shared) >= 0).all()
    np.testing.assert_array_equal([shared_size(int(s)) for s in shared], shared)
    allowed = sorted(
        {int(x * 2**k) for k in range(13) for x in (1, 1.25, 1.5) if x * 2**k % 1 == 0}
    )
    assert set(shared) <= set(allowed)
    assert set(shared[:6]) == {1, 2, 3, 4, 5, 6}
    # The least of them, not just one that is large enough.
    np.testing.assert_array_equal(shared, np.array(allowed)[np.searchsorted(allowed, wanted)])
