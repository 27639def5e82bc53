"""What learning refuses, each in one line before any work; and learning over several devices."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from checks import one_line
from plan_oracles import objectives

import specjax as sx
from specjax.learning import objectives as objectives_module
from specjax.learning.parameters import parameters_of, plan_of
from specjax.priors import Empirical, Gaussian, Network

SPECTRUM = sx.Spectrum([4.0, 1.0, 0.1])
DATA = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
EMPIRICAL = Empirical.from_samples(DATA, 0.3)


@pytest.fixture
def no_work(monkeypatch):
    """Nothing long may have begun."""

    def solve(*args):
        raise AssertionError("a teacher was asked for")

    monkeypatch.setattr(objectives_module, "teacher_solutions", solve)


BAD = [
    ("steps", {"steps": 0}),
    ("steps", {"steps": 2.0}),
    ("steps", {"steps": True}),
    ("sampler", {"sampler": "dimm"}),
    ("sampler", {"sampler": "heun"}),
    ("groups", {"groups": ()}),
    ("groups", {"groups": ("level",)}),
    ("groups", {"sampler": "ddim", "groups": ("noise",)}),
    ("memory", {"memory": -1}),
    ("labels", {"labels": [[0, 1]]}),
    ("labels", {"labels": [0], "conditions": [0]}),
    ("conditions", {"conditions": {"a": [0, 1], "b": [0]}}),
    ("max_calls", {"max_calls": 0}),
    ("memory", {"sampler": "dpmpp_2m", "memory": 0}),
    ("memory", {"groups": ("levels",), "memory": 2}),
    ("objective", {"objective": {}}),
    ("objective['teacher']", {"objective": {"teacher": 0}}),
    ("objective", {"objective": ["teacher"]}),
    ("objective", {"objective": {"teachers": 1.0}}),
    ("objective['energy']", {"objective": {"energy": float("nan")}}),
    ("objective 'teacher'", {"sampler": "ddpm", "objective": {"teacher": 1.0}}),
    ("objective 'teacher'",
     {"sampler": "ddpm", "groups": ("levels",), "objective": {"teacher": 1.0}}),
    ("loss", {"objective": {"transfer": 1.0}, "loss": "w3"}),
    ("process", {"process": "edm"}),
    ("alpha_bar_range", {"alpha_bar_range": (0.5, 0.1)}),
    ("alpha_bar_range", {"alpha_bar_range": 0.5}),
    ("start", {"start": [SPECTRUM]}),
    ("n", {"n": 1}),
    ("n", {"n": 0}),
    ("n = 10", {"n": 10, "batch": 3, "objective": {"energy": 1.0}}),
    ("batch", {"batch": 0}),
    ("max_iterations", {"max_iterations": 0}),
    ("teacher_tolerance", {"teacher_tolerance": 0}),
    ("teacher_tolerance", {"teacher_tolerance": -1.0}),
    ("cannot write /nowhere/at/all", {"cache": "/nowhere/at/all"}),
    ("seed", {"seed": -1}),
    ("seed", {"seed": 1.5}),
    ("seed", {"seed": 2**32}),
    ("data has 3 samples", {"objective": {"energy": 1.0}, "data": DATA[:3]}),
    ("data", {"objective": {"energy": 1.0}, "data": DATA[:, :2]}),
    ("data", {"objective": {"energy": 1.0}, "data": DATA * np.nan}),
    ("data", {"objective": {"energy": 1.0}, "data": np.array(["a"] * 9)}),
    ("prior", {"prior": "digits"}),
    ("objective 'transfer'",
     {"prior": Network(lambda x, alpha, sigma: x, (3,)), "objective": {"transfer": 1.0}}),
    ("loss", {"prior": sx.Spectrum([1.0, 0.0]), "loss": "kl"}),
    ("loss", {"prior": Gaussian(SPECTRUM, Gaussian(sx.Spectrum([1.0, 0.0]))), "loss": "kl"}),
]  # fmt: skip


@pytest.mark.usefixtures("no_work")
def test_bad_input_is_named_before_any_work():
    for name, given in BAD:
        given = {"prior": EMPIRICAL, "steps": 3, "n": 8, **given}
        text = one_line(sx.learn, given.pop("prior"), given.pop("steps"), **given)
        assert text.startswith(name), (name, text)


def test_an_option_that_does_not_exist():
    with pytest.raises(TypeError, match="step"):
        sx.learn(SPECTRUM, 3, step=1)


ON_EIGHT_DEVICES = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
import specjax as sx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from specjax.learning.objectives import objectives_of
from specjax.learning.parameters import parameters_of, plan_of
from specjax.learning.settings import LearnSettings
from specjax.priors import Empirical, Network

def training(prior, **options):
    options = {"objective": {"energy": 1.0}, "data": data, **options}
    settings = LearnSettings.resolve(mesh=mesh, **options).for_prior(prior, False)
    return objectives_of(prior, settings).training

mesh = Mesh(np.array(jax.devices()), ("batch",))
data = np.load(sys.argv[1])
prior = Empirical.from_samples(data, 0.3)
objective = training(prior, n=32, batch=16)
parameters = parameters_of(2, sx.ddim, 0, ("levels", "ratios"), True, "vp")
ends, theta = np.array([-10.0, np.inf]), jnp.asarray([4.0, 0.2, 0.0])
value = lambda theta, objective: objective.value(plan_of(parameters, theta, ends))
found = {"value": [x.tolist() for x in jax.jit(jax.value_and_grad(value))(theta, objective)]}
data, quick = np.tile(data, (1, 3))[:, :8], {"sampler": "ddim", "teacher_tolerance": 9.0}

def denoise(params, x, alpha, sigma):
    return jnp.tanh(x / alpha @ params) / (1 + sigma / alpha)

cut = NamedSharding(mesh, PartitionSpec(None, "batch"))
kernel = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32) / 3
for name, params in (("whole", jnp.asarray(kernel)), ("cut", jax.device_put(kernel, cut))):
    prior = Network(jax.tree_util.Partial(denoise, params), (8,))
    objective = training(prior, n=16, batch=8)
    found[name + " stays cut"] = jax.tree.leaves(objective.denoise)[0].sharding == cut
    found[name + " noise"] = len(objective.noise.sharding.device_set)
    plan = sx.plan("dpmpp_2m", sx.family("cosine", 3))
    found[name] = np.asarray(objective.samples(plan)).tolist()
    found[name + " learned"] = sx.learn(prior, 2, n=12, mesh=mesh, **quick).value
found["learned"] = sx.learn(prior, 2, n=12, **quick).value
try:
    sx.learn(prior, 3, n=12, mesh=mesh, objective={"energy": 1.0})
except ValueError as error:
    found["error"] = str(error)
print(json.dumps(found))
"""


