"""Posterior samplers against matrices written out here, Monte Carlo, and what is known of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import specjax as sx
from specjax.restoration.dense import (
    dense_parts,
    dense_posterior,
    dense_transfer,
    measured_matrices,
    surrogate_modes,
)
from specjax.restoration.posterior import measured_modes, parts_of
from specjax.restoration.quadrature import measured_nodes

SHAPE = (4, 3)
D = 12
METHODS = ("dps", "pigdm", "ddnm", "ddnm_plus", "diffpir", "gaussian", "dps free", "pigdm free")
SIGMA = 0.3
STANDARD_ERRORS = 4.0


def problem(seed=0):
    """A stationary spectrum of images, a blur by a kernel that is not symmetric, its matrices."""
    rng = np.random.default_rng(seed)
    samples = rng.normal(size=(60, *SHAPE)) @ rng.normal(size=(3, 3)) * 0.5 + 0.3
    samples += 0.7 * np.roll(samples, 1, 1)
    spectrum = sx.Spectrum.from_samples(samples, method="shift-invariant")
    kernel = rng.normal(size=(3, 2))
    measurement = sx.measure.blur(kernel, SHAPE, sigma=SIGMA)
    return spectrum, measurement, kernel


def matrices(spectrum, kernel):
    """mean [d], covariance and H [d, d] over flat samples; H by its definition."""
    lifted = spectrum.lift(np.eye(D)).reshape(D, D)
    covariance = lifted.T @ np.diag(spectrum.eigenvalues) @ lifted
    h = np.zeros((*SHAPE, *SHAPE))
    for i in np.ndindex(*SHAPE):
        for j in np.ndindex(*kernel.shape):
            source = tuple((i[a] - j[a] + kernel.shape[a] // 2) % SHAPE[a] for a in range(2))
            h[(*i, *source)] += kernel[j]
    return spectrum.lift(spectrum.mean).ravel(), covariance, h.reshape(D, D)


def direction(method, s, h, covariance):
    """The matrix from y - H d to g, by the formulae of the papers in coordinates x / alpha."""
    jacobian = covariance @ np.linalg.inv(covariance + s**2 * np.eye(D))
    if method.endswith(" free"):  # of data of unit variance
        method, jacobian = method.removesuffix(" free"), np.eye(D) / (1 + s**2)
    unit, normal = np.eye(D), h @ h.T
    if method == "dps":
        return jacobian @ h.T
    if method == "pigdm":
        r2 = s**2 / (1 + s**2)
        return s**2 / r2 * jacobian @ h.T @ np.linalg.inv(normal + SIGMA**2 / r2 * unit)
    if method == "ddnm":
        return h.T @ np.linalg.inv(normal + 0.03**2 * unit)
    if method == "diffpir":
        return np.linalg.inv(h.T @ h + SIGMA**2 / s**2 * unit) @ h.T
    if method == "ddnm_plus":
        u, singular, vt = np.linalg.svd(h)
        share = np.minimum(1, s * singular / SIGMA)
        total = singular**2 / share + 0.03**2
        return vt.T @ np.diag(singular / total) @ u.T
    c = s**2 * jacobian
    return c @ h.T @ np.linalg.inv(h @ c @ h.T + SIGMA**2 * unit)


def oracle(method, schedule, eta, weights, process, spectrum, kernel):
    """Mean offset [d], gain of y [d, d] and covariance [d, d] at the end of DDIM's family."""
    mean, covariance, h = matrices(spectrum, kernel)
    sigmas = np.asarray(schedule.sigmas)
    start = sigmas[0] if process == "ve" else np.sqrt(1 + sigmas[0] ** 2)
    of_v, of_y, offset = start * np.eye(D), np.zeros((D, D)), np.zeros(D)
    noise = np.zeros((D, D))
    for k, w in enumerate(weights):
        s, after = sigmas[k], sigmas[k + 1]
        up = eta * after * np.sqrt(1 - (after / s) ** 2)
        down = np.sqrt(after**2 - up**2)
        denoise = covariance @ np.linalg.inv(covariance + s**2 * np.eye(D))
        g = direction(method, s, h, covariance)
        # d = denoise u + (1 - denoise) mean;  u' = down/s u + (1 - down/s) (d + w g (y - H d))
        keep, pull = down / s, 1 - down / s
        answer = np.eye(D) - w * g @ h
        move = keep * np.eye(D) + pull * answer @ denoise
        of_v, of_y = move @ of_v, move @ of_y + pull * w * g
        offset = move @ offset + pull * answer @ (mean - denoise @ mean)
        noise = move @ noise @ move.T + up**2 * np.eye(D)
    return offset, of_y, of_v @ of_v.T + noise


