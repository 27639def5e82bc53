"""Measures of distance beside closed forms, SciPy, scikit-learn and torch-fidelity."""

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from sklearn.metrics import pairwise_distances
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors

from specjax._core.checks import UserError
from specjax.evaluate import pairwise
from specjax.evaluate.energy_mmd import energy_distance, polynomial_mmd
from specjax.evaluate.frechet import frechet, frechet_of_moments
from specjax.evaluate.precision_recall import density_coverage, precision_recall
from specjax.evaluate.sliced_wasserstein import sliced_wasserstein

EXACT = 1e-10
"""Relative tolerance of float64 sums in another order."""

EVERY = (frechet, energy_distance, polynomial_mmd, precision_recall, density_coverage,
         sliced_wasserstein)  # fmt: skip


def sets(n=60, m=45, d=7, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)) @ rng.normal(size=(d, d)) + 0.3


@pytest.fixture
def small_blocks(monkeypatch):
    """Several blocks, the last one not full."""
    monkeypatch.setattr(pairwise, "BLOCK", 16)


# Fréchet


def by_sqrtm(mean1, cov1, mean2, cov2):
    """The textbook's formula."""
    root = scipy.linalg.sqrtm(cov1 @ cov2)
    return np.sum((mean1 - mean2) ** 2) + np.trace(cov1 + cov2 - 2 * root.real)


@pytest.mark.parametrize("seed", range(3))
def test_frechet_is_scipys_root_of_the_product(seed):
    a, b = sets(seed=seed)
    want = by_sqrtm(a.mean(0), np.cov(a.T), b.mean(0), np.cov(b.T))
    np.testing.assert_allclose(frechet(a, b), want, rtol=1e-9)
    got = frechet_of_moments(a.mean(0), np.cov(a.T), b.mean(0), np.cov(b.T))
    np.testing.assert_allclose(got, want, rtol=1e-9)


def test_frechet_of_commuting_covariances_is_the_distance_of_standard_deviations():
    rng = np.random.default_rng(0)
    u = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    s, t = rng.uniform(0, 2, 6), rng.uniform(0, 2, 6)
    s[:2], t[1:3] = 0, 0  # singular, both along one direction and each along another
    mean = rng.normal(size=6)
    got = frechet_of_moments(mean, u * s**2 @ u.T, np.zeros(6), u * t**2 @ u.T)
    np.testing.assert_allclose(got, mean @ mean + np.sum((s - t) ** 2), rtol=1e-7)


def test_frechet_of_fewer_samples_than_dimensions_is_that_of_their_moments():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(9, 40)), 2 * rng.normal(size=(12, 40)) + 0.1
    got = frechet(a, b)
    of_moments = frechet_of_moments(a.mean(0), np.cov(a.T), b.mean(0), np.cov(b.T))
    np.testing.assert_allclose(got, of_moments, rtol=1e-9)
    # The root of an eigenvalue 0 that is rounded to 1e-16 is 1e-8: SciPy's own error.
    s1, s2 = np.cov(a.T), np.cov(b.T)
    root = scipy.linalg.sqrtm(s1 + 1e-12 * np.eye(40)).real
    eigenvalues = np.linalg.eigvalsh(root @ s2 @ root).clip(0)
    want = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(s1 + s2)
    np.testing.assert_allclose(got, want - 2 * np.sqrt(eigenvalues).sum(), rtol=1e-5)


@pytest.mark.parametrize("n", [20, 200])
def test_frechet_of_a_set_with_itself_shifted_is_the_shift(n):
    x = np.random.default_rng(0).normal(size=(n, 50))
    assert abs(frechet(x, x)) < 1e-11
    np.testing.assert_allclose(frechet(x + 0.5, x), 50 * 0.25, rtol=1e-9)


