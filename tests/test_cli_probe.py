import json
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import specjax as sx
from specjax.data import drawn

DIGITS = sx.data.open("digits").spectrum()


@pytest.fixture
def trained(monkeypatch):
    """A run on digits whose network is the ideal denoiser with 0.9 of the gain, and its mean."""
    ideal = sx.wiener(DIGITS)
    mean = np.asarray(DIGITS.lift(DIGITS.mean))

    def denoise(x, alpha, sigma):
        return jnp.asarray(mean + 0.9 * (ideal(x, alpha, sigma) - mean), x.dtype)

    run = SimpleNamespace(
        folder="runs/d", step=7, shape=(8, 8), classes=0, spectrum=DIGITS, source=DIGITS.source,
        denoiser=lambda labels=None: denoise, noise=None, effective=DIGITS,
    )  # fmt: skip
    asked = []
    monkeypatch.setattr("specjax.nn.run.open_run", lambda *args: asked.append(args) or run)
    run.asked = asked
    return run


def test_probe_writes_what_it_finds_and_a_picture(run, trained, tmp_path):
    code, out, err = run(
        "probe", "runs/d", "--plot", "probe.png", "--n", 40, "--levels", 9, "--checkpoint", "last"
    )
    assert (code, err) == (0, "")
    assert trained.asked == [("runs/d", "last")]
    for word in ("runs/d at step 7", "40 samples of digits", "gain less Wiener's", "probe.npz"):
        assert word in out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["probe.npz", "probe.png"]
    found = sx.load(tmp_path / "probe.npz")
    np.testing.assert_allclose(found.gain, 0.9 * found.wiener_gain, atol=1e-4)
    assert found.source["samples"] == 1797
    assert (tmp_path / "probe.png").read_bytes()[:4] == b"\x89PNG"


def test_json_of_probe_holds_the_bands(run, trained):
    code, out, _ = run("probe", "runs/d", "--json", "--n", 40, "--levels", 3)
    document = json.loads(out)
    assert (code, document["step"], document["dimension"]) == (0, 7, 64)
    assert document["logsnr"] == [-12, 0, 12]
    assert document["bands"][-1]["ranks"][1] == 61  # three directions of digits have no variance
    first = document["bands"][0]
    np.testing.assert_allclose(first["gain"], 0.9 * np.array(first["wiener_gain"]), atol=1e-4)


@pytest.mark.thorough
def test_fit_takes_the_probe(run, trained, tmp_path):
    assert run("probe", "runs/d", "--n", 40)[0] == 0
    options = ("--denoiser", "probe.npz", "--steps", 3, "--restarts", 1)
    code, out, _ = run("fit", "digits", "--plot", "None", *options)
    assert code == 0
    assert "denoiser: probed, runs/d at step 7" in out.replace("\n", " ")
    result = sx.load(tmp_path / "schedule.json")
    assert result.source["denoiser"]["run"] == "runs/d"
    denoiser = sx.load(tmp_path / "probe.npz")
    wanted = sx.loss(DIGITS, result.schedule, denoiser=denoiser)
    np.testing.assert_allclose(result.value, wanted, rtol=1e-9)
    cosine = sx.family("cosine", 3, alpha_bar_range=result.alpha_bar_range)
    wanted = sx.loss(DIGITS, cosine, denoiser=denoiser)
    np.testing.assert_allclose(result.baselines["cosine"], wanted, rtol=1e-9)
    code, out, _ = run("show", "schedule.json")
    assert "denoiser: probed, runs/d at step 7" in out
    code, _, err = run("fit", "digits", "--limit", 500, "-o", "few.json", *options)
    assert (code, err.count("\n")) == (2, 1)
    assert "probed on digits" in err


def test_data_that_are_not_built_in_must_be_given(run, trained):
    trained.source = {**DIGITS.source, "name": "mine.npy"}
    code, _, err = run("probe", "runs/d")
    assert code == 2
    assert "trained on mine.npy" in err
    assert "--data" in err


