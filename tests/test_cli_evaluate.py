"""The evaluate command, its table and its picture."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from gaussian_runs import gaussian_run

import specjax as sx
from specjax import files
from specjax.evaluate import Reference, evaluate, evaluate_schedules
from specjax.files.samples import write_samples
from specjax.report.evaluate import with_error
from specjax.report.figures import bands_figure

SHAPE = (4, 4)
EIGENVALUES = np.geomspace(0.5, 0.01, 16)
SOURCE = {"name": "waves", "data_range": [-1, 1]}


def basis():
    return np.linalg.qr(np.random.default_rng(9).normal(size=(16, 16)))[0]


def drawn(n, seed):
    """Samples of the Gaussian whose exact denoiser the run is."""
    x = np.random.default_rng(seed).normal(size=(n, 16)) * np.sqrt(EIGENVALUES)
    return (x @ basis().T).reshape(n, *SHAPE).astype(np.float32)


def waves_run(path, step, denoise=None, classes=0, spatial=None):
    spectrum = sx.Spectrum.from_covariance(basis() * EIGENVALUES @ basis().T)
    return gaussian_run(SHAPE, SOURCE, classes, denoise, spectrum, step=7, spatial=spatial)


@pytest.fixture
def command(run, monkeypatch, tmp_path):
    """The command in a folder with a run and data; several devices would change nothing."""
    pytest.importorskip("flax")
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "run.json").write_text("{}")
    np.save(tmp_path / "x.npy", drawn(200, 5))
    monkeypatch.setattr("specjax.nn.run.open_run", waves_run)
    ranges = ("--data-range", -1, 1)
    np.save(tmp_path / "data.npy", drawn(600, 0).clip(-1, 1))

    def evaluated(samples, *args, against="data.npy"):
        return run("evaluate", samples, "--against", against, *ranges, "--force", *args)

    return evaluated


def test_schedules_of_a_run_are_rows_and_the_numbers_those_of_the_package(command, tmp_path):
    code, out, _ = command(
        "r", "--schedule", "cosine", "10,0.5,0", "--steps", 4, 20, "--seeds", 2, "--n", 100,
        "--measures", "frechet", "energy", "--seed", 3, "--json", "-o", "e.json",
    )  # fmt: skip
    assert code == 0
    document = json.loads(out)
    assert document.pop("files") == ["e.json"]
    written = json.loads((tmp_path / "e.json").read_text())
    assert written.items() >= document.items()
    assert files.read(tmp_path / "e.json", {"evaluation": 1}).header["rows"] == document["rows"]
    plans = {
        "cosine (4 steps)": sx.plan("ddim", sx.family("cosine", 4)),
        "cosine (20 steps)": sx.plan("ddim", sx.family("cosine", 20)),
        "10,0.5,0 (2 steps)": sx.plan("ddim", sx.NoiseSchedule.from_sigmas([10, 0.5, 0])),
    }
    data = np.load(tmp_path / "data.npy")
    reference = Reference.of(data, n=100, measures=["frechet", "energy"], seed=3)
    rows = evaluate_schedules(plans, waves_run("r", 7).denoiser(), reference, seeds=2)
    assert [row["name"] for row in document["rows"]] == list(plans)
    for row, want in zip(document["rows"], rows, strict=True):
        assert {key: row[key] for key in want.as_json()} == want.as_json()
        assert row["made_by"]["step"] == 7
    assert document["rows"][1]["made_by"]["calls"] == 20
    fine, coarse = (document["rows"][i]["values"]["frechet"]["value"] for i in (1, 0))
    assert fine < coarse


def test_the_table_has_a_row_for_each_schedule_and_the_floor(command, tmp_path):
    code, out, err = command("r", "--schedule", "spectral", "linear", "--steps", 5, "--n", 100)
    assert (code, err) == (0, "")
    lines = [" ".join(line.replace("│", " ").split()) for line in out.splitlines()]
    assert lines[0] == "100 samples against 100 of data.npy"
    for words in (
        "frechet", "spectrum", "sliced", "energy", "mmd", "precision", "recall",
        "spectral (5 steps)", "linear (5 steps)", "real against real", "over 3 sets",
        "5 random splits", "all 16 numbers", "wrote evaluation.json",
    ):  # fmt: skip
        assert words in out
    row = json.loads((tmp_path / "evaluation.json").read_text())["rows"][0]
    floor, times = row["floor"]["frechet"], row["over_floor"]
    assert times["frechet"] == row["values"]["frechet"]["value"] / floor["value"]
    assert times["energy"] is times["mmd"] is None  # their floor is 0 but for chance
    distances = (f"{times[column]:.3g} x" for column in ("frechet", "spectrum_db", "sliced"))
    assert " ".join(distances) in lines
    shown = next(line for line in lines if line.startswith("real against real"))
    assert shown.split()[3] == f"{floor['value']:.{len(shown.split()[3].split('.')[1])}f}"


def test_what_is_asked_for_twice_is_one_row(command):
    args = ("--n", 20, "--measures", "sliced", "--seeds", 1, "--json")
    code, out, _ = command("r", "--schedule", "cosine", "cosine", "--steps", 2, 2, 3, *args)
    assert code == 0
    names = [row["name"] for row in json.loads(out)["rows"]]
    assert names == ["cosine (2 steps)", "cosine (3 steps)"]


def test_samples_in_a_file_are_one_row(command, tmp_path):
    code, out, _ = command("x.npy", "--json", "--measures", "sliced", "spectrum", "--plot", "x.png")
    assert code == 0
    document = json.loads(out)
    (row,) = document["rows"]
    want = evaluate(
        np.load(tmp_path / "x.npy"), np.load(tmp_path / "data.npy"), measures=["sliced", "spectrum"]
    )
    assert row["values"] == want.as_json()["values"]
    assert row["error"] == "random halves"
    assert document["files"] == ["evaluation.json", "x.png"]
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"


def test_sound_of_several_channels_is_no_image(command, monkeypatch, tmp_path):
    from specjax.evaluate import band_power

    args = ("--measures", "spectrum", "--json")
    row = json.loads(command("x.npy", *args, "--spatial", 1)[1])["rows"][0]
    x, data = np.load(tmp_path / "x.npy"), np.load(tmp_path / "data.npy")
    want = band_power(x, data, spatial=1)
    np.testing.assert_allclose(row["bands"]["frequency"], want.frequency)
    assert row["values"] != json.loads(command("x.npy", *args)[1])["rows"][0]["values"]

    def open_run(path, step):
        return waves_run(path, step, spatial=1)

    monkeypatch.setattr("specjax.nn.run.open_run", open_run)
    rows = json.loads(command("r", *args, "--n", 20, "--seeds", 1)[1])["rows"]
    np.testing.assert_allclose(rows[0]["bands"]["frequency"], want.frequency)


def test_a_file_by_sample_needs_no_key_and_knows_its_units(command, run, tmp_path):
    write_samples(tmp_path / "s.npz", drawn(200, 5), header={"data": SOURCE, "seed": 4})
    code, out, _ = command("s.npz", "--json", "--measures", "energy")
    assert code == 0
    assert json.loads(out)["rows"][0]["made_by"]["seed"] == 4
    plain = command("x.npy", "--json", "--measures", "energy")[1]
    assert json.loads(plain)["rows"][0]["values"] == json.loads(out)["rows"][0]["values"]
    code, _, err = run("evaluate", "s.npz", "--against", "data.npy", "--force")
    assert code == 2
    assert "--data-range" in err


def test_more_samples_than_data_are_several_sets(command, tmp_path):
    np.save(tmp_path / "many.npy", drawn(950, 6))
    out = command("many.npy", "--json", "--measures", "energy")[1]
    (row,) = json.loads(out)["rows"]
    assert (row["n"], row["seeds"]) == (300, 3)


def test_fewer_data_than_asked_for_are_told(command):
    code, _, err = command("x.npy", "--n", 500, "--measures", "energy")
    assert code == 0
    assert err == (
        "specjax: n = 200 instead of 500: the data are split in two, and a set of samples has no "
        "more\n"
    )


@pytest.mark.thorough
def test_a_schedule_that_diverges_is_named_and_the_others_stay(command, monkeypatch):
    def open_run(path, step):
        return waves_run(path, step, lambda x, a, s: x / jnp.where(s > 0.9, 1.0, 0.0))

    monkeypatch.setattr("specjax.nn.run.open_run", open_run)
    code, out, err = command("r", "--schedule", "10,0", "10,1,0", "--seeds", 1, "--n", 50,
                             "--plot", "x.png")  # fmt: skip
    assert code == 0
    assert err == "specjax: 10,1,0 (2 steps) gives samples that are not finite\n"
    row = next(line for line in out.splitlines() if "10,1,0" in line)
    assert row.replace("│", " ").split()[3:] == ["-"] * 7


def test_a_first_schedule_that_diverges_hides_nothing(command, monkeypatch):
    def open_run(path, step):
        return waves_run(path, step, lambda x, a, s: x / jnp.where(s > 0.9, 1.0, 0.0))

    monkeypatch.setattr("specjax.nn.run.open_run", open_run)
    args = ("--seeds", 1, "--n", 50, "--measures", "spectrum", "sliced")
    code, out, _ = command("r", "--schedule", "10,1,0", "10,0", *args)
    assert code == 0
    assert "standard error over random halves" in out


def test_one_set_in_two_ranges_is_refused(command, run, monkeypatch):
    known = {"name": "data.npy", "data_range": [0, 2], "dtype": "float32"}
    monkeypatch.setitem(globals(), "SOURCE", known)
    code, _, err = command("r")
    assert code == 2
    assert "give --data-range 0 2" in err
    for other in ({"name": "other.npy"}, {"dtype": "uint8"}):
        monkeypatch.setitem(globals(), "SOURCE", {**known, **other})
        assert command("r", "--n", 20, "--measures", "sliced", "--seeds", 1)[0] == 0


def test_what_the_shape_rules_out_is_told_before_the_data_are_read(command, monkeypatch):
    from specjax.evaluate.classifier_features import Architecture, ClassifierFeatures

    named = {"data": {"name": "waves"}}
    opened = ClassifierFeatures(Architecture((8, 8), 2), {}, named)
    monkeypatch.setattr("specjax.evaluate.classifier_features.open_features", lambda path: opened)
    monkeypatch.setattr("specjax.evaluate.subsample.subsample_dataset", None)  # a call would fail
    for args in (("--features", "f.npz"), ("--pca", 17), ("--spatial", 3), ("--splits", 1)):
        code, _, err = command("r", *args)
        assert (code, err.count("\n")) == (2, 1)


def test_a_conditional_run_is_asked_for_all_classes_in_turn(command, monkeypatch, tmp_path):
    def open_run(path, step):
        def denoise(x, alpha, sigma, labels=None):
            return 0 * x + labels[:, None, None] / 10.0

        return waves_run(path, step, denoise, classes=3)

    monkeypatch.setattr("specjax.nn.run.open_run", open_run)
    code, out, _ = command("r", "--schedule", "1,0", "--seeds", 1, "--n", 12, "--measures",
                           "spectrum", "frechet", "--json")  # fmt: skip
    assert code == 0
    # One step to sigma = 0 gives the estimate: the constant images 0, 0.1, 0.2 in turn.
    known = np.ones((12, *SHAPE), np.float32) * (np.arange(12) % 3)[:, None, None] / 10
    data = np.load(tmp_path / "data.npy")
    want = evaluate(known, data, n=12, measures=["spectrum", "frechet"])
    for column, found in json.loads(out)["rows"][0]["values"].items():
        np.testing.assert_allclose(found["value"], want.values[column].value, rtol=1e-4)
    assert command("r", "--labels", 3)[0] == 2


# The table and the picture


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.123456, 0.0123, "0.123 ± 0.012"),
        (1234.5678, 12.3, "1,235 ± 12"),
        (-0.00032, 0.001, "-0.0003 ± 0.0010"),
        (3e-9, 2e-10, "3.0e-09 ± 2.0e-10"),
        (2.0, float("nan"), "2"),
        (float("nan"), 1.0, "-"),
    ],
)
def test_numbers_are_told_to_two_digits_of_their_error(value, error, text):
    from specjax.evaluate import Estimate

    assert with_error(Estimate(value, error, ())) == text


def test_the_picture_has_the_powers_and_their_ratio():
    one = evaluate(drawn(100, 1), drawn(400, 0), measures=["spectrum"], name="mine")
    power, ratio = bands_figure([one], data="waves").axes
    lines = {line.get_label(): line for line in power.lines}
    np.testing.assert_array_equal(lines["mine"].get_ydata(), one.bands.generated)
    np.testing.assert_array_equal(lines["real"].get_ydata(), one.bands.real)
    points = ratio.containers[-1].lines[0]
    np.testing.assert_array_equal(points.get_ydata(), one.bands.decibel)
    heights = [patch.get_height() for patch in ratio.patches]
    np.testing.assert_allclose(heights, 2 * one.bands.floor)
    assert power.get_yscale() == "log"


def test_without_the_spectrum_there_is_no_picture():
    one = evaluate(drawn(100, 1), drawn(400, 0), measures=["energy"])
    with pytest.raises(ValueError, match="no row has the power per band"):
        bands_figure([one])
