import numpy as np
import pytest
from checks import one_line

from specjax import Spectrum, loss, spectral
from specjax.spectra.low_rank import low_rank, tail

RANK = 20


def power_law_samples(n=600, d=300, exponent=1.5, seed=0):
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    return rng.normal(size=(n, d)) * np.arange(1, d + 1) ** (-exponent / 2) @ turn.T + 3.0


class Batches:
    """Samples that can be read again and again."""

    def __init__(self, x):
        self.x, self.passes = x, 0

    def __iter__(self):
        self.passes += 1
        return iter(np.array_split(self.x, 7))


# Measured 2e-9 at the last of the 20; found eigenvalues are never too large.
TOP_RTOL = 1e-6


@pytest.mark.thorough
@pytest.mark.parametrize("source", [lambda x: x, Batches, lambda x: list(np.array_split(x, 3))])
def test_the_top_is_that_of_the_covariance(source):
    x = power_law_samples()
    top = low_rank(source(x), RANK)
    covariance = np.cov(x.T)
    want, vectors = np.linalg.eigh(covariance)
    want, vectors = want[::-1][:RANK], vectors[:, ::-1][:, :RANK]
    np.testing.assert_allclose(top.eigenvalues, want, rtol=TOP_RTOL)
    assert (top.eigenvalues <= want * (1 + 1e-12)).all()
    assert abs(1 - top.eigenvalues / want).max() <= max(top.change, 1e-12)
    np.testing.assert_allclose(top.rest, covariance.trace() - want.sum(), rtol=1e-6)
    np.testing.assert_allclose(np.abs(top.mean), np.abs(vectors.T @ x.mean(0)), rtol=1e-3)
    norm = (x.mean(0) ** 2).sum()
    np.testing.assert_allclose((top.mean**2).sum() + top.mean_rest, norm, rtol=1e-12)


def test_it_takes_the_passes_it_says():
    batches = Batches(power_law_samples())
    low_rank(batches, RANK, power_iterations=1)
    assert batches.passes == 3


def test_integers_are_mapped():
    x = np.random.default_rng(0).integers(0, 256, (60, 4, 5), np.uint8)
    spectrum = Spectrum.from_samples(x, method="low-rank", rank=3, data_range=(0, 255))
    want = np.linalg.eigvalsh(np.cov((x.reshape(60, -1) / 127.5 - 1).T))[::-1]
    np.testing.assert_allclose(spectrum.eigenvalues[:3], want[:3], rtol=1e-9)


def test_samples_of_lower_rank_than_the_block():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 4)) @ rng.normal(size=(4, 30))
    top = low_rank(x, 6)
    want = np.linalg.eigvalsh(np.cov(x.T))[::-1][:6].clip(0)
    np.testing.assert_allclose(top.eigenvalues, want, rtol=1e-10, atol=1e-12 * want[0])
    assert top.rest < 1e-12 * want[0]


def test_the_whole_spectrum_when_the_rank_is_the_dimension():
    x = power_law_samples(n=100, d=12)
    spectrum = Spectrum.from_samples(x, method="low-rank", rank=12)
    np.testing.assert_allclose(spectrum.eigenvalues, np.linalg.eigvalsh(np.cov(x.T))[::-1])
    assert (spectrum.weights == 1).all()


@pytest.mark.parametrize(("rank", "dimension"), [(10, 10_000), (1, 300), (50, 51)])
def test_the_tail_of_a_power_law_is_the_power_law(rank, dimension):
    j = np.arange(rank + 1, dimension + 1)
    for exponent in (0.0, 0.5, 1.0, 1.7, 4.0):
        law = 7.0 * (j / rank) ** -exponent
        values, counts = tail(7.0, rank, dimension, law.sum())
        assert counts.sum() == dimension - rank
        assert values.size <= 256
        np.testing.assert_allclose(counts @ values, law.sum(), rtol=1e-9)
        ends = np.cumsum(counts).astype(int)
        groups = np.array([group.mean() for group in np.split(law, ends[:-1])])
        # The integral for a sum is off by about a^2 / (24 j^2) of itself.
        np.testing.assert_allclose(values, groups, rtol=2e-3)


def test_any_mass_is_kept():
    for mass in (0.0, 1e-6, 99 * 2.0, 150 * 2.0):
        values, counts = tail(2.0, 1, 100, mass)
        np.testing.assert_allclose(counts @ values, mass, rtol=1e-9)
        assert counts.sum() == 99
        assert (np.diff(values) <= 1e-12).all()


@pytest.mark.thorough
def test_the_loss_is_that_of_the_full_spectrum():
    # A power law throughout, so that what is extrapolated is true.
    d = 5000
    lam = 100.0 * np.arange(1, d + 1) ** -1.3
    values, counts = tail(lam[19], 20, d, lam[20:].sum())
    few = Spectrum(np.append(lam[:20], values), weights=np.append(np.ones(20), counts))
    full = Spectrum(lam)
    schedule = spectral(full, 10)
    for name in ("w2", "kl"):
        np.testing.assert_allclose(
            loss(few, schedule, loss=name), loss(full, schedule, loss=name), rtol=2e-3
        )


@pytest.mark.thorough
def test_a_spectrum_states_what_is_measured():
    x = power_law_samples()
    spectrum = Spectrum.from_samples(x, method="low-rank", rank=RANK, seed=4)
    known = {"method": "low-rank", "rank": RANK, "dimension": 300, "samples": 600, "seed": 4}
    assert known.items() <= spectrum.source.items()
    assert spectrum.basis is None
    total = spectrum.weights @ spectrum.eigenvalues
    np.testing.assert_allclose(total, np.cov(x.T).trace(), rtol=1e-9)
    np.testing.assert_allclose(spectrum.weights.sum(), 300)
    np.testing.assert_allclose(spectrum.mean_power.sum(), (x.mean(0) ** 2).sum(), rtol=1e-9)
    shrunk = Spectrum.from_samples(x, method="low-rank", rank=RANK, seed=4, shrinkage=0.5)
    np.testing.assert_allclose(shrunk.weights @ shrunk.eigenvalues, total, rtol=1e-9)


REFUSED = [
    ("read only once", iter([np.ones((3, 2))]), {"rank": 1}),
    ("rank", np.eye(5), {}),
    ("rank = 0", np.eye(5), {"rank": 0}),
    ("rank = 6", np.eye(9, 5), {"rank": 6}),
    ("rank = 3", np.eye(3, 9), {"rank": 3}),
    ("spatial", np.eye(5), {"rank": 1, "spatial": 1}),
    ("constant", np.ones((5, 3)), {"rank": 1}),
]


def test_errors_name_the_argument():
    for words, x, options in REFUSED:
        assert words in one_line(Spectrum.from_samples, x, method="low-rank", **options)
