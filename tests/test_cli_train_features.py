import json

import numpy as np
import pytest

from specjax import data
from specjax.evaluate.classifier_features import open_features

FEW = ("--updates", 60, "--width", 8)


@pytest.mark.thorough
def test_features_of_digits(run, tmp_path):
    code, out, err = run("train-features", "digits", "--out", "features/", *FEW, "--seed", 3)
    assert (code, err) == (0, "")
    assert (
        "of 359 held-out samples are classified correctly (10 classes, learned from 1,438)" in out
    )
    assert "gives the feature Fréchet (classifier trained on digits)" in out
    opened = open_features(tmp_path / "features")
    digits = data.open("digits")
    units = data.rescaled(digits.samples, digits.data_range)
    assert opened.accuracy(units, digits.labels) > 0.9
    assert opened.source["seed"] == 3
    assert f"{opened.source['accuracy']:.2%} of" in out


@pytest.mark.slow
def test_json(run, tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=50)
    np.savez(tmp_path / "x.npz", x=labels[:, None, None] + rng.random((50, 6, 6)), labels=labels)
    code, out, _ = run(
        "train-features", "x.npz", "-o", "f.npz", *FEW, "--data-range", 0, 2, "--json"
    )
    found = json.loads(out)
    assert code == 0
    assert found["accuracy"] == 1.0
    assert found["features"] == "f.npz"
    assert found["classes"] == ["0", "1"]
    assert found["distance"] == "feature Fréchet (classifier trained on x.npz)"


@pytest.mark.thorough
def test_bad_files_are_named(run, tmp_path):
    from PIL import Image

    for number in range(20):
        path = tmp_path / "set" / "ab"[number % 2] / f"{number:02}.png"
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.new("L", (8, 8), 255 * (number % 2)).save(path)
    (tmp_path / "set" / "a" / "bad.png").write_bytes(b"")
    code, out, err = run("train-features", "set", *FEW)
    assert code == 0
    assert "skipped 1 of 21 files: a/bad.png (is empty)" in err
    assert "100.00% of 4 held-out samples" in out
