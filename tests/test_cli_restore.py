import json

import numpy as np
import pytest

import specjax as sx


@pytest.mark.thorough
def test_restore_brings_a_picture_closer_to_the_truth(run, tmp_path):
    digits = np.asarray(sx.data.collect(sx.data.open("digits", limit=3)).samples) / 8 - 1
    np.save(tmp_path / "clean.npy", digits.astype(np.float32))
    code, out, _ = run(
        "restore", "digits", "clean.npy", "--measurement", "noise", "--noise", "0.6", "--steps",
        "8", "--simulate", "--json", "-o", "restored.npy",
    )  # fmt: skip
    assert code == 0
    told = json.loads(out)
    assert told["psnr"]["restored"] > told["psnr"]["measured"]
    assert told["losses"]["w2"] < told["baselines"]["constant"]
    assert np.load(tmp_path / "restored.npy").shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("measurement", ["--measurement", "bloor:2", "--noise", "0.1"]),
        ("measurement", ["--measurement", "blur:much", "--noise", "0.1"]),
        ("measurement", ["--measurement", "downsample:2", "--noise", "0.1"]),
        ("kernel", ["--measurement", "blur:20", "--noise", "0.1"]),
        ("sigma", ["--measurement", "blur:1", "--noise", "-1"]),
        ("input", ["--measurement", "blur:1", "--noise", "0.1"]),
        ("method", ["--measurement", "noise", "--noise", "0.1", "--guidance", "best"]),
    ],
)
def test_mistakes_are_one_line(run, tmp_path, name, options):
    shape = (2, 9, 9) if name == "input" else (2, 8, 8)
    np.save(tmp_path / "y.npy", np.zeros(shape, np.float32))
    code, out, err = run("restore", "digits", "y.npy", *options)
    assert (code, out) == (2, "")
    assert name in err
    assert err.count("\n") == 1
