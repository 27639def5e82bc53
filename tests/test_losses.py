from decimal import Decimal, localcontext

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import one_line
from scipy.linalg import sqrtm
from scipy.stats import ortho_group

from specjax import LOSSES, NoiseSchedule, Spectrum, Transfer, plan, transfer
from specjax.gaussian.losses import _log_excess, check_finite, evaluate, loss_of
from specjax.gaussian.modes import modes_of

# Full matrices of ten rows against sums of ten numbers; sqrtm is the worst of them.
MATRIX_RTOL = 1e-9
# A handful of roundings of the series, or of a logarithm of up to 70 and its exponential.
SERIES_RTOL = {"float64": 3e-14, "float32": 1e-5}

LAM = np.logspace(-2, 2, 5)
MU = np.array([0.3, -1.0, 2.0, 0.0, 0.5])
VARIANCE = LAM * np.array([0.4, 0.9, 1.0 + 1e-7, 1.3, 2.0])
MEAN_GAIN = np.array([0.9, 1.1, 1.0, 0.7, 0.99])
COUNTS = np.array([1, 3, 2, 1, 3])
MOMENTS = Transfer(np.sqrt(VARIANCE), MEAN_GAIN, np.sqrt(VARIANCE), VARIANCE)


def value(loss, spectrum, moments=MOMENTS):
    with jax.enable_x64(True):
        return float(evaluate(LOSSES[loss], moments, modes_of(spectrum)))


def full(variances, means):
    """A covariance and a mean in which each eigenvalue is repeated as often as it counts."""
    variances, means = np.repeat(variances, COUNTS), np.repeat(means, COUNTS)
    basis = ortho_group.rvs(len(variances), random_state=0)
    return basis * variances @ basis.T, basis @ means


def squared_wasserstein(cov_a, mean_a, cov_b, mean_b):
    root = sqrtm(cov_a)
    cross = sqrtm(root @ cov_b @ root)
    return np.trace(cov_a + cov_b - 2 * cross) + ((mean_a - mean_b) ** 2).sum()


def divergence(cov_a, mean_a, cov_b, mean_b):
    gap, inverse = mean_b - mean_a, np.linalg.inv(cov_b)
    logs = np.linalg.slogdet(cov_b)[1] - np.linalg.slogdet(cov_a)[1]
    return (np.trace(inverse @ cov_a) + gap @ inverse @ gap - len(gap) + logs) / 2


@pytest.mark.parametrize(
    ("loss", "reference"),
    [
        ("w2", squared_wasserstein),
        ("kl", divergence),
        ("kl_reverse", lambda *a: divergence(*a[2:], *a[:2])),
    ],
)
def test_losses_equal_the_formulas_of_full_matrices(loss, reference):
    data, generated = full(LAM, MU), full(VARIANCE, MEAN_GAIN * MU)
    got = value(loss, Spectrum(LAM, MU, weights=COUNTS))
    np.testing.assert_allclose(got, reference(*data, *generated).real, rtol=MATRIX_RTOL)


def test_losses_without_a_matrix_formula():
    spectrum = Spectrum(LAM, MU, weights=COUNTS)
    l1 = sum(n * abs(a - b) for n, a, b in zip(COUNTS, LAM, VARIANCE, strict=True))
    ratios = zip(COUNTS, LAM, VARIANCE, strict=True)
    relative = sum(n * (1 - (b / a) ** 0.5) ** 2 for n, a, b in ratios)
    np.testing.assert_allclose(value("l1", spectrum), l1, rtol=1e-14)
    np.testing.assert_allclose(value("relative", spectrum), relative, rtol=1e-14)


def test_the_mean_may_have_weights_of_its_own():
    weights = np.array([1.0, 0.0, 2.0, 0.0, 0.0])
    mean_only = value("w2", Spectrum(LAM, MU, weights=weights, mean_weights=[0, 2, 0, 0, 1]))
    without = value("w2", Spectrum(LAM, weights=weights))
    want = 2 * (0.1 * -1.0) ** 2 + (0.01 * 0.5) ** 2
    np.testing.assert_allclose(mean_only - without, want, rtol=1e-10)


def test_a_perfect_sampler_has_no_loss():
    perfect = Transfer(np.sqrt(LAM), np.ones(5), np.sqrt(LAM), LAM)
    for loss in LOSSES:
        assert abs(value(loss, Spectrum(LAM, MU), perfect)) < 1e-28, loss


