"""Features of a classifier: its training, the features, their files."""

import json
import re
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import nnx
from sklearn.datasets import load_digits

import specjax as sx
from specjax import data
from specjax._core.checks import UserError
from specjax.evaluate import Reference, classifier, evaluate_schedules, frechet
from specjax.evaluate import classifier_features as features
from specjax.evaluate import classifier_training as training
from specjax.evaluate.classifier_features import Architecture
from specjax.evaluate.classifier_training import TrainOptions

QUICK = TrainOptions(updates=200, width=16)


@pytest.fixture(scope="module")
def digits():
    return data.open("digits")


@pytest.fixture(scope="module")
def trained(digits):
    return training.train_features(digits, data.collect(digits), QUICK)


@pytest.fixture(scope="module")
def units(digits):
    return data.rescaled(digits.samples, digits.data_range)


# Training


@pytest.mark.thorough
def test_digits_are_recognised(trained, units):
    """Known of this set: a linear classifier reaches about 0.95, a good one 0.98 to 0.99."""
    assert trained.source["accuracy"] > 0.97
    assert trained.source["held_out"] == 359
    target = load_digits().target
    held, learned = training._split(1797, 0.2, 0)
    assert trained.accuracy(units[held], target[held]) == trained.source["accuracy"]
    assert not set(held) & set(learned)
    assert len(held) + len(learned) == 1797


def test_the_distance_has_its_name(trained):
    assert trained.distance_name == "feature Fréchet (classifier trained on digits)"
    assert trained.classes == tuple("0123456789")


def test_held_out_digits_are_as_far_as_learned_ones(trained, units):
    """What was learned from must not look closer than what was not: samples are new, too."""
    held, learned = training._split(1797, 0.2, 0)
    rng, f = np.random.default_rng(0), trained(units)
    between, among = [], []
    for _ in range(8):
        mine = rng.permutation(learned)
        between.append(frechet(f[held], f[mine[:359]]))
        among.append(frechet(f[mine[359:718]], f[mine[:359]]))
    assert np.mean(between) < 1.5 * np.mean(among)
    noisy = units + 0.5 * rng.standard_normal(units.shape, np.float32)
    assert frechet(trained(noisy)[:359], f[359:718]) > 3 * np.mean(among)


@pytest.mark.slow
def test_a_seed_gives_the_same_again(digits):
    options = TrainOptions(updates=8, width=8, feature_count=5)
    one, two, other = (
        training.train_features(digits, data.collect(digits), options, seed=seed)
        for seed in (1, 1, 2)
    )
    leaves = [each.parameters for each in (one, two, other)]
    for name in leaves[0]:
        np.testing.assert_array_equal(leaves[0][name], leaves[1][name])
    assert np.abs(leaves[0]["gather/kernel"] - leaves[2]["gather/kernel"]).max() > 0.01
    assert one.source["accuracy"] == two.source["accuracy"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sound", "colour"])
def test_other_forms_are_learned(kind):
    """Two classes that differ in frequency (sound) or hue, not in mean or power."""
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=160)
    phase = 2 * np.pi * rng.random((160, 1))
    waves = np.sin(2 * np.pi * (3 + 3 * labels[:, None]) * np.arange(64) / 64 + phase)
    if kind == "sound":
        x = waves.astype(np.float32)
    else:
        x = (0.1 * rng.standard_normal((160, 9, 12, 3))).astype(np.float32)
        x[np.arange(160), ..., 2 * labels] += 0.5
    dataset = data.open(x).with_labels(labels)
    options = TrainOptions(updates=40, width=8, batch=32, held_out=0.25)
    found = training.train_features(dataset, data.collect(dataset), options)
    assert found.source["accuracy"] > 0.9  # 0.5 by chance, of 40: five standard errors below
    assert found(x[:3]).shape == (3, 64)


def test_shifts_repeat_the_edges_and_flips_mirror():
    options = TrainOptions(translate=2)
    rows = np.arange(5 * 6, dtype=np.float32).reshape(1, 5, 6, 1).repeat(200, 0)
    moved = training._augmented(rows, options, np.random.default_rng(0))
    padded = np.pad(rows[0, ..., 0], 2, mode="edge")
    allowed = {padded[i : i + 5, j : j + 6].tobytes() for i in range(5) for j in range(5)}
    assert {row[..., 0].tobytes() for row in moved} == allowed  # all 25, with 200 draws
    flipped = training._augmented(rows, TrainOptions(flip=True), np.random.default_rng(0))
    both = {rows[0].tobytes(), rows[0, :, ::-1].tobytes()}
    assert {row.tobytes() for row in flipped} == both
    sound = np.arange(7, dtype=np.float32).reshape(1, 7, 1).repeat(50, 0)
    shifted = training._augmented(sound, TrainOptions(translate=1), np.random.default_rng(0))
    wide = np.pad(sound[0, :, 0], 1, mode="edge")
    assert {row[:, 0].tobytes() for row in shifted} == {wide[i : i + 7].tobytes() for i in range(3)}


