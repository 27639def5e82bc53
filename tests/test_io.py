import json
import subprocess

import numpy as np
import pytest

import specjax as sx
from specjax import files

READER = """
import json, sys
import numpy as np
document = json.load(open(sys.argv[1]))
logsnr = np.array(document["logsnr"], float)
sigmas = np.array(document["sigmas"], float)
assert np.array_equal(np.isinf(logsnr), sigmas == 0)
print(logsnr.tobytes().hex())
assert "jax" not in sys.modules
"""


@pytest.fixture(scope="module")
def result():
    spectrum = sx.Spectrum(
        np.geomspace(1e-4, 10, 60), np.linspace(0, 1, 60), source={"name": "made", "samples": 7}
    )
    return sx.fit(spectrum, 6, sampler="ddim", sampler_options={"eta": 0.25}, loss="kl", seed=3)


@pytest.fixture
def written(result, tmp_path):
    return sx.save(tmp_path / "schedule.json", result)


@pytest.mark.thorough
def test_a_fit_comes_back_to_the_bit(result, written):
    back = sx.load(written)
    for name in ("value", "node_value", "converged", "finite", "sampler", "loss", "process",
                 "alpha_bar_range", "sampler_options", "seed", "steps", "iterations"):  # fmt: skip
        assert getattr(back, name) == getattr(result, name), name
    np.testing.assert_array_equal(back.schedule.logsnr, result.schedule.logsnr)
    np.testing.assert_array_equal(back.nodes.mean_power, result.nodes.mean_power)
    assert back.source["fingerprint"] == result.source["fingerprint"]


def test_the_loss_can_be_evaluated_from_the_file_alone(result, written):
    back = sx.load(written)
    value = sx.loss(
        back.nodes, back.schedule, back.sampler, back.loss, sampler_options=back.sampler_options
    )
    np.testing.assert_allclose(value, result.value, rtol=1e-6)  # the quadrature's error


def test_numpy_alone_reads_a_schedule_file(result, written):
    import sys

    out = subprocess.run(
        [sys.executable, "-c", READER, str(written)], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == result.schedule.logsnr.tobytes().hex()


def test_json_is_strict(written):
    def refuse(constant):
        raise AssertionError(constant)

    json.loads(written.read_text(), parse_constant=refuse)


def test_a_bare_schedule(tmp_path):
    schedule = sx.NoiseSchedule.from_sigmas([10.0, 1.0, 0.1])
    back = sx.load(sx.save(tmp_path / "bare.json", schedule))
    assert isinstance(back, sx.NoiseSchedule)
    np.testing.assert_array_equal(back.logsnr, schedule.logsnr)


@pytest.mark.parametrize("method", ["exact", "shift-invariant"])
def test_a_spectrum_with_its_basis(tmp_path, method):
    x = np.random.default_rng(0).normal(size=(40, 4, 5, 2))
    spectrum = sx.Spectrum.from_samples(x, method=method)
    back = sx.load(sx.save(tmp_path / "spectrum.npz", spectrum))
    assert back.fingerprint == spectrum.fingerprint
    assert back.source["samples"] == 40
    np.testing.assert_allclose(back.lift(back.project(x)), x, atol=1e-12)


def damaged(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["logsnr"].__setitem__(1, d["logsnr"][1] + 1e-9), "corrupted: its checksum"),
        (lambda d: d.update(format_version=5), "has format version 5.*upgrade"),
        (lambda d: d.update(format_version="x"), "no valid format version"),
        (lambda d: d.update(format="other"), "not a specjax schedule or plan or noise"),
        (lambda d: d.pop("checksum"), "corrupted"),
    ],
)
def test_a_changed_file_is_refused(written, change, message):
    with pytest.raises(ValueError, match=message):
        sx.load(damaged(written, change))


@pytest.mark.parametrize("part", [0, 10, 0.5, 0.99])
def test_a_truncated_file_is_refused(written, part):
    content = written.read_bytes()
    written.write_bytes(content[: int(part if part > 1 else part * len(content))])
    with pytest.raises(ValueError, match="truncated"):
        sx.load(written)


@pytest.mark.parametrize("part", [0.2, 0.9])
def test_a_truncated_spectrum_is_refused(tmp_path, part):
    path = sx.save(tmp_path / "spectrum.npz", sx.Spectrum([2.0, 1.0]))
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(ValueError, match="truncated"):
        sx.load(path)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"cannot read .*No such file"):
        sx.load(tmp_path / "missing.json")
    np.savez(tmp_path / "other.npz", x=np.zeros(2))
    with pytest.raises(ValueError, match="not a spectrum file"):
        sx.load(tmp_path / "other.npz")


def test_where_nothing_can_be_written(tmp_path, result):
    with pytest.raises(ValueError, match=r"folder .* does not exist"):
        sx.save(tmp_path / "missing" / "schedule.json", result)
    with pytest.raises(ValueError, match="is a folder"):
        sx.save(tmp_path, result)


def test_a_failed_write_leaves_the_old_file(written, monkeypatch):
    before = written.read_bytes()

    def full_disk(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full_disk)
    with pytest.raises(ValueError, match="No space left on device; nothing was written"):
        sx.save(written, sx.NoiseSchedule([0.0, 1.0]))
    assert written.read_bytes() == before
    assert [path.name for path in written.parent.iterdir()] == [written.name]


def test_an_interrupted_write_leaves_nothing(tmp_path):
    def interrupted():
        with files.atomically(tmp_path / "a") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())


def test_a_fit_that_is_not_finite_can_be_kept(tmp_path, result):
    from dataclasses import replace

    broken = replace(result, value=float("nan"), finite=False, converged=False)
    back = sx.load(sx.save(tmp_path / "nan.json", broken))
    assert np.isnan(back.value)
    assert not back.finite


def test_numbers_of_numpy_and_baselines_that_are_not_finite_are_kept(tmp_path, result):
    from dataclasses import replace

    given = replace(
        result, seed=np.int64(3), seconds=np.float32(0.5), sampler_options={"eta": np.float32(0.5)},
        baselines={"cosine": np.inf, "karras": np.float64(2.0)},
    )  # fmt: skip
    back = sx.load(sx.save(tmp_path / "fit.json", given))
    assert (back.seed, back.seconds, back.sampler_options) == (3, 0.5, {"eta": 0.5})
    assert np.isnan(back.baselines["cosine"])
    assert back.baselines["karras"] == 2.0
