"""The spectrum command, and every kind of DATA through the commands, as a user runs them."""

import json
import wave

import numpy as np
import pytest
from PIL import Image

import specjax as sx


def everything(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def refused(run, tmp_path):
    """Run a command that must end with exit code 2, one line, and nothing written: the line."""

    def command(*args):
        before = everything(tmp_path)
        code, out, err = run(*args)
        assert (code, out) == (2, "")
        assert err.startswith("specjax: ")
        assert err.count("\n") == 1
        assert everything(tmp_path) == before
        return err

    return command


def images(root, *sizes, seed=0):
    root.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    made = [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    for number, image in enumerate(made):
        Image.fromarray(image).save(root / f"{number:03}.png")
    return made


def sound(path, rate, seconds=0.25, seed=0):
    path.parent.mkdir(exist_ok=True)
    clip = np.random.default_rng(seed).integers(-(2**15), 2**15, int(rate * seconds), np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(clip.astype("<i2").tobytes())
    return clip.astype(np.float64) / 2**15


# The command


def test_the_table_says_what_numpy_finds(run):
    code, out, err = run("spectrum", "digits")
    assert (code, err) == (0, "")
    x = np.array([image.ravel() for image in sx.data.open("digits").samples], float) / 8 - 1
    lam = np.linalg.eigvalsh(np.cov(x.T))[::-1]
    held = np.cumsum(lam) / lam.sum()
    for words in (
        "digits", "1,797", "8 x 8", "0 to 16, mapped to [-1, 1]", "float64", f"{lam.sum():.6g}",
        f"{lam[0]:.6g}", "and 3 zeros", f"in {np.argmax(held >= 0.99) + 1} directions",
        "wrote spectrum.npz",
    ):  # fmt: skip
        assert words in out


@pytest.mark.thorough
def test_json_holds_what_the_file_holds(run, tmp_path):
    code, out, _ = run("spectrum", "digits", "-o", "d.npz", "--plot", "d.png", "--json",
                       "--bootstrap", 20, "--seed", 3)  # fmt: skip
    assert code == 0
    known = json.loads(out)
    assert known["files"] == ["d.npz", "d.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.npz", "d.png"]
    assert (tmp_path / "d.png").read_bytes()[:4] == b"\x89PNG"
    found = sx.load("d.npz")
    digits = sx.data.open("digits")
    want = digits.spectrum()
    assert found.fingerprint == want.fingerprint == known["fingerprint"]
    assert found.source["samples"] == known["samples"] == 1797
    intervals = sx.bootstrap(digits.samples, want, replicates=20, seed=3, data_range=(0, 16))
    np.testing.assert_array_equal(found.intervals.lower, intervals.lower)
    row = next(row for row in known["eigenvalues"] if row["rank"] == 5)
    assert row["value"] == want.eigenvalues[4]
    assert row["interval"] == [intervals.lower[4], intervals.upper[4]]
    law = sx.power_law_fit(want)
    assert known["power_law"]["exponent"] == law.exponent
    assert known["power_law"]["standard_error"] == law.standard_error


@pytest.mark.thorough
def test_a_low_rank_spectrum_tells_its_dimensions_and_all_its_variance(run, tmp_path):
    x = np.random.default_rng(0).normal(size=(300, 40)) * np.arange(1, 41) ** -0.7
    np.save(tmp_path / "x.npy", x)
    code, out, _ = run("spectrum", "x.npy", "--method", "low-rank", "--rank", 5, "--json")
    assert code == 0
    known = json.loads(out)
    assert (known["dimension"], known["rank"]) == (40, 5)
    covariance = np.cov(x.T)
    np.testing.assert_allclose(known["total_variance"], np.trace(covariance), rtol=1e-9)
    np.testing.assert_allclose(known["largest"], np.linalg.eigvalsh(covariance)[-1], rtol=1e-6)
    rows = {row["rank"]: row["extrapolated"] for row in known["eigenvalues"]}
    assert rows == {1: False, 2: False, 3: False, 5: False, 10: True, 20: True, 40: True}
    assert "d = 40, 300 samples" in run("compare", "spectrum.npz", "--steps", 3)[1]


def test_devices_sum_what_the_processor_sums(run, tmp_path):
    run("spectrum", "digits", "-o", "host.npz")
    assert run("spectrum", "digits", "-o", "device.npz", "--on-devices")[0] == 0
    host, device = (sx.load(f"{name}.npz") for name in ("host", "device"))
    np.testing.assert_allclose(device.eigenvalues, host.eigenvalues, atol=1e-12)


def test_shift_invariant_over_one_axis_shrunk(run, tmp_path):
    x = np.random.default_rng(0).normal(size=(50, 6, 4))
    np.save(tmp_path / "x.npy", x)
    options = {"method": "shift-invariant", "spatial": 1, "shrinkage": 0.25}
    given = [word for name, value in options.items() for word in (f"--{name}", value)]
    assert run("spectrum", "x.npy", *given)[0] == 0
    want = sx.Spectrum.from_samples(x, **options)
    assert sx.load("spectrum.npz").fingerprint == want.fingerprint


def test_two_samples_and_one_dimension_have_a_table(run, tmp_path):
    np.save(tmp_path / "x.npy", [[1.0], [3.0]])
    code, out, _ = run("spectrum", "x.npy")
    assert code == 0
    assert "unknown: it needs three positive eigenvalues" in out
    assert "of the samples" in out


# A spectrum file in place of data


@pytest.mark.thorough
@pytest.mark.parametrize("command", ["fit", "compare"])
def test_a_spectrum_file_stands_for_its_data(run, command):
    run("spectrum", "digits")
    options = ("--steps", 3, "--json", "--floor", 1e-4)
    plot = ("--plot", "None", "--force") if command == "fit" else ()
    outputs = [
        json.loads(run(command, data, *options, *plot)[1]) for data in ("digits", "spectrum.npz")
    ]
    from_data, from_file = (one.get("comparisons", [one])[0] for one in outputs)
    assert from_file["schedules"] == from_data["schedules"]
    assert from_file["data"] == from_data["data"]


@pytest.mark.thorough
def test_a_spectrum_file_is_shown_and_not_written_again(run, tmp_path):
    run("spectrum", "digits", "-o", "d.npz", "--bootstrap", 10)
    before = everything(tmp_path)
    code, out, _ = run("spectrum", "d.npz", "--plot", "d.png")
    assert code == 0
    assert "95 % interval" in out
    after = everything(tmp_path)
    assert after.pop("d.png")[:4] == b"\x89PNG"
    assert after == before


OPTIONS = [
    ["--size", "8"], ["--data-range", "0", "16"], ["--limit", "5"], ["--shard", "0", "2"],
    ["--strict"], ["--silence", "-40"], ["--data-dir", "x"], ["--method", "exact"],
    ["--shrinkage", "0"], ["--rank", "3"], ["--spatial", "1"], ["--on-devices"],
]  # fmt: skip


@pytest.mark.thorough
def test_options_of_reading_are_refused_beside_a_spectrum_file(refused, tmp_path):
    sx.save(tmp_path / "s.npz", sx.Spectrum.power_law(9, 1.0))
    for option in OPTIONS:
        for command in (["fit", "s.npz", "--steps", "3"], ["spectrum", "s.npz"]):
            assert f"{option[0]} does not apply to s.npz, a spectrum" in refused(*command, *option)


def test_a_corrupted_spectrum_file_is_refused(refused, tmp_path):
    path = tmp_path / "s.npz"
    sx.save(path, sx.Spectrum(np.geomspace(1.0, 0.1, 50)))
    whole = path.read_bytes()
    at = whole.index(np.float64(0.1).tobytes()) - 8
    path.write_bytes(whole[:at] + b"\x00\x01" + whole[at + 2 :])
    assert "s.npz is not a file of specjax" in refused("fit", "s.npz", "--steps", 3)
    path.write_bytes(whole[: len(whole) // 2])
    assert "s.npz cannot be read, it is damaged" in refused("fit", "s.npz", "--steps", 3)
    with np.load(sx.save(path, sx.Spectrum([1.0, 0.5]))) as file:
        arrays = dict(file)
    arrays["eigenvalues"] = arrays["eigenvalues"] * 2
    np.savez(path, **arrays)
    assert "corrupted" in refused("spectrum", "s.npz")
    header = b'{"format": "specjax.spectrum", "format_version": 1}'
    np.savez(path, **{**arrays, "header": np.frombuffer(header, np.uint8)})
    assert "corrupted" in refused("compare", "s.npz", "--steps", 3)


# Units


@pytest.fixture
def raw(tmp_path):
    """Floats without a range: in the units of their samples."""
    np.save(tmp_path / "raw.npy", np.random.default_rng(0).normal(size=(60, 5)) * 40)


@pytest.mark.thorough
def test_units_that_differ_are_refused_where_they_meet(run, refused, raw):
    run("fit", "digits", "--steps", 3, "-o", "mapped.json", "--plot", "None")
    run("fit", "raw.npy", "--steps", 3, "-o", "raw.json", "--plot", "None")
    run("spectrum", "raw.npy", "-o", "raw.npz")
    run("spectrum", "digits", "-o", "digits.npz")
    compare = ("compare", "raw.npz", "--steps", 3, "--schedule")
    said = refused(*compare, "mapped.json")
    assert "mapped.json was learned on data mapped to [-1, 1], raw.npz is in the units" in said
    assert "--data-range" in said
    compare_digits = ("compare", "digits.npz", "--steps", 3, "--schedule")
    said = refused(*compare_digits, "14.6,1,0", "raw.json")
    assert "raw.json was learned on data in the units of its samples, digits.npz is mapped" in said
    assert "raw.npy is in the units" in refused(
        "compare", "raw.npy", "--steps", 3, "--schedule", "mapped.json"
    )
    assert run(*compare, "raw.json", "14.6,2,0.5,0")[0] == 0
    assert run(*compare_digits, "mapped.json")[0] == 0


def test_units_alike_need_not_have_the_same_numbers():
    sx.check_units({"data_range": [0, 255]}, {"data_range": [0.0, 16.0]})
    sx.check_units({"data_range": None}, {"data_range": None})
    sx.check_units(None, {"data_range": [0, 1]})
    sx.check_units({"name": "power law"}, {"data_range": [0, 1]})
    sx.check_units({"data_range": [0, 1]}, None)
    with pytest.raises(ValueError, match="the schedule was learned"):
        sx.check_units({"data_range": [0, 1]}, {"data_range": None})


def test_data_are_never_overwritten(refused, tmp_path):
    np.savez(tmp_path / "spectrum.npz", x=np.eye(5))
    assert "would overwrite" in refused("spectrum", "spectrum.npz")
    assert "would overwrite" in refused("spectrum", tmp_path / "spectrum.npz", "-o", "spectrum.npz")


def test_shards_merge_to_the_whole():
    shards = [sx.data.open("digits", shard=(index, 3)).moments() for index in range(3)]
    merged = sx.Spectrum.from_moments(shards[0].merge(shards[1]).merge(shards[2]))
    whole = sx.data.open("digits").spectrum()
    np.testing.assert_allclose(merged.eigenvalues, whole.eigenvalues, atol=1e-12)


# Folders


@pytest.mark.thorough
def test_a_folder_of_images_is_fitted(run, tmp_path):
    made = images(tmp_path / "album", *[(8, 8)] * 12)
    code, out, err = run("fit", "album", "--steps", 3, "--limit", 10, "--colour", "rgb",
                         "--plot", "None")  # fmt: skip
    assert (code, err) == (0, "")
    assert "album (d = 192, 10 samples)" in out
    want = sx.Spectrum.from_samples(np.stack(made[:10]), data_range=(0, 255)).eigenvalues
    nodes = sx.load("schedule.json").nodes
    np.testing.assert_allclose(nodes.weights @ nodes.eigenvalues, want.sum(), rtol=1e-6)


def test_images_of_mixed_sizes_need_a_rule(run, refused, tmp_path):
    images(tmp_path / "album", (8, 8), (8, 10), (6, 7))
    said = refused("spectrum", "album", "--plot", "spectrum.png")
    assert "images have mixed sizes: 000.png is 8x8, 001.png is 8x10" in said
    assert "--size" in said
    assert "needs a size" in refused("spectrum", "album", "--fit", "crop")
    code, out, _ = run("spectrum", "album", "--size", 4, 5, "--fit", "crop", "--json")
    assert (code, json.loads(out)["shape"]) == (0, [4, 5, 3])


def bad_album(tmp_path):
    images(tmp_path / "album", *[(6, 6)] * 3)
    for name in ("a", "b", "z"):
        (tmp_path / "album" / f"{name}.png").write_bytes(b"" if name == "a" else b"no picture")
    (tmp_path / "album" / "c.jpg").write_bytes(b"")


def test_bad_files_are_named_and_counted(run, tmp_path):
    bad_album(tmp_path)
    code, out, err = run("spectrum", "album")
    assert code == 0
    assert err == (
        "specjax: skipped 4 of 7 files: a.png (is empty), b.png (is not a PNG, JPEG or WebP "
        "image), and 2 more\n"
    )
    assert "3 (4 bad files skipped)" in out
    (tmp_path / "album" / "c.jpg").unlink()
    assert run("spectrum", "album", "--force")[2].startswith("specjax: skipped 3 of 6 files: a.png")
    assert "z.png (is not" in run("spectrum", "album", "--force")[2]
    (tmp_path / "album" / "0.png").write_bytes(b"")
    said = run("spectrum", "album", "--limit", 3, "--force")[2]
    assert said == "specjax: skipped 1 file: 0.png (is empty)\n"


def test_strict_stops_at_the_first_bad_file(refused, tmp_path):
    bad_album(tmp_path)
    said = refused("fit", "album", "--steps", 3, "--strict")
    assert "a.png is bad (is empty)" in said


def test_a_folder_without_good_files_is_refused(refused, tmp_path):
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / "a.png").write_bytes(b"")
    assert "no good file" in refused("spectrum", "album")
    (tmp_path / "empty").mkdir()
    assert "a folder without images" in refused("spectrum", "empty")


def test_a_folder_of_sound_is_cut_and_fitted(run, refused, tmp_path):
    pytest.importorskip("soundfile", reason="soundfile is not installed")
    pytest.importorskip("soxr", reason="soxr is not installed")
    clips = [sound(tmp_path / "voices" / f"{i}.wav", 8000, seed=i) for i in range(3)]
    code, out, _ = run("spectrum", "voices", "--window", 20, "--hop", 10, "--normalise", "none",
                       "--json")  # fmt: skip
    assert code == 0
    windows = [clip[i : i + 20] for clip in clips for i in range(0, len(clip) - 19, 10)]
    known = json.loads(out)
    assert (known["samples"], known["dimension"]) == (len(windows), 20)
    covariance = np.cov(np.array(windows).T)
    np.testing.assert_allclose(known["total_variance"], np.trace(covariance), rtol=1e-5)
    sound(tmp_path / "voices" / "z.wav", 11025)
    assert "--rate" in refused("fit", "voices", "--steps", 3)
    code, out, _ = run("spectrum", "voices", "--rate", 8000, "--window", 50, "--silence", -60,
                       "--method", "shift-invariant", "--force")  # fmt: skip
    assert code == 0
    assert "-1 to 1, mapped to [-1, 1]" in out


# TFDS sets, real data


def test_a_tfds_set_that_is_not_there_is_refused(refused, tmp_path):
    pytest.importorskip("tensorflow_datasets", reason="tensorflow-datasets is not installed")
    (tmp_path / "sets").mkdir()
    there = ("--data-dir", "sets", "--steps", 3)
    assert "neither sets (which has nothing) nor TFDS has it" in refused(
        "fit", "tfds:no_such_set", *there
    )
    assert "cifar10 is not prepared in sets" in refused("fit", "tfds:cifar10", *there)
    assert "data_dir = 'nowhere' is not a folder" in refused(
        "fit", "tfds:cifar10", "--steps", 3, "--data-dir", "nowhere"
    )


def test_a_prepared_set_is_fitted(run, data_folder):
    pytest.importorskip("tensorflow_datasets", reason="tensorflow-datasets is not installed")
    sets = data_folder / "tfds"
    name = next(
        (name for name in ("fashion_mnist", "mnist", "cifar10") if (sets / name).is_dir()), None
    )
    if name is None:
        pytest.skip(f"no set of images in {sets}")
    code, out, _ = run("fit", f"tfds:{name}", "--data-dir", sets, "--limit", 60, "--steps", 3,
                       "--size", 12, "--plot", "None")  # fmt: skip
    assert code == 0
    assert f"{name}:train (d = " in out
    assert sx.load("schedule.json").source["data_range"] == [0, 255]


@pytest.mark.thorough
def test_spoken_digits_are_fitted(run, data_folder):
    pytest.importorskip("soundfile", reason="soundfile is not installed")
    spoken = data_folder / "spoken_digits"
    if not spoken.is_dir():
        pytest.skip(f"no {spoken}")
    assert run("spectrum", spoken, "--limit", 150, "--window", 40, "-o", "spoken.npz")[0] == 0
    code, out, _ = run("compare", "spoken.npz", "--steps", 3)
    assert code == 0
    assert "spoken_digits (d = 40, 150 samples)" in out