SPECTRUM = sx.Spectrum([1.0, 0.1])
WEIGHTS = np.array([0.1, 0.6, 1.1, 0.4, 0.9])
SCHEDULE = sx.family("karras", 5, alpha_bar_range=(1e-3, 1.0))


@pytest.mark.parametrize("process", ["vp", "ve"])
@pytest.mark.parametrize("eta", [0.0, 0.7])
@pytest.mark.parametrize("method", METHODS)
def test_the_transfer_is_that_of_matrices(method, eta, process):
    spectrum, measurement, kernel = problem()
    weights = WEIGHTS * (1e-2 if method in ("ddnm", "pigdm", "pigdm free") else 1.0)
    plan = sx.steered_plan(sx.plan(sx.ddim(eta=eta), SCHEDULE, process), weights)
    offset, gain, covariance = oracle(method, SCHEDULE, eta, weights, process, spectrum, kernel)
    if method.endswith(" free"):
        method = sx.METHODS[method.removesuffix(" free")](jacobian=False)
    made = sx.posterior_transfer(plan, spectrum, measurement, method)
    # In the basis of the spectrum; the phases of the kernel turn y, so |D3| is what is compared.
    lift = spectrum.lift(np.eye(D)).reshape(D, D)
    mean, _, h = matrices(spectrum, kernel)
    np.testing.assert_allclose(lift @ covariance @ lift.T, np.diag(made.variance), atol=1e-10)
    np.testing.assert_allclose(
        lift @ gain @ gain.T @ lift.T, np.diag(made.measured_gain**2), atol=1e-10
    )
    missed = lift @ (mean - offset - gain @ h @ mean)
    np.testing.assert_allclose(missed, made.mean_error * spectrum.mean, atol=1e-10)
    if (eta > 0) != (process == "vp"):
        return
    # The losses, and the matrices that the sampler itself makes of unit vectors.
    dense = dense_transfer(plan, spectrum, measurement, method)
    np.testing.assert_allclose(dense.gain, gain, atol=1e-10)
    np.testing.assert_allclose(dense.offset, offset, atol=1e-10)
    np.testing.assert_allclose(dense.covariance, covariance, atol=1e-10)
    modes = measured_modes(spectrum, measurement)
    parts = parts_of(made, modes)
    for name, value in dense_parts(dense, spectrum, measurement).items():
        assert parts[name] == pytest.approx(value, rel=1e-8, abs=1e-8)


@pytest.mark.thorough
def test_errors_of_the_denoiser_by_matrices_are_those_per_direction():
    spectrum, measurement, _ = problem()
    plan = sx.steered_plan(sx.plan("dpmpp_2m", SCHEDULE), WEIGHTS * 0.2)
    by = sx.METHODS["pigdm"]
    found = measured_matrices(spectrum, measurement, 0.2).parts(plan, by)
    for name, value in measured_modes(spectrum, measurement, 0.2).parts(plan, by).items():
        assert float(found[name]) == pytest.approx(float(value), rel=1e-8)


