import json

import numpy as np
import pytest
from PIL import Image

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


@pytest.mark.thorough
def test_a_plan_that_was_kept_restores_pictures_of_a_folder(run, tmp_path):
    """Digits without their middle, as pictures; the second command learns nothing."""
    digits = np.asarray(sx.data.collect(sx.data.open("digits", limit=4)).samples) * 15
    (tmp_path / "clean").mkdir()
    for i, one in enumerate(digits[:3]):
        Image.fromarray(one.astype(np.uint8)).save(tmp_path / f"clean/{i}.png")
    Image.fromarray(digits[3].astype(np.uint8)).save(tmp_path / "other.png")
    seen = np.full((8, 8), 255, np.uint8)
    seen[2:6, 2:6] = 0
    Image.fromarray(seen).save(tmp_path / "seen.png")
    code, out, err = run(
        "restore", "digits", "clean", "other.png", "--measurement", "mask:seen.png", "--noise",
        "0.1", "--steps", "2", "--simulate", "--json", "--save-plan", "kept.npz", "-o", "first",
    )  # fmt: skip
    assert (code, err.count("Error")) == (0, 0)
    told = json.loads(out)
    assert told["analysis"] == "matrices"
    assert told["losses"]["w2"] < told["baselines"]["constant"]
    code, out, _ = run(
        "restore", "digits", "clean", "other.png", "--plan", "kept.npz", "--simulate", "--json",
        "-o", "second",
    )  # fmt: skip
    assert code == 0
    assert json.loads(out)["psnr"] == told["psnr"]
    for name in ("0000.png", "0003.png"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_named_measurements_are_those_of_the_functions(tmp_path):
    box = sx.measure.named("mask:box", (8, 8, 3), sigma=0.1)
    hidden = np.asarray(box.multipliers) == 0
    assert hidden[2:6, 2:6].all()
    assert hidden.sum() == 48
    seen = np.zeros((8, 8), np.uint8)
    seen[:, :3] = 255
    Image.fromarray(seen).save(tmp_path / "seen.png")
    found = sx.measure.named(f"mask:{tmp_path}/seen.png", (8, 8), sigma=0.1)
    np.testing.assert_array_equal(found.multipliers, seen / 255)
    x = np.random.default_rng(0).normal(size=(1, 8, 8))
    for text, other in (
        ("downsample:4", sx.measure.downsample(4, (8, 8), sigma=0.1)),
        ("lowpass:0.5", sx.measure.lowpass(0.5, (8, 8), sigma=0.1)),
    ):
        same = sx.measure.named(text, (8, 8), sigma=0.1).forward(x)
        np.testing.assert_array_equal(same, other.forward(x))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("measurement", ["--measurement", "bloor:2", "--noise", "0.1"]),
        ("measurement", ["--measurement", "blur:much", "--noise", "0.1"]),
        ("input", ["--measurement", "downsample:2", "--noise", "0.1"]),
        ("factor", ["--measurement", "downsample:3", "--noise", "0.1"]),
        ("measurement", ["--measurement", "mask", "--noise", "0.1"]),
        ("absent.png", ["--measurement", "mask:absent.png", "--noise", "0.1"]),
        ("mask", ["--measurement", "mask:wide.png", "--noise", "0.1"]),
        ("observed", ["--measurement", "mask:black.png", "--noise", "0.1"]),
        ("sigma", ["--measurement", "blur:1", "--noise", "0"]),
        ("noise", ["--measurement", "blur:1"]),
        ("absent.npz", ["--plan", "absent.npz"]),
        ("y.npy", ["--plan", "y.npy"]),
        ("noise", ["--plan", "y.npy", "--noise", "0.1"]),
        ("schedule", ["--measurement", "noise", "--noise", "0.1", "--schedule", "steep"]),
        ("kernel", ["--measurement", "blur:20", "--noise", "0.1"]),
        ("sigma", ["--measurement", "blur:1", "--noise", "-1"]),
        ("input of 9", ["--measurement", "blur:1", "--noise", "0.1"]),
        ("method", ["--measurement", "noise", "--noise", "0.1", "--guidance", "best"]),
    ],
)
def test_mistakes_are_one_line(run, tmp_path, name, options):
    shape = (2, 9, 9) if name == "input of 9" else (2, 8, 8)
    name = name.removesuffix(" of 9")
    np.save(tmp_path / "y.npy", np.zeros(shape, np.float32))
    for picture, size in (("wide", (9, 8)), ("black", (8, 8))):
        Image.fromarray(np.zeros(size, np.uint8)).save(tmp_path / f"{picture}.png")
    there = sorted(tmp_path.iterdir())
    code, out, err = run("restore", "digits", "y.npy", *options, "--save-plan", "kept.npz")
    assert (code, out) == (2, "")
    assert sorted(tmp_path.iterdir()) == there
    assert name in err
    assert err.count("\n") == 1
