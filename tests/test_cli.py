import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import specjax as sx
from specjax.cli import COMMANDS


@pytest.fixture
def samples(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6)) * np.geomspace(0.01, 2, 6)
    np.save(tmp_path / "x.npy", x)
    return x


@pytest.mark.thorough
def test_fit_writes_a_schedule_and_a_picture(run, tmp_path):
    code, out, err = run("fit", "digits", "--steps", 3)
    assert (code, err) == (0, "")
    for word in ("learned", "cosine", "karras", "S for the learned loss", "converged"):
        assert word in out
    result = sx.load(tmp_path / "schedule.json")
    assert result.converged
    assert result.steps == 3
    assert result.source["name"] == "digits"
    assert result.value < min(result.baselines.values())
    assert (tmp_path / "schedule.png").read_bytes()[:4] == b"\x89PNG"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["schedule.json", "schedule.png"]


@pytest.mark.thorough
def test_json_of_fit_holds_what_the_file_holds(run, samples, tmp_path):
    options = (
        "--json --plot None --out s.json --sampler ddim --sampler-options eta=0.5 --loss kl "
        "--alpha-bar-range 1e-4 0.999 --process ve --seed 5"
    )
    code, out, _ = run("fit", "x.npy", "--steps", 3, *options.split())
    assert code == 0
    document = json.loads(out)
    learned = document["schedules"][0]
    result = sx.load(tmp_path / "s.json")
    assert learned["name"] == "learned"
    np.testing.assert_array_equal(np.array(learned["logsnr"], float), result.schedule.logsnr)
    assert learned["value"] == result.value
    assert (result.sampler_options, result.process, result.seed) == ({"eta": 0.5}, "ve", 5)
    spectrum = sx.Spectrum.from_samples(samples)
    want = sx.loss(spectrum, result.schedule, sampler=sx.ddim(eta=0.5), loss="kl", process="ve")
    np.testing.assert_allclose(result.value, want, rtol=1e-9)
    assert document["files"] == ["s.json"]


@pytest.mark.thorough
def test_floor_lifts_eigenvalues(run, samples, tmp_path):
    code, _, _ = run("fit", "x.npy", "--steps", 3, "--floor", 0.01, "--plot", "None")
    assert code == 0
    lam = np.linalg.eigvalsh(np.cov(samples.T))
    got = np.sort(sx.load(tmp_path / "schedule.json").nodes.eigenvalues)
    np.testing.assert_allclose(got, np.maximum(lam, 0.01), rtol=1e-9)


@pytest.mark.thorough
def test_compare_takes_several_steps_files_and_lists(run, samples):
    run("fit", "x.npy", "--steps", 3, "--plot", "None")
    code, out, _ = run("compare", "x.npy", "--steps", 3, 2,
                       "--schedule", "schedule.json", "14.6,2,0.3,0", "--json")  # fmt: skip
    assert code == 0
    three, two = json.loads(out)["comparisons"]
    assert (three["steps"], two["steps"]) == (3, 2)
    values = {row["name"]: row["value"] for row in three["schedules"]}
    assert values["schedule.json"] == values["learned"]
    given = sx.NoiseSchedule.from_sigmas([14.6, 2, 0.3, 0])
    want = sx.loss(sx.Spectrum.from_samples(samples), given)
    np.testing.assert_allclose(values["14.6,2,0.3,0"], want, rtol=1e-9)


@pytest.mark.thorough
def test_show_gives_every_form(run, samples, tmp_path):
    run("fit", "x.npy", "--steps", 3, "--plot", "None")
    code, out, _ = run("show", "schedule.json", "--json", "--grid", "sd")
    assert code == 0
    levels = {name: np.array(column, float) for name, column in json.loads(out)["levels"].items()}
    schedule = sx.load(tmp_path / "schedule.json").schedule
    np.testing.assert_array_equal(levels["logsnr"], schedule.logsnr)
    finite = slice(0, 3)
    np.testing.assert_allclose(levels["sigma"] ** 2, 1 / levels["alpha_bar"] - 1, atol=1e-12)
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    alpha_bar = np.cumprod(1 - betas)
    log_sigma = np.log(1 / alpha_bar - 1) / 2
    want = np.interp(np.log(levels["sigma"][finite]), log_sigma, np.arange(1000))
    np.testing.assert_allclose(levels["timestep (sd)"][finite], want, rtol=1e-9)
    code, out, _ = run("show", "schedule.json")
    assert code == 0
    for words in ("x.npy, 200 samples", "loss: w2 =", "state: converged"):
        assert words in out
    assert "data:" not in run("show", "14.6,1,0")[1]  # nothing is known of anybody's levels


@pytest.mark.thorough
@pytest.mark.parametrize("target", ["diffusers", "k-diffusion", "comfyui", "csv", "json"])
def test_export_prints_or_writes_the_same(run, samples, tmp_path, target):
    run("fit", "x.npy", "--steps", 3, "--plot", "None")
    code, out, _ = run("export", "schedule.json", "--to", target)
    assert code == 0
    run("export", "schedule.json", "--to", target, "-o", "exported")
    assert (tmp_path / "exported").read_text() == out
    assert "nan" not in out.lower()


def test_export_npz_goes_to_a_file(run, tmp_path):
    (tmp_path / "list.txt").write_text("[10.0, 1.0,\n 0.0]\n")
    assert run("export", "list.txt", "--to", "npz")[0] == 0
    with np.load(tmp_path / "list.npz", allow_pickle=False) as arrays:
        np.testing.assert_allclose(arrays["sigma_ve"], [10.0, 1.0, 0.0], rtol=1e-15)


@pytest.mark.thorough
def test_a_full_disk_keeps_the_old_files(run, samples, tmp_path, monkeypatch):
    from specjax import files

    run("fit", "x.npy", "--steps", 3)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.atomic.os, "fsync", full)
    code, out, err = run("fit", "x.npy", "--steps", 3, "--seed", 1, "--force")
    assert (code, out) == (2, "")
    assert "No space left on device" in err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.thorough
def test_ctrl_c_during_a_fit_exits_130_and_writes_nothing(tmp_path):
    # A real process and a real signal, while the fit is made to take a minute.
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(200, 7)))
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(tmp_path.parent / "cache")}
    code = (
        "import signal, sys, time, specjax.fitting.fit\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job may ignore it
        "fit = sys.modules['specjax.fitting.fit']\n"
        "def slow(*args, **options):\n"
        "    print('fitting', flush=True)\n"
        "    time.sleep(60)\n"
        "fit.follow_starts = slow\n"
        "from specjax.cli import main\n"
        "main(['fit', 'x.npy', '--steps', '4'])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "fitting\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "specjax: interrupted; no file is half-written\n"
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


def test_help_names_every_command(run):
    code, out, _ = run("--help")
    assert code == 0
    assert all(name in out for name in COMMANDS)