def test_batches_have_every_sample_once_a_round():
    samples = np.arange(20.0, dtype=np.float32).reshape(20, 1)
    learned = np.arange(3, 15)
    batches = training._batches(samples, np.arange(20), learned, None, TrainOptions(batch=4), 0)
    for _ in range(3):
        seen = [next(batches) for _ in range(3)]
        assert {len(labels) for _, labels in seen} == {4}
        labels = np.concatenate([labels for _, labels in seen])
        assert sorted(labels) == learned.tolist()
        found = np.concatenate([rows for rows, _ in seen])[:, 0, 0]
        np.testing.assert_array_equal(found, labels)


def test_what_a_round_leaves_begins_the_next():
    samples, learned = np.zeros((13, 1), np.float32), np.arange(13)
    batches = training._batches(samples, learned, learned, None, TrainOptions(batch=4), 0)
    seen = np.concatenate([next(batches)[1] for _ in range(13)])
    np.testing.assert_array_equal(np.bincount(seen), [4] * 13)  # 13 batches of 4 are 4 rounds


@pytest.mark.slow
def test_few_channels_are_normalised_together():
    norm = classifier.Block(1, 4, (3, 3), 1, nnx.Rngs(0)).norm
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 4)) * [1, 2, 3, 4]
    flat = x.reshape(2, -1)
    want = (flat - flat.mean(1, keepdims=True)) / flat.std(1, keepdims=True)
    np.testing.assert_allclose(norm(jax.numpy.float32(x)).reshape(2, -1), want, atol=1e-4)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"updates": 0}, "updates = 0"),
        ({"feature_count": 2.5}, "feature_count = 2.5"),
        ({"learning_rate": -1.0}, "learning_rate = -1.0"),
        ({"weight_decay": -1.0}, "weight_decay = -1.0"),
        ({"held_out": 1.0}, "held_out = 1.0"),
        ({"translate": 8}, "translate = 8"),
        ({"learning_rate": 1e30, "updates": 50}, "learning_rate = 1e[+]30"),
    ],
)
def test_options_that_are_refused(digits, options, named):
    options = TrainOptions(**{"width": 8, **options})
    with pytest.raises(UserError, match=named):
        training.train_features(digits, data.collect(digits), options)


@pytest.mark.parametrize(
    ("shape", "labels", "options", "named"),
    [
        ((3, 3), None, {}, "labels"),
        ((3, 3), [1, 1, 1, 1], {}, "one class"),
        ((3, 3, 3, 3), [1, 2, 1, 1], {}, "shape"),
        ((9,), [1, 2, 1, 1], {"flip": True}, "flip"),
        ((3, 3), [1, 2, 1, 2], {"held_out": 0.01}, "held_out = 0.01"),
    ],
)
def test_data_that_are_refused(shape, labels, options, named):
    opened = data.open(np.zeros((4, *shape)))
    opened = opened if labels is None else opened.with_labels(labels)
    with pytest.raises(UserError, match=named):
        training.train_features(opened, data.collect(opened), TrainOptions(**options))


def test_collected_samples_without_labels_are_refused(digits):
    with pytest.raises(UserError, match="collected"):
        training.train_features(digits, data.collect(digits)._replace(labels=None), QUICK)


@pytest.mark.thorough
def test_the_first_update_learns(digits):
    options = TrainOptions(updates=1, width=8, feature_count=5)
    seen = training.train_features(digits, data.collect(digits), options).parameters
    network = classifier.Classifier(Architecture((8, 8), 10, 5, 8), rngs=nnx.Rngs(0))
    start = classifier.parameters_by_path(nnx.state(network))
    assert np.abs(seen["decide/kernel"] - start["decide/kernel"]).max() > 1e-4


# Features


@pytest.mark.thorough
def test_features_are_the_last_layer_but_one(trained, units):
    """An independent pass in NumPy from the features on, and in Flax module by module before."""
    model = nnx.merge(*classifier.restore(trained.architecture, trained.parameters))
    x = jax.numpy.asarray(units[:7, ..., None])
    for block in model.blocks:
        x = jax.nn.gelu(block.norm(block.conv(x)))
    expected = np.asarray(jax.nn.gelu(model.gather(x.reshape(7, -1))))
    np.testing.assert_allclose(trained(units[:7]), expected, rtol=1e-4, atol=1e-5)
    kernel, bias = (trained.parameters[f"decide/{name}"] for name in ("kernel", "bias"))
    odds = trained(units[:7]) @ kernel + bias
    chances = np.exp(odds) / np.exp(odds).sum(1, keepdims=True)
    np.testing.assert_allclose(trained.probabilities(units[:7]), chances, rtol=1e-4, atol=1e-6)
    labels = np.array([0, 1, 2, 3, 4, 9, 6])
    expected = (chances.argmax(1) == labels).mean()
    assert trained.accuracy(units[:7], labels) == expected


