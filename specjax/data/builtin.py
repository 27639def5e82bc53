"""The built-in sets: real images inside the installed scikit-learn, without a download."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

PATCHES = 20_000
"""The number of samples of ``patches``: six to seven for each of its 3,072 dimensions."""

PATCH_SIDE = 32


class Builtin(NamedTuple):
    """A row of the table: ``load(seed)`` gives samples [N, ...], labels [N], their provenance."""

    load: Callable[[int], tuple[np.ndarray, np.ndarray | None, Mapping[str, Any]]]
    data_range: tuple[float, float]
    summary: str


def _digits(seed: int) -> tuple[np.ndarray, np.ndarray, Mapping[str, Any]]:
    """Load handwritten digits [1797, 8, 8], 0 to 16. Nothing is random in them.

    They are read from scikit-learn's folder where its file is there: importing scikit-learn
    would take longer than all the rest of a small fit.
    """
    source = {"scikit_learn": version("scikit-learn")}
    package = importlib.util.find_spec("sklearn")
    folders = package.submodule_search_locations if package else None
    file = Path(folders[0] if folders else "", "datasets", "data", "digits.csv.gz")
    if file.is_file():
        rows = np.loadtxt(file, delimiter=",")
        return rows[:, :64].reshape(-1, 8, 8), rows[:, 64].astype(int), source
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images, digits.target, source


def _patches(seed: int) -> tuple[np.ndarray, None, Mapping[str, Any]]:
    """Cut patches [N, 32, 32, 3] (uint8) at random positions of two photographs."""
    import PIL
    import sklearn
    from sklearn.datasets import load_sample_images

    patches = cut_patches(load_sample_images().images, PATCHES, PATCH_SIDE, seed)
    versions = {"scikit_learn": sklearn.__version__, "pillow": PIL.__version__}
    return patches, None, {"seed": seed, **versions}


def cut_patches(photos: list[np.ndarray], count: int, side: int, seed: int) -> np.ndarray:
    """Cut ``count`` square patches [count, side, side, C] at uniformly drawn positions.

    Args:
      photos: [H, W, C] each, all with the same number of channels. seed: of the positions.
    """
    rng = np.random.default_rng(seed)
    photo = rng.integers(len(photos), size=count)
    patches = np.empty((count, side, side, photos[0].shape[-1]), photos[0].dtype)
    for i, image in enumerate(photos):
        chosen = np.flatnonzero(photo == i)
        windows = np.lib.stride_tricks.sliding_window_view(image, (side, side), axis=(0, 1))
        y, x = (rng.integers(n, size=chosen.size) for n in windows.shape[:2])
        patches[chosen] = windows[y, x].transpose(0, 2, 3, 1)
    return patches


BUILTIN = {
    "digits": Builtin(_digits, (0.0, 16.0), "1,797 handwritten digits, 8x8"),
    "patches": Builtin(_patches, (0.0, 255.0), "20,000 patches of two photographs, 32x32x3"),
}
"""The data that come with scikit-learn, by name."""
