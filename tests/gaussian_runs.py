"""Runs whose network is the exact denoiser of a Gaussian, for tests of commands."""

from types import SimpleNamespace

import numpy as np
import pytest

import specjax as sx

DIGITS = {"name": "digits", "data_range": [0, 16]}
SOUND = {"name": "words", "kind": "sound", "rate": 8000, "data_range": [-1, 1]}


def gaussian_run(
    shape=(4, 4), source=DIGITS, classes=0, denoise=None, spectrum=None, step=700, spatial=None
):
    """A run whose network is the Wiener estimate; class k adds k / 10."""
    pytest.importorskip("flax")
    from specjax.nn.run import Run

    if spectrum is None:
        spectrum = sx.Spectrum(np.geomspace(4.0, 0.01, int(np.prod(shape))), source=source)
    wiener = sx.wiener(spectrum)

    def estimate(x, alpha, sigma, labels=None):
        y = x if spectrum.basis is not None and x.shape[1:] == spectrum.basis.shape else None
        y = x.reshape(len(x), -1) if y is None else y
        found = wiener(y, alpha, sigma).reshape(x.shape)
        return found if labels is None else found + labels.reshape(-1, *[1] * len(shape)) / 10

    run = SimpleNamespace(
        folder="r", step=step, shape=shape, classes=classes, spectrum=spectrum, source=source,
        network=denoise or estimate, noise=None, effective=spectrum,
        class_names=tuple(str(k) for k in range(classes)),
        config=SimpleNamespace(model=SimpleNamespace(spatial=spatial)),
    )  # fmt: skip
    run.denoiser = lambda labels=None: Run.denoiser(run, labels)
    return run