def test_batches_change_nothing_and_compile_once(trained, units, monkeypatch):
    alone = np.concatenate([trained(units[i : i + 1]) for i in range(5)])
    np.testing.assert_array_equal(trained(units[:5]), alone)
    np.testing.assert_array_equal(trained(units[:600])[250:262], trained(units[250:262]))
    run, _ = trained._compiled
    assert run._cache_size() == 1
    np.testing.assert_array_equal(trained(units[:5].astype(np.float64)), alone)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros((3, 9, 8)),
        np.zeros((0, 8, 8)),
        np.zeros((3, 8, 8), np.uint8),
        np.full((3, 8, 8), np.inf),
    ],
)
def test_samples_that_are_refused(trained, samples):
    with pytest.raises(UserError, match="samples"):
        trained(samples)


def test_data_in_other_units_are_refused_and_samples_that_diverged_are_rows(trained, units):
    with pytest.raises(UserError, match="mean magnitude of 16"):
        Reference.of(np.full((30, 8, 8), 16.0), features=[trained])
    reference = Reference.of(units, n=20, measures=["frechet"], features=[trained], splits=2)
    plan = sx.plan("ddim", sx.NoiseSchedule.from_sigmas([1.0, 0.0]))
    for far, is_known in ((50.0, True), (1e30, False)):
        denoise = lambda x, a, s, far=far: 0 * x + far  # noqa: E731
        (row,) = evaluate_schedules({"far": plan}, denoise, reference, seeds=2)
        for column in ("frechet", "feature_frechet"):
            known = np.isfinite(row.values[column].value)
            assert known == is_known
            assert not known or row.values[column].value > 4 * row.floor[column].value


def test_labels_of_another_number_are_refused(trained, units):
    with pytest.raises(UserError, match="labels"):
        trained.accuracy(units[:2], [1, 2, 3])


# Files


def test_a_file_gives_the_same_features(trained, units, tmp_path):
    path = features.save_features(tmp_path / "new", trained)
    assert path == tmp_path / "new" / "features.npz"
    features.save_features(tmp_path / "new", trained)  # a folder that is there
    assert features.save_features(tmp_path / "x.npz", trained) == tmp_path / "x.npz"
    for given in (path, tmp_path / "new", str(tmp_path / "x.npz")):
        opened = features.open_features(given)
        np.testing.assert_array_equal(opened(units[:9]), trained(units[:9]))
        assert opened.distance_name == trained.distance_name
        assert opened.architecture == trained.architecture
    with np.load(path, allow_pickle=False) as archive:
        header = json.loads(archive["header"].tobytes())
    assert header["source"]["data"]["data_range"] == [0, 16]
    assert header["source"]["data"]["name"] == "digits"
    assert {"jax", "numpy", "specjax"} <= set(header["source"]["versions"])
    assert header["source"]["options"]["updates"] == QUICK.updates


def rewritten(path, **changes):
    """The file with other arrays, or another header."""
    with np.load(path) as archive:
        arrays = dict(archive)
    header = json.loads(arrays["header"].tobytes())
    for name, value in changes.items():
        if name in header:
            header[name] = value
        else:
            arrays[name.replace("__", "/")] = value
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:-99]),
        lambda path: rewritten(path, format="specjax.spectrum"),
        lambda path: rewritten(path, format_version=99),
        lambda path: rewritten(path, decide__bias=np.zeros(10, "f4")),
    ],
)
def test_files_that_are_refused(trained, tmp_path, change):
    path = features.save_features(tmp_path / "x.npz", trained)
    change(path)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        features.open_features(path)


def test_parameters_of_another_architecture_are_refused(trained, tmp_path):
    wrong = replace(trained, architecture=Architecture((8, 8), 10, features=32))
    path = features.save_features(tmp_path / "x.npz", wrong)
    with pytest.raises(UserError, match="parameters"):
        features.open_features(path)


@pytest.mark.parametrize("where", ["file", "none/x.npz", "none/folder"])
def test_paths_that_cannot_be_written(trained, tmp_path, where):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=where):
        features.save_features(tmp_path / where, trained)


def test_a_missing_library_is_named_with_its_extra(trained, tmp_path, monkeypatch):
    path = features.save_features(tmp_path / "x.npz", trained)
    monkeypatch.setitem(sys.modules, "flax.nnx", None)
    with pytest.raises(UserError, match=r"specjax\[evaluate\]"):
        features.open_features(path)
