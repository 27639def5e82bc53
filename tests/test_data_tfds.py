import importlib.util
import io
import json
import logging
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
from checks import one_line
from PIL import Image

from specjax import data
from specjax.data import batching

pytest.importorskip("tensorflow_datasets", reason="tensorflow-datasets is not installed")
pytest.importorskip("array_record", reason="array_record is not installed")

# Published per-channel mean and standard deviation of the 50,000 training images of CIFAR-10.
CIFAR_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR_STD = (0.2470, 0.2435, 0.2616)
# The mean of 5,000 images: the images' own means vary by about 0.12, so 0.0017 is one standard
# error; the standard deviation varies less.
STANDARD_ERROR = 0.12 / 5000**0.5


@pytest.fixture
def tfds_folder(data_folder):
    folder = data_folder / "tfds"
    if not folder.is_dir():
        pytest.skip(f"no prepared TFDS sets in {folder}")
    return folder


@pytest.fixture
def copied(tfds_folder, tmp_path):
    """A folder with the test split of fashion_mnist, to be damaged."""
    place = tmp_path / "fashion_mnist" / "3.0.1"
    place.mkdir(parents=True)
    for file in (tfds_folder / "fashion_mnist" / "3.0.1").iterdir():
        if "train" not in file.name:
            shutil.copy(file, place / file.name)
    return tmp_path


def read(opened):
    return np.concatenate(list(opened.samples))


@pytest.mark.thorough
def test_cifar10_has_its_published_moments(tfds_folder):
    opened = data.open("tfds:cifar10", data_dir=tfds_folder, limit=5000)
    assert opened.samples.expected_samples == opened.source["samples"] == 5000
    assert (opened.source["shape"], opened.data_range) == ([32, 32, 3], (0, 255))
    pixels = read(opened) / 255
    np.testing.assert_allclose(pixels.mean((0, 1, 2)), CIFAR_MEAN, atol=5 * STANDARD_ERROR)
    np.testing.assert_allclose(pixels.std((0, 1, 2)), CIFAR_STD, atol=5 * STANDARD_ERROR)


def test_images_are_those_that_tfds_decodes(tfds_folder):
    import tensorflow_datasets as tfds

    reference = tfds.data_source(
        "fashion_mnist", split="test", data_dir=tfds_folder, download=False
    )
    expected = [reference[number]["image"] for number in range(20)]
    opened = data.open("tfds:fashion_mnist:test", data_dir=str(tfds_folder), limit=20)
    np.testing.assert_array_equal(read(opened), expected)
    np.testing.assert_array_equal(read(opened), expected)  # a second pass reads them anew
    assert opened.source["version"] == "3.0.1"
    assert (
        len(data.open("tfds:fashion_mnist:3.0.1:test", data_dir=tfds_folder).samples.kept) == 10000
    )


def test_shards_and_limits_and_parts(tfds_folder):
    whole = read(data.open("tfds:fashion_mnist:test[:1%]", data_dir=tfds_folder))
    assert whole.shape == (100, 28, 28, 1)
    parts = [
        data.open("tfds:fashion_mnist:test[:1%]", data_dir=tfds_folder, shard=(index, 3))
        for index in range(3)
    ]
    np.testing.assert_array_equal(np.concatenate([read(part) for part in parts]), whole)


def test_batches_are_bounded(tfds_folder, monkeypatch):
    monkeypatch.setattr(batching, "BATCH_BYTES", 28 * 28 * 30)
    opened = data.open("tfds:fashion_mnist:test", data_dir=tfds_folder, limit=100)
    assert [len(batch) for batch in opened.samples] == [30, 30, 30, 10]


def test_progress_has_a_total(tfds_folder):
    seen = []
    opened = data.open("tfds:fashion_mnist:test", data_dir=tfds_folder, limit=50, size=7)
    spectrum = opened.spectrum(progress=lambda *counts: seen.append(counts))
    assert seen[-1] == (50, 50)
    assert spectrum.dimension == 49
    assert spectrum.source["size"] == [7, 7]


def test_threads_change_nothing(tfds_folder, monkeypatch):
    opened = data.open("tfds:cifar10:test", data_dir=tfds_folder, limit=64)
    alone = read(opened)
    monkeypatch.setattr(batching, "decoding_threads", lambda pixels: 3)
    np.testing.assert_array_equal(read(opened), alone)


