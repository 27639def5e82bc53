"""Evaluations: value, error bar and floor."""

import json
import tracemalloc
from typing import NamedTuple

import numpy as np
import pytest

import specjax as sx
from specjax._core.checks import UserError
from specjax.evaluate import (
    MEASURES,
    Reference,
    band_power,
    evaluate,
    evaluate_schedules,
    frechet,
    principal,
)
from specjax.evaluate.evaluation import evaluate_sets, split_into_sets
from specjax.evaluate.subsample import random_subsample

EVERY = tuple(MEASURES)


def gaussian(n, d=6, scale=1.0, seed=0):
    """Samples of one distribution with falling variances."""
    x = np.random.default_rng(seed).normal(size=(n, d)) * np.arange(1, d + 1) ** -0.5
    return scale * x


class Doubled(NamedTuple):
    """Features that are known exactly."""

    name: str = "twice"
    distance_name: str = "feature Fréchet (twice)"

    def __call__(self, samples):
        return 2 * np.asarray(samples).reshape(len(samples), -1)


@pytest.fixture(scope="module")
def same():
    """Twelve seeds' sets from the distribution of the data, all measures."""
    samples = [gaussian(300, seed=seed) for seed in range(1, 13)]
    return evaluate(samples, gaussian(8000), measures=EVERY, n=300, splits=12)


@pytest.mark.thorough
@pytest.mark.parametrize("column", [c for row in MEASURES.values() for c in row.columns])
def test_samples_from_the_distribution_of_the_data_are_at_the_floor(same, column):
    value, floor = same.values[column], same.floor[column]
    assert abs(value.value - floor.value) < 4 * np.hypot(value.error, floor.error)
    assert value.error > 0
    assert floor.error > 0


def test_errors_are_standard_errors_over_seeds_and_splits(same):
    for one, count in ((same.values["frechet"], 12), (same.floor["frechet"], 12)):
        assert len(one.each) == count
        np.testing.assert_allclose(one.value, np.mean(one.each), rtol=1e-12)
        np.testing.assert_allclose(one.error, np.std(one.each, ddof=1) / count**0.5, rtol=1e-12)
    assert (same.n, same.seeds, same.splits) == (300, 12, 12)


def test_the_floor_is_of_the_same_n():
    # tr(S1) + tr(S2) - 2 tr(...) of equal Gaussians is of order d / n: half the n, twice the floor.
    data = gaussian(8000)
    floors = [
        evaluate(gaussian(n, seed=1), data, measures=["frechet"], splits=20).floor["frechet"].value
        for n in (100, 400)
    ]
    assert 3 < floors[0] / floors[1] < 5.3


@pytest.mark.thorough
def test_wrong_samples_are_beyond_the_floor():
    wrong = [gaussian(300, scale=1.5, seed=seed) for seed in (1, 2, 3)]
    found = evaluate(wrong, gaussian(4000), measures=EVERY)
    for column in ("frechet", "spectrum_db", "sliced", "energy", "mmd"):
        value, floor = found.values[column], found.floor[column]
        assert value.value - floor.value > 5 * np.hypot(value.error, floor.error)
        assert found.over_floor(column) > 3 or column in ("energy", "mmd")
    for column in ("precision", "density"):
        assert found.values[column].value < found.floor[column].value - 0.1


def test_frechet_of_a_known_distance_lies_by_it_above_the_floor():
    d = 4
    data, samples = gaussian(4000, d), [2 * gaussian(1000, d, seed=seed) for seed in range(1, 7)]
    found = evaluate(samples, data, measures=["frechet"], n=1000)
    known = np.sum(1 / np.arange(1, d + 1))  # (2 - 1)^2 of each variance; the bias is that of d / n
    value = found.values["frechet"]
    assert abs(value.value - known) < 4 * value.error + 2 * found.floor["frechet"].value


