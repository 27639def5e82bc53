import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from checks import by_default, one_line
from scipy.special import logit

from specjax import SAMPLERS, NoiseSchedule, Spectrum, advance, plan, transfer, wiener
from specjax.sampling.step import Row

core = sys.modules["specjax.gaussian.transfer"]  # not the function

# Every sampler with its options; each test below runs through the whole table.
TABLE = [
    ("ddim", {"eta": 0.0}),
    ("ddim", {"eta": 0.5}),
    ("ddim", {"eta": 1.0}),
    ("ddpm", {"variance": "posterior"}),
    ("ddpm", {"variance": "beta"}),
    ("euler_ancestral", {"eta": 1.0}),
    ("heun", {}),
    ("dpmpp_2m", {}),
    ("dpmpp_2m_sde", {"eta": 1.0}),
    ("dpmpp_2m_sde", {"eta": 0.5}),
    ("lms", {"order": 1}),
    ("lms", {"order": 2}),
    ("lms", {"order": 3}),
    ("lms", {"order": 4}),
]
every_sampler = pytest.mark.parametrize(
    ("sampler", "options"), TABLE, ids=["-".join(map(str, (n, *o.values()))) for n, o in TABLE]
)

LAM = np.logspace(-4, 3, 9)
MU = np.linspace(-1.0, 2.0, 9)
NOISY = float(logit(4.0358e-5))
ENDS = {"clean 1": np.inf, "clean 0.9999": float(logit(0.9999))}

# Relative to the generated standard deviation: some 50 steps of a few roundings each.
RTOL = {"float64": 1e-12, "float32": 1e-4}
# A float32 square root, squared.
SQUARE_RTOL = 1e-6
# Relative to the starting sample: the oracles subtract numbers of its size.
ORACLE_ROUNDING = 1e-14
# Central differences: the truncation is the step squared, the rounding 1e-13 over the step.
FINITE_DIFFERENCE_STEP, FINITE_DIFFERENCE_RTOL = 1e-4, 1e-6


def uneven_levels(steps, clean, dtype=np.float64):
    """No two widths are equal, none is small."""
    finite_clean = min(clean, 9.2)
    jitter = np.random.default_rng(steps).uniform(-0.4, 0.4, steps - 1)
    inner = NOISY + (finite_clean - NOISY) * (np.arange(1, steps) + jitter) / steps
    return np.array([NOISY, *inner, clean]).astype(dtype)


def corrector_rounding(levels):
    """Heun's corrector divides by the next sigma: it multiplies rounding by that ratio."""
    widest = np.diff(levels[np.isfinite(levels)]).max(initial=0.0)
    return 2 * np.finfo(levels.dtype).eps * np.exp(widest / 2)


