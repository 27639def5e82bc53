"""What learning refuses, each in one line before any work; and learning over several devices."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from checks import one_line

import specjax as sx
from specjax.learning import settings as prepare
from specjax.learning.optimise import plan_of
from specjax.learning.parameters import form_of
from specjax.learning.settings import bench_of, request_of
from specjax.priors import Empirical, Gaussian, Network

SPECTRUM = sx.Spectrum([4.0, 1.0, 0.1])
DATA = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
EMPIRICAL = Empirical.from_samples(DATA, 0.3)


@pytest.fixture
def no_work(monkeypatch):
    """Nothing long may have begun."""

    def fine(*args):
        raise AssertionError("a teacher was asked for")

    monkeypatch.setattr(prepare, "fine", fine)


BAD = [
    ({"steps": 0}, "steps = 0: give a whole number of at least 1"),
    ({"steps": 2.0}, "steps = 2.0"),
    ({"steps": True}, "steps = True"),
    ({"sampler": "dimm"}, "sampler = 'dimm' is unknown"),
    ({"sampler": "heun"}, "only its levels can be learned"),
    ({"sampler": "ddim", "sampler_options": {"eta": 3}}, "eta = 3"),
    ({"sampler": "ddim", "sampler_options": {"order": 3}}, "has no option 'order'"),
    ({"groups": ()}, "give at least one of levels"),
    ({"groups": ("level",)}, "did you mean 'levels'"),
    ({"sampler": "ddim", "groups": ("noise",)}, "has none of these"),
    ({"memory": 3}, "memory = 3"),
    ({"sampler": "dpmpp_2m", "memory": 0}, "memory = 0"),
    ({"objective": {}}, "give a weight for one of transfer"),
    ({"objective": {"teacher": 0}}, "objective['teacher'] = 0"),
    ({"objective": ["teacher"]}, "give weights by name"),
    ({"groups": ("levels",), "memory": 2}, "memory = 2 beside groups"),
    ({"sampler": "ddim", "sampler_options": {"eta": "much"}}, "eta = 'much': give a number"),
    ({"sampler": "ddim", "sampler_options": {"eta": [1]}}, "eta = [1]: give a number"),
    ({"seed": 2**32}, "seed = 4294967296: give a whole number below 2**32"),
    ({"objective": {"teachers": 1.0}}, "did you mean 'teacher'"),
    ({"objective": {"energy": float("nan")}}, "objective['energy'] = nan"),
    ({"sampler": "ddpm", "objective": {"teacher": 1.0}}, "for a sampler with noise take"),
    ({"sampler": "ddpm", "groups": ("levels",), "objective": {"teacher": 1.0}}, "with noise take"),
    ({"objective": {"transfer": 1.0}, "loss": "w3"}, "loss = 'w3' is unknown"),
    ({"process": "edm"}, "process = 'edm'"),
    ({"alpha_bar_range": (0.5, 0.1)}, "alpha_bar_range = (0.5, 0.1)"),
    ({"alpha_bar_range": 0.5}, "alpha_bar_range = 0.5"),
    ({"start": [SPECTRUM]}, "start of type Spectrum: give plans that learn returned"),
    ({"n": 1}, "n = 1: give a whole number of at least 2"),
    ({"n": 0}, "n = 0"),
    ({"n": 10, "batch": 3}, "n = 10 is no multiple of batch = 3"),
    ({"batch": 0}, "batch = 0"),
    ({"max_iterations": 0}, "max_iterations = 0"),
    ({"teacher_tolerance": 0}, "teacher_tolerance = 0"),
    ({"teacher_tolerance": -1.0}, "teacher_tolerance = -1.0"),
    ({"cache": "/nowhere/at/all"}, "the folder /nowhere/at/all does not exist"),
    ({"seed": -1}, "seed = -1"),
    ({"seed": 1.5}, "seed = 1.5"),
    ({"objective": {"energy": 1.0}, "data": DATA[:3]}, "data has 3 samples"),
    ({"objective": {"energy": 1.0}, "data": DATA[:, :2]}, "data has samples of shape (2,)"),
    ({"objective": {"energy": 1.0}, "data": DATA * np.nan}, "data has NaN or infinite values"),
    ({"objective": {"energy": 1.0}, "data": np.array(["a"] * 9)}, "data"),
    ({"prior": "digits"}, "prior of type str: give a spectrum"),
    ({"prior": Network(lambda x, alpha, sigma: x, (3,)), "objective": {"transfer": 1.0}},
     "needs the spectrum of the data"),
    ({"prior": sx.Spectrum([1.0, 0.0]), "loss": "kl"}, "loss = 'kl' is infinite"),
    ({"prior": Gaussian(SPECTRUM, Gaussian(sx.Spectrum([1.0, 0.0]))), "loss": "kl"},
     "loss = 'kl' is infinite"),
]  # fmt: skip


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(("given", "said"), BAD, ids=[str(i) for i in range(len(BAD))])
def test_bad_input_is_named_before_any_work(given, said):
    given = {"prior": EMPIRICAL, "steps": 3, "n": 8, **given}
    assert said in one_line(sx.learn, given.pop("prior"), given.pop("steps"), **given)


ON_EIGHT_DEVICES = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
import specjax as sx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from specjax.learning.optimise import plan_of
from specjax.learning.parameters import form_of
from specjax.learning.settings import bench_of, request_of
from specjax.priors import Empirical, Network

mesh = Mesh(np.array(jax.devices()), ("batch",))
prior = Empirical.from_samples(np.load(sys.argv[1]), 0.3)
judge = bench_of(prior, request_of(prior, False, n=32, mesh=mesh, batch=16), None).learnt
form = form_of(2, "ddim", {}, 0, ("levels", "ratios"), True, "vp")
ends, theta = np.array([-10.0, np.inf]), jnp.asarray([4.0, 0.2, 0.0])
value = lambda theta, judge: judge.value(plan_of(form, theta, ends))
found = {"value": [x.tolist() for x in jax.jit(jax.value_and_grad(value))(theta, judge)]}

def denoise(params, x, alpha, sigma):
    return jnp.tanh(x / alpha @ params) / (1 + sigma / alpha)

cut = NamedSharding(mesh, PartitionSpec(None, "batch"))
kernel = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32) / 3
for name, params in (("whole", jnp.asarray(kernel)), ("cut", jax.device_put(kernel, cut))):
    prior = Network(jax.tree_util.Partial(denoise, params), (8,))
    request = request_of(prior, False, n=16, mesh=mesh, batch=8, teacher_tolerance=9.0)
    judge = bench_of(prior, request, None).learnt
    found[name + " stays cut"] = judge.arrays[0].sharding == cut
    found[name + " noise"] = len(judge.noise.sharding.device_set)
    found[name] = np.asarray(judge.outputs(sx.plan("dpmpp_2m", sx.family("cosine", 3)))).tolist()
try:
    sx.learn(prior, 3, n=12, mesh=mesh)
except ValueError as error:
    found["error"] = str(error)
print(json.dumps(found))
"""


