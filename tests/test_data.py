import hashlib
import io
import pickle
import subprocess
import sys
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest
from checks import one_line
from sklearn.datasets import load_digits, load_sample_images

import specjax as sx
from specjax import data
from specjax.data import builtin
from specjax.spectra import estimate

# Covariance and eigenvalues by two routes in float64.
TOLERANCE = 1e-10


def eigenvalues_of(samples):
    """NumPy's covariance of flattened samples, its eigenvalues falling."""
    flat = np.asarray(samples, np.float64).reshape(len(samples), -1)
    return np.linalg.eigvalsh(np.atleast_2d(np.cov(flat.T)))[::-1]


def uint8_images(n=40, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 3, 4), dtype=np.uint8)


def saved(path, array, **kwargs):
    np.save(path, array, **kwargs)
    return path


def assert_spectrum(found, samples):
    expected = eigenvalues_of(samples)
    np.testing.assert_allclose(found.eigenvalues, expected, atol=TOLERANCE * expected[0])


# Built-in sets


def test_digits_are_scikit_learns_mapped_to_minus_one_and_one():
    digits = data.open("digits")
    images = load_digits().images
    np.testing.assert_array_equal(digits.samples, images)
    assert digits.data_range == (0, 16)
    assert digits.source["samples"] == 1797
    assert digits.source["shape"] == [8, 8]
    spectrum = digits.spectrum()
    assert_spectrum(spectrum, images / 8 - 1)
    mean = spectrum.lift(spectrum.mean)
    np.testing.assert_allclose(mean, images.mean(0) / 8 - 1, atol=1e-12)
    assert spectrum.source["name"] == "digits"


