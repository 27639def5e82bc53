"""Recordings of networks that Python cannot call, and the plans that are made of them."""

import itertools
import json
import re
import struct
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import specjax as sx
from specjax.learning.record_spec import record_spec, record_spec_of
from specjax.learning.recorded_plans import cheapest_path, jump_costs, response_of
from specjax.learning.terms import MEDIAN

EIGENVALUES = np.array([4.0, 1.0, 0.25, 0.05])
CENTRES, WIDTH = np.array([[2.0, 1.0], [-1.0, 1.5], [0.0, -2.0]]), 0.3


def gaussian(x, alpha, sigma):
    return alpha * EIGENVALUES * x / (alpha**2 * EIGENVALUES + sigma**2)


def mixture(x, alpha, sigma):
    """The posterior mean of three round Gaussians."""
    total = alpha**2 * WIDTH**2 + sigma**2
    gaps = x[:, None] - alpha * CENTRES
    logits = -(gaps**2).sum(-1) / (2 * total)
    weights = np.exp(logits - logits.max(1, keepdims=True))
    weights /= weights.sum(1, keepdims=True)
    return (weights[..., None] * (CENTRES + alpha * WIDTH**2 / total * gaps)).sum(1)


def recorded(denoise, spec, noise):
    """Arrays of a recording, made of the specification's file by NumPy."""
    document = {**spec.header(), **{name: x.tolist() for name, x in spec.arrays().items()}}
    keep, pull = np.array(document["keep"]), np.array(document["pull"])
    r = np.stack([document["start"] * noise, *[0 * noise] * (document["registers"] - 1)])
    x, answers = [r[0]], []
    for k in range(document["calls"]):
        answers.append(denoise(r[0], document["alpha"][k], document["sigma"][k]))
        r = np.tensordot(keep[k], r, 1) + np.multiply.outer(pull[k], answers[-1])
        x.append(r[0])
    levels = {name: np.array(document[name]) for name in ("alpha", "sigma")}
    return {
        "x": np.stack(x, 1),
        "answers": np.stack(answers, 1),
        **levels,
        "keep": keep,
        "pull": pull,
    }