def test_frechet_on_features_is_torch_fidelitys_number():
    pytest.importorskip("torch_fidelity")
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    a, b = sets(200, 150, 12)
    stats = [{"mu": x.mean(0), "sigma": np.cov(x.T)} for x in (a, b)]
    want = fid_statistics_to_metric(*stats, False)["frechet_inception_distance"]
    np.testing.assert_allclose(frechet(a, b), want, rtol=1e-8)


def test_what_is_no_covariance_is_refused():
    for mean, covariance in (
        ([0.0, 0.0], np.diag([1.0, -1.0])),
        ([0.0, 0.0], np.array([[1.0, np.nan], [np.nan, 1.0]])),
        ([0.0], np.eye(2)),
    ):
        with pytest.raises(UserError, match="covariance"):
            frechet_of_moments(mean, covariance, [0.0, 0.0], np.eye(2))


# Pairs


def test_energy_distance_is_the_mean_over_all_pairs(small_blocks):
    a, b = sets()
    across = pairwise_distances(a, b).mean()
    within = [pairwise_distances(x).sum() / (len(x) * (len(x) - 1)) for x in (a, b)]
    np.testing.assert_allclose(energy_distance(a, b), 2 * across - sum(within), rtol=EXACT)


def test_energy_distance_in_one_dimension_is_scipys_up_to_its_bias():
    a, b = sets(50, 40, 1)
    within = [pairwise_distances(x).mean() for x in (a, b)]
    n, m = len(a), len(b)
    biased = energy_distance(a, b) + within[0] / (n - 1) + within[1] / (m - 1)
    want = scipy.stats.energy_distance(a[:, 0], b[:, 0]) ** 2
    np.testing.assert_allclose(biased, want, rtol=1e-9)


def test_mmd_is_the_mean_of_scikit_learns_kernel(small_blocks):
    a, b = sets()
    across = polynomial_kernel(a, b, degree=3, gamma=1 / 7, coef0=1).mean()
    total = -2 * across
    for x in (a, b):
        kernel = polynomial_kernel(x, degree=3, gamma=1 / 7, coef0=1)
        total += (kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1))
    np.testing.assert_allclose(polynomial_mmd(a, b), total, rtol=EXACT)


def test_mmd_of_one_subset_is_torch_fidelitys():
    pytest.importorskip("torch_fidelity")
    torch = pytest.importorskip("torch")
    from torch_fidelity.metric_kid import kid_features_to_metric

    a, b = sets(50, 50)
    found = kid_features_to_metric(
        torch.tensor(a), torch.tensor(b), kid_subsets=1, kid_subset_size=50, verbose=False,
        rng_seed=0,
    )  # fmt: skip
    want = found["kernel_inception_distance_mean"]
    np.testing.assert_allclose(polynomial_mmd(a, b), want, rtol=1e-9)


def test_mmd_of_random_subsets_has_the_mean_of_that_of_all_pairs():
    a, b = sets(300, 300, 3)
    few = [polynomial_mmd(a, b, subsets=20, subset_size=60, seed=seed) for seed in range(20)]
    error = np.std(few, ddof=1) / np.sqrt(len(few))
    assert abs(np.mean(few) - polynomial_mmd(a, b)) < 4 * error


@pytest.mark.parametrize("measure", [energy_distance, polynomial_mmd])
def test_unbiased_measures_of_one_distribution_are_zero_in_the_mean(measure):
    rng = np.random.default_rng(0)
    found = [measure(rng.normal(size=(12, 3)), rng.normal(size=(9, 3))) for _ in range(400)]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found))
    assert np.min(found) < 0


# Sliced


def test_sliced_in_one_dimension_is_scipys_wasserstein_distance():
    # Of a set shifted to the right W2 is W1; SciPy has W1 only.
    rng = np.random.default_rng(0)
    a, b = rng.uniform(size=(30, 1)), rng.uniform(5, 6, size=(30, 1))
    gaps = np.sort(b[:, 0]) - np.sort(a[:, 0])
    np.testing.assert_allclose(sliced_wasserstein(a, b), np.mean(gaps**2), rtol=EXACT)
    shift = scipy.stats.wasserstein_distance(a[:, 0], a[:, 0] + 2)
    np.testing.assert_allclose(sliced_wasserstein(a, a + 2.0), shift**2, rtol=EXACT)