def test_every_patch_occurs_in_a_photograph():
    photos = load_sample_images().images
    patches = data.open("patches").samples
    assert patches.shape == (builtin.PATCHES, 32, 32, 3)
    for patch in patches[:: builtin.PATCHES // 6]:
        assert any(occurs(patch, photo) for photo in photos)


def occurs(patch, photo):
    """Whether a patch is a window of a photograph: candidates by its first pixel, then in full."""
    side = len(patch)
    y, x = np.nonzero((photo[: 1 - side, : 1 - side] == patch[0, 0]).all(-1))
    return any(
        (photo[i : i + side, j : j + side] == patch).all() for i, j in zip(y, x, strict=True)
    )


def test_patches_cover_the_photographs_evenly():
    height, width, count = 9, 11, 6000
    places = np.arange(2 * height * width, dtype=np.int32).reshape(2, height, width, 1)
    corners = builtin.cut_patches(list(places), count, 4, seed=3)[:, 0, 0, 0]
    windows = 2 * (height - 3) * (width - 3)
    found, hits = np.unique(corners, return_counts=True)
    assert found.size == windows
    mean = count / windows
    chi2 = ((hits - mean) ** 2 / mean).sum()  # of windows - 1 degrees of freedom
    assert abs(chi2 - (windows - 1)) < 5 * np.sqrt(2 * windows)


def test_patches_are_a_function_of_the_seed():
    first, again, other = (data.open("patches", seed=seed, limit=200) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.samples, again.samples)
    assert (first.samples != other.samples).any((1, 2, 3)).mean() > 0.99
    assert (first.source["seed"], other.source["seed"]) == (1, 2)


def test_patches_spectrum_is_that_of_natural_images(monkeypatch):
    monkeypatch.setattr(builtin, "PATCHES", 2000)
    monkeypatch.setattr(builtin, "PATCH_SIDE", 8)
    patches = data.open("patches")
    spectrum = patches.spectrum()
    assert_spectrum(spectrum, patches.samples / 127.5 - 1)
    # Natural images: the variance sits in few smooth modes, the rest falls by decades.
    assert spectrum.eigenvalues[:10].sum() > 0.9 * spectrum.eigenvalues.sum()
    assert 0 < spectrum.eigenvalues[-1] < 1e-4 * spectrum.eigenvalues[0]


def test_limit_takes_the_first_samples(tmp_path):
    digits = data.open("digits", limit=100)
    np.testing.assert_array_equal(digits.samples, load_digits().images[:100])
    assert (digits.source["samples"], digits.source["limit"]) == (100, 100)
    whole = uint8_images()
    path = saved(tmp_path / "x.npy", whole)
    np.testing.assert_array_equal(data.open(path, limit=7).samples, whole[:7])


@pytest.mark.thorough
def test_scikit_learn_is_imported_when_a_builtin_is_opened():
    code = (
        "import sys, specjax.data as data\n"
        "def heavy(): return [m for m in ('sklearn', 'PIL', 'matplotlib') if m in sys.modules]\n"
        "assert heavy() == [], heavy()\n"
        "data.open('patches')\n"
        "assert 'sklearn' in heavy()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Files and arrays


def test_npy_spectrum_is_numpys(tmp_path):
    images = uint8_images()
    path = saved(tmp_path / "images.npy", images)
    opened = data.open(str(path))
    assert isinstance(opened.samples, np.memmap)
    assert opened.data_range == (0, 255)
    assert_spectrum(opened.spectrum(), images / 127.5 - 1)
    assert opened.source["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert opened.source["file"] == opened.name == "images.npy"
    assert str(tmp_path) not in str(opened.source)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2"])
def test_floats_are_taken_as_they_are(tmp_path, dtype, order):
    x = np.asarray(np.random.default_rng(0).normal(3, 5, (50, 4)), dtype, order=order)
    opened = data.open(saved(tmp_path / "x.npy", x))
    assert opened.data_range is None
    assert_spectrum(opened.spectrum(), x)


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32])
def test_a_given_range_is_mapped_for_integers_and_floats_alike(tmp_path, dtype):
    x = np.random.default_rng(0).integers(10, 21, (50, 4)).astype(dtype)
    path = saved(tmp_path / "x.npy", x)
    spectrum = data.open(path, data_range=(10, 20)).spectrum()
    assert_spectrum(spectrum, (x.astype(float) - 15) / 5)
    assert spectrum.source["data_range"] == [10, 20]


def test_npz_with_one_array_and_with_several(tmp_path):
    a, b = uint8_images(seed=1), uint8_images(seed=2)
    np.savez_compressed(tmp_path / "one.npz", a)
    np.savez(tmp_path / "two.npz", train=a, test=b)
    np.testing.assert_array_equal(data.open(tmp_path / "one.npz").samples, a)
    chosen = data.open(tmp_path / "two.npz", key="test")
    np.testing.assert_array_equal(chosen.samples, b)
    assert chosen.source["key"] == "test"


@pytest.mark.parametrize("convert", [np.asarray, jnp.asarray])
def test_arrays_in_place(convert):
    images = uint8_images()
    assert_spectrum(data.open(convert(images)).spectrum(), images / 127.5 - 1)


def test_a_file_named_like_a_builtin_is_reached_by_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "digits.npy", uint8_images(n=5))
    assert len(data.open("digits.npy").samples) == 5
    assert len(data.open("digits").samples) == 1797


def test_bool_means_zero_and_one():
    x = np.random.default_rng(0).random((60, 5)) < 0.3
    assert_spectrum(data.open(x).spectrum(), 2.0 * x - 1)


def test_spectrum_passes_its_options_and_its_progress(tmp_path):
    images = uint8_images(n=60)
    seen = []
    opened = data.open(saved(tmp_path / "x.npy", images))
    spectrum = opened.spectrum(
        method="shift-invariant",
        shrinkage=0.25,
        progress=lambda done, total: seen.append((done, total)),
    )
    direct = sx.Spectrum.from_samples(images / 127.5 - 1, method="shift-invariant", shrinkage=0.25)
    np.testing.assert_allclose(spectrum.eigenvalues, direct.eigenvalues, rtol=1e-12)
    assert seen[-1] == (60, 60)
    assert (spectrum.source["method"], spectrum.source["shrinkage"]) == ("shift-invariant", 0.25)


def test_ledoit_wolf_sees_the_mapped_samples():
    from sklearn.covariance import ledoit_wolf_shrinkage

    images = uint8_images(n=30)
    spectrum = data.open(images).spectrum(shrinkage="ledoit-wolf")
    expected = ledoit_wolf_shrinkage(images.reshape(30, -1) / 127.5 - 1)
    assert spectrum.source["shrinkage"] == pytest.approx(expected, rel=1e-12)


