"""UniPC, DPM-Solver++(3M), DEIS and iPNDM against loops of their papers and against diffusers."""

import itertools
import math

import numpy as np
import pytest

import specjax as sx
from specjax.sampling.multistep import polynomial_weights
from specjax.sampling.scaled import level_steps

EIGENVALUES = np.array([0.02, 0.3, 4.0])
SIGMAS = np.array([40.0, 12.0, 5.0, 2.6, 1.1, 0.6, 0.21, 0.07, 0.0])


def wiener(x, sigma):
    """Estimate the clean data in VE."""
    return EIGENVALUES / (EIGENVALUES + sigma**2) * x


def outcome(sampler, sigmas=SIGMAS, **options):
    """Run a sampler in VE from the same noise as the loops."""
    plan = sx.plan(sampler, sx.NoiseSchedule.from_sigmas(sigmas), "ve", **options)
    prior = sx.wiener(sx.Spectrum(EIGENVALUES))
    r = np.zeros((plan.registers, len(EIGENVALUES)))
    r[0] = sigmas[0]
    for k in range(plan.calls):
        d = np.asarray(prior(r[0], plan.alpha[k], plan.sigma[k]))
        r = np.einsum("hj,jd->hd", plan.keep[k], r) + plan.pull[k][:, None] * d
    return r[0]


def unipc(order, variant):
    """Run UniPC as the paper's algorithms 5 to 8 have it, with corrector, samples being kept."""
    levels = -np.log(np.maximum(SIGMAS, 1e-300))
    x, past, past_levels, before = np.full(3, SIGMAS[0]), [], [], None
    steps = len(SIGMAS) - 1
    for k in range(steps):
        d = wiener(x, SIGMAS[k])
        if before is not None:
            x_before, p = before
            x = _step(x_before, past, past_levels, levels[k], p, variant, d)
        past, past_levels = [d, *past], [levels[k], *past_levels]
        p = min(order, k + 1, steps - k)
        if k == steps - 1:
            return d
        before = x, p
        x = _step(x, past, past_levels, levels[k + 1], p, variant, None)
    return x


def _step(x, past, levels, end, p, variant, new):
    """Take a step of UniP or, with the estimate at its end, of UniC."""
    h = end - levels[0]
    unit = h if variant == "bh1" else -math.expm1(-h)
    ratios = [(levels[i] - levels[0]) / h for i in range(1, p)]
    differences = [(past[i] - past[0]) / r for i, r in zip(range(1, p), ratios, strict=True)]
    if new is not None:
        ratios, differences = [*ratios, 1.0], [*differences, new - past[0]]
    count = len(ratios)
    # int_0^1 h e^(h (u - 1)) u^n du, by the trapezoidal rule on very many points.
    u = np.linspace(0, 1, 200_001)
    right = [np.trapezoid(h * np.exp(h * (u - 1)) * u**n, u) / unit for n in range(1, count + 1)]
    if count == 1:
        solved = np.array([0.5])
    else:
        solved = np.linalg.solve(np.vander(ratios, count, increasing=True).T, right)
    x = math.exp(-h) * x - math.expm1(-h) * past[0]
    return x + unit * sum(a * b for a, b in zip(solved, differences, strict=True))