def test_what_cannot_be_opened(tfds_folder):
    specs = {
        "tfds:cifar1": "did you mean 'tfds:cifar10'?", "tfds:fashionmnist": "'tfds:fashion_mnist'",
        "tfds:zzzz": "tfds:zzzz", "tfds:cifar10:trian": "train (50,000), test (10,000)",
        "tfds:cifar10:train[7:7]": "split", "tfds:cifar10:train[:x]": "split",
        "tfds:cifar10:9.9.9": "tfds:cifar10:3.0.2", "tfds:cifar10/other": "tfds:cifar10:3.0.2",
        "tfds:": "data = 'tfds:'", "tfds:../x": "data = 'tfds:../x'",
    }  # fmt: skip
    for spec, said in specs.items():
        assert said in one_line(data.open, spec, data_dir=tfds_folder)
    options = [("key", "imge"), ("key", "label"), ("key", "id"), ("colour", "grey"),
               ("data_dir", "nowhere")]  # fmt: skip
    for name, value in options:
        given = {"data_dir": tfds_folder, name: value}
        assert f"{name} = {value!r}" in one_line(data.open, "tfds:cifar10", **given)


def test_the_caller_is_heard_between_batches(tfds_folder, monkeypatch, caplog):
    """Warnings and absl's records are muted during calls of the reader only."""
    monkeypatch.setattr(batching, "BATCH_BYTES", 28 * 28 * 5)
    opened = data.open("tfds:fashion_mnist:test", data_dir=tfds_folder, limit=20)
    for batches in (opened.batches(), opened.labelled()):
        logger, heard = logging.getLogger("absl"), 0
        for _ in batches:
            caplog.clear()
            with pytest.warns(UserWarning, match="of the caller"):
                warnings.warn("of the caller", stacklevel=1)
            logger.warning("a record of the caller")
            assert [record.message for record in caplog.records] == ["a record of the caller"]
            heard += 1
        assert heard == 4


def test_the_library_is_muted_while_it_reads(tfds_folder, monkeypatch, caplog, recwarn):
    def remark(*args, **kwargs):
        logging.getLogger("absl").error("a remark of TFDS")
        warnings.warn("a remark of TFDS", stacklevel=1)
        return np.zeros((28, 28, 1), np.uint8)

    monkeypatch.setattr("specjax.data.tfds._decode_image", remark)
    opened = data.open("tfds:fashion_mnist:test", data_dir=tfds_folder, limit=20)
    assert read(opened).shape == (20, 28, 28, 1)
    assert not caplog.records
    assert not recwarn.list


@pytest.mark.parametrize("tensorflow", [True, False])
def test_a_set_that_must_be_prepared_first(tfds_folder, monkeypatch, tensorflow):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: tensorflow or None if name == "tensorflow" else found(name, *rest),
    )
    said = one_line(data.open, "tfds:mnist", data_dir=tfds_folder)
    assert "mnist is not prepared in" in said
    assert ("pip install tensorflow" in said) is not tensorflow
    assert f"tfds build mnist --file_format=array_record --data_dir={tfds_folder}" in said


def test_the_default_folder_is_that_of_tfds(tfds_folder, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_folder))
    assert data.open("tfds:cifar10", limit=3).name == "cifar10:train"
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", "/nowhere")
    assert "'/nowhere/tensorflow_datasets' is not a folder" in one_line(data.open, "tfds:cifar10")