@pytest.fixture
def conditional(trained):
    """One that adds 0.1 for each class it is told, 5 where it is told none."""
    plain = trained.denoiser()

    def denoise(x, alpha, sigma, labels=None):
        told = 5.0 if labels is None else 0.1 * jnp.reshape(labels, (-1, 1, 1))
        return plain(x, alpha, sigma) + jnp.asarray(told, x.dtype)

    trained.denoiser = lambda labels=None: denoise
    trained.classes, trained.class_names = 10, tuple(str(k) for k in range(9, -1, -1))
    return trained


def bias_of_the_mean(found):
    """The bias at every level, averaged over the pixels."""
    return DIGITS.lift(found.bias).mean((1, 2))


def test_a_conditional_network_is_told_the_classes_by_name(run, conditional, tmp_path):
    options = ("--n", 1797, "--levels", 2, "--logsnr-range", -12, -11)
    code, out, err = run("probe", "runs/d", *options)
    assert (code, err) == (0, "")
    assert "told the classes" in out
    found = sx.load(tmp_path / "probe.npz")
    assert found.source["classes"] == "told"
    # The run's number of class "k" is 9 - k; so noisy that y says nothing of the class.
    told = 0.1 * (9 - sx.data.open("digits").labels.mean())
    np.testing.assert_allclose(bias_of_the_mean(found), told, atol=1e-3)


def test_data_without_labels_are_said_to_be_untold(run, conditional, tmp_path):
    digits = sx.data.open("digits")
    np.save("x.npy", digits.samples[:50])
    options = ("--data", "x.npy", "--data-range", 0, 16, "--levels", 2)
    code, out, err = run("probe", "runs/d", *options)
    assert code == 0
    assert "x.npy has no labels" in err
    assert err.count("\n") == 1
    assert "not told the classes" in out
    found = sx.load(tmp_path / "probe.npz")
    assert (found.source["classes"], found.source["n"]) == ("untold", 50)


def test_other_classes_are_refused(run, conditional, tmp_path):
    np.savez("x.npz", samples=sx.data.open("digits").samples[:3], labels=["1", "2", "cat"])
    code, _, err = run("probe", "runs/d", "--data", "x.npz", "--data-range", 0, 16)
    assert code == 2
    assert "a class 'cat'" in err
    assert err.count("\n") == 1


def test_the_data_of_the_training_are_read_as_they_were(run, trained, monkeypatch, tmp_path):
    trained.source = {**DIGITS.source, "data_range": [0, 32], "limit": 90, "shard": [1, 3]}
    opened = []

    def spy(data, *args, **options):
        opened.append(data)
        return drawn(data, *args, **options)

    monkeypatch.setattr("specjax.data.drawn", spy)
    assert run("probe", "runs/d", "--levels", 2)[0] == 0
    assert sx.load(tmp_path / "probe.npz").source["n"] == 90
    (data,) = opened
    assert data.data_range == (0, 32)
    np.testing.assert_array_equal(data.samples, sx.data.open("digits").samples[599 : 599 + 90])


def test_another_shape_is_refused_before_the_data_are_read(run, trained, monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("the data were read")

    monkeypatch.setattr("specjax.data.drawn", refuse)
    np.save("x.npy", np.zeros((20, 3)))
    assert "(3,)" in run("probe", "runs/d", "--data", "x.npy", "--data-range", 0, 1)[2]


def test_bad_files_are_named(run, trained, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    x = (sx.data.open("digits").samples[:6] * 15).astype(np.uint8)
    for i, one in enumerate(x):
        Image.fromarray(one).save(folder / f"{i}.png")
    (folder / "9.png").write_bytes(b"no image")
    code, _, err = run("probe", "runs/d", "--data", "images", "--levels", 2)
    assert code == 0
    assert "skipped 1 of 7 files: 9.png" in err
    assert sx.load(tmp_path / "probe.npz").source["n"] == 6