class Watched:
    """An array that remembers how many rows were asked for at once."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.most = array, array.shape, array.dtype, 0

    def __len__(self):
        return len(self.array)

    def __getitem__(self, index):
        rows = self.array[index]
        self.most = max(self.most, len(rows))
        return rows


def test_a_large_array_is_mapped_and_checked_batch_by_batch(monkeypatch):
    monkeypatch.setattr(estimate, "_CHUNK_BYTES", 10 * 8 * 12)  # ten samples of 3 x 4
    images = uint8_images(n=95)
    watched = Watched(images)
    assert_spectrum(data.open(watched).spectrum(), images / 127.5 - 1)
    assert watched.most == 10
    late = images.astype(np.int16)
    late[94, 0, 0] = 256
    with pytest.raises(ValueError, match=r"to 256 are outside data_range = \(0.0, 255.0\)"):
        data.open(late, data_range=(0, 255)).spectrum()


# Bad input: one line that names what was given and what to do


def test_what_is_no_dataset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for spec in ("nowhere/x.npy", "", "a\0b.npy", 3, None, [[1.0, 2.0]]):
        assert "data" in one_line(data.open, spec)
    for spec, near in (("digts", "digits"), ("Patches", "patches")):
        assert repr(near) in one_line(data.open, spec).split("did you mean")[1]


def test_a_misspelt_file_gets_the_one_beside_it(tmp_path):
    saved(tmp_path / "latents.npy", np.eye(3))
    said = one_line(data.open, tmp_path / "latent.npy")
    assert "latents.npy" in said.split("did you mean")[1]


def test_folders_and_other_suffixes(tmp_path):
    (tmp_path / "x.csv").write_text("1,2")
    for path in (tmp_path, tmp_path / "x.csv"):
        assert str(path) in one_line(data.open, path)


def test_a_file_without_permission(tmp_path, monkeypatch):
    path = saved(tmp_path / "x.npy", np.eye(3))
    monkeypatch.setattr("os.access", lambda *_: False)
    assert "permissions" in one_line(data.open, path)


def npy_bytes(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz_bytes(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


DAMAGED = {
    "empty.npy": b"",
    "text.npy": b"not an array at all",
    "header.npy": npy_bytes(np.eye(9))[:50],
    "cut.npy": npy_bytes(np.eye(9))[:-100],
    "shape.npy": npy_bytes(np.eye(9)).replace(b"(9, 9)", b"(9, -"),
    "huge.npy": npy_bytes(np.eye(9)).replace(b"(9, 9), }  ", b"(9, 9999)}  "),
    "empty.npz": b"",
    "text.npz": b"PK not an archive",
    "cut.npz": npz_bytes(x=np.eye(9))[:-100],
    "flipped.npz": npz_bytes(x=np.eye(9)).replace(b"NUMPY", b"NUMPX"),
}


def test_damaged_files(tmp_path):
    for name, content in DAMAGED.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert name in one_line(data.open, path)


def test_every_truncation_is_refused(tmp_path):
    x = np.arange(24.0).reshape(6, 4)
    for suffix, whole in (("npy", npy_bytes(x)), ("npz", npz_bytes(x=x))):
        path = tmp_path / f"x.{suffix}"
        for length in range(0, len(whole), 7):
            path.write_bytes(whole[:length])
            assert path.name in one_line(data.open, path)


class Bomb:
    def __reduce__(self):
        return print, ("a pickle ran",)


def test_pickles_are_refused_and_do_not_run(tmp_path, capsys):
    objects = np.array([[Bomb(), Bomb()]], dtype=object)
    saved(tmp_path / "x.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "x.npz", objects)
    (tmp_path / "raw.npy").write_bytes(pickle.dumps(Bomb()))
    for name in ("x.npy", "x.npz", "raw.npy"):
        assert "pickle" in one_line(data.open, tmp_path / name)
    assert capsys.readouterr().out == ""


def test_arrays_that_are_no_samples(tmp_path):
    shapes = [np.zeros((0, 4)), np.zeros((4, 0)), np.array(3.0), np.zeros(5)]
    dtypes = [complex, "U1", "M8[s]", np.int32]
    for array in (*shapes, *(np.zeros((5, 2), dtype) for dtype in dtypes)):
        path = saved(tmp_path / "x.npy", array)
        assert str(path) in one_line(data.open, path)


def test_keys(tmp_path):
    np.savez(tmp_path / "two.npz", train=np.eye(3), test=np.eye(3))
    np.savez(tmp_path / "none.npz")
    saved(tmp_path / "x.npy", np.eye(3))
    assert "train, test" in one_line(data.open, tmp_path / "two.npz")
    assert "did you mean 'train'?" in one_line(data.open, tmp_path / "two.npz", key="trian")
    for spec in ("none.npz", "x.npy", "two.npz"):
        assert "key" in one_line(data.open, tmp_path / spec, key="nothing")
    assert "key" in one_line(data.open, "digits", key="train")


def test_other_members_of_an_archive_are_not_samples(tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(npz_bytes(x=np.eye(3)))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("readme.txt", "hello")
    np.testing.assert_array_equal(data.open(path, key="x").samples, np.eye(3))
    assert str(path) in one_line(data.open, path, key="readme.txt")


def test_values_of_options_of_arrays():
    for data_range in ((1, 1), (2, 1), (0, np.inf), (0, np.nan), 5, (1, 2, 3), "ab"):
        assert "data_range" in one_line(data.open, np.eye(3), data_range=data_range)
    for name, value in (("seed", -1), ("seed", 1.5), ("limit", 0), ("limit", "all")):
        assert f"{name} = {value!r}" in one_line(data.open, "digits", **{name: value})


def test_values_that_are_no_samples():
    x = np.random.default_rng(0).normal(size=(10, 3))
    x[4, 1] = np.nan
    assert "NaN or infinite" in one_line(data.open(x).spectrum)
    assert "NaN or infinite" in one_line(data.open(x, data_range=(-9, 9)).spectrum)
    assert "outside data_range" in one_line(data.open(uint8_images(), data_range=(0, 9)).spectrum)
    assert "one sample" in one_line(data.open(np.ones((1, 3))).spectrum)
    assert "constant" in one_line(data.open(np.ones((5, 3))).spectrum)


MASKED = {
    "data": (lambda x: data.open(x), (9, 3)),
    "batches of data": (lambda x: data.open([x, x]), (9, 3)),
    "samples": (lambda x: sx.Spectrum.from_samples(x), (9, 3)),
    "batches": (lambda x: sx.Spectrum.from_samples([x, x]), (9, 3)),
    "shift-invariant": (lambda x: sx.Spectrum.from_samples(x, method="shift-invariant"), (9, 4)),
    "covariance": (lambda x: sx.Spectrum.from_covariance(x), (3, 3)),
    "eigenvalues": (lambda x: sx.Spectrum(x), (3,)),
    "mean": (lambda x: sx.Spectrum(np.ones(3), x), (3,)),
    "levels": (lambda x: sx.NoiseSchedule(x), (3,)),
    "alpha_bar": (lambda x: sx.NoiseSchedule.from_alpha_bar(x), (3,)),
    "sigmas": (lambda x: sx.NoiseSchedule.from_sigmas(x), (3,)),
    "noise": (lambda x: sx.NoiseSpectrum(x, (3,)), (3,)),
    "rescaled": (lambda x: data.rescaled(x, None), (9, 3)),
    "evaluate": (lambda x: sx.evaluate.energy_distance(x, np.eye(3)), (9, 3)),
}


@pytest.mark.parametrize("name", MASKED)
def test_a_mask_is_not_dropped(name):
    function, shape = MASKED[name]
    array = np.ma.masked_array(np.full(shape, 0.5), np.zeros(shape, bool))
    array[(0,) * len(shape)] = np.ma.masked
    assert "masked" in one_line(function, array)


def test_a_mask_that_hides_nothing_is_no_mistake():
    x = np.random.default_rng(0).normal(size=(9, 3))
    want = sx.Spectrum.from_samples(x).eigenvalues
    found = sx.Spectrum.from_samples(np.ma.masked_array(x)).eigenvalues
    np.testing.assert_array_equal(found, want)
    assert type(data.open(np.ma.masked_array(x)).samples) is np.ndarray
