"""Denoisers in Python that a command names: ``FILE.py:NAME`` and ``MODULE:NAME``."""

import json
import sys

import numpy as np
import pytest

import specjax as sx
from specjax.cli.python_denoiser import fine_spectrum, is_named, open_denoiser
from specjax.schedules.level_range import LevelRange

MODEL = '''
from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np

import specjax as sx
from beside import VARIANCE


@dataclasses.dataclass
class Scaled:
    """Found by name in sys.modules: a dataclass looks there."""

    scale: float

    def __call__(self, x, alpha, sigma):
        return self.scale * alpha * x / (alpha**2 * VARIANCE + sigma**2)


denoiser = Scaled(VARIANCE)


def black(x, alpha, sigma):
    assert isinstance(x, np.ndarray)
    return np.asarray(denoiser(np.asarray(x), alpha, sigma), np.float32)


def labelled(x, alpha, sigma, labels):
    return denoiser(x, alpha, sigma) + labels[:, None]


def raises(x, alpha, sigma):
    raise ValueError("the server is gone")


def shapeless(x, alpha, sigma):
    return jnp.sum(x)


class Signs:
    kind, shape, spectrum, held_out = "signs", (8,), None, None
    source, fingerprint = {"name": "signs"}, "signs of 8"

    def __call__(self, x, alpha, sigma):
        return jnp.tanh(alpha * x / sigma**2)

    def project(self, x):
        return x

    lift = project


box = sx.BlackBox(black, (8,))
network = sx.priors.Network(denoiser, (8,))
signs = Signs()
number = 3
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the model, and a broken one; modules and the path are as before afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    place = tmp_path / "models"
    place.mkdir()
    (place / "model.py").write_text(MODEL)
    (place / "beside.py").write_text("VARIANCE = 4.0\n")
    (place / "broken.py").write_text("import numpy\n\nnumpy.no_such_thing\n")
    (place / "leaves.py").write_text("import sys\n\nsys.exit(3)\n")
    monkeypatch.chdir(tmp_path)
    yield place
    for name in set(sys.modules) - before:
        if name.split(".")[0].strip("_").startswith(("model", "beside", "broken", "leaves")):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("text", "named"),
    [("a.py:f", True), ("a/b.py:f.g", True), ("a.b:f", True), ("a.py", True), ("a.py:", True),
     ("digits", False), ("x.npy", False), ("tfds:mnist", False), ("tfds:mnist:test", False),
     ("10.0,1.0", False), ("a:b:c", False), ("runs/digits", False)],
)  # fmt: skip
def test_names(text, named):
    assert is_named(text) == named


@pytest.mark.parametrize(
    ("text", "shape"),
    [("models/model.py:denoiser", (8,)), ("models/model.py:black", (8,)),
     ("models/model.py:box", ()), ("models/model.py:network", ()), ("models.model:box", ())],
)  # fmt: skip
def test_every_kind_is_the_same_denoiser(folder, monkeypatch, text, shape):
    if text.startswith("models.model"):
        monkeypatch.syspath_prepend(folder)
    opened = open_denoiser(text, shape, ())
    assert opened.shape == (8,)
    x = np.linspace(-2, 2, 24).reshape(3, 8).astype(np.float32)
    expected = 4.0 * 0.6 * x / (0.36 * 4.0 + 0.64)
    np.testing.assert_allclose(opened.denoise(x, 0.6, 0.8), expected, rtol=1e-5)
    assert opened.as_prior().kind == "network"


def test_a_prior_stays_itself(folder):
    opened = open_denoiser("models/model.py:signs", (), ())
    assert opened.as_prior().kind == "signs"
    assert opened.answers_digest(()) == opened.answers_digest(())


def test_labels_are_told(folder):
    opened = open_denoiser("models/model.py:labelled", (8,), (1, 2))
    told = opened.denoise(np.zeros((3, 8), np.float32), 0.6, 0.8, np.array([0, 1, 2]))
    np.testing.assert_allclose(told[:, 0], [0, 1, 2])
    assert opened.answers_digest((1, 2)) != opened.answers_digest((2, 1))


@pytest.mark.parametrize("size", [8, 80])
def test_the_spectrum_of_fine_samples(folder, capsys, size):
    """Of the ideal denoiser of variance 4, to Monte Carlo: 128 samples."""
    opened = open_denoiser("models/model.py:denoiser", (size,), ())
    spectrum = fine_spectrum(opened, LevelRange((4.0358e-5, 1.0)), (), seed=0)
    eigenvalues = np.asarray(spectrum.eigenvalues)
    weights = 1 + 0 * eigenvalues if spectrum.weights is None else np.asarray(spectrum.weights)
    assert weights.sum() == size
    total = float(eigenvalues @ weights)
    assert total == pytest.approx(4 * size, rel=5 * np.sqrt(2 / (128 * size)) + 0.01)
    assert "fine samples" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("models/model.py:denoiser",), "shape"),
        (("models/model.py:denoiser", "--shape", 0), "shape"),
        (("models/model.py:box", "--shape", 3), "shape"),
        (("models/model.py:denoizer", "--shape", 8), "denoiser"),
        (("models/model.py", "--shape", 8), "NAME"),
        (("models/model.py:number", "--shape", 8), "number"),
        (("models/model.py:Signs", "--shape", 8), "Signs"),
        (("models/model.py:shapeless", "--shape", 8), "shapeless"),
        (("models/missing.py:denoiser", "--shape", 8), "missing.py"),
        (("no_such_module:denoiser", "--shape", 8), "no_such_module"),
        (("data.npy:denoiser", "--shape", 8), "data.npy"),
        (("models/model.py:box", "--checkpoint", "last"), "checkpoint"),
        (("models/model.py:box", "--prior", "mixture", "network"), "--data"),
        (("models/model.py:box", "--prior", "network", "--noise", "power-law"), "noise"),
        (("models/model.py:box", "--data", "digits"), "shape"),
        (("digits", "--shape", 8, 8), "shape"),
        (("digits", "--labels", 1), "labels"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(run, folder, args, named):
    np.save("data.npy", np.zeros((4, 8)))
    code, out, err = run("learn", *args, "--steps", 2)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert named in err


@pytest.mark.parametrize("name", ["broken", "leaves"])
def test_an_error_of_an_import_shows_where_it_is(run, folder, name):
    code, out, err = run("learn", f"models/{name}.py:denoiser", "--shape", 8, "--steps", 2)
    assert (code, out) == (2, "")
    assert f'models/{name}.py", line 3' in err
    assert "python_denoiser" not in err
    assert err.splitlines()[-1].startswith(f"specjax: models/{name}.py")


def test_an_error_of_a_denoiser_is_not_called_ours(run, folder):
    with pytest.raises(ValueError, match="the server is gone") as caught:
        run("sample", "models/model.py:raises", "--shape", 8, "--schedule", "karras", "--steps", 2,
            "--out", "x.npz")  # fmt: skip
    assert "fault of specjax" not in "".join(caught.value.__notes__)


def test_what_is_asked_reaches_learning(run, folder, monkeypatch):
    from specjax.learning.settings import LearnSettings

    def resolve(**options):
        assert options["max_calls"] == 900
        np.testing.assert_array_equal(options["labels"], [0, 2])
        raise sx.UserError("seen")

    monkeypatch.setattr(LearnSettings, "resolve", resolve)
    args = ("models/model.py:labelled", "--shape", 8, "--labels", 0, 2, "--max-calls", 900)
    assert run("learn", *args, "--steps", 2)[2] == "specjax: seen\n"


@pytest.mark.parametrize("name", ["denoiser", "black"])
def test_sampling(run, folder, tmp_path, name):
    args = ("--shape", 8, "--n", 6, "--schedule", "karras", "--steps", 4, "--out", "x.npz")
    code, _, err = run("sample", f"models/model.py:{name}", *args)
    assert code == 0
    assert ("black box" in err) == (name == "black")
    with np.load(tmp_path / "x.npz") as archive:
        samples = archive["samples"]
    plan = sx.plan("ddim", sx.family("karras", 4))
    expected = sx.generate(
        plan, open_denoiser(f"models/model.py:{name}", (8,), ()).denoise, 6, (8,)
    )
    np.testing.assert_allclose(samples, expected, rtol=1e-5, atol=1e-6)
    code, _, err = run("sample", f"models/model.py:{name}", "--shape", 8, "--out", "y.npz")
    assert (code, "schedule" in err) == (2, True)  # no spectrum is known


@pytest.mark.thorough
def test_probing_and_evaluating(run, folder, tmp_path):
    np.save("data.npy", 2 * np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32))
    args = ("--shape", 8, "--against", "data.npy")
    given = ("--shape", 8, "--data", "data.npy", "--n", 100)
    code, out, _ = run("probe", "models/model.py:denoiser", *given)
    assert code == 0
    assert "models/model.py:denoiser, probed with 100" in out
    assert sx.load(tmp_path / "probe.npz").spectrum.dimension == 8
    code, out, _ = run(
        "evaluate", "models/model.py:black", *args, "--schedule", "karras", "--steps", 12, "--json",
        "--measures", "frechet",
    )  # fmt: skip
    assert code == 0
    row = json.loads(out)["rows"][0]
    assert row["made_by"]["calls"] == 12


@pytest.mark.thorough
@pytest.mark.parametrize("data", [True, False])
def test_learning(run, folder, tmp_path, data):
    """A Gaussian's plan is much better than every heuristic, whatever said its spectrum."""
    np.save("data.npy", 2 * np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32))
    args = ("--steps", 2, "--shape", 8, "--n", 32, "--max-iterations", 30, "--plot", "None")
    given = ("--data", "data.npy") if data else ()
    code, _, err = run("learn", "models/model.py:denoiser", *args, *given)
    assert code == 0
    assert ("fine samples" in err) != data
    result = sx.load(tmp_path / "plan.json")
    assert result.prior == "network"
    assert result.source["name"] == "models/model.py:denoiser"
    assert result.value < min(result.baselines.values()) - 1  # a logarithm
    assert "kept" in run("learn", "models/model.py:denoiser", *args, *given)[2]
    (folder / "beside.py").write_text("VARIANCE = 2.0\n")  # another denoiser by the same name
    for name in [x for x in sys.modules if x.strip("_").startswith(("model", "beside"))]:
        del sys.modules[name]
    code, _, err = run("learn", "models/model.py:denoiser", *args, *given)
    assert (code, "exists" in err) == (2, True)