RATIOS = 1 + np.concatenate([s * np.logspace(-12, 0, 25)[:-1] for s in (-1, 1)])
RATIOS = np.concatenate([RATIOS, np.logspace(-30, -1, 30), np.logspace(0.3, 15, 15)])


def excess(ratio):
    with localcontext() as context:
        context.prec = 60
        exact = Decimal(float(ratio))
        return float(exact - 1 - exact.ln())


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", SERIES_RTOL)
def test_log_excess_is_exact_near_and_far(dtype):
    ratios = RATIOS.astype(dtype)
    want = np.array([excess(r) for r in ratios])
    with jax.enable_x64(dtype == "float64"):
        got = _log_excess(jnp.asarray(ratios), jnp.asarray(1, dtype))
    assert got.dtype == dtype
    np.testing.assert_allclose(got, want, rtol=SERIES_RTOL[dtype])


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", SERIES_RTOL)
def test_log_excess_has_exact_gradients(dtype):
    ratios = RATIOS.astype(dtype)
    with jax.enable_x64(dtype == "float64"):
        one = jnp.asarray(1, dtype)
        by_a, by_b = jax.vmap(jax.grad(_log_excess, (0, 1)), (0, None))(jnp.asarray(ratios), one)
    exact = ratios.astype(np.float64)
    np.testing.assert_allclose(by_a, (exact - 1) / exact, rtol=SERIES_RTOL[dtype])
    np.testing.assert_allclose(by_b, 1 - exact, rtol=SERIES_RTOL[dtype])


@pytest.mark.thorough
@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_by_the_generated_variance(loss):
    spectrum = Spectrum(LAM, MU)

    def of_variance(variance):
        std = jnp.sqrt(variance)
        return evaluate(LOSSES[loss], Transfer(std, MEAN_GAIN, std, variance), spectrum)

    with jax.enable_x64(True):
        got = jax.grad(of_variance)(jnp.asarray(VARIANCE))
        for k, h in enumerate(1e-4 * VARIANCE):
            step = h * np.eye(5)[k]
            # The third value lies within h of lambda, where l1 has its kink.
            if loss == "l1" and k == 2:
                continue
            want = (of_variance(VARIANCE + step) - of_variance(VARIANCE - step)) / (2 * h)
            np.testing.assert_allclose(got[k], want, rtol=1e-6, atol=1e-6 * abs(got).max())


def test_importance_is_the_weight_of_a_small_error():
    error = 1e-4
    std = np.sqrt(LAM) * np.exp(error)
    moments = Transfer(std, np.ones(5), std, std**2)
    for name, loss in LOSSES.items():
        size = error**2 if loss.quadratic else error
        want = [value(name, Spectrum(LAM, weights=w), moments) / size for w in np.eye(5)]
        np.testing.assert_allclose(loss.importance(LAM), want, rtol=1e-3, err_msg=name)


@pytest.mark.thorough
@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
@pytest.mark.parametrize("x64", [True, False])
def test_zero_eigenvalues_have_finite_gradients(sampler, x64):
    spectrum = Spectrum([1.0, 0.0, 0.1, 0.0], mean=[1.0, 2.0, 0.0, 0.0])

    @jax.jit
    @jax.value_and_grad
    def both(logsnr):
        moments = transfer(plan(sampler, NoiseSchedule(logsnr)), spectrum)
        return sum(evaluate(LOSSES[loss], moments, modes_of(spectrum)) for loss in ("w2", "l1"))

    with jax.enable_x64(x64):
        for clean in (4.0, np.inf):
            got, gradient = both(jnp.array([-9.0, -2.0, 1.0, clean]))
            assert np.isfinite(got)
            assert np.isfinite(gradient[:3]).all()


def test_zero_eigenvalues_are_refused_with_the_remedy():
    spectrum = Spectrum([2.0, 0.0, 0.0])
    for loss in ("kl", "kl_reverse", "relative"):
        said = one_line(check_finite, LOSSES[loss], spectrum.eigenvalues)
        assert "2 zero eigenvalue" in said
        assert "--floor" in said
        check_finite(LOSSES[loss], spectrum.floor(1e-6).eigenvalues)
    assert "loss = 'w1'" in one_line(loss_of, "w1")