def test_few_data_give_a_smaller_n_on_both_sides():
    found = evaluate(gaussian(500, seed=1), gaussian(81), measures=["frechet"])
    assert found.n == 40
    assert evaluate(gaussian(30, seed=1), gaussian(81), measures=["frechet"]).n == 30


def test_a_large_n_is_kept_of_a_dataset(monkeypatch):
    monkeypatch.setattr("specjax.evaluate.subsample.MAX_BYTES", 4 * 6 * 40)
    data = sx.data.open(gaussian(300))
    options = {"measures": ["sliced"], "splits": 2}
    assert evaluate(gaussian(200, seed=1), data, **options).n == 20
    assert evaluate(gaussian(200, seed=1), data, n=100, **options).n == 100


def test_a_random_part_is_that_of_the_smallest_numbers_and_in_memory_twice():
    whole, sizes = gaussian(1500, 1024).astype(np.float32), (1, 49, *[50] * 29)
    ends = np.cumsum(sizes)
    batches = (whole[end - size : end] for end, size in zip(ends, sizes, strict=True))
    tracemalloc.start()
    found = random_subsample(batches, size=250, seed=3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    ranks = np.random.default_rng(3).random(1500)
    np.testing.assert_array_equal(found, whole[np.sort(np.argsort(ranks)[:250])])
    assert peak < 3 * found.nbytes  # with a batch in float64, 0.4 of them
    np.testing.assert_array_equal(random_subsample(whole, size=2000), whole)


@pytest.mark.slow
def test_one_sets_error_is_about_the_spread_of_new_sets():
    reference = Reference.of(gaussian(1000), n=200, measures=["frechet", "precision_recall"])
    sets = [gaussian(200, scale=2.0, seed=seed) for seed in range(1, 41)]
    rows = [evaluate_sets(reference, "alone", lambda _, one=one: one, 1) for one in sets]
    assert {(row.error, row.seeds) for row in rows} == {("random halves", 1)}
    for column, most in (("frechet", 1.4), ("precision", 1.8)):
        spread = np.std([row.values[column].value for row in rows], ddof=1)
        error = np.sqrt(np.mean([row.values[column].error ** 2 for row in rows]))
        # The deviation of 40 is known to 11 %, and that of 40 times 5 halves to 6 %.
        assert 0.7 < error / spread < most


def test_a_stack_of_seeds_is_the_list_of_them():
    data, sets = gaussian(200), np.stack([gaussian(50, seed=seed) for seed in (1, 2)])
    stacked, listed = (evaluate(x, data, measures=["sliced"]) for x in (sets, list(sets)))
    assert stacked.as_json() == listed.as_json()
    assert stacked.seeds == 2


@pytest.mark.thorough
def test_the_same_seed_is_the_same_evaluation_and_another_is_not():
    data, samples = gaussian(200), gaussian(50, seed=1)
    one, again, other = (
        evaluate(samples, data, measures=EVERY, seed=seed).as_json() for seed in (1, 1, 2)
    )
    assert one == again
    assert one["values"]["sliced"] != other["values"]["sliced"]


# Spaces


def test_features_are_measured_beside_the_samples():
    found = evaluate(gaussian(100, seed=1), gaussian(400), measures=EVERY, features=Doubled())
    for all_numbers in (found.values, found.floor):
        np.testing.assert_allclose(
            all_numbers["feature_frechet"].value, 4 * all_numbers["frechet"].value, rtol=1e-9
        )
        assert all_numbers["feature_recall"].value == all_numbers["recall"].value
    assert found.titles["feature_frechet"] == "feature Fréchet (twice)"
    assert found.titles["feature_recall"] == "recall (twice)"
    assert "feature_sliced" not in found.values
    assert not any("fid" in column for column in found.values)


def test_features_are_made_in_batches_that_are_reported():
    sizes, told = [], []

    class Counted(Doubled):
        def __call__(self, samples):
            sizes.append(len(samples))
            return super().__call__(samples)

    options = {"measures": ["frechet"], "splits": 2}
    found = evaluate(gaussian(1200, seed=1), gaussian(2600), features=Counted(), **options,
                     progress=lambda *done: told.append(done))  # fmt: skip
    assert max(sizes) <= 1024 < sum(sizes)
    steps = 3 + 2 + 2 * 2  # batches of the data, splits, the samples and their halves beside each
    assert told == [(done, steps) for done in range(1, steps + 1)]
    np.testing.assert_allclose(
        found.values["feature_frechet"].value, 4 * found.values["frechet"].value, rtol=1e-9
    )


def test_only_inceptions_frechet_is_called_fid():
    both = [Doubled(), Doubled("Inception", "FID")]
    found = evaluate(gaussian(50, seed=1), gaussian(100), measures=["frechet", "mmd"],
                     features=both)  # fmt: skip
    assert list(found.values) == [
        "frechet", "mmd", "feature_frechet", "feature_mmd", "fid", "inception_mmd",
    ]  # fmt: skip
    assert found.titles["fid"] == "FID"
    assert [column for column, title in found.titles.items() if "FID" in title] == ["fid"]


def test_the_spectrum_of_several_channels_of_sound_is_that_of_one_axis():
    a, b = (np.random.default_rng(i).normal(size=(40, 16, 2)) for i in range(2))
    found = evaluate(a, b, measures=["spectrum"], n=20, spatial=1)
    reference = Reference.of(b, measures=["spectrum"], n=20, spatial=1)
    rows = np.random.default_rng([0, 0, 1]).permutation(20)
    mine = split_into_sets(a, 20, 0)[0][rows]
    want = band_power(mine, b[reference.splits[0].reference], spatial=1)
    np.testing.assert_allclose(found.values["spectrum_db"].each[0], want.rms, rtol=1e-9)


def test_principal_components_are_those_of_the_covariance():
    x = np.random.default_rng(0).normal(size=(200, 5)) * [3, 0.1, 2, 0.5, 1] + 7
    found = principal(x, 2)
    eigenvalues, vectors = np.linalg.eigh(np.cov(x.T))
    np.testing.assert_allclose(abs(vectors[:, ::-1][:, :2].T @ found.vectors), np.eye(2), atol=1e-9)
    np.testing.assert_allclose(found.share, eigenvalues[-2:].sum() / eigenvalues.sum(), rtol=1e-9)
    np.testing.assert_allclose(found.project(x).mean(0), 0, atol=1e-9)


@pytest.mark.parametrize("exact", [True, False])
def test_components_of_large_samples_are_the_singular_vectors(exact, monkeypatch):
    if not exact:
        monkeypatch.setattr("specjax.evaluate.feature_spaces._EXACT", 20)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 8)) * 10.0 ** -np.arange(8) @ rng.normal(size=(8, 500))
    found = principal(x, 3, seed=1)
    roots, rows = np.linalg.svd(x - x.mean(0), full_matrices=False)[1:]
    np.testing.assert_allclose(abs(rows[:3] @ found.vectors), np.eye(3), atol=1e-6)
    np.testing.assert_allclose(found.share, (roots[:3] ** 2).sum() / (roots**2).sum(), rtol=1e-9)