@pytest.mark.thorough
def test_weights_under_a_mask_are_learned_on_matrices():
    """The value is that of dense matrices, below the best constant's; the gradient is JAX's."""
    rng = np.random.default_rng(1)
    spectrum = sx.Spectrum.from_samples(rng.normal(size=(40, 6)) @ rng.normal(size=(6, 6)))
    measurement = sx.measure.mask([1, 1, 0, 1, 0, 0], sigma=0.3)
    result = sx.fit_posterior(spectrum, measurement, 4, method="diffpir")
    assert result.analysis == "matrices"
    made = dense_transfer(result.plan, spectrum, measurement, "diffpir")
    own = dense_parts(made, spectrum, measurement)
    assert result.parts == pytest.approx(own, rel=1e-6)
    assert result.value < 0.9 * result.baselines["constant"]
    # Monte Carlo: the mean squared error, at Gaussian data and measurements of them.
    n = 4000
    x0 = spectrum.lift(spectrum.mean + rng.normal(size=(n, 6)) * np.sqrt(spectrum.eigenvalues))
    y = measurement.forward(x0) + 0.3 * rng.normal(size=x0.shape)
    error = ((sx.restore(result, sx.wiener(spectrum), y) - x0) ** 2).sum(1)
    assert abs(error.mean() - own["mse"]) < STANDARD_ERRORS * error.std() / np.sqrt(n)
    from specjax.restoration.fit import log_loss

    with jax.enable_x64(True):
        function = jax.jit(log_loss(result.problem.shape, result.problem.inputs))
        theta = result.theta + 0.05
        slope = jax.grad(function)(theta)
        for j in (0, 4):
            step = 1e-5 * np.eye(len(theta))[j]
            difference = float(function(theta + step) - function(theta - step)) / 2e-5
            assert slope[j] == pytest.approx(difference, rel=1e-4, abs=1e-6)


def test_gains_stand_for_a_measurement_of_many_dimensions():
    spectrum = sx.Spectrum(np.linspace(1, 2, 1200))
    blocks = sx.measure.downsample(2, (1200,), sigma=0.1)
    found = surrogate_modes(spectrum, blocks)
    np.testing.assert_allclose(found.gain, 0.5, rtol=0.1)  # of 1,024 random signs
    few = surrogate_modes(sx.Spectrum(np.ones(6)), sx.measure.downsample(2, (6,), sigma=0.1))
    np.testing.assert_allclose(few.gain, 0.5, rtol=1e-12)


@pytest.mark.thorough
def test_weights_alone_are_learned_along_levels():
    spectrum, measurement = sx.Spectrum([4.0, 1.0, 0.1]), sx.measure.noise(0.5)
    ends = (1e-4, 1.0)
    levels = sx.family("karras", 4, alpha_bar_range=ends)
    options = {"method": "ddnm", "alpha_bar_range": ends}
    result = sx.fit_posterior(spectrum, measurement, schedule=levels, **options)
    np.testing.assert_array_equal(result.schedule.logsnr, levels.logsnr)
    assert result.theta.shape == (4,)
    for knob in (0.3, 1.0):  # constants along the same levels
        plan = sx.steered_plan(sx.plan("ddim", levels), knob)
        made = sx.posterior_transfer(plan, spectrum, measurement, "ddnm")
        other = parts_of(made, measured_modes(spectrum, measurement))["w2"]
        assert result.value < other
    named = sx.fit_posterior(spectrum, measurement, 4, schedule="karras", **options)
    assert named.value == pytest.approx(result.value)


def test_the_posterior_is_that_of_matrices():
    spectrum, measurement, kernel = problem()
    mean, covariance, h = matrices(spectrum, kernel)
    precision = np.linalg.inv(covariance) + h.T @ h / SIGMA**2
    found = dense_posterior(spectrum, measurement)
    np.testing.assert_allclose(found.covariance, np.linalg.inv(precision), atol=1e-10)
    gain = np.linalg.inv(precision) @ h.T / SIGMA**2
    np.testing.assert_allclose(found.gain, gain, atol=1e-10)
    np.testing.assert_allclose(found.offset + gain @ h @ mean, mean, atol=1e-10)
    lift = spectrum.lift(np.eye(D)).reshape(D, D)
    own = measured_modes(spectrum, measurement).variance
    np.testing.assert_allclose(lift @ found.covariance @ lift.T, np.diag(own), atol=1e-10)