def noise_of(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


@pytest.fixture(scope="module")
def arrays():
    return recorded(gaussian, record_spec(24), noise_of(40, 4))


def test_dynamic_programming_is_brute_force():
    costs = np.random.default_rng(3).uniform(size=(9, 9))
    costs[np.tril_indices(9)] = np.inf
    for steps in (1, 2, 4, 8):
        ways = [(0, *inner, 8) for inner in itertools.combinations(range(1, 8), steps - 1)]
        sums = [sum(costs[i, j] for i, j in itertools.pairwise(way)) for way in ways]
        assert cheapest_path(costs, steps) == ways[int(np.argmin(sums))]


def test_the_cost_of_a_jump_is_that_of_eulers_step(arrays):
    """As GITS and Optimal Stepsize define it: the recorded answer's step against the recording."""
    recording = sx.Recording(**arrays)
    part, s = recording.part(held_out=False), recording.s
    vectors = np.stack([part.vectors(i) for i in range(len(part.x))])
    inner = np.einsum("iad,ibd->ab", vectors, vectors)[None] / len(part.x)
    costs = jump_costs(inner, np.ones((len(s), 1)), s, best=False)
    best = jump_costs(inner, np.ones((len(s), 1)), s, best=True)
    for i, j in ((0, 1), (3, 9), (10, 23), (20, 24)):
        y, d, wanted = part.y(i), part.d(i), part.y(j)
        derivative = (y - d) / s[i]
        gap = y + (s[j] - s[i]) * derivative - wanted
        assert costs[i, j] == pytest.approx((gap**2).sum(1).mean(), rel=1e-6, abs=1e-9)
        if s[j]:
            ratio = np.linalg.lstsq((y - d).reshape(-1, 1), (wanted - d).ravel())[0]
            gap = d + ratio * (y - d) - wanted
            assert best[i, j] == pytest.approx((gap**2).sum(1).mean(), rel=1e-6, abs=1e-9)


def test_the_response_of_a_gaussian_is_known(arrays):
    """Its gains are Wiener's, and an error shrinks as the standard deviation of x / alpha does."""
    recording = sx.Recording(**recorded(gaussian, record_spec(200), noise_of(60, 4)))
    response = response_of(recording.part(held_out=False), recording.s)
    s = recording.s[:, None]
    error = np.eye(4)
    for k in (20, 60, 100):
        gain = EIGENVALUES / (EIGENVALUES + s[k] ** 2)
        shrink = np.sqrt(EIGENVALUES / (EIGENVALUES + s[k] ** 2))
        np.testing.assert_allclose(
            np.diag(response.times(response.gains[k], error)), gain, atol=0.02
        )
        grown = np.diag(response.times(response.growth[k], error))
        np.testing.assert_allclose(grown, shrink, atol=0.03)  # of 200 steps of first order


@pytest.mark.parametrize("steps", [3, 5])
def test_what_is_predicted_of_a_gaussian_is_measured(steps):
    arrays = recorded(gaussian, record_spec(), noise_of(200, 4))
    recording = sx.Recording(**arrays)
    result = sx.learn(recording, steps)
    assert result.kept == "learned"
    assert (result.prior, result.steps) == ("recording", steps)
    assert result.value == pytest.approx(np.log(result.terms["teacher_mean"]))
    assert result.value < min(result.baselines.values()) - 2  # a logarithm
    second = sx.Recording(**recorded(gaussian, record_spec_of(result), noise_of(200, 4)))
    found = recording.compare(second)
    assert found.predicted == pytest.approx(result.terms["teacher_mean"], rel=1e-6)
    assert found.predicted_median == pytest.approx(result.terms[MEDIAN], rel=1e-6)
    assert found.measured == pytest.approx(found.predicted, rel=0.3)
    fine, ends = arrays["x"][1::2, -1], second.x[1::2, -1]
    assert found.measured == pytest.approx(((fine - ends) ** 2).sum(1).mean())
    assert "predicted" in str(found)
    assert "\n" not in str(found)


@pytest.mark.parametrize("steps", [4, 5])
def test_a_plan_of_a_mixture_is_better_than_every_heuristic(steps):
    noise = noise_of(200, 2)
    recording = sx.Recording(**recorded(mixture, record_spec(), noise))
    found = {}
    result = sx.learn(recording, steps)
    plans = {"learned": result}
    for name in ("karras", "uniform_logsnr", "flow", "cosine", "linear"):
        schedule = sx.family(name, steps, alpha_bar_range=result.alpha_bar_range)
        plans |= {
            f"{sampler} {name}": sx.LearnedResult(
                schedule=schedule, sampler=sampler, process="vp", value=0.0, history=np.zeros(0)
            )
            for sampler in ("ddim", "dpmpp_2m")
        }
    for name, one in plans.items():
        second = sx.Recording(**recorded(mixture, record_spec_of(one), noise))
        found[name] = recording.compare(second)
    learned = found.pop("learned")
    assert learned.measured < 0.9 * min(one.measured for one in found.values())
    assert learned.measured_median < 2 * learned.predicted_median


def test_other_noises_and_levels(arrays):
    recording = sx.Recording(**arrays)
    result = sx.learn(recording, 3, memory=1, process="ve")
    assert (result.corrections.memory, result.process) == (1, "ve")
    again = recorded(gaussian, record_spec_of(result), noise_of(40, 4, seed=1))
    with pytest.raises(sx.UserError, match="noises"):
        recording.compare(sx.Recording(**again))
    elsewhere = sx.Recording(**recorded(gaussian, record_spec(5), noise_of(40, 4)))
    assert np.isnan(recording.compare(elsewhere).predicted)


def test_a_result_is_a_plan_file(arrays, tmp_path):
    result = sx.learn(sx.Recording(**arrays), 4)
    again = sx.load(sx.save(tmp_path / "plan.json", result))
    np.testing.assert_array_equal(again.plan.keep, result.plan.keep)
    assert again.terms == result.terms


def safetensors_of(arrays):
    """A file as https://huggingface.co/docs/safetensors describes it."""
    names = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
    header, content = {"__metadata__": {"by": "a test"}}, b""
    for name, x in arrays.items():
        raw = np.ascontiguousarray(x).tobytes()
        offsets = [len(content), len(content) + len(raw)]
        header[name] = {"dtype": names[str(x.dtype)], "shape": x.shape, "data_offsets": offsets}
        content += raw
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content


@pytest.mark.parametrize("prediction", ["answers", "eps", "v"])
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_files(arrays, tmp_path, prediction, dtype):
    alpha, sigma = (arrays[name][:-1, None] for name in ("alpha", "sigma"))
    x, x0 = arrays["x"][:, :-1], arrays["answers"]
    eps = (x - alpha * x0) / sigma
    answers = {"answers": x0, "eps": eps, "v": alpha * eps - sigma * x0}[prediction]
    known = {**arrays, prediction: answers}
    if prediction != "answers":
        del known["answers"]
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    known |= {name: known[name].astype(kind) for name in ("x", prediction)}
    (tmp_path / "r.safetensors").write_bytes(safetensors_of(known))
    paths = [tmp_path / "r.safetensors"]
    if dtype != "bfloat16":  # which NumPy has no files for
        np.savez(tmp_path / "r.npz", **known)
        paths.append(tmp_path / "r.npz")
    atol = {"float64": 1e-9, "float16": 0.02, "bfloat16": 0.15}[dtype]
    atol *= 1 if prediction == "answers" else 1 / alpha.min()  # x0 from noise, at the noisy end
    for path in paths:
        recording = sx.Recording.open(path)
        np.testing.assert_allclose(recording.answers, x0, atol=atol)
        assert recording.source["name"] == path.name


def spoiled(arrays, **changes):
    return {**arrays, **changes}


def with_number(x, at, value):
    x = x.copy()
    x[at] = value
    return x


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda a: {"x": a["x"][:, :-1]}, "x has shape"),
        (lambda a: {"x": a["x"].astype(int)}, "dtype"),
        (lambda a: {"answers": a["answers"][:, :, 0]}, "answers"),
        (lambda a: {"x": a["x"][:3], "answers": a["answers"][:3]}, "noises"),
        (lambda a: {"alpha": a["alpha"][:-1]}, "alpha has shape"),
        (lambda a: {"alpha": with_number(a["alpha"], 2, 0.0)}, "alpha"),
        (lambda a: {"sigma": a["sigma"][::-1]}, "sigma"),
        (lambda a: {"sigma": with_number(a["sigma"], 5, np.nan)}, "sigma"),
        (lambda a: {"x": with_number(a["x"], (3, 4), np.nan)}, "level 4"),
        (lambda a: {"answers": with_number(a["answers"], (3, 7), np.inf)}, "level 7"),
        (lambda a: {"keep": None}, "keep"),
        (lambda a: {"pull": a["pull"][:-1]}, "pull"),
        (lambda a: {"answers": a["answers"] + 0.5}, "answers"),
        (lambda a: {"answers": a["answers"][::-1]}, "answers"),
        (lambda a: {"answers": a["x"][:, :-1]}, "answers"),
    ],
)  # fmt: skip
def test_bad_recordings_are_refused(arrays, spoil, named):
    with pytest.raises(sx.UserError, match=named):
        sx.Recording(**{**arrays, **spoil(arrays)})


