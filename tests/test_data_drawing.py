import itertools

import numpy as np
import pytest

from specjax import data as datasets

X = np.arange(3000.0).reshape(1000, 3)


def batches(sizes):
    ends = np.cumsum([0, *sizes])
    return [X[a:b] for a, b in itertools.pairwise(ends)]


@pytest.mark.parametrize("sizes", [(1000,), (1,) * 40 + (960,), (300, 10, 690)])
def test_batches_give_what_an_array_gives(sizes):
    told = []
    read = datasets.open(batches(sizes))
    found = datasets.drawn(read, 17, seed=3, progress=lambda *done: told.append(done))
    want = datasets.drawn(datasets.open(X), 17, seed=3)
    np.testing.assert_array_equal(found.samples, want.samples)
    assert found.total == want.total == 1000
    assert told[-1][0] == 1000
    other = datasets.drawn(datasets.open(X), 17, seed=4)
    assert (other.samples != want.samples).any()


def test_labels_stay_with_their_samples_and_order_is_kept():
    data = datasets.open(X).with_labels(np.arange(1000))
    found = datasets.drawn(data, 100)
    np.testing.assert_array_equal(found.samples, X[found.labels])
    assert (np.diff(found.labels) > 0).all()


def test_fewer_are_all():
    found = datasets.drawn(datasets.open(batches((300, 700))), 5000)
    np.testing.assert_array_equal(found.samples, X)


def test_each_is_drawn_with_the_same_chance():
    # Of 400 draws of 10 out of 40 each comes 100 times, with a standard deviation of 8.7.
    read = datasets.open(batches((7, 1, 32)))
    drawn = [datasets.drawn(read, 10, seed=i).samples[:, 0] for i in range(400)]
    counts = np.bincount((np.concatenate(drawn) / 3).astype(int), minlength=40)
    assert abs(counts - 100).max() < 4.5 * np.sqrt(400 * 0.25 * 0.75)


def test_mistakes_are_one_line():
    mixed = datasets.open([np.zeros((2, 3)), np.zeros((2, 4))])
    with pytest.raises(ValueError, match=r"shape \(4,\), the first of \(3,\)"):
        datasets.drawn(mixed, 2)
    with pytest.raises(ValueError, match="n = 0"):
        datasets.drawn(datasets.open(X), 0)
    with pytest.raises(ValueError, match="outside data_range"):
        datasets.drawn(datasets.open(X, data_range=(0, 1)), 2)
