import numpy as np
import pytest
from checks import one_line
from PIL import Image
from sklearn.datasets import load_digits

from specjax import data
from specjax.data import batching


def read(opened):
    """All samples and all labels."""
    samples, labels = zip(*opened.labelled(), strict=True)
    return np.concatenate(samples), np.concatenate(labels)


# Arrays and files


def test_digits_are_labelled_as_scikit_learn_has_them():
    opened = data.open("digits")
    np.testing.assert_array_equal(opened.labels, load_digits().target)
    assert opened.labels.dtype == np.int32
    assert opened.classes == tuple("0123456789")
    samples, labels = read(opened)
    np.testing.assert_array_equal(samples, load_digits().images)
    np.testing.assert_array_equal(labels, load_digits().target)


def test_digits_without_the_file_of_scikit_learn(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    np.testing.assert_array_equal(data.open("digits").labels, load_digits().target)


def test_labels_follow_shard_and_limit():
    target = load_digits().target
    parts = [data.open("digits", shard=(i, 3)).labels for i in range(3)]
    np.testing.assert_array_equal(np.concatenate(parts), target)
    second = data.open("digits", shard=(1, 3), limit=5)
    np.testing.assert_array_equal(second.labels, target[599:604])
    assert data.open("digits", limit=2).classes == tuple("0123456789")  # of the whole set


def test_sets_without_labels():
    opened = data.open(np.eye(3))
    assert (opened.labels, opened.classes) == (None, None)
    assert [labels for _, labels in opened.labelled()] == [None]
    batches = data.open([np.eye(3), np.eye(3)])
    assert [labels for _, labels in batches.labelled()] == [None, None]
    assert data.open("patches", limit=3).classes is None


@pytest.mark.parametrize("name", ["labels", "label", "y"])
def test_a_npz_with_labels(tmp_path, name):
    x, y = np.arange(12.0).reshape(4, 3), np.array([5, 2, 9, 2])
    np.savez(tmp_path / "x.npz", images=x, **{name: y})
    opened = data.open(tmp_path / "x.npz")
    np.testing.assert_array_equal(opened.samples, x)
    assert opened.labels.tolist() == [1, 0, 2, 0]
    assert opened.classes == ("2", "5", "9")
    assert (opened.source["key"], opened.source["label"]) == ("images", name)
    assert data.open(tmp_path / "x.npz", limit=2).classes == ("2", "5", "9")


def test_a_npz_whose_labels_are_named_by_an_option(tmp_path):
    x = np.eye(3)
    np.savez(tmp_path / "x.npz", x=x, y=[1, 2, 3], names=np.array(["b", "a", "b"]))
    opened = data.open(tmp_path / "x.npz", key="x", label="names")
    assert (opened.classes, opened.labels.tolist()) == (("a", "b"), [1, 0, 1])
    assert data.open(tmp_path / "x.npz", key="x", label="none").classes is None
    said = one_line(data.open, tmp_path / "x.npz", key="x", label="name")
    assert "label = 'name'" in said
    assert "did you mean 'names'?" in said
    said = one_line(data.open, tmp_path / "x.npz", key="x", label="x")
    assert "the labels of" in said
    assert "has shape (3, 3): give one label a sample, [3]" in said


def test_numbers_that_are_called_y_but_are_no_labels(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.eye(3), y=np.eye(3))
    assert "has 2 arrays (x, y)" in one_line(data.open, tmp_path / "x.npz")
    opened = data.open(tmp_path / "x.npz", key="y")
    assert opened.classes is None
    np.savez(tmp_path / "one.npz", y=np.eye(3))
    assert data.open(tmp_path / "one.npz").classes is None


def test_labels_that_are_given_to_an_array():
    opened = data.open(np.eye(3)).with_labels(["cat", "ant", "cat"])
    assert (opened.classes, opened.labels.tolist()) == (("ant", "cat"), [1, 0, 1])
    assert "has shape (2,): give one label" in one_line(data.open(np.eye(3)).with_labels, [1, 2])
    said = one_line(data.open(np.eye(3)).with_labels, [1.0, 2.0, 3.0])
    assert "labels has dtype float64: give whole numbers or text" in said
    said = one_line(data.open([np.eye(3)]).with_labels, [1, 2, 3])
    assert "batches is read batch by batch" in said


def test_a_npy_has_no_labels(tmp_path):
    np.save(tmp_path / "x.npy", np.eye(3))
    said = one_line(data.open, tmp_path / "x.npy", label="y")
    assert "label = 'y'" in said


# Folders


def grey(path, value):
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.new("L", (3, 3), value).save(path)


@pytest.fixture
def images(tmp_path):
    """Images whose grey value tells their class (tens) and their number."""
    for folder, tens in (("dog", 10), ("cat", 0), ("eel", 20)):
        for number in range(4):
            grey(tmp_path / "set" / folder / "deeper" / f"{number}.png", tens + number)
    return tmp_path / "set"


def test_the_first_subfolder_is_the_class(images):
    opened = data.open(images)
    assert opened.classes == ("cat", "dog", "eel")
    samples, labels = read(opened)
    np.testing.assert_array_equal(labels, samples[:, 0, 0] // 10)
    assert labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert data.open(images, label="none").classes is None


def test_labels_stay_with_their_rows_where_files_are_bad(images, monkeypatch):
    (images / "cat" / "deeper" / "1.png").write_bytes(b"")
    (images / "dog" / "deeper" / "0.png").write_bytes(b"damaged")
    monkeypatch.setattr(batching, "BATCH_BYTES", 9 * 4)  # batches of four images
    opened = data.open(images)
    samples, labels = read(opened)
    assert len(labels) == 10
    np.testing.assert_array_equal(labels, samples[:, 0, 0] // 10)
    again = read(opened)[1]
    np.testing.assert_array_equal(labels, again)
    assert len(opened.skipped) == 2


def test_folders_by_shard_and_limit(images):
    opened = data.open(images, shard=(1, 2), limit=4)
    samples, labels = read(opened)
    assert samples[:, 0, 0].tolist() == [12, 13, 20, 21]
    assert labels.tolist() == [1, 1, 2, 2]
    assert opened.classes == ("cat", "dog", "eel")


def test_a_prefix_is_the_class(tmp_path):
    for word, value in (("b_0", 10), ("a_1", 0), ("b_2", 11)):
        grey(tmp_path / f"{word}.png", value)
    opened = data.open(tmp_path, label="prefix")
    samples, labels = read(opened)
    assert opened.classes == ("a", "b")
    np.testing.assert_array_equal(labels, samples[:, 0, 0] // 10)
    assert data.open(tmp_path).classes is None
    grey(tmp_path / "c.png", 0)
    assert 'c.png has no "_" in its name' in one_line(data.open, tmp_path, label="prefix")


def test_folders_that_are_no_classes(tmp_path):
    grey(tmp_path / "only" / "0.png", 1)
    assert data.open(tmp_path).classes is None
    assert data.open(tmp_path, label="folder").classes == ("only",)
    grey(tmp_path / "more" / "0.png", 1)
    grey(tmp_path / "flat.png", 1)
    assert data.open(tmp_path).classes is None
    assert "flat.png has no subfolder of" in one_line(data.open, tmp_path, label="folder")
    said = one_line(data.open, tmp_path, label="name")
    assert "label = 'name' is unknown: choose from folder, none, prefix" in said


def test_every_window_of_sound_has_the_label_of_its_file(tmp_path):
    soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed")
    for name, windows, sign in (("low/0", 3, -1), ("high/0", 2, 1), ("low/1", 1, -1)):
        path = tmp_path / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, np.full(windows * 10 + 5, 0.5 * sign), 8000)
    opened = data.open(tmp_path, window=10)
    samples, labels = read(opened)
    assert opened.classes == ("high", "low")
    assert labels.tolist() == [0, 0, 1, 1, 1, 1]
    np.testing.assert_array_equal(np.where(samples[:, 0] > 0, 0, 1), labels)


def test_spoken_digits(data_folder):
    pytest.importorskip("soundfile", reason="soundfile is not installed")
    root = data_folder / "spoken_digits"
    if not root.is_dir():
        pytest.skip(f"no spoken digits in {root}")
    opened = data.open(root, label="prefix", limit=3000)
    assert opened.classes == tuple("0123456789")
    _, labels = read(opened)
    assert np.all(np.diff(labels) >= 0)  # files are read by name, and names begin with the digit
    assert len(labels) == 3000


# TFDS


@pytest.fixture
def tfds_folder(data_folder):
    pytest.importorskip("tensorflow_datasets", reason="tensorflow-datasets is not installed")
    pytest.importorskip("array_record", reason="array_record is not installed")
    folder = data_folder / "tfds"
    if not folder.is_dir():
        pytest.skip(f"no prepared TFDS sets in {folder}")
    return folder


def test_tfds_classes(tfds_folder):
    import tensorflow_datasets as tfds

    source = tfds.data_source("cifar10", split="test", data_dir=tfds_folder, download=False)
    records = [source[number] for number in range(10, 20)]
    opened = data.open("tfds:cifar10:test[10:20]", data_dir=tfds_folder)
    samples, labels = read(opened)
    assert opened.classes[:3] == ("airplane", "automobile", "bird")
    np.testing.assert_array_equal(labels, [record["label"] for record in records])
    np.testing.assert_array_equal(samples, [record["image"] for record in records])
    without = data.open("tfds:cifar10:test", data_dir=tfds_folder, label="none")
    assert without.classes is None


def test_a_tfds_feature_that_is_no_class(tfds_folder):
    said = one_line(data.open, "tfds:cifar10", data_dir=tfds_folder, label="id")
    assert "label = 'id'" in said
    said = one_line(data.open, "tfds:cifar10", data_dir=tfds_folder, label="labl")
    assert "did you mean 'label'?" in said