def assert_equals_oracle(got, want, start, rtol):
    std = np.sqrt(want.variance)
    bound = rtol * std + ORACLE_ROUNDING * start
    np.testing.assert_array_less(abs(got.gain - want.gain), bound)
    np.testing.assert_array_less(abs(got.std - std), bound)
    np.testing.assert_allclose(got.mean_gain, want.mean_gain, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(got.variance, got.std**2, rtol=SQUARE_RTOL)


# Process, clean end and steps. A plan is padded to 16 calls at least, so that the diagonal shares a
# compilation with the other tests of this file; 50 steps take another.
PRODUCT = list(itertools.product(["vp", "ve", "flow"], ENDS, [1, 2, 5, 50]))
DIAGONAL = [
    ("vp", "clean 1", 1), ("ve", "clean 0.9999", 2), ("vp", "clean 0.9999", 5),
    ("ve", "clean 1", 5), ("flow", "clean 0.9999", 5),
]  # fmt: skip


@every_sampler
@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize(
    "cases",
    [DIAGONAL, pytest.param(PRODUCT, marks=pytest.mark.thorough)],
    ids=["diagonal", "product"],
)
def test_transfer_equals_the_oracle(sampler, options, dtype, cases):
    for process, clean, steps in cases:
        if process == "flow" and options == {"variance": "beta"}:
            continue  # no source runs it in flow matching
        levels = uneven_levels(steps, ENDS[clean], dtype)
        want = oracles.responses(sampler, levels.astype(float), LAM, process, **options)
        schedule = NoiseSchedule(levels)
        got = transfer(
            plan(sampler, schedule, process, **options),
            Spectrum(LAM.astype(dtype), MU.astype(dtype)),
        )
        assert got.variance.dtype == dtype
        rtol = RTOL[dtype]
        if sampler == "heun":
            rtol = max(rtol, corrector_rounding(levels))
        assert_equals_oracle(got, want, np.exp(-levels[0] / 2), rtol)
        if process == "vp" and dtype == "float64":  # the mean gain is what the start lacks
            ends = np.sqrt(schedule.alpha_bar[[0, -1]])
            np.testing.assert_allclose(got.mean_gain, ends[1] - ends[0] * got.gain, atol=1e-11)


@pytest.mark.thorough
@pytest.mark.parametrize(("sampler", "options"), [TABLE[1], TABLE[6], TABLE[9], TABLE[13]])
def test_float32_jax_arrays_stay_what_they_are(sampler, options):
    levels = uneven_levels(50, np.inf, np.float32)
    want = oracles.responses(sampler, levels.astype(float), LAM, "vp", **options)
    schedule, spectrum = NoiseSchedule(jnp.asarray(levels)), Spectrum(jnp.asarray(LAM))
    got = transfer(plan(sampler, schedule, **options), spectrum)
    assert isinstance(got.variance, jax.Array)
    assert got.variance.dtype == jnp.float32
    assert_equals_oracle(got, want, np.exp(-levels[0] / 2), RTOL["float32"])


def test_closed_forms_of_ddim_and_ddpm():
    for steps, clean in itertools.product([1, 5, 15], ENDS.values()):
        levels = uneven_levels(steps, clean)
        schedule, spectrum = NoiseSchedule(levels), Spectrum(LAM)
        ddim, ddpm = (transfer(plan(name, schedule), spectrum) for name in ("ddim", "ddpm"))
        np.testing.assert_allclose(
            ddim.gain, oracles.ddim_gain(levels, LAM), rtol=RTOL["float64"], atol=1e-14
        )
        np.testing.assert_allclose(
            ddpm.variance, oracles.ddpm_variance(levels, LAM), rtol=RTOL["float64"]
        )


def run(of_plan, denoise, start, noise):
    """All states of the first register, through ``advance`` with any denoiser, on the host."""
    r = np.stack([start, *[np.zeros_like(start)] * (of_plan.registers - 1)])
    states = []
    for k in range(of_plan.calls):
        row = Row(*(x[k] for x in of_plan.rows))
        r = advance(r, row, denoise(r[0], row.alpha, row.sigma), noise[k])
        states.append(r[0])
    return np.stack(states)


@every_sampler
def test_all_processes_are_the_same_trajectory(sampler, options):
    if options == {"variance": "beta"}:
        pytest.skip("the forward kernel's variance is the process's own")
    shape, rng = (7, 3), np.random.default_rng(0)
    start, noise = rng.normal(size=shape), rng.normal(size=(12, *shape))

    def denoise(x, alpha, sigma):  # not linear; a function of x / alpha and sigma / alpha alone
        return np.tanh(x / alpha) / (1 + (sigma / alpha) ** 2) + 0.3

    for clean in ENDS.values():
        levels = uneven_levels(6, clean)
        after = np.repeat(levels[1:], 2) if sampler == "heun" else levels[1:]
        states = {}
        for process in ("vp", "ve", "flow"):
            numbers = plan(sampler, NoiseSchedule(levels), process, **options)
            alpha, _ = oracles.scales(levels, process)
            states[process] = run(numbers, denoise, start * alpha[0], noise)
        for process in ("vp", "flow"):
            alpha, _ = oracles.scales(after, process)
            scaled = states[process] / alpha[: len(states[process]), None, None]
            np.testing.assert_allclose(scaled, states["ve"], rtol=1e-11, atol=1e-11)


@every_sampler
def test_transfer_is_the_mean_and_covariance_of_samples(sampler, options):
    count, d = 40_000, len(LAM)
    rng = np.random.default_rng(1)
    root = rng.normal(size=(d, d)) * np.geomspace(3.0, 0.1, d)
    spectrum = Spectrum.from_covariance(root @ root.T, mean=rng.normal(size=d))
    numbers = plan(sampler, NoiseSchedule(uneven_levels(5, np.inf)), **options)
    want = transfer(numbers, spectrum)
    start, noise = rng.normal(size=(count, d)), rng.normal(size=(numbers.calls, count, d))
    samples = run(numbers, wiener(spectrum), numbers.start * start, noise)[-1]
    got = samples @ spectrum.basis.vectors

    errors_of_mean = np.sqrt(want.variance / count)
    errors_of_covariance = np.sqrt(np.outer(want.variance, want.variance) / count)
    errors_of_covariance *= np.sqrt(1 + np.eye(d))
    bound = 4.9  # standard errors; 54 numbers each: one false alarm in 1,000 runs of the file
    mean_error = got.mean(0) - want.mean_gain * spectrum.mean
    covariance_error = np.cov(got.T) - np.diag(want.variance)
    np.testing.assert_array_less(abs(mean_error), bound * errors_of_mean)
    np.testing.assert_array_less(abs(covariance_error), bound * errors_of_covariance)


def measured_order(sampler, options, ends, exact):
    """The order by which errors fall from one number of steps to twice as many (64 calls)."""
    steps = 16 if sampler == "heun" else 32
    spectrum = Spectrum(np.logspace(-0.5, 0.5, len(LAM)))
    errors = []
    for s in (steps, 2 * steps):
        schedule = NoiseSchedule(np.linspace(*ends, s + 1))
        std = transfer(plan(sampler, schedule, **options), spectrum).std
        errors.append(abs(std - exact(spectrum.eigenvalues)).max())
    return np.log2(errors[0] / errors[1])


@every_sampler
def test_order_of_accuracy(sampler, options):
    order = SAMPLERS[sampler].order
    if options.get("eta") or order is None:
        # From pure noise the reverse SDE gives the marginal at the clean end; weak order 1.
        ends = (-12.0, 4.0)
        alpha, sigma = oracles.scales(np.array(ends), "vp")

        def exact(lam):
            return np.sqrt(alpha[1] ** 2 * lam + sigma[1] ** 2)

        assert measured_order(sampler, options, ends, exact) > 0.8
        return
    ends = (-4.0, 4.0)
    got = measured_order(sampler, options, ends, lambda lam: oracles.gaussian_flow_gain(*ends, lam))
    if sampler == "lms":  # Euler's start leaves order 2 from order=2 on
        assert got > min(options["order"], order) - 0.1
    else:
        assert got == pytest.approx(order, abs=0.1)


@pytest.mark.thorough
@every_sampler
def test_gradients_equal_finite_differences(sampler, options):
    spectrum, size = Spectrum(np.logspace(-2, 1, len(LAM)), MU), FINITE_DIFFERENCE_STEP

    def total(logsnr):  # the gradients of the losses themselves are tested with the losses
        moments = transfer(plan(sampler, NoiseSchedule(logsnr), **options), spectrum)
        return (jnp.cos(moments.std) + MU * moments.mean_gain**2 + jnp.log(moments.variance)).sum()

    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(total))
        for clean in ENDS.values():
            levels = uneven_levels(4, clean)
            steps = size * np.eye(5)[np.isfinite(levels)]
            want = np.array([total(levels + h) - total(levels - h) for h in steps]) / (2 * size)
            got = gradient(jnp.asarray(levels))[: len(steps)]
            np.testing.assert_allclose(
                got, want, rtol=FINITE_DIFFERENCE_RTOL, atol=FINITE_DIFFERENCE_RTOL
            )