def test_sliced_of_unequal_numbers_is_that_of_repeated_samples():
    a, b = sets(12, 8, 3)
    want = sliced_wasserstein(np.repeat(a, 2, 0), np.repeat(b, 3, 0), seed=4)
    np.testing.assert_allclose(sliced_wasserstein(a, b, seed=4), want, rtol=EXACT)


@pytest.mark.thorough
def test_sliced_of_gaussians():
    # W2 of N(m, s^2) and N(0, 1) in one dimension: m^2 + (s - 1)^2; a shift keeps 1/d of its square
    rng = np.random.default_rng(0)
    a, b = 2 * rng.normal(size=(20_000, 4)) + 1, rng.normal(size=(20_000, 4))
    np.testing.assert_allclose(sliced_wasserstein(a, b, projections=1000), 1 + 1, rtol=0.04)


# Neighbours


def within(a, b, k):
    """[n, m]: whether a_i is within the ball of b_j, by scikit-learn."""
    radius = NearestNeighbors(n_neighbors=k + 1).fit(b).kneighbors(b)[0][:, -1]
    return pairwise_distances(a, b) <= radius


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_are_those_of_scikit_learns_neighbours(small_blocks, k):
    a, b = sets(70, 50, 2)
    want = within(a, b, k).any(1).mean(), within(b, a, k).any(1).mean()
    assert 0.1 < min(want) < max(want) < 1
    np.testing.assert_allclose(precision_recall(a, b, k=k), want, rtol=EXACT)


def test_precision_and_recall_are_torch_fidelitys():
    pytest.importorskip("torch_fidelity")
    torch = pytest.importorskip("torch")
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    a, b = sets(70, 50, 2)
    want = calculate_precision_recall_full(torch.tensor(a), torch.tensor(b), neighborhood=3)
    np.testing.assert_allclose(precision_recall(a, b), [float(x) for x in want], rtol=1e-6)


def test_density_and_coverage_are_those_of_scikit_learns_neighbours(small_blocks):
    a, b = sets(70, 50, 2)
    inside = within(a, b, 5)
    want = inside.sum() / (5 * 70), inside.any(0).mean()
    np.testing.assert_allclose(density_coverage(a, b), want, rtol=EXACT)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_copies_of_the_data_lie_on_the_balls_to_their_neighbours(dtype):
    # A ball holds its own centre and k neighbours, the k-th on its surface whatever the rounding.
    x = (np.random.default_rng(0).normal(size=(200, 30)) + 5).astype(dtype)
    np.testing.assert_allclose(density_coverage(x.copy(), x, k=4), ((4 + 1) / 4, 1), rtol=EXACT)


def test_a_sampler_without_variety_has_precision_and_no_recall():
    b = np.random.default_rng(0).normal(size=(300, 2))
    near, everything = 0.01 * b, 30 * b
    assert precision_recall(near, b).precision == 1
    assert precision_recall(near, b).recall < 0.05
    assert precision_recall(everything, b).precision < 0.05
    assert precision_recall(everything, b).recall > 0.9


# All of them


@pytest.mark.parametrize("measure", EVERY)
def test_float32_images_are_as_good_as_float64_vectors(measure):
    a, b = (x.astype(np.float32) for x in sets(40, 40, 12))
    images = measure(a.reshape(40, 2, 2, 3), b.reshape(40, 2, 2, 3))
    np.testing.assert_allclose(images, measure(*(x.astype(np.float64) for x in (a, b))), rtol=1e-5)


@pytest.mark.parametrize("measure", EVERY)
def test_bad_samples_are_refused(measure):
    x = np.ones((10, 4))
    for bad in (np.where(np.arange(4) == 1, np.nan, x), x[:, :3], x[:0], x.astype(str)):
        with pytest.raises(UserError):
            measure(bad, x)
