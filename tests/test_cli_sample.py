import json

import numpy as np
import pytest
from gaussian_runs import DIGITS, SOUND, gaussian_run
from PIL import Image

import specjax as sx
from specjax.sampling.generate import generate


@pytest.fixture
def sample(run, monkeypatch):
    """The command on a Gaussian run: what it returns, and how often the run was opened."""

    def command(*args, **options):
        opened = []

        def open_run(path, step):
            opened.append((path, step))
            return gaussian_run(**options)

        monkeypatch.setattr("specjax.nn.run.open_run", open_run)
        command.opened = opened
        return run("sample", "r", *args)

    return command


def drawn(path):
    with np.load(path, allow_pickle=False) as file:
        return file["samples"], json.loads(file["header"].tobytes())


def test_arrays_can_be_made_again_from_their_header(sample, tmp_path):
    code, out, err = sample(
        "--schedule", "karras", "--steps", 6, "--sampler", "dpmpp_2m_sde", "--sampler-options",
        "eta=0.5", "--process", "ve", "--n", 5, "--seed", 3, "-o", "x.npz",
        "--checkpoint", 700, "--json",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert sample.opened == [("r", 700)]
    x, header = drawn(tmp_path / "x.npz")
    schedule = sx.NoiseSchedule(np.array(header["logsnr"], float))
    np.testing.assert_allclose(schedule.logsnr, sx.family("karras", 6).logsnr, rtol=1e-15)
    plan = sx.plan(header["sampler"], schedule, header["process"], **header["sampler_options"])
    again = generate(plan, gaussian_run().denoiser(), 5, (4, 4), seed=3)
    np.testing.assert_array_equal(x, again)
    assert (x.dtype, header["step"], header["data"]["name"]) == (np.float32, 700, "digits")
    document = json.loads(out)
    assert document["files"] == ["x.npz"]
    assert document["range"] == [float(x.min()), float(x.max())]
    of_file = {"format", "format_version", "created", "versions", "checksum"}
    same = header.keys() - of_file
    assert header.keys() >= of_file
    assert {key: document[key] for key in same} == {key: header[key] for key in same}


def test_the_default_is_a_picture_along_the_spectral_schedule(sample, tmp_path):
    code, out, err = sample("--n", 5)
    assert (code, err) == (0, "")
    assert "5 samples of r at step 700: ddim, vp, 50 calls along spectral, seed 0" in out
    assert sample.opened == [("r", "best")]
    plan = sx.plan("ddim", sx.spectral(gaussian_run().spectrum, 50))
    x = generate(plan, gaussian_run().denoiser(), 5, (4, 4))
    picture = np.asarray(Image.open(tmp_path / "samples.png"))
    assert picture.shape == (2 * 64 + 2, 3 * 64 + 2 * 2)
    fourth = picture[66:, :64].reshape(4, 16, 4, 16)  # the second row's first, enlarged 16 times
    want = np.clip(x[3] + 1, 0, 2) / 2 * 255
    assert np.abs(fourth - want[:, None, :, None]).max() <= 0.51


def test_a_schedule_file_says_sampler_and_process(sample, run, tmp_path):
    result = sx.FitResult(
        schedule=sx.NoiseSchedule([-5.0, -1.0, 2.0, np.inf]), value=0.1, converged=True,
        finite=True, history=np.zeros(2), sampler="ddpm", loss="w2", process="ve",
        alpha_bar_range=(0.01, 1.0), nodes=sx.Spectrum([1.0, 0.1]), node_value=0.1, source=DIGITS,
    )  # fmt: skip
    sx.save(tmp_path / "s.json", result)
    assert sample("--schedule", "s.json", "--n", 3, "-o", "x.npz")[0] == 0
    _, header = drawn(tmp_path / "x.npz")
    assert (header["sampler"], header["process"], header["calls"]) == ("ddpm", "ve", 3)
    np.testing.assert_array_equal(np.array(header["logsnr"], float), result.schedule.logsnr)
    assert sample("--schedule", "s.json", "--sampler", "ddim", "-o", "x.npz", "--force")[0] == 0
    assert drawn(tmp_path / "x.npz")[1]["sampler"] == "ddim"
    other = {**DIGITS, "data_range": None}
    code, _, err = sample("--schedule", "s.json", "-o", "y.npz", source=other)
    assert code == 2
    assert "s.json" in err
    assert sample("--schedule", "14.6,1,0", "-o", "y.npz", source=other)[0] == 0


def test_labels_in_turn_and_batches(sample, tmp_path):
    one = ("--schedule", "2,0", "-o", "x.npy", "--n", 5, "--force")
    assert sample(*one, "--labels", 0, classes=3)[0] == 0
    zeros = np.load(tmp_path / "x.npy")
    for labels, added in ((("--labels", 2, 0), [0.2, 0, 0.2, 0, 0.2]), ((), [0, 0.1, 0.2, 0, 0.1])):
        assert sample(*one, *labels, "--batch", 2, classes=3)[0] == 0
        told = np.load(tmp_path / "x.npy")
        expected = zeros + np.array(added)[:, None, None]
        np.testing.assert_allclose(told, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
def test_sound_is_numbered_files_of_16_bits(sample, tmp_path):
    soundfile = pytest.importorskip("soundfile")
    options = {"shape": (16,), "source": SOUND}
    assert sample("--n", 12, "-o", "words", **options)[0] == 0
    assert sample("--n", 12, "-o", "x.npy", **options)[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["words", "x.npy"]
    files = sorted((tmp_path / "words").iterdir())
    assert [file.name for file in files] == [f"{i:04}.wav" for i in range(12)]
    for file, want in zip(files, np.load(tmp_path / "x.npy"), strict=True):
        sound, rate = soundfile.read(file, dtype="int16")
        assert (rate, soundfile.info(file).subtype) == (8000, "PCM_16")
        assert np.abs(sound - 32767 * np.clip(want, -1, 1)).max() <= 0.51
    assert sample("--n", 1, "-o", "one.wav", **options)[0] == 0
    first, _ = soundfile.read(tmp_path / "one.wav", dtype="int16")
    np.testing.assert_array_equal(first, soundfile.read(files[0], dtype="int16")[0])


def test_a_folder_of_pictures(sample, tmp_path):
    assert sample("--n", 3, "-o", "d", shape=(4, 4, 3))[0] == 0
    pictures = [np.asarray(Image.open(tmp_path / "d" / f"000{i}.png")) for i in range(3)]
    assert np.shape(pictures) == (3, 4, 4, 3)


@pytest.mark.parametrize("out", ["x.png", "x.npz", "folder"])
def test_a_full_disk_leaves_nothing(sample, tmp_path, monkeypatch, out):
    from specjax.files import samples as sample_files

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sample_files.os, "fsync", full)
    monkeypatch.setattr(sample_files.os, "replace", full)
    code, printed, err = sample("--n", 2, "-o", out)
    assert (code, printed) == (2, "")
    assert "No space left on device; nothing was written" in err
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_writes_nothing(sample, tmp_path):
    def denoise(x, alpha, sigma):
        raise KeyboardInterrupt

    code, out, _ = sample(denoise=denoise)
    assert (code, out) == (130, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_of_a_trained_run(run, tmp_path):
    x = np.random.default_rng(0).normal(size=(64, 4, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    train = "train x.npy --out r --updates 2 --batch 8 --width 4 --multipliers 1 --warmup 1"
    code, _, err = run(*train.split())
    assert code == 0, err
    for args in (["-o", "a.npy", "--batch", 3], ["-o", "b.npy"]):
        assert run("sample", "r", "--n", 5, "--steps", 4, *args)[0] == 0
    several, one = np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy")
    np.testing.assert_allclose(several, one, rtol=1e-4, atol=1e-5)  # sums in another order
    from specjax.nn.run import open_run

    plan = sx.plan("ddim", sx.spectral(open_run("r").spectrum, 4))
    again = generate(plan, open_run("r").denoiser(), 5, (4, 4))
    np.testing.assert_allclose(again, one, rtol=1e-5, atol=1e-6)
