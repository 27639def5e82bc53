"""The beginning of a run, or its going on: the folder, the document, the spectrum."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from specjax import files
from specjax._core import checks
from specjax.data import Dataset
from specjax.data.in_memory import Collected
from specjax.nn.config import ModelConfig, TrainConfig
from specjax.nn.document import (
    RunDocument,
    content_of,
    has_document,
    read_document,
    write_document,
)
from specjax.nn.levels import noise_levels
from specjax.nn.network import root_mean_square
from specjax.nn.run import SPECTRUM
from specjax.nn.targets import network_shape
from specjax.nn.terms import check_terms
from specjax.nn.unet import sides_of_levels
from specjax.noise.noise_spectrum import NoiseSpectrum, check_noise
from specjax.noise.whitening import effective
from specjax.spectra.basis import DenseBasis
from specjax.spectra.spectrum import Spectrum, Whitening

CACHE = "data.npy"

_DENSE = 4096
"""Dimensions up to which a run's spectrum is the exact one."""


def prepared(folder: Path) -> Path:
    """The folder of a run, made if it is not there."""
    if folder.exists() and not has_document(folder) and any(folder.iterdir()):
        # Those of another process that begins the same run, and what a kill has left, do not count.
        there = {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")}
        kept = there - {CACHE, "data.about.npz", SPECTRUM}
        if kept:
            raise ValueError(
                f"out = {str(folder)!r} holds other files ({sorted(kept)[0]}): give an empty "
                "folder, or that of a run"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot make the folder {folder}: {error.strerror or error}") from error
    return folder


def check_data(config: TrainConfig, data: Dataset, spectrum: Spectrum | None = None) -> None:
    """Refuse what does not fit the data, before they are read.

    Args:
      spectrum: of the data, where it is known already.
    """
    shape = tuple(data.source["shape"])
    *sides, _ = network_shape(shape, config.model.spatial)
    _check_attention(config.model, max(sides))
    check_terms(config.loss, tuple(sides))
    options = checks.named_values("noise_options", config.noise.noise_options)
    noise = _noise(config, shape, None)
    _check_basis(noise, math.prod(shape), spectrum)
    whitening = None if noise is None else Whitening(noise, np.ones(2))
    trial = Spectrum(np.array([1.0, 0.5]), whitening=whitening)
    noise_levels(config.noise.noise_levels, trial, options)
    if config.model.conditional and data.classes is None:
        raise ValueError(
            f"conditional = True, but {data.name} has no labels: leave it out, or give a labelled "
            "set"
        )
    if config.optimiser.flip and (len(shape) < 2 or config.model.spatial == 1):
        raise ValueError("flip = True applies to images: leave it out for sound")


def _noise(
    config: TrainConfig, shape: tuple[int, ...], spectrum: Spectrum | None
) -> NoiseSpectrum | None:
    """The noise that is asked for; in the data's own basis once their spectrum is known."""
    own = None if spectrum is None else spectrum.basis
    return config.forward.spectrum(shape, spatial=config.model.spatial, own=own)


def _check_basis(noise: NoiseSpectrum | None, d: int, spectrum: Spectrum | None) -> None:
    """Refuse noise in a basis for which the data's spectrum does not serve."""
    exact = d <= _DENSE if spectrum is None else isinstance(spectrum.basis, DenseBasis)
    if noise is None or exact:
        return
    if spectrum is not None and spectrum.basis is None:
        raise ValueError(
            f"spectrum has no basis, which {noise.name} noise needs: give the exact one, or leave "
            "it out"
        )
    if noise.basis == "data":
        raise ValueError(
            f"noise_basis = 'data' needs the exact spectrum of the data, which samples of {d:,} "
            f"numbers do not have by default (up to {_DENSE:,}): give 'fourier' or 'cosine'"
        )
    if spectrum is None and noise.basis != "fourier":
        raise ValueError(
            f"noise_basis = {noise.basis!r} needs the exact spectrum of the data, which samples "
            f"of {d:,} numbers do not have by default (up to {_DENSE:,}): give 'fourier'"
        )


def _check_attention(model: ModelConfig, longest: int) -> None:
    there = sides_of_levels(longest, len(model.multipliers))
    for side in model.attention:
        if side not in there:
            raise ValueError(
                f"attention = {side}: the network's longest sides are {', '.join(map(str, there))}"
            )


def begun(
    folder: Path,
    config: TrainConfig,
    data: Dataset,
    collected: Collected,
    spectrum: Spectrum | None,
) -> tuple[RunDocument, Spectrum]:
    """The document and the spectrum of a run: those that are there, or new ones.

    The spectrum is that of the data under the run's noise.
    """
    if has_document(folder):
        return _again(folder, config, content_of(collected, data.data_range))
    if spectrum is None:
        known = Dataset(data.name, collected.samples, data.data_range, dict(data.source))
        dense = math.prod(collected.samples.shape[1:]) <= _DENSE
        spectrum = known.spectrum(method="exact" if dense else "shift-invariant")
    shape = tuple(collected.samples.shape[1:])
    noise = _noise(config, shape, spectrum)
    under_noise = effective(spectrum, noise)  # refuses here what it does not take
    document = RunDocument(
        config=config,
        source={**(spectrum.source or {}), **data.source},
        content=content_of(collected, data.data_range),
        shape=shape,
        classes=(collected.classes or ()) if config.model.conditional else (),
        sigma_data=root_mean_square(spectrum),
        versions=files.versions(),
        noise=None if noise is None else noise.document(),
    )
    if jax.process_index() == 0:
        files.save(folder / SPECTRUM, spectrum)
        write_document(folder, document)
    return document, under_noise


def _again(folder: Path, config: TrainConfig, content: str) -> tuple[RunDocument, Spectrum]:
    """Those of a run that goes on; what it keeps on the way may change."""
    before = read_document(folder)
    before.check_same(config, content, folder)
    found = files.load(folder / SPECTRUM)
    if not isinstance(found, Spectrum):
        raise ValueError(f"{folder / SPECTRUM} is not a spectrum")
    noise = before.forward_noise(found)
    given = _noise(config, before.shape, found)
    check_noise(noise, given, what=f"the run in {folder}", where="this training")
    document = replace(before, config=replace(before.config, keeping=config.keeping))
    return document, effective(found, noise)
