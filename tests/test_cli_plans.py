"""Plan files where the commands take schedules."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from checks import one_line
from gaussian_runs import gaussian_run
from test_cli_evaluate import command, waves_run  # noqa: F401
from test_cli_sample import drawn, sample  # noqa: F401
from test_plan_file import learned, untouched

import specjax as sx
from specjax.evaluate import Reference, evaluate_schedules
from specjax.fitting.learned import PlanResult
from specjax.interop.export import TARGETS, export
from specjax.sampling.corrections import Corrections


@pytest.fixture
def plan(tmp_path):
    """A plan file of ddim, corrected, with its noise."""
    result = learned(sampler="ddim")
    sx.save(tmp_path / "plan.json", result)
    return result


@pytest.mark.thorough
def test_sample_runs_the_plan_itself(sample, tmp_path, plan):  # noqa: F811
    code, out, err = sample("--schedule", "plan.json", "--n", 5, "--seed", 3, "-o", "x.npz")
    assert (code, err) == (0, "")
    assert "ddim corrected, vp, 4 calls along plan.json, seed 3" in out
    x, header = drawn(tmp_path / "x.npz")
    wanted = sx.generate(plan.plan, gaussian_run().denoiser(), 5, (4, 4), seed=3)
    np.testing.assert_array_equal(x, wanted)
    levels_alone = sx.plan("ddim", plan.schedule)
    other = sx.generate(levels_alone, gaussian_run().denoiser(), 5, (4, 4), seed=3)
    assert np.abs(other - wanted).max() > 0.1
    # What made the samples is in their header, the coefficients too.
    by = header["corrections"]
    again = PlanResult(**{
        **vars(plan), "process": header["process"],
        "schedule": sx.NoiseSchedule(np.array(header["logsnr"], float)),
        "corrections": Corrections(*(np.array(by[x]) for x in ("ratio", "weights", "noise"))),
    })  # fmt: skip
    np.testing.assert_array_equal(again.plan.keep, plan.plan.keep)


def test_another_process_is_another_scale_of_the_plan(sample, tmp_path, plan):  # noqa: F811
    args = ("--schedule", "plan.json", "--n", 5, "--process", "ve", "--sampler", "ddim")
    assert sample(*args, "-o", "x.npz")[0] == 0
    x, header = drawn(tmp_path / "x.npz")
    assert header["process"] == "ve"
    wanted = sx.generate(plan.plan_in("ve"), gaussian_run().denoiser(), 5, (4, 4))
    np.testing.assert_array_equal(x, wanted)


def test_what_a_plan_already_says_is_refused(sample, command, plan):  # noqa: F811
    for args, named in (
        (["--sampler", "heun"], "sampler = 'heun'"),
        (["--sampler-options", "eta=0.5"], "sampler_options"),
        (["--steps", "5"], "steps = 5"),
        (["--process", "vpp"], "process = 'vpp'"),
    ):
        for code, out, err in (
            sample("--schedule", "plan.json", *args),
            command("r", "--schedule", "plan.json", *args),
        ):
            assert (code, out, err.count("\n")) == (2, "", 1)
            assert named in err


def test_a_plan_for_another_unit_of_data_is_named(sample, command, tmp_path, plan):  # noqa: F811
    sx.save(tmp_path / "raw.json", replace(plan, source={"data_range": None}))
    raw = {"name": "waves", "data_range": None}
    for code, _, err in (
        command("r", "--schedule", "raw.json"),
        sample("--schedule", "plan.json", "-o", "y.npz", source=raw),
    ):
        assert (code, err.count("\n")) == (2, 1)
        assert "json was learned on data" in err


def test_a_plan_is_evaluated_beside_schedules(command, tmp_path, plan):  # noqa: F811
    code, out, _ = command(
        "r", "--schedule", "plan.json", "karras", "--steps", 5, "--sampler", "dpmpp_2m",
        "--seeds", 2, "--n", 100, "--measures", "sliced", "--json",
    )  # fmt: skip
    assert code == 0
    rows = json.loads(out)["rows"]
    plans = {
        "plan.json (4 steps)": plan.plan,
        "karras (5 steps)": sx.plan("dpmpp_2m", sx.family("karras", 5)),
    }
    reference = Reference.of(np.load(tmp_path / "data.npy"), n=100, measures=["sliced"])
    wanted = evaluate_schedules(plans, waves_run("r", 7).denoiser(), reference, seeds=2)
    assert [row["name"] for row in rows] == list(plans)
    for row, want in zip(rows, wanted, strict=True):
        assert row["values"] == want.as_json()["values"]
    first, second = (row["made_by"] for row in rows)
    assert (first["sampler"], first["corrections"]["noise"]) == (
        "ddim", plan.corrections.noise.tolist(),
    )  # fmt: skip
    assert (second["sampler"], "corrections" in second) == ("dpmpp_2m", False)


def test_show_prints_levels_and_corrections(run, tmp_path, plan):
    code, out, err = run("show", "plan.json")
    assert (code, err) == (0, "")
    for words in (
        "data: made, 7 samples, range [0, 16]", "plan: 4 calls", "ddim", "vp",
        "levels, ratios, weights", "prior: empirical", "kept: learned",
        "held out: -3.5 (learned on: -3.75; best heuristic: cosine ddim, 1.5)",
        "terms: teacher = 0.1, energy = 0.01", "4 steps, noisy to clean",
    ):  # fmt: skip
        assert words in out
    by, table = plan.corrections, out[out.index("w_2") :].splitlines()
    shown = next(line for line in table if line.startswith("│    1 "))
    cells = [cell.strip() for cell in shown.strip("│").split("│")]
    assert cells == ["1", *(f"{x:.6g}" for x in (by.ratio[1], *by.weights[1], by.noise[1]))]
    document = json.loads(run("show", "plan.json", "--json")[1])
    assert document["corrections"]["ratio"] == by.ratio.tolist()
    assert document["levels"]["logsnr"][-1] == "inf"


def test_the_rows_go_out_in_plain_forms(run, tmp_path, plan):
    rows = plan.plan.rows
    code, out, err = run("export", "plan.json", "--to", "json")
    assert code == 0
    assert "note: rows of a plan in vp: r[0] starts from noise of standard deviation 1" in err
    document = json.loads(out)
    for name, row in rows._asdict().items():
        np.testing.assert_array_equal(document[name], row)
    assert (document["start"], document["stochastic"]) == (1.0, True)
    assert run("export", "plan.json", "--to", "npz", "-o", "x.npz")[0] == 0
    with np.load(tmp_path / "x.npz", allow_pickle=False) as arrays:
        for name, row in rows._asdict().items():
            np.testing.assert_array_equal(arrays[name], row)
    table = list(csv.DictReader(io.StringIO(run("export", "plan.json", "--to", "csv")[1])))
    assert [int(row["call"]) for row in table] == [0, 1, 2, 3]
    assert float(table[2]["keep_0_1"]) == rows.keep[2, 0, 1]
    assert float(table[3]["push_0"]) == rows.push[3, 0]


@pytest.mark.parametrize("target", ["diffusers", "k-diffusion", "comfyui"])
def test_other_programs_would_run_the_levels_alone(run, tmp_path, plan, target):
    code, out, err = run("export", "plan.json", "--to", target, "-o", "x.json")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "csv, npz, json" in err
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize("target", [name for name in TARGETS if name != "npz"])
def test_where_only_levels_were_learned_a_plan_is_a_schedule_with_its_sampler(target):
    result = untouched("dpmpp_2m")
    found, bare = export(result, target), export(result.schedule, target)
    assert "dpmpp_2m" in found.content or target in ("comfyui", "csv", "stable-diffusion.cpp")
    if target == "k-diffusion":
        document, other = json.loads(found.content), json.loads(bare.content)
        assert document["function"] == "sample_dpmpp_2m"
        assert document["sigmas"] == other["sigmas"]
        assert document["objective"] == {"teacher": 1.0, "energy": 0.5}
    if target == "diffusers":
        document = json.loads(found.content)
        assert document["scheduler"]["class"] == "DPMSolverMultistepScheduler"
        assert any("rounded and not re-optimised" in note for note in found.notes)


@pytest.mark.thorough
def test_compare_says_that_it_takes_the_levels(run, tmp_path, plan):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(60, 4)))
    sx.save(tmp_path / "own.json", replace(plan, source={"name": "unknown"}))
    code, out, err = run("compare", "x.npy", "--steps", 4, "--schedule", "own.json", "--json")
    assert code == 0
    assert err.strip() == "specjax: own.json is a plan: its levels are compared under ddim"
    rows = {row["name"]: row for row in json.loads(out)["comparisons"][0]["schedules"]}
    np.testing.assert_array_equal(np.array(rows["own.json"]["logsnr"], float), plan.schedule.logsnr)
    spectrum = sx.Spectrum.from_samples(np.load(tmp_path / "x.npy"))
    wanted = sx.loss(spectrum, plan.schedule)
    assert rows["own.json"]["value"] == pytest.approx(wanted, rel=1e-5)
    code, _, err = run("compare", "x.npy", "--steps", 4, "--schedule", "plan.json")
    assert (code, err.count("\n")) == (2, 1)
    assert "plan.json" in err


def test_a_broken_plan_file_is_one_line(sample, tmp_path, plan):  # noqa: F811
    path = tmp_path / "plan.json"
    path.write_text(path.read_text().replace('"seed": 3', '"seed": 4'))
    code, out, err = sample("--schedule", "plan.json")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "plan.json is corrupted" in err
    assert "corrupted" in one_line(sx.load, path)