@pytest.mark.parametrize("variant", ["bh1", "bh2"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_unipc_is_the_papers(order, variant):
    expected = unipc(order, variant)
    np.testing.assert_allclose(outcome("unipc", order=order, variant=variant), expected, rtol=1e-8)


def test_ipndm_weighs_slopes_as_equal_steps_would():
    table = [[1], [3 / 2, -1 / 2], [23 / 12, -4 / 3, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -3 / 8]]
    x, slopes = np.full(3, SIGMAS[0]), []
    for now, after in itertools.pairwise(SIGMAS):
        slopes = [(x - wiener(x, now)) / now, *slopes][:4]
        weights = table[len(slopes) - 1] if after else [1]
        x = x + (after - now) * sum(w * e for w, e in zip(weights, slopes, strict=False))
    np.testing.assert_allclose(outcome("ipndm"), x, rtol=1e-11)


@pytest.mark.parametrize(
    ("sampler", "options", "order"),
    [
        ("unipc", {"order": 1}, 2), ("unipc", {"variant": "bh1"}, 3), ("dpmpp_3m", {}, 2),
        ("deis", {}, 2), ("ipndm", {}, 2),
    ],
)  # fmt: skip
def test_order_of_accuracy(sampler, options, order):
    """Of the Gaussian flow, whose solution is known: sqrt(lambda + s^2) stays proportional."""
    ends, errors = (-6.0, 6.0), []
    exact = np.sqrt((EIGENVALUES + np.exp(-ends[1])) / (EIGENVALUES + np.exp(-ends[0])))
    for steps in (64, 128):
        plan = sx.plan(sampler, sx.NoiseSchedule(np.linspace(*ends, steps + 1)), "ve", **options)
        gain = sx.transfer(plan, sx.Spectrum(EIGENVALUES)).gain
        errors.append(np.abs(gain - exact * plan.start).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("noise", [False, True])
def test_polynomials_through_answers_are_integrated_exactly(noise):
    """Cubics are; the integrals come from a very fine trapezoidal rule."""
    t = level_steps(np.array([-2.0, 1.4]), "ve")
    nodes = np.array([[1.0, 0.0, -0.4, -1.7]])
    weights = polynomial_weights(t, nodes, np.ones((1, 4), bool), noise)[0]
    u, h = np.linspace(0, 1, 400_001), 1.7
    density = np.exp(-h * u) if noise else np.exp(h * (u - 1))
    for power in range(4):
        expected = np.trapezoid(density * u**power, u) / np.trapezoid(density, u)
        assert weights @ nodes[0] ** power == pytest.approx(expected, abs=1e-9)


def in_diffusers(scheduler, sigmas):
    """Run a scheduler of diffusers along the levels, on answers of the same denoiser in VP."""
    torch = pytest.importorskip("torch")
    levels = torch.tensor(sigmas)
    scheduler.set_timesteps(len(sigmas) - 1)
    scheduler.sigmas, scheduler._step_index = levels, 0
    scheduler.timesteps = torch.arange(len(sigmas) - 1, 0, -1)
    alpha = 1 / np.sqrt(1 + sigmas**2)
    x = torch.tensor(np.full((1, 3), sigmas[0]) * alpha[0])
    for k, step in enumerate(scheduler.timesteps):
        d = torch.tensor(wiener(x.numpy() / alpha[k], sigmas[k]))
        x = scheduler.step(d, step, x).prev_sample
    return x.numpy()[0]


ORACLES = [
    ("unipc", {}, "UniPCMultistepScheduler", {"solver_order": 2}),
    ("unipc", {"order": 3}, "UniPCMultistepScheduler", {"solver_order": 3}),
    ("dpmpp_2m", {}, "DPMSolverMultistepScheduler", {"solver_order": 2}),
    ("dpmpp_3m", {}, "DPMSolverMultistepScheduler", {"solver_order": 3}),
    ("deis", {"order": 2}, "DEISMultistepScheduler", {"solver_order": 2}),
    ("deis", {}, "DEISMultistepScheduler", {"solver_order": 3}),
]


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
@pytest.mark.parametrize(("sampler", "options", "name", "config"), ORACLES)
def test_samplers_are_those_of_diffusers(sampler, options, name, config):
    diffusers = pytest.importorskip("diffusers")
    scheduler = getattr(diffusers, name)(prediction_type="sample", **config)
    sigmas = SIGMAS.copy()
    if sampler == "deis":
        sigmas[-1] = 0.02  # diffusers' has no finite step to 0
    expected = in_diffusers(scheduler, sigmas) * np.sqrt(1 + sigmas[-1] ** 2)
    np.testing.assert_allclose(outcome(sampler, sigmas, **options), expected, rtol=2e-5, atol=1e-6)