def test_frechet_of_components_is_that_of_the_projected_samples():
    data, samples = gaussian(400), gaussian(200, scale=2.0, seed=1)
    found = evaluate(samples, data, measures=["frechet", "spectrum"], pca=2, n=200)
    basis = principal(data, 2)
    reference = Reference.of(data, n=200, measures=["frechet"]).splits[0].reference
    used = np.unique(np.concatenate([
        np.concatenate(pair) for pair in
        ((o[:200], o[200:400]) for o in (np.random.default_rng([0, s]).permutation(400)
                                         for s in range(5)))
    ]))  # fmt: skip
    want = frechet(basis.project(samples), basis.project(data[used[reference]]))
    np.testing.assert_allclose(found.values["frechet"].each[0], want, rtol=1e-9)
    assert "first 2 principal components" in found.space
    whole = evaluate(samples, data, measures=["spectrum"], n=200)
    assert found.values["spectrum_db"] == whole.values["spectrum_db"]


def test_large_samples_are_compared_by_their_components_by_default():
    x = np.random.default_rng(0).normal(size=(60, 2500)).astype(np.float32)
    found = evaluate(x[:20], x, measures=["energy"], splits=2)
    assert "principal components" in found.space
    assert "6 numbers" in evaluate(gaussian(20), gaussian(60), measures=["energy"]).space


