"""Plan files: what they keep, what they refuse, and that NumPy alone reads them."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from checks import one_line

import specjax as sx
from specjax import files
from specjax.files.kinds import ROWS
from specjax.fitting.learned import LearnedResult
from specjax.sampling.corrections import Corrections

READER = """
import json, sys
import numpy as np
document = json.load(open(sys.argv[1]))
plan = document["plan"]
levels = np.exp(-np.array(document["logsnr"], float)[:-1] / 2)
assert np.allclose(np.array(plan["sigma"]) / np.array(plan["alpha"]), levels)
for name in ("alpha", "sigma", "keep", "pull", "push"):
    print(np.array(plan[name]).tobytes().hex())
assert "jax" not in sys.modules
"""
SOURCE = {"name": "made", "samples": 7, "data_range": [0, 16]}


def learned(memory=2, noise=True, ends_clean=True, process="vp", **changes):
    """A result whose numbers are drawn; what learning does is tested elsewhere."""
    rng = np.random.default_rng(0)
    levels = np.append(np.linspace(-8.0, 3.0, 4), np.inf if ends_clean else 6.0)
    corrections = Corrections(
        rng.normal(size=4) / 10, rng.normal(size=(4, memory)) / 10,
        rng.uniform(size=4) if noise else None,
    )  # fmt: skip
    fields = {
        "schedule": sx.NoiseSchedule(levels), "corrections": corrections, "sampler": "dpmpp_2m",
        "process": process, "groups": ("levels", "ratios", "weights"), "prior": "empirical",
        "objective": {"teacher": 1.0, "energy": 0.5}, "value": -3.5, "train_value": -3.75,
        "kept": "learned", "history": np.array([[0.5, 0.25], [-1.0, -0.1]]),
        "terms": {"teacher": 0.1, "energy": 0.01}, "baselines": {"cosine ddim": 1.5},
        "source": SOURCE, "seed": 3, "seconds": 0.125,
    }  # fmt: skip
    return LearnedResult(**{**fields, **changes})


def untouched(sampler="heun", **options):
    """A result of which only the levels were learned."""
    return learned(
        corrections=None, sampler=sampler, sampler_options=options, groups=("levels",)
    )  # fmt: skip


CASES = {
    "two estimates, noise": learned(),
    "one estimate": learned(memory=1, noise=False, process="ve"),
    "no memory": learned(memory=0, noise=True, ends_clean=False),
    "levels alone": untouched("lms", order=3),
}


@pytest.mark.parametrize("name", CASES)
def test_a_plan_comes_back_to_the_bit(tmp_path, name):
    result = CASES[name]
    back = sx.load(sx.save(tmp_path / "plan.json", result))
    assert type(back) is LearnedResult
    for field in (
        "sampler", "sampler_options", "process", "groups", "prior", "objective", "value",
        "train_value", "terms", "baselines", "kept", "source", "seed", "seconds",
    ):  # fmt: skip
        assert getattr(back, field) == getattr(result, field), field
    np.testing.assert_array_equal(back.schedule.logsnr, result.schedule.logsnr)
    np.testing.assert_array_equal(back.history, result.history)
    assert (back.corrections is None) == (result.corrections is None)
    if result.corrections is not None:
        for field in ("ratio", "weights", "noise"):
            own, there = getattr(result.corrections, field), getattr(back.corrections, field)
            np.testing.assert_array_equal(there, own)
            assert (there is None) == (own is None)
    for process in ("vp", "ve"):
        for row, own in zip(back.plan_in(process).rows, result.plan_in(process).rows, strict=True):
            np.testing.assert_array_equal(row, own)


def test_numpy_alone_reads_the_rows_that_run(tmp_path):
    result = learned()
    path = sx.save(tmp_path / "plan.json", result)
    out = subprocess.run(
        [sys.executable, "-c", READER, str(path)], capture_output=True, text=True, check=True
    )
    assert out.stdout.split() == [np.asarray(x).tobytes().hex() for x in result.plan.rows]
    rows = json.loads(path.read_text())["plan"]
    assert (rows["start"], rows["stochastic"]) == (1.0, True)
    assert np.shape(rows["keep"]) == (4, 3, 3)


def test_numbers_of_jax_are_rounded_once(tmp_path):
    import jax.numpy as jnp

    result = learned()
    single = replace(
        result,
        schedule=sx.NoiseSchedule(jnp.asarray(result.schedule.logsnr, jnp.float32)),
        corrections=Corrections(*(
            jnp.asarray(getattr(result.corrections, x), jnp.float32)
            for x in ("ratio", "weights", "noise")
        )),
    )  # fmt: skip
    path = sx.save(tmp_path / "plan.json", single)
    back = sx.load(path)
    np.testing.assert_array_equal(back.schedule.logsnr, single.schedule.logsnr)
    kept = json.loads(path.read_text())["plan"]["keep"]
    np.testing.assert_array_equal(kept, back.plan.keep)  # float64 rows of float32 levels


def test_json_is_strict_and_what_is_not_finite_is_null(tmp_path):
    def refuse(constant):
        raise AssertionError(constant)

    nan = float("nan")
    result = learned(
        value=nan, baselines={"heun": np.inf, "ddim": 2.0}, history=np.array([[nan, 1.0]])
    )
    path = sx.save(tmp_path / "plan.json", result)
    document = json.loads(path.read_text(), parse_constant=refuse)
    assert document["learned"]["value"] is None
    assert document["learned"]["baselines"] == {"heun": None, "ddim": 2.0}
    assert document["logsnr"][-1] == "inf"
    back = sx.load(path)
    assert np.isnan([back.value, back.baselines["heun"], back.history[0, 0]]).all()
    assert back.history[0, 1] == 1.0


def test_a_plan_of_numbers_that_are_not_finite_is_not_written(tmp_path):
    result = learned()
    bad = replace(result, corrections=replace(result.corrections, ratio=np.full(4, np.nan)))
    message = one_line(sx.save, tmp_path / "plan.json", bad)
    assert "the plan's keep has numbers that are not finite" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("learned"), "learned"),
        (lambda d: d.update(process="vpp"), "process = 'vpp'"),
        (lambda d: d["plan"]["pull"][1].__setitem__(0, 0.5), "pull"),
        (lambda d: d["plan"].update(stochastic=False), "its rows"),
        (lambda d: d["plan"]["alpha"].pop(), "array"),
    ],
)
def test_a_file_whose_parts_do_not_fit_is_refused(tmp_path, change, message):
    path = sx.save(tmp_path / "plan.json", learned())
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps({**document, "checksum": files.checksum(document)}))
    said = one_line(sx.load, path)
    assert message in said
    assert str(path) in said


def test_the_rows_in_a_file_are_those_of_the_process(tmp_path):
    result = learned(process="ve")
    rows = json.loads(sx.save(tmp_path / "plan.json", result).read_text())["plan"]
    assert rows["alpha"] == [1.0] * 4
    np.testing.assert_allclose(rows["sigma"], result.schedule.sigmas[:-1], rtol=1e-15)
    assert rows["start"] == pytest.approx(np.exp(4.0))
    assert set(ROWS) <= set(rows)


@pytest.mark.parametrize("variance", ["posterior", "beta"])
def test_levels_alone_make_the_same_samples_in_both_processes(variance):
    levels = sx.NoiseSchedule.from_sigmas([1e3, 20.0, 3.0, 0.5, 0.0])
    result = untouched("ddpm", variance=variance)
    result = replace(result, schedule=levels)
    spectrum = sx.Spectrum([9.0, 1.0, 0.05])
    own, other = (sx.transfer(result.plan_in(x), spectrum).std for x in ("vp", "ve"))
    np.testing.assert_allclose(other, own, rtol=1e-4)  # the first level is nearly all noise
    np.testing.assert_array_equal(own, sx.transfer(sx.plan("ddpm", levels, variance=variance),
                                                   spectrum).std)  # fmt: skip