@pytest.mark.thorough
def test_eight_devices_are_as_one(tmp_path):
    np.save(tmp_path / "x.npy", DATA)
    flags = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
    done = subprocess.run(
        [sys.executable, "-c", ON_EIGHT_DEVICES, str(tmp_path / "x.npy")],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    judge = bench_of(EMPIRICAL, request_of(EMPIRICAL, False, n=32), None).learnt
    form = form_of(2, "ddim", {}, 0, ("levels", "ratios"), True, "vp")
    ends, theta = np.array([-10.0, np.inf]), np.array([4.0, 0.2, 0.0], np.float32)
    value, slope = jax.jit(jax.value_and_grad(lambda x: judge.value(plan_of(form, x, ends))))(theta)
    # Sums in another order, float32.
    assert found["value"][0] == pytest.approx(float(value), abs=1e-5)
    assert found["value"][1] == pytest.approx(slope.tolist(), abs=1e-4)
    np.testing.assert_allclose(found["cut"], found["whole"], atol=1e-5)
    assert (found["whole stays cut"], found["cut stays cut"]) == (False, True)
    assert found["whole noise"] == 8
    assert "12 noises at once do not divide over 8 devices" in found["error"]


def test_nothing_to_judge_or_to_try_is_said():
    assert "give at least one of each" in one_line(sx.verdicts, [], [SPECTRUM])
    assert "samplers = (): give at least one" in one_line(sx.recommend, SPECTRUM, 1.0, samplers=[])
    waves = sx.Spectrum.power_law(16, 1.5)
    for r0 in (0.0, -1.0, float("nan")):
        start = {"r0": r0}
        said = one_line(sx.fit_noise, waves, 3, family="power_law", basis="data", start=start)
        assert "r0 = " in said