@pytest.mark.parametrize(
    ("options", "named"),
    [({"steps": 24}, "steps"), ({"steps": 0}, "steps"), ({"memory": -1}, "memory"),
     ({"process": "vq"}, "process"), ({"n": 64}, "n")],
)  # fmt: skip
def test_bad_options_are_refused(arrays, options, named):
    with pytest.raises(sx.UserError, match=named):
        sx.learn(sx.Recording(**arrays), **{"steps": 3, **options})


def test_bad_files_are_refused(arrays, tmp_path):
    whole = safetensors_of(arrays)
    for name, content in {
        "cut.safetensors": whole[:-9], "header.safetensors": whole[:60], "none.npz": b"",
        "huge.safetensors": struct.pack("<Q", 2**60), "list.safetensors": b"\2" + bytes(7) + b"[]",
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
    np.savez(tmp_path / "pickle.npz", x=np.array([{}]), allow_pickle=True)
    np.savez(tmp_path / "lacks.npz", **{**arrays, "answers": arrays["x"], "eps": arrays["x"]})
    for path in [*tmp_path.iterdir(), tmp_path / "missing.npz"]:
        with pytest.raises(sx.UserError, match=path.name):
            sx.Recording.open(path)


def test_specifications_stay_within_a_grid():
    grid = sx.GRIDS["sd"]
    spec = record_spec(16, grid="sd", process="ve")
    np.testing.assert_allclose(spec.alpha, 1)
    assert spec.timestep[0] == pytest.approx(999)
    assert spec.timestep[-1] == pytest.approx(0)
    low, high = grid.sigma_range
    np.testing.assert_allclose(spec.sigma[:-1], np.geomspace(high, low, 16))
    assert spec.sigma[-1] == 0


def test_the_program_of_the_documentation(run, tmp_path, capsys):
    text = (Path(__file__).parents[1] / "docs/plans.md").read_text()
    first, second = re.findall(r"```python\n(.*?)```", text.split("## Recordings")[1], re.S)[:2]
    assert run("record-spec", "--grid", "sd")[0] == 0
    scope = {}
    exec(compile(first, "docs/plans.md", "exec"), scope)
    assert run("record-spec", "plan-5.json", "--force")[0] == 0
    exec(compile(second, "docs/plans.md", "exec"), scope)
    assert "predicted" in capsys.readouterr().out


def test_the_command_line(run, tmp_path, arrays):
    code, out, _ = run("record-spec", "--calls", 24, "-o", "spec.json", "--json")
    assert code == 0
    spec = json.loads((tmp_path / "spec.json").read_text())
    printed = json.loads(out)
    for name in ("alpha", "sigma", "keep", "pull"):
        assert spec[name] == printed[name]
        np.testing.assert_allclose(spec[name], arrays[name], rtol=1e-12)
    np.savez(tmp_path / "r.npz", **arrays)
    code, out, _ = run("learn", "r.npz", "--steps", 2, 3, "--plot", "None", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["files"] == ["plan-2.json", "plan-3.json"]
    expected = sx.learn(sx.Recording(**arrays), 3)
    assert found["plans"][1]["terms"]["teacher_mean"] == pytest.approx(
        expected.terms["teacher_mean"]
    )
    code, out, _ = run("record-spec", "plan-3.json", "--grid", "ddpm")
    assert code == 0
    assert "3 calls" in out
    spec = json.loads((tmp_path / "record-spec.json").read_text())
    plan = expected.plan
    np.testing.assert_allclose(spec["keep"], plan.keep, atol=1e-9)
    np.testing.assert_allclose(spec["alpha"][:-1], plan.alpha, rtol=1e-12)
    timesteps = sx.GRIDS["ddpm"].timestep(np.asarray(expected.schedule.logsnr)[:-1])
    np.testing.assert_allclose(spec["timestep"], timesteps)
    for args, named in (
        (("learn", "r.npz", "--steps", 2, "--n", 5), "--n"),
        (("learn", "r.npz", "--steps", 2, "--limit", 5), "--limit"),
        (("record-spec", "--calls", 1, "-o", "x.json"), "calls"),
        (("record-spec", "r.npz", "-o", "x.json"), "r.npz"),
        (("record-spec", "-o", "x.npz"), "x.npz"),
    ):
        code, _, err = run(*args)
        assert (code, err.count("\n")) == (2, 1)
        assert named in err