# Schedules


@pytest.fixture(scope="module")
def judged():
    """Schedules on the denoiser that is exact for the distribution of the data."""
    spectrum = sx.Spectrum(1 / np.arange(1, 7))
    levels = sx.family("cosine", 50), sx.NoiseSchedule.from_sigmas([100.0, 0.5, 0.0])
    plans = {"fine": sx.plan("ddpm", levels[0]), "coarse": sx.plan("ddim", levels[1])}
    reference = Reference.of(gaussian(2000), n=400, measures=["frechet", "spectrum"])
    told = []
    rows = evaluate_schedules(
        plans, sx.wiener(spectrum), reference, seeds=3,
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    return spectrum, plans, rows, told


def test_schedules_are_told_apart_by_what_transfer_predicts(judged):
    spectrum, plans, rows, _ = judged
    assert [row.name for row in rows] == ["fine", "coarse"]
    for row in rows:
        variance = sx.transfer(plans[row.name], spectrum).variance
        known = np.sum((np.sqrt(variance) - np.sqrt(spectrum.eigenvalues)) ** 2)
        value, floor = row.values["frechet"], row.floor["frechet"]
        bias = floor.value  # of finite n, about the same for both
        assert abs(value.value - known - bias) < 4 * value.error + bias / 2
    assert rows[1].values["frechet"].value > 10 * rows[1].floor["frechet"].value


def test_progress_counts_samples_of_all_schedules_and_seeds(judged):
    told = judged[3]
    assert told[-1] == (2 * 3 * 400, 2 * 3 * 400)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_schedule_that_diverges_is_a_row_without_numbers():
    reference = Reference.of(gaussian(100), measures=["frechet", "spectrum"])
    plan = sx.plan("ddim", sx.NoiseSchedule.from_sigmas([10.0, 0.0]))
    (row,) = evaluate_schedules({"bad": plan}, lambda x, a, s: x / 0.0, reference, seeds=2)
    assert np.isnan(row.values["frechet"].value)
    known = json.loads(json.dumps(row.as_json(), allow_nan=False))
    assert known["values"]["frechet"] == {"value": None, "error": None, "each": [None, None]}
    assert known["bands"]["decibel"][0] is None
    assert known["floor"]["frechet"]["value"] > 0


# Mistakes


@pytest.mark.parametrize(
    ("samples", "data", "options", "named"),
    [
        (gaussian(50, 5), gaussian(100), {}, "samples"),
        (np.full((50, 6), np.nan), gaussian(100), {}, "samples"),
        (gaussian(50), np.full((100, 6), np.nan), {}, "data"),
        (gaussian(50), gaussian(100), {"measures": ["frechét"]}, "frechet"),
        (gaussian(50), gaussian(100), {"measures": []}, "measures"),
        (gaussian(50), gaussian(100), {"pca": 7}, "pca = 7"),
        (gaussian(50), gaussian(100), {"splits": 1}, "splits = 1"),
        (gaussian(50), gaussian(100), {"n": 0}, "n = 0"),
        (gaussian(50), gaussian(9), {}, "n = 4"),
        (gaussian(2), gaussian(100), {}, "n = 2"),
        ([], gaussian(100), {}, "samples"),
        ([1.0, 2.0], gaussian(100), {}, "samples = 1.0"),
        (gaussian(50), 3.0, {}, "data = 3.0"),
    ],
)
def test_mistakes_are_named(samples, data, options, named):
    with pytest.raises(UserError, match=named):
        evaluate(samples, data, **options)