@pytest.mark.parametrize(("sampler", "order"), [("ddim", 1), ("dpmpp_2m", 2), ("heun", 2)])
def test_the_exact_score_reaches_the_posterior_at_its_order(sampler, order):
    spectrum = sx.Spectrum([4.0, 1.0, 0.1], [1.0, -0.5, 0.2])
    measurement = sx.measure.gains([1.0, 0.5, 0.1], sigma=0.2)
    ends = (1e-10, 1 - 1e-4)  # levels of which the noisy end is no error, and steps are smooth
    measured = measured_modes(spectrum, measurement)

    def means(steps):
        plan = sx.plan(sampler, sx.family("uniform_logsnr", steps, alpha_bar_range=ends))
        found = sx.posterior_transfer(sx.steered_plan(plan, 1.0), spectrum, measurement, "gaussian")
        return np.concatenate([found.std, found.measured_gain])

    exact = means(4096)
    errors = [np.abs(means(steps) - exact).max() for steps in (128, 256)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)
    wanted = np.concatenate([np.sqrt(measured.variance), measured.mean_slope])
    np.testing.assert_allclose(exact, wanted, atol=2e-2)  # the end at 1e-4 and order 1


@pytest.mark.thorough
def test_samples_have_the_moments_of_the_transfer():
    spectrum, n = sx.Spectrum([2.0, 0.5, 0.1], [0.5, -0.2, 0.1]), 20_000
    measurement = sx.measure.gains([1.0, 0.3, 0.6], sigma=SIGMA)
    plan = sx.steered_plan(sx.plan(sx.ddim(eta=1.0), SCHEDULE), WEIGHTS * 0.3)
    y = np.array([1.0, 0.4, -0.3], np.float32)
    found = sx.posterior_transfer(plan, spectrum, measurement, "pigdm")
    mean = found.mean_gain * spectrum.mean + found.measured_gain * y
    denoise = sx.steered(sx.wiener(spectrum), measurement, "pigdm")
    samples = sx.generate(plan, denoise, n, (3,), conditions=np.tile(y, (n, 1)))
    error = found.std / np.sqrt(n)
    assert (np.abs(samples.mean(0) - mean) < STANDARD_ERRORS * error).all()
    of_variance = found.variance * np.sqrt(2 / n)
    assert (np.abs(samples.var(0) - found.variance) < STANDARD_ERRORS * of_variance).all()


def test_a_black_box_is_steered_as_the_same_function_in_jax():
    spectrum, measurement = sx.Spectrum([2.0, 0.5]), sx.measure.mask([1, 0], sigma=SIGMA)
    method = sx.METHODS["pigdm"](jacobian=False)
    plan = sx.steered_plan(sx.plan("ddim", SCHEDULE), WEIGHTS * 0.1)
    lam = np.array([2.0, 0.5], np.float32)
    box = sx.BlackBox(lambda x, a, s: a * lam * x / (a**2 * lam + s**2), (2,))
    y = np.array([[1.0, 0.0], [0.3, 9.0]], np.float32)
    found = [
        sx.generate(plan, sx.steered(one, measurement, method), 2, (2,), conditions=y)
        for one in (box, sx.wiener(spectrum))
    ]
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
    with pytest.raises(sx.UserError, match="jacobian"):
        sx.steered(box, measurement, "pigdm")


def test_a_plan_that_does_not_steer_is_the_plain_plan():
    spectrum, measurement = sx.Spectrum([2.0, 0.5]), sx.measure.noise(SIGMA)
    plain = sx.plan("dpmpp_2m", SCHEDULE)
    still = sx.steered_plan(plain, 0.0)
    denoise, y = sx.wiener(spectrum), np.ones((3, 2), np.float32)
    a = sx.generate(plain, denoise, 3, (2,))
    b = sx.generate(still, sx.steered(denoise, measurement, "ddnm"), 3, (2,), conditions=y)
    np.testing.assert_array_equal(a, b)
    moments = sx.posterior_transfer(still, spectrum, measurement, "ddnm")
    np.testing.assert_allclose(moments.std, sx.transfer(plain, spectrum).std, rtol=1e-14)
    assert not moments.measured_gain.any()
    for wrong in ((still, denoise), (plain, sx.steered(denoise, measurement, "ddnm"))):
        with pytest.raises(sx.UserError, match="steer"):
            sx.generate(*wrong, 3, (2,), conditions=y if wrong[0] is plain else None)


