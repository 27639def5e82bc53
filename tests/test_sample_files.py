import checks
import numpy as np
import pytest

from specjax import files
from specjax.files.samples import grid, write_samples


def test_a_grid_is_near_square_row_by_row_and_enlarged():
    greys = 36 * np.arange(7)
    x = (greys / 127.5 - 1)[:, None, None] * np.ones((7, 8, 8))
    picture = grid(x)
    assert picture.shape == (3 * 64 + 2 * 2, 3 * 64 + 2 * 2)
    centres = picture[32::66, 32::66].ravel()
    np.testing.assert_array_equal(centres[:7], greys)
    assert set(centres[7:]) == {128}
    assert set(picture[64:66].ravel()) == {128}  # between two rows


def test_pixels_keep_their_places_and_are_clipped():
    x = np.array([[[-3.0, -1.0], [1.0, 3.0]]])
    picture = grid(x)
    assert picture.shape == (64, 64)
    np.testing.assert_array_equal(picture[16::32, 16::32], [[0, 0], [255, 255]])


def test_colour_and_one_channel():
    x = np.zeros((2, 100, 50, 3))
    x[1, ..., 0] = 1
    picture = grid(x)
    assert picture.shape == (100, 102, 3)  # large ones are not enlarged
    np.testing.assert_array_equal(
        picture[50, [20, 50, 80]], [[128] * 3, [128] * 3, [255, 128, 128]]
    )
    np.testing.assert_array_equal(grid(x[..., :1]), grid(x[..., 0]))


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_arrays_are_not_clipped(tmp_path, name):
    x = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32) * 4
    path = write_samples(tmp_path / name, x, header={"seed": np.int64(3)})
    if name == "x.npy":
        np.testing.assert_array_equal(np.load(path, allow_pickle=False), x)
        return
    document = files.read(path, {"samples": 1})
    np.testing.assert_array_equal(document.arrays["samples"], x)
    assert document.header["seed"] == 3


def test_what_has_no_such_form(tmp_path):
    sound = {"rate": 8000}
    two, stereo = np.zeros((2, 16)), np.zeros((1, 16, 2))
    assert "not 2" in checks.one_line(write_samples, tmp_path / "x.wav", two, sound)
    assert "no mono sound" in checks.one_line(write_samples, tmp_path / "x.wav", stereo, sound)
    assert "is of sound" in checks.one_line(write_samples, tmp_path / "x.png", two, sound)
    assert "no pictures" in checks.one_line(grid, two)
    assert list(tmp_path.iterdir()) == []