@pytest.mark.parametrize(("sampler", "options"), [TABLE[3], TABLE[13]])
@pytest.mark.parametrize("elements", [1, 3000])
def test_blocks_of_rows_change_nothing(monkeypatch, sampler, options, elements):
    levels = uneven_levels(50, np.inf)
    numbers, spectrum = plan(sampler, NoiseSchedule(levels), **options), Spectrum(LAM)
    want = transfer(numbers, spectrum)
    monkeypatch.setattr(core, "_BLOCK_ELEMENTS", elements)
    got = transfer(numbers, spectrum)
    np.testing.assert_allclose(got.std, want.std, rtol=RTOL["float64"])
    np.testing.assert_allclose(got.gain, want.gain, atol=1e-14)
    np.testing.assert_allclose(got.mean_gain, want.mean_gain, rtol=RTOL["float64"])


def test_a_spectrum_too_large_for_one_block():
    levels, lam = uneven_levels(50, ENDS["clean 0.9999"]), np.logspace(-6, 3, 20_000)
    assert 64 * 3 * lam.size > core._BLOCK_ELEMENTS
    got = transfer(plan("ddpm", NoiseSchedule(levels)), Spectrum(lam))
    np.testing.assert_allclose(
        got.variance, oracles.ddpm_variance(levels, lam), rtol=RTOL["float64"]
    )


@pytest.mark.thorough
@pytest.mark.parametrize(("sampler", "options"), by_default(TABLE, 1, 6, 13))
def test_vmap_over_traced_schedules_is_a_loop(sampler, options):
    def moments(levels):
        found = transfer(plan(sampler, NoiseSchedule(levels), **options), Spectrum(LAM))
        return found.std, found.mean_gain

    many = np.stack([uneven_levels(7, clean) - 0.3 * k for k, clean in enumerate(ENDS.values())])
    with jax.enable_x64(True):
        got = jax.jit(jax.vmap(moments))(jnp.asarray(many))
    want = [np.stack(rows) for rows in zip(*map(moments, many), strict=True)]
    np.testing.assert_allclose(got, want, rtol=RTOL["float64"], atol=1e-13)


def test_unknown_samplers_and_options_are_refused():
    schedule = NoiseSchedule([-3.0, 0.0, 3.0])
    for sampler, options, word in [
        ("dim", {}, "did you mean 'ddim'"),
        ("ddim", {"process": "edm"}, "process = 'edm'"),
        ("ddim", {"order": 2}, "no option 'order': it takes eta"),
        ("heun", {"eta": 1.0}, "no option 'eta'"),
        ("ddim", {"eta": 1.5}, "eta = 1.5"),
        ("dpmpp_2m_sde", {"eta": -1.0}, "eta = -1.0"),
        ("ddpm", {"variance": "large"}, "variance = 'large'"),
        ("lms", {"order": 0}, "order = 0"),
    ]:
        assert word in one_line(plan, sampler, schedule, **options)