MEASUREMENTS = {
    "blur": sx.measure.blur(0.8, (4, 6), sigma=0.1),
    "kernel": sx.measure.blur(np.arange(6.0).reshape(2, 3), (4, 6), sigma=0.1),
    "channels": sx.measure.blur(0.7, (4, 6, 2), sigma=0.1),
    "lowpass": sx.measure.lowpass(0.6, (4, 6), sigma=0.1),
    "downsample": sx.measure.downsample(2, (4, 6), sigma=0.1),
    "noise": sx.measure.noise(0.1),
    "mask": sx.measure.mask(np.arange(24).reshape(4, 6) % 3 > 0, sigma=0.1),
    "gains": sx.measure.gains(np.linspace(-1, 1, 24), sigma=0.1),
    "linear": sx.measure.linear(
        lambda x: 2 * x[:, :, ::2], lambda y: jnp.repeat(2 * y, 2, 2) * jnp.array([1, 0] * 3),
        (4, 6), sigma=0.1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_measurements_are_linear_maps_with_adjoint_and_inverse(name):
    measurement = MEASUREMENTS[name]
    shape = {"gains": (24,), "channels": (4, 6, 2)}.get(name, (4, 6))
    x = np.eye(int(np.prod(shape)), dtype=np.float32).reshape(-1, *shape)
    hx = np.asarray(measurement.forward(x))
    h = hx.reshape(len(x), -1).T
    y = np.eye(len(h), dtype=np.float32).reshape(-1, *hx.shape[1:])
    back = np.asarray(measurement.adjoint(y)).reshape(len(h), -1)
    np.testing.assert_allclose(back, h, atol=1e-5)
    solved = np.asarray(measurement.solve(y, lambda e: 0.5)).reshape(len(h), -1).T
    np.testing.assert_allclose(solved, np.linalg.inv(h @ h.T + 0.5 * np.eye(len(h))), atol=1e-4)


def test_a_blur_moves_nothing_but_by_its_kernel():
    x = np.zeros((1, 5, 5))
    x[0, 2, 3] = 1
    kernel = np.array([[0.0, 1, 0], [2, 3, 4], [0, 5, 0]])
    y = sx.measure.blur(kernel, (5, 5), sigma=0.1).forward(x)
    np.testing.assert_allclose(y[0, 1:4, 2:5], kernel, atol=1e-12)


def test_a_mask_is_solved_by_matrices():
    rng = np.random.default_rng(1)
    spectrum = sx.Spectrum.from_samples(rng.normal(size=(40, 6)) @ rng.normal(size=(6, 6)))
    measurement = sx.measure.mask([1, 1, 0, 1, 0, 0], sigma=0.3)
    errors = []
    for steps in (40, 80):
        plan = sx.plan("ddim", sx.family("karras", steps, alpha_bar_range=(1e-6, 1.0)))
        made = dense_transfer(sx.steered_plan(plan, 1.0), spectrum, measurement, "gaussian")
        errors.append(dense_parts(made, spectrum, measurement)["w2"])
    assert errors[1] < 0.35 * errors[0]  # of order 1, squared
    wrong = dense_transfer(sx.steered_plan(plan, 0.0), spectrum, measurement, "gaussian")
    assert errors[1] < 0.01 * dense_parts(wrong, spectrum, measurement)["w2"]


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    lam = np.sort(10.0 ** rng.uniform(-4, 2, 400))[::-1]
    gain = np.exp(-np.arange(400) / 60) * rng.uniform(0.8, 1.2, 400)
    spectrum = sx.Spectrum(lam, rng.normal(size=400) * np.sqrt(lam) / 3)
    measurement = sx.measure.gains(gain, sigma=0.05)
    return spectrum, measurement, sx.fit_posterior(spectrum, measurement, 10, method="pigdm")


@pytest.mark.thorough
def test_learned_weights_beat_the_best_constant(fitted):
    spectrum, measurement, result = fitted
    assert result.value < 0.8 * result.baselines["constant"] < 0.8 * result.baselines["customary"]
    assert result.baselines["posterior"] == 0
    own = parts_of(
        sx.posterior_transfer(result.plan, spectrum, measurement, "pigdm"),
        measured_modes(spectrum, measurement),
    )
    assert result.value == pytest.approx(own["w2"])
    assert own["w2"] == pytest.approx(own["spread"] + own["fidelity"])
    for name in ("customary", "constant", "exact score"):
        rival = result.rivals[name]
        found = parts_of(
            sx.posterior_transfer(rival.plan, spectrum, measurement, rival.method),
            measured_modes(spectrum, measurement),
        )
        assert rival.value == pytest.approx(found["w2"])


def test_nodes_stand_for_all_directions(fitted):
    spectrum, measurement, result = fitted
    measured = measured_modes(spectrum, measurement)
    nodes = measured_nodes(measured)
    assert nodes.modes.dimension < 400
    assert nodes.modes.weights.sum() == pytest.approx(400)
    assert result.value == pytest.approx(result.history[-1], rel=0.02)


def test_mse_and_perception_are_bounded_by_their_curve(fitted):
    spectrum, measurement, result = fitted
    perception, distortion = sx.perception_distortion(spectrum, measurement)
    least = float(measured_modes(spectrum, measurement).variance.sum())
    assert distortion[-1] == pytest.approx(least)
    assert perception[0] == 0
    # The end without an error of perception: dense formula of W2 for the means, per direction.
    t = measured_modes(spectrum, measurement)
    of_means = np.asarray(t.mean_slope**2 * t.total)
    root = np.sqrt(np.asarray(spectrum.eigenvalues))
    assert distortion[0] == pytest.approx(least + ((root - np.sqrt(of_means)) ** 2).sum())
    bound = np.interp(result.parts["perception"], perception, distortion)
    assert result.parts["mse"] > bound


@pytest.mark.thorough
def test_losses_by_weight_trade_mse_for_perception():
    spectrum, measurement = sx.Spectrum([1.0, 0.2, 0.05]), sx.measure.noise(0.5)
    by = {
        name: sx.fit_posterior(spectrum, measurement, 4, method="ddnm", loss=loss).parts
        for name, loss in (("mse", "mse"), ("both", {"mse": 1.0, "perception": 5.0}))
    }
    assert by["mse"]["mse"] < by["both"]["mse"]
    assert by["both"]["perception"] < by["mse"]["perception"]
    posterior = measured_modes(spectrum, measurement)
    assert by["mse"]["mse"] == pytest.approx(float(posterior.variance.sum()), rel=0.05)


@pytest.mark.thorough
def test_the_gradient_is_that_of_finite_differences(fitted):
    from specjax.restoration.fit import log_loss

    problem = fitted[2].problem
    theta = fitted[2].theta + 0.01
    with jax.enable_x64(True):
        function = jax.jit(log_loss(problem.shape, problem.inputs))
        own = jax.grad(function)(theta)
        for j in (0, 5, 9, 12, 18):
            step = 1e-5 * np.eye(len(theta))[j]
            assert own[j] == pytest.approx(
                float(function(theta + step) - function(theta - step)) / 2e-5, rel=1e-4, abs=1e-6
            )


def test_restore_draws_from_the_posterior_of_each_measurement(fitted):
    spectrum, measurement, result = fitted
    rng, n = np.random.default_rng(3), 400
    x0 = spectrum.mean + rng.normal(size=(n, 400)) * np.sqrt(spectrum.eigenvalues)
    y = measurement.forward(x0) + 0.05 * rng.normal(size=x0.shape)
    found = sx.restore(result, sx.wiener(spectrum), y)
    error = ((found - x0) ** 2).sum(1)
    spread = error.std() / np.sqrt(n)
    assert abs(error.mean() - result.parts["mse"]) < STANDARD_ERRORS * spread
    with pytest.raises(sx.UserError, match="y "):
        sx.restore(result, sx.wiener(spectrum), y[:, :-1])


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: sx.measure.blur(9.0, (8, 8), sigma=0.1), "kernel"),
        (lambda: sx.measure.blur(np.ones((9, 9)), (8, 8), sigma=0.1), "kernel"),
        (lambda: sx.measure.blur(np.ones(3), (8, 8), sigma=0.1), "kernel"),
        (lambda: sx.measure.blur(np.ones((3, 3)) * 1j, (8, 8), sigma=0.1), "kernel"),
        (lambda: sx.measure.gains([1j, 1.0], sigma=0.1), "gains"),
        (lambda: sx.measure.gains([np.nan, 1.0], sigma=0.1), "gains"),
        (lambda: sx.measure.noise(0.0), "sigma"),
        (lambda: sx.measure.downsample(3, (8, 8), sigma=0.1), "factor"),
        (lambda: sx.measure.mask([0.5, 1], sigma=0.1), "observed"),
        (lambda: sx.measure.lowpass(2.0, (8, 8), sigma=0.1), "cutoff"),
        (lambda: sx.measure.linear(lambda x: x, lambda y: 2 * y, (4,), sigma=0.1), "adjoint"),
        (lambda: fit_of("pigdm", sx.measure.gains([1.0, 0.1], sigma=0.0)), "sigma"),
        (lambda: fit_of("diffpir", sx.measure.gains([1.0, 0.1], sigma=0.0)), "sigma"),
        (lambda: fit_of("dps", sx.measure.gains([1.0], sigma=0.1)), "gains"),
        (lambda: fit_of("dps", sx.measure.mask([1, 0, 1], sigma=0.1)), "measurement"),
        (lambda: fit_of("dps", sx.measure.noise(0.1), schedule=SCHEDULE), "steps"),
        (lambda: fit_of("dps", sx.measure.noise(0.1), schedule="steep"), "schedule"),
        (lambda: fit_of("best", sx.measure.noise(0.1)), "method"),
        (lambda: fit_of("dps", sx.measure.noise(0.1), loss="w3"), "loss"),
        (lambda: fit_of("dps", sx.measure.noise(0.1), alpha_bar_range=(0.0, 1.0)), "alpha_bar"),
        (lambda: sx.METHODS["ddnm"](jacobian=True), "jacobian"),
        (lambda: sx.transfer(sx.steered_plan(sx.plan("ddim", SCHEDULE), 1.0), SPECTRUM), "steer"),
        (lambda: sx.steered(lambda x, a, s: x, sx.measure.noise(0.1), "gaussian"), "spectrum"),
        (lambda: sx.steered_plan(sx.plan("ddim", SCHEDULE), [1.0, 2.0]), "weights"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(make, name):
    with pytest.raises(sx.UserError) as caught:
        make()
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def fit_of(method, measurement, **options):
    return sx.fit_posterior(sx.Spectrum([1.0, 0.1]), measurement, 2, method=method, **options)


def test_pads_and_drops_keep_steer():
    from specjax.sampling.step import drop_idle, pad

    plan = sx.steered_plan(sx.plan("ddim", SCHEDULE), WEIGHTS)
    longer = pad(plan, 8)
    assert longer.steer.shape == (8, 1)
    assert not longer.steer[5:].any()
    back = drop_idle(longer)
    for a, b in zip(back.rows, plan.rows, strict=True):
        np.testing.assert_array_equal(a, b)
    assert dataclasses.replace(plan, steer=None).rows._fields[-1] == "push"


@pytest.mark.thorough
def test_learning_through_a_denoiser_comes_closer_to_fine_solutions():
    """The denoiser is that of two Gaussians, whose weights those of one Gaussian are not."""
    rng = np.random.default_rng(0)
    prior = sx.priors.Empirical.from_samples(np.array([[-1.0], [1.0]]), 0.3, held_out=0)
    spectrum = sx.Spectrum([1.09])
    measurement = sx.measure.noise(1.0)
    start = sx.fit_posterior(spectrum, measurement, 4, method="pigdm")
    x0 = rng.choice([-1.0, 1.0], (200, 1)) + 0.3 * rng.normal(size=(200, 1))
    found = sx.learn_posterior(start, prior, x0, max_iterations=4)
    assert found.history[-1, 1] < found.history[0, 1] - 0.1
    assert (found.theta != start.theta).any()
    noisy = sx.fit_posterior(spectrum, measurement, 4, sampler=sx.ddim(eta=1.0))
    with pytest.raises(sx.UserError, match="start"):
        sx.learn_posterior(noisy, prior, x0)