@pytest.mark.slow
def test_eight_devices_are_as_one(tmp_path):
    np.save(tmp_path / "x.npy", DATA)
    flags = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
    done = subprocess.run(
        [sys.executable, "-c", ON_EIGHT_DEVICES, str(tmp_path / "x.npy")],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    objective = objectives(EMPIRICAL, n=32, objective={"energy": 1.0}, data=DATA).training
    parameters = parameters_of(2, sx.ddim, 0, ("levels", "ratios"), True, "vp")
    ends, theta = np.array([-10.0, np.inf]), np.array([4.0, 0.2, 0.0], np.float32)
    both = jax.value_and_grad(lambda x: objective.value(plan_of(parameters, x, ends)))
    value, slope = jax.jit(both)(theta)
    # Sums in another order, float32.
    assert found["value"][0] == pytest.approx(float(value), abs=1e-5)
    assert found["value"][1] == pytest.approx(slope.tolist(), abs=1e-4)
    np.testing.assert_allclose(found["cut"], found["whole"], atol=1e-5)
    assert (found["whole stays cut"], found["cut stays cut"]) == (False, True)
    assert found["whole noise"] == 8
    # Of 12 noises; rounding moves the iteration at which what is held out ends the learning.
    for name in ("whole", "cut"):
        assert found[f"{name} learned"] == pytest.approx(found["learned"], abs=0.05)
    assert "12 noises at once do not divide over 8 devices" in found["error"]


def test_nothing_to_judge_or_to_try_is_said():
    assert one_line(sx.verdicts, [], [SPECTRUM]).startswith("results")
    assert one_line(sx.learn_all, [], [2]).startswith("priors")
    assert one_line(sx.learn_all, [SPECTRUM], []).startswith("steps")
    with pytest.raises(ValueError, match="samplers"):
        sx.recommend(SPECTRUM, 1.0, samplers=[])
    waves = sx.Spectrum.power_law(16, 1.5)
    for r0 in (0.0, -1.0, float("nan")):
        start = {"r0": r0}
        said = one_line(sx.fit_noise, waves, 3, family="power_law", basis="data", start=start)
        assert "r0 = " in said
