"""Guidance on the command line: of a run, of a denoiser in Python, of plans learned with it."""

import json
import sys
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from checks import one_line

import specjax as sx
from specjax.sampling.generate import generate

MODEL = """
import numpy as np

import specjax as sx


def of(x, alpha, sigma, labels=np.float32(0)):
    mean = np.reshape(labels, (-1, 1)) / 10
    return (alpha * x + sigma**2 * mean) / (alpha**2 + sigma**2)


def in_numpy(x, alpha, sigma, labels=np.float32(0)):
    assert isinstance(x, np.ndarray)
    return np.asarray(of(x, alpha, sigma, labels), np.float32)


guided = sx.guided(of, of, 2.0)
boxed = sx.guided(in_numpy, in_numpy, 2.0)
null = sx.guided(in_numpy, null=5, weight=2.0)
"""
ARGS = ("--shape", 4, "--n", 6, "--seed", 3, "-o", "x.npz", "--schedule")


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "guided_model.py").write_text(MODEL)
    yield "guided_model.py:"
    sys.modules.pop("guided_model", None)


@pytest.fixture
def plan_file(tmp_path):
    """A plan of three calls, one of them unguided, learned with weight 2 for labels 1 and 2."""

    def write(guidance=(2.5, 1.0, 3.0), **about):
        plan = sx.learn(sx.Spectrum.power_law(4, 1.0), 3, groups=("levels",))
        source = {"guidance": {"weight": 2.0, "interval": None}, "labels": [1, 2], **about}
        weights = None if guidance is None else np.array(guidance)
        plan = replace(plan, guidance=weights, prior="network", source=source)
        return sx.save(tmp_path / "p.json", plan)

    return write


def drawn():
    with np.load("x.npz", allow_pickle=False) as file:
        return file["samples"], json.loads(file["header"].tobytes())


def expected(plan, weight, null, labels):
    def summed(x, alpha, sigma, labels):
        return told(x, alpha, sigma, null + weight * (labels - null))

    return generate(plan, summed, 6, (4,), seed=3, labels=np.resize(labels, 6))


@pytest.mark.parametrize(
    ("name", "null", "weight"), [("guided", 0, None), ("boxed", 0, 3.0), ("null", 5, 3.0)]
)
def test_a_guided_denoiser_is_sampled(run, model, name, null, weight):
    more = () if weight is None else ("--guidance", weight)
    code, _, err = run(
        "sample", model + name, *ARGS, "cosine", "--steps", 3, "--labels", 1, 2, *more
    )
    assert code == 0, err
    x, header = drawn()
    plan = sx.plan("ddim", sx.family("cosine", 3))
    wanted = expected(plan, weight or 2.0, null, np.array([1, 2]))
    np.testing.assert_allclose(x, wanted, rtol=1e-4, atol=1e-5)
    assert header["guided"]["weight"] == [weight or 2.0]


@pytest.mark.thorough
def test_a_plan_brings_its_weights(run, model, plan_file):
    path = plan_file()
    code, out, err = run("sample", f"{model}guided", *ARGS, path, "--labels", 1, 2, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["guidance"] == [2.5, 1.0, 3.0]
    plain = replace(sx.load(path).plan, guidance=None)
    denoise = sx.guided(sx.BlackBox(told, (4,)), sx.BlackBox(told, (4,)), [2.5, 1.0, 3.0])
    wanted = generate(plain, denoise, 6, (4,), seed=3, labels=np.resize([1, 2], 6))
    np.testing.assert_allclose(drawn()[0], wanted, rtol=1e-4, atol=1e-5)


def told(x, alpha, sigma, labels=0.0):
    """The denoiser of a Gaussian whose mean is a tenth of the label."""
    mean = jnp.reshape(jnp.asarray(labels), (-1, 1)) / 10
    return jnp.asarray((alpha * x + sigma**2 * mean) / (alpha**2 + sigma**2), np.float32)


@pytest.mark.parametrize(
    ("guidance", "args", "named"),
    [
        (None, ("--labels", 1, "--guidance", 3), "guidance 2"),
        (None, ("--labels", 1, "--guidance", 2, "--guidance-interval", 1, 3), "sigma 1 to 3"),
        ((2.5, 1.0, 3.0), ("--labels", 1, 4), "labels 1, 2"),
    ],
)
def test_another_use_than_the_plan_was_learned_for_is_named(
    run, model, plan_file, guidance, args, named
):
    code, _, err = run("sample", f"{model}guided", *ARGS, plan_file(guidance), *args)
    assert code == 0
    assert err.count("\n") == 1
    assert named in err


@pytest.mark.parametrize(
    ("name", "args", "named"),
    [
        ("of", ("cosine", "--guidance", 2), "guided"),
        ("of", ("PLAN",), "guided"),
        ("guided", ("cosine", "--steps", 3, "--guidance", "nan"), "weight"),
        ("guided", ("cosine", "--steps", 3, "--guidance", 1, 2), "weight"),
        ("guided", ("cosine", "--guidance", 2, "--guidance-interval", 3, 1), "interval"),
        ("guided", ("cosine", "--guidance-interval", 1, 3), "--guidance"),
    ],
)
def test_mistakes_are_one_line(run, model, plan_file, name, args, named):
    args = [plan_file() if x == "PLAN" else x for x in args]
    code, out, err = run("sample", model + name, *ARGS, *args)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert named in err


def test_data_have_no_guidance(run):
    code, _, err = run("learn", "digits", "--steps", 2, "--guidance", 2)
    assert code == 2
    assert "guidance" in err


def test_a_plan_is_learned_within_network_calls(run, model):
    args = ("--shape", 4, "--labels", 1, 2, "--guidance", 3, "--n", 8, "--max-iterations", 2)
    code, out, err = run(
        "learn", f"{model}guided", *args, "--steps", 3, "--network-calls", 5, "--plot", "None"
    )
    assert code == 0, err
    assert "5 network calls" in out
    result = sx.load("plan.json")
    assert result.plan.network_calls <= 5
    assert result.source["guidance"] == {"weight": 3.0, "interval": None}
    assert result.source["labels"] == [1, 2]


def a_run(classes, drop_label):
    """A run whose network is that of the label's Gaussian."""
    pytest.importorskip("flax")
    from specjax.nn.config import OptimiserConfig, TrainConfig
    from specjax.nn.run import Run

    return Run(
        config=TrainConfig(optimiser=OptimiserConfig(drop_label=drop_label)), content="",
        shape=(4,), class_names=tuple("abcdef"[:classes]), source={}, sigma_data=1.0, versions={},
        spectrum=sx.Spectrum.power_law(4, 1.0), folder="r", step=1, network=told,
    )  # fmt: skip


@pytest.mark.parametrize(("classes", "drop_label"), [(0, 0.1), (3, 0.0)])
def test_runs_without_labels_withheld_are_refused(classes, drop_label):
    assert "guidance" in one_line(a_run(classes, drop_label).guided, 2.0)


def test_a_run_is_told_that_the_label_is_withheld():
    denoise = a_run(3, 0.1).guided(3.0).denoiser()
    x = np.ones((2, 4), np.float32)
    found = denoise(x, 0.6, 0.8, np.array([0, 2]))
    wanted = told(x, 0.6, 0.8, np.array([3 + 3 * (0 - 3), 3 + 3 * (2 - 3)]))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
