"""Data with noise in a band: the band, its variance, that it is a function of seed and index."""

from types import SimpleNamespace

import numpy as np
import pytest
from checks import one_line

import specjax as sx
from specjax.cli.data import Reading
from specjax.cli.runs import data_of_run
from specjax.data import collect, corrupted, drawn, rescaled
from specjax.data.dataset import Dataset

BAND = (0.4, 0.6)


def inside(sides):
    """Where the radial frequency is in the band, by its definition."""
    each = np.meshgrid(*(2 * np.abs(np.fft.fftfreq(n)) for n in sides), indexing="ij")
    r = np.sqrt(sum(f**2 for f in each) / len(sides))
    return (r >= BAND[0]) & (r < BAND[1])


def added(shape, n=3000, **options):
    return corrupted(np.zeros((n, *shape)), BAND, 0.5, **options)


@pytest.mark.parametrize("shape", [(8, 8), (7, 6, 2), (31,)])
def test_the_noise_has_its_band_and_variance(shape):
    sides = shape[:2]
    power = np.abs(np.fft.fft2(added(shape), axes=(1, 2)) if len(sides) == 2 else
                   np.fft.fft(added(shape), axis=1)) ** 2 / np.prod(sides)  # fmt: skip
    mask = inside(sides).reshape(sides + (1,) * (len(shape) - len(sides)))
    mask = np.broadcast_to(mask, shape)
    assert np.abs(power[:, ~mask]).max() < 1e-25
    # Independent normal numbers: as many as frequencies, k and -k being one complex number.
    numbers = power[:, mask].shape[1]
    mean = power.sum(axis=tuple(range(1, power.ndim))).mean() / np.prod(shape)
    assert abs(mean / 0.25 - 1) < 4 * np.sqrt(2 / (3000 * numbers))
    each = power[:, mask].mean(0) / (0.25 * np.prod(shape) / mask.sum())
    assert np.abs(each - 1).max() < 5 * np.sqrt(2 / 3000)


def test_the_cosine_basis_has_bands_of_its_own():
    from scipy.fft import dctn

    power = dctn(added((6, 6), 2000, basis="cosine"), axes=(1, 2), norm="ortho") ** 2
    f = np.arange(6) / 6
    r = np.sqrt((f[:, None] ** 2 + f**2) / 2)
    mask = (r >= BAND[0]) & (r < BAND[1])
    assert power[:, ~mask].max() < 1e-25
    np.testing.assert_allclose(power[:, mask].mean(0), 0.25 * 36 / mask.sum(), rtol=0.16)


def test_it_depends_on_seed_and_index_alone():
    digits = sx.data.open("digits")
    whole = collect(corrupted(digits, BAND, 0.5, seed=3)).samples
    first = collect(corrupted(sx.data.open("digits", limit=40), BAND, 0.5, seed=3)).samples
    np.testing.assert_array_equal(whole[:40], first)
    parts = sx.data.open([digits.samples[:7], digits.samples[7:40]], data_range=(0, 16))
    np.testing.assert_array_equal(collect(corrupted(parts, BAND, 0.5, seed=3)).samples, first)
    clean = rescaled(digits.samples, digits.data_range)
    alone = corrupted(clean[:40].astype(np.float64), BAND, 0.5, seed=3)
    np.testing.assert_allclose(alone, first, atol=1e-6)
    again = collect(corrupted(digits, BAND, 0.5, seed=4)).samples
    correlation = np.corrcoef((whole - clean).ravel(), (again - clean).ravel())[0, 1]
    assert abs(correlation) < 5 / np.sqrt(1797 * inside((8, 8)).sum())


def test_shards_have_noise_of_their_own():
    shards = [sx.data.open("digits", shard=(i, 2)) for i in range(2)]
    noise = [
        collect(corrupted(one, BAND, 0.5)).samples[:500] - rescaled(one.samples[:500], (0, 16))
        for one in shards
    ]
    correlation = np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]
    assert abs(correlation) < 5 / np.sqrt(500 * inside((8, 8)).sum())


def test_a_dataset_keeps_its_units_labels_and_says_what_was_added():
    digits = sx.data.open("digits", limit=100)
    found = corrupted(digits, BAND, 0.5, seed=2)
    known = {"band": [0.4, 0.6], "std": 0.5, "seed": 2, "basis": "fourier", "spatial": 2}
    assert found.source["corruption"] == known
    assert (found.source["data_range"], found.data_range) == ([0.0, 16.0], None)
    assert found.source["name"] == "digits"
    np.testing.assert_array_equal(collect(found).labels, digits.labels)
    assert drawn(found, 10).labels.shape == (10,)
    spectrum = found.spectrum()
    assert spectrum.source["data_range"] == [0.0, 16.0]
    clean = digits.spectrum()
    trace = spectrum.eigenvalues.sum() - clean.eigenvalues.sum()
    error = 64 * 0.25 * np.sqrt(2 / (100 * inside((8, 8)).sum()))
    cross = 2 * np.sqrt(0.25 * 64 / inside((8, 8)).sum() * clean.eigenvalues.sum() / 100)
    assert trace == pytest.approx(64 * 0.25, abs=4 * (error + cross))


def test_the_data_of_a_corrupted_run_are_corrupted_again():
    digits = sx.data.open("digits", limit=50)
    learned = corrupted(digits, BAND, 0.5, seed=2)
    run = SimpleNamespace(source={**learned.source, "limit": 50}, shape=(8, 8))
    again = data_of_run(run, "run", None, Reading())
    np.testing.assert_array_equal(collect(again).samples, collect(learned).samples)
    clean = data_of_run(run, "run", "digits", Reading())  # what is given is as it is
    assert "corruption" not in clean.source


class FolderReader:
    """A reader that finds out while it is read."""

    sample_shape, sample_dtype = (8, 8), np.dtype(np.float32)
    skipped, fingerprint = (("a.png", "damaged"),), "f"

    def __init__(self):
        self.statistics = {}

    def __iter__(self):
        yield np.zeros((3, 8, 8), np.float32)
        self.statistics["samples"] = 3


def test_what_reading_finds_is_found():
    from collections import ChainMap

    reader = FolderReader()
    data = Dataset("files", reader, None, ChainMap(reader.statistics, {"shape": [8, 8]}))
    found = corrupted(data, BAND, 0.5)
    assert "samples" not in found.source
    assert collect(found).samples.shape == (3, 8, 8)
    assert (found.source["samples"], found.skipped) == (3, [("a.png", "damaged")])
    assert found.samples.fingerprint == "f"


def test_bad_input():
    given = {
        "band": [(0.6, 0.4), (0.4, 1.2), (np.nan, 0.4), (0.41, 0.42)], "std": [0, np.nan],
        "seed": [-1], "basis": ["data"], "spatial": [3],
    }  # fmt: skip
    data = sx.data.open("digits", limit=5)
    for name, values in given.items():
        for value in values:
            options = {"band": BAND, "std": 0.5, name: value}
            assert name in one_line(corrupted, data, **options)
    assert "dtype int64" in one_line(corrupted, np.zeros((3, 8, 8), int), BAND, 0.5)
