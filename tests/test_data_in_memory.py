import numpy as np
import pytest
from checks import one_line
from PIL import Image

from specjax import data
from specjax.data import in_memory


@pytest.fixture
def folder(tmp_path):
    """Grey images 0 to 11 in two classes, small enough to come in several batches."""
    for number in range(12):
        path = tmp_path / "set" / ("b" if number % 2 else "a") / f"{number:02}.png"
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.new("L", (4, 4), number).save(path)
    return tmp_path / "set"


ORDER = [0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11]  # of the values: by folder, then by name


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr("specjax.data.batching.BATCH_BYTES", 16 * 3)


def values(collected):
    return collected.samples[:, 0, 0].tolist()


def test_arrays_are_as_they_are(tmp_path):
    x = np.arange(12, dtype=np.uint8).reshape(4, 3)
    assert in_memory.collect(data.open(x)).samples is x
    np.save(tmp_path / "x.npy", x)
    mapped = in_memory.collect(data.open(tmp_path / "x.npy"))
    assert isinstance(mapped.samples, np.memmap)
    assert (mapped.labels, mapped.classes) == (None, None)
    labelled = in_memory.collect(data.open(x).with_labels([3, 1, 3, 2]))
    assert (labelled.labels.tolist(), labelled.classes) == ([2, 0, 2, 1], ("1", "2", "3"))


def test_jax_arrays_become_numpy():
    import jax.numpy as jnp

    collected = in_memory.collect(data.open(jnp.ones((3, 2))))
    assert isinstance(collected.samples, np.ndarray)


def test_readers_are_read_into_memory(folder, tmp_path):
    seen = []
    collected = in_memory.collect(
        data.open(folder), cache=tmp_path / "x.npy", progress=lambda *counts: seen.append(counts)
    )
    assert values(collected) == ORDER
    assert collected.samples.dtype == np.uint8
    assert collected.labels.tolist() == [0] * 6 + [1] * 6
    assert collected.classes == ("a", "b")
    assert seen == [(3, 12), (6, 12), (9, 12), (12, 12)]
    assert not (tmp_path / "x.npy").exists()


def test_iterables_are_read_once():
    batches = (np.full((2, 3), number, np.float64 if number else np.float32) for number in (0, 1))
    collected = in_memory.collect(data.open(batches))
    assert collected.samples.tolist() == [[0] * 3] * 2 + [[1] * 3] * 2
    assert collected.samples.dtype == np.float32
    mixed = data.open([np.zeros((2, 3)), np.zeros((2, 4))])
    assert "samples of shape (4,), the first of (3,)" in one_line(in_memory.collect, mixed)


def test_what_exceeds_the_memory_goes_to_a_file(folder, tmp_path):
    said = one_line(in_memory.collect, data.open(folder), memory_limit=100)
    assert "cache" in said
    path = tmp_path / "x.npy"
    collected = in_memory.collect(data.open(folder), cache=path, memory_limit=100)
    assert isinstance(collected.samples, np.memmap)
    assert values(collected) == ORDER
    assert collected.labels.tolist() == [0] * 6 + [1] * 6
    np.testing.assert_array_equal(np.load(path, allow_pickle=False), collected.samples)


def test_a_cache_is_used_again(folder, tmp_path, monkeypatch):
    path = tmp_path / "x.npy"
    (folder / "a" / "bad.png").write_bytes(b"")
    first = in_memory.collect(data.open(folder), cache=path, memory_limit=0)

    def refuse(self):
        raise AssertionError("read again")

    monkeypatch.setattr("specjax.data.folder.FolderReader.labelled", refuse)
    opened = data.open(folder)
    again = in_memory.collect(opened, cache=path)
    np.testing.assert_array_equal(again.samples, first.samples)
    np.testing.assert_array_equal(again.labels, first.labels)
    assert opened.source["samples"] == 12
    assert opened.skipped == [("a/bad.png", "is empty")]


@pytest.mark.parametrize(
    "change", ["added", "written", "option", "cut", "empty", "about", "labels"]
)
def test_a_cache_of_something_else_is_renewed(folder, tmp_path, change):
    path, options = tmp_path / "x.npy", {}
    in_memory.collect(data.open(folder), cache=path, memory_limit=0)
    expected = ORDER
    if change == "added":
        Image.new("L", (4, 4), 99).save(folder / "b" / "99.png")
        expected = [*ORDER, 99]
    elif change == "written":
        Image.new("L", (4, 4), 98).save(folder / "b" / "11.png", compress_level=0)
        expected = [*ORDER[:-1], 98]
    elif change == "option":
        options, expected = {"limit": 5}, ORDER[:5]
    elif change == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    elif change == "empty":
        (tmp_path / "x.about.npz").write_bytes(b"")
    elif change == "about":
        (tmp_path / "x.about.npz").write_bytes(b"PK")
    else:
        options = {"label": "none"}
    collected = in_memory.collect(data.open(folder, **options), cache=path, memory_limit=0)
    assert values(collected) == expected
    assert (collected.labels is None) == (change == "labels")


def test_a_cache_of_batches_is_never_taken_for_another(tmp_path):
    path = tmp_path / "x.npy"
    for value in (1.0, 2.0):
        opened = data.open([np.full((2, 3), value)])
        collected = in_memory.collect(opened, cache=path, memory_limit=0)
        assert collected.samples.tolist() == [[value] * 3] * 2


def test_an_interrupted_cache_leaves_nothing(folder, tmp_path):
    path = tmp_path / "x.npy"

    def stop(done, total):
        if done > 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_memory.collect(data.open(folder), cache=path, memory_limit=0, progress=stop)
    assert [file.name for file in tmp_path.iterdir()] == ["set"]


def test_caches_that_cannot_be(folder, tmp_path):
    said = one_line(in_memory.collect, data.open(folder), cache=tmp_path / "x.npz")
    assert "give it a name that ends in .npy" in said
    said = one_line(in_memory.collect, data.open(folder), cache=tmp_path / "none" / "x.npy")
    assert "does not exist; create it" in said


def test_rescaled_is_the_map_of_the_spectrum():
    rows = np.array([[0, 51, 255]], np.uint8)
    found = in_memory.rescaled(rows, (0, 255))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[-1, -0.6, 1]], rtol=1e-6)
    floats = np.array([[0.25, -3.0]])
    np.testing.assert_array_equal(in_memory.rescaled(floats, None), floats.astype(np.float32))
    digits = data.open("digits")
    units = in_memory.rescaled(digits.samples, digits.data_range)
    np.testing.assert_allclose(
        digits.spectrum().eigenvalues.sum(), units.reshape(1797, -1).var(0, ddof=1).sum(), rtol=1e-5
    )


def test_rescaled_refuses_what_is_no_sample():
    assert "data_range" in one_line(in_memory.rescaled, np.array([[256.0]]), (0, 255))
    assert "NaN" in one_line(in_memory.rescaled, np.array([[np.nan]]), None)
    assert "dtype int64" in one_line(in_memory.rescaled, np.array([[1]]), None)