def test_tfds_that_is_not_installed(tfds_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    said = one_line(data.open, "tfds:cifar10", data_dir=tfds_folder)
    assert "specjax[tfds]" in said


def test_a_set_of_another_file_format(copied):
    about = copied / "fashion_mnist" / "3.0.1" / "dataset_info.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"fileFormat": "tfrecord"}))
    said = one_line(data.open, "tfds:fashion_mnist:test", data_dir=copied)
    assert "has the file format tfrecord, which cannot be read here: prepare it once" in said
    assert "--file_format=array_record --data_dir=ANOTHER_FOLDER" in said


def test_damaged_and_missing_records(copied):
    (file,) = (copied / "fashion_mnist" / "3.0.1").glob("*test*")
    whole = file.read_bytes()
    middle = len(whole) // 2
    file.write_bytes(whole[:middle] + bytes(5000) + whole[middle + 5000 :])
    opened = data.open("tfds:fashion_mnist:test", data_dir=copied)
    assert "cannot be read, it is damaged or incomplete" in one_line(read, opened)
    for damage in (lambda: file.write_bytes(whole[:middle]), file.unlink):
        damage()
        said = one_line(lambda: read(data.open("tfds:fashion_mnist:test", data_dir=copied)))
        assert "cannot be read, it is damaged or incomplete" in said


def test_a_set_whose_preparation_was_interrupted(tmp_path):
    (tmp_path / "mnist" / "3.0.1.incompleteABC").mkdir(parents=True)
    said = one_line(data.open, "tfds:mnist", data_dir=tmp_path)
    assert "has no prepared set" in said
    assert "tfds build mnist" in said


def test_the_folder_of_a_set_names_the_way_to_open_it(tfds_folder):
    said = one_line(data.open, tfds_folder / "cifar10")
    assert "a prepared TFDS set is tfds:NAME with data_dir" in said


# Sets of other features, written here


def prepare(root, name, features, rows):
    """A set of one split, of rows that map features to encoded images or to floats."""
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.proto import tf_example_pb2

    place = root / name / "1.0.0"
    place.mkdir(parents=True)
    writer = ArrayRecordWriter(
        str(place / f"{name}-train.array_record-00000-of-00001"), "group_size:1"
    )
    for row in rows:
        example = tf_example_pb2.Example()
        for key, value in row.items():
            feature = example.features.feature[key]
            if isinstance(value, bytes):
                feature.bytes_list.value.append(value)
            else:
                feature.float_list.value.extend(value.ravel().tolist())
        writer.write(example.SerializeToString())
    writer.close()
    features.save_config(place)
    about = {"name": name, "version": "1.0.0", "fileFormat": "array_record", "splits": [{
        "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}", "name": "train",
        "numBytes": "1", "shardLengths": [str(len(rows))],
    }]}  # fmt: skip
    (place / "dataset_info.json").write_text(json.dumps(about))


def png(height, width):
    file = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), height, np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_a_feature_that_is_no_image(tmp_path):
    import tensorflow_datasets as tfds

    latents = np.random.default_rng(0).normal(size=(9, 2, 3)).astype(np.float32)
    features = tfds.features.FeaturesDict(
        {"z": tfds.features.Tensor(shape=(2, 3), dtype=np.float32)}
    )
    prepare(tmp_path, "latents", features, [{"z": latent} for latent in latents])
    np.testing.assert_array_equal(
        read(data.open("tfds:latents", data_dir=tmp_path, key="z")), latents
    )
    said = one_line(data.open, "tfds:latents", data_dir=tmp_path)
    assert "latents has no feature 'image' but z: name one with key=... (--key)" in said
    said = one_line(data.open, "tfds:latents", data_dir=tmp_path, key="z", size=4)
    assert "size = 4 applies to images of 8 bits, not to 'z'" in said


def test_images_of_mixed_sizes_and_a_damaged_one(tmp_path):
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(None, None, 3))})
    prepare(tmp_path, "mixed", features, [{"image": png(5, 6)}, {"image": png(6, 6)}])
    said = one_line(read, data.open("tfds:mixed", data_dir=tmp_path))
    assert "number 0 is (5, 6, 3), number 1 is (6, 6, 3): give size=... (--size)" in said
    resized = read(data.open("tfds:mixed", data_dir=tmp_path, size=4))
    np.testing.assert_array_equal(resized, np.stack([np.full((4, 4, 3), n) for n in (5, 6)]))
    prepare(tmp_path, "bad", features, [{"image": png(5, 5)}, {"image": b"text"}])
    said = one_line(read, data.open("tfds:bad", data_dir=tmp_path))
    assert "cannot be read, it is damaged or incomplete" in said


def test_configs(tmp_path):
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(5, 5, 3))})
    prepare(tmp_path, "one", features, [{"image": png(5, 5)}] * 2)
    shutil.copytree(tmp_path / "one", tmp_path / "set" / "a")
    renamed(tmp_path / "set" / "a" / "1.0.0", "one", "set")
    alone = data.open("tfds:set", data_dir=tmp_path)
    assert (alone.source["config"], len(read(alone))) == ("a", 2)
    shutil.copytree(tmp_path / "set" / "a", tmp_path / "set" / "b")
    assert len(read(data.open("tfds:set/b:train", data_dir=tmp_path))) == 2
    said = one_line(data.open, "tfds:set", data_dir=tmp_path)
    assert "tfds:set/a:1.0.0, tfds:set/b:1.0.0" in said


def renamed(place, before, after):
    for file in list(place.iterdir()):
        file.rename(place / file.name.replace(before, after, 1))
    about = place / "dataset_info.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"name": after}))


@pytest.mark.thorough
def test_nothing_is_printed_and_tensorflow_is_not_imported(tfds_folder):
    code = (
        "import sys\nfrom specjax import data\n"
        f"found = data.open('tfds:cifar10:test', data_dir={str(tfds_folder)!r}, limit=9)\n"
        "sum(map(len, found.samples))\n"
        "assert 'tensorflow' not in sys.modules\n"
        "try: data.open('tfds:cifar1', data_dir='.')\n"
        "except ValueError: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
