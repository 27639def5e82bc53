"""The benchmarks run at a tiny size; what they time is not judged here."""

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    for path in BENCHMARKS.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.mark.slow
def test_fit_is_no_worse_than_its_peers(tmp_path):
    import bench_fit

    bench_fit.main(
        ["--data", "digits", "--steps", "3", "--paper-steps", "3", "--repeat", "1",
         "--folder", str(tmp_path)]
    )  # fmt: skip
    result = json.loads((tmp_path / "fit.json").read_text())
    for part in (result["exact_gradients"], *result["paper"]):
        assert part["loss_over_slsqp"] < 1 + 1e-6
    assert result["machine"]["cores"] >= 1


@pytest.mark.thorough
def test_dimension(tmp_path):
    import bench_dimension

    result = bench_dimension.main(
        ["--dimensions", "50", "500", "--steps", "3", "--repeat", "1", "--folder", str(tmp_path)]
    )
    assert all(abs(row["loss_on_nodes_over_full"] - 1) < 1e-9 for row in result["rows"])


@pytest.mark.slow
def test_cold_starts(tmp_path):
    import bench_cold

    few = ["--steps", "4", "--most", "4", "--spectra", "1", "--plan-steps", "2", "--repeat", "1"]
    result = bench_cold.main([*few, "--folder", str(tmp_path)])
    assert result["fits"]["loss_over_paper"] <= 1 + 1e-6
    assert result["mixed"]["fits"] == 100
    assert (tmp_path / "cold.json").exists()


@pytest.mark.thorough
def test_spectrum_agrees_with_numpy(tmp_path):
    import bench_spectrum

    result = bench_spectrum.main(
        ["--samples", "2000", "--side", "6", "--repeat", "1", "--folder", str(tmp_path)]
    )
    assert result["largest_relative_deviation"] < 1e-8
    assert result["specjax"]["peak_megabytes"] > 10


@pytest.mark.thorough
def test_advice_has_the_scale_of_the_data(tmp_path):
    import bench_advise

    result = bench_advise.main(
        ["--samples", "500", "--side", "6", "--frames", "18", "--clips", "30", "--repeat", "1",
         "--folder", str(tmp_path)]
    )  # fmt: skip
    assert set(result["clips"]["shifts"]) == {"8", "20", "50"}
    assert 0.3 < result["advise"]["configuration"]["sigma_data"] < 1.2  # of pixels in [-1, 1]
    assert result["advise_over_numpy_seconds"] > 0


@pytest.mark.slow
def test_sweep_is_no_worse_than_slsqp(tmp_path):
    import bench_sweep

    size = ["--fits", "40", "--steps", "4", "--spectra", "5", "--slsqp", "8"]
    result = bench_sweep.main([*size, "--folder", str(tmp_path)])
    assert result["converged"] == 1
    assert result["slsqp"]["loss_over_slsqp_largest"] < 1 + 1e-6


@pytest.mark.slow
def test_sampling(tmp_path):
    import bench_sampling

    size = ["--steps", "3", "--batch", "2", "--width", "4", "--repeat", "2"]
    result = bench_sampling.main([*size, "--folder", str(tmp_path)])
    assert [row["calls"] for row in result["rows"]] == [3, 3, 3]
    assert (tmp_path / "sampling.json").exists()


@pytest.mark.slow
def test_frequency_losses(tmp_path):
    import bench_frequency_losses

    result = bench_frequency_losses.main(
        ["--data", "digits", "--repeat", "2", "--folder", str(tmp_path)]
    )
    assert [row["terms"] for row in result["rows"]][:2] == ["none, again", "amplitude"]
    assert all(row["pairs"] == 2 for row in result["rows"])


@pytest.mark.slow
def test_noise(tmp_path):
    import bench_noise

    result = bench_noise.main(["--data", "digits", "--repeat", "2", "--folder", str(tmp_path)])
    assert [row["noise"] for row in result["rows"]][:2] == ["white, again", "fourier"]
    assert all(row["share_alone"] < 0.05 for row in result["rows"])


@pytest.mark.slow
def test_training_and_scan(tmp_path):
    import bench_scan
    import bench_training

    size = ["--width", "4", "--side", "8", "--batch", "2", "--precision", "float32"]
    result = bench_training.main([*size, "--repeat", "2", "--folder", str(tmp_path)])
    assert result["update"]["model_flops_per_update"] > 0
    result = bench_scan.main(["--repeat", "2", "--folder", str(tmp_path)])
    assert result["seconds_per_update"].keys() == {"calls", "scan"}


def test_the_table_says_what_was_measured():
    from report import table

    assert table() in (BENCHMARKS / "README.md").read_text(), "run `python benchmarks/report.py`"
