"""Starting a run, or resuming it: its configuration against the data, and its folder."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from specjax import files
from specjax._core import checks
from specjax._core.checks import UserError
from specjax.data import Dataset
from specjax.data.in_memory import Collected
from specjax.nn.config import ModelConfig, TrainConfig, differences
from specjax.nn.denoiser import network_shape, parameter_bytes
from specjax.nn.noise_levels import noise_levels
from specjax.nn.run import SPECTRUM, RunInfo, is_run, read_run, write_run
from specjax.nn.unet import sides_of_levels
from specjax.nn.wavelets import check_scales
from specjax.noise.noise_spectrum import NoiseSpectrum, check_noise
from specjax.sampling.generate import device_memory
from specjax.spectra.basis import DenseBasis, ReflectedBasis
from specjax.spectra.spectrum import Spectrum, Whitening

CACHE = "data.npy"

_EXACT = 4096
"""Dimensions up to which a run's spectrum is the exact one."""

_COPIES = 5
"""Arrays of the size of the parameters: their average, AdamW's two moments, the gradient."""

_FINGERPRINTED = 1024
"""Samples whose numbers are part of the fingerprint."""


@contextlib.contextmanager
def folder_of_run(folder: Path) -> Iterator[Path]:
    """Make the folder of a run if it does not exist; one that stays empty is removed again.

    Raises:
      UserError: if it holds other files, lies in another run's or cannot be made.
    """
    files.check_not_owned(folder)
    if folder.is_dir() and not is_run(folder):
        # Files of another process that starts the same run, and what a kill has left, do not count.
        present = {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")}
        others = present - {CACHE, "data.about.npz", SPECTRUM}
        if others:
            raise UserError(
                f"out = {str(folder)!r} holds other files ({min(others)}): give an empty folder, "
                "or that of a run"
            )
    with files.new_folder(folder, parents=True):
        yield folder


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a second training out of a folder as long as this one lives, however it ends.

    Where the system has no such locks (Windows) nothing is kept out.

    Raises:
      UserError: if another process trains there.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(folder / ".lock", "w") as file:
        if jax.process_index() == 0:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"{folder} is being trained by another process: wait for it, or give another "
                    "--out"
                ) from None
        yield


def check_data(config: TrainConfig, data: Dataset, spectrum: Spectrum | None = None) -> None:
    """Refuse a configuration that does not fit the data, before they are read.

    Args:
      spectrum: that of the data, where it is given.

    Raises:
      UserError: one line that names the option.
    """
    shape = tuple(data.source["shape"])
    *sides, _ = network_shape(shape, config.model.spatial)
    _check_attention(config.model, max(sides))
    _check_memory(config, shape)
    if "wavelet" in config.loss.weights:
        check_scales(config.loss.wavelet_scales, sides)
    options = checks.named_values("noise_options", config.noise.noise_options)
    noise = _forward_noise(config, shape, None)
    _check_basis(noise, math.prod(shape), spectrum)
    whitening = None if noise is None else Whitening(noise, np.ones(2))
    any_spectrum = Spectrum(np.array([1.0, 0.5]), whitening=whitening)
    noise_levels(config.noise.noise_levels, any_spectrum, options)
    if config.model.conditional and data.classes is None:
        raise UserError(
            f"conditional = True, but {data.name} has no labels: leave it out, or give a labelled "
            "set"
        )
    if config.optimiser.flip and (len(shape) < 2 or config.model.spatial == 1):
        raise UserError("flip = True applies to images: leave it out for sound")


def _forward_noise(
    config: TrainConfig, shape: tuple[int, ...], spectrum: Spectrum | None
) -> NoiseSpectrum | None:
    """The noise that is asked for; in the data's own basis once their spectrum is known."""
    own = None if spectrum is None else spectrum.basis
    return config.forward.spectrum(shape, spatial=config.model.spatial, own=own)


def _check_basis(noise: NoiseSpectrum | None, d: int, spectrum: Spectrum | None) -> None:
    """Refuse noise in a basis that the data's spectrum will not be diagonal in."""
    exact = (
        d <= _EXACT if spectrum is None else isinstance(spectrum.basis, DenseBasis | ReflectedBasis)
    )
    if noise is None or exact:
        return
    if spectrum is not None and spectrum.basis is None:
        raise UserError(
            f"spectrum has no basis, which {noise.name} noise needs: give the exact one, or leave "
            "it out"
        )
    if noise.basis == "data" or (spectrum is None and noise.basis != "fourier"):
        remedy = "'fourier' or 'cosine'" if noise.basis == "data" else "'fourier'"
        raise UserError(
            f"noise_basis = {noise.basis!r} needs the exact spectrum of the data, which samples of "
            f"{d:,} numbers do not have by default (up to {_EXACT:,}): give {remedy}"
        )


def _check_memory(config: TrainConfig, shape: tuple[int, ...]) -> None:
    """Refuse a network whose training the devices cannot hold."""
    devices = jax.devices()
    shared = devices[0].platform == "cpu"  # its devices have one memory
    memory = device_memory(devices[0]) * (1 if shared else len(devices))
    needed = _COPIES * parameter_bytes(config, shape)
    checks.fits_in_memory("width", config.model.width, needed, memory)


def _check_attention(model: ModelConfig, longest: int) -> None:
    sides = sides_of_levels(longest, len(model.multipliers))
    for side in model.attention:
        if side not in sides:
            raise UserError(
                f"attention = {side}: the network's longest sides are {', '.join(map(str, sides))}"
            )


def start_or_resume(
    folder: Path, config: TrainConfig, data: Dataset, collected: Collected,
    spectrum: Spectrum | None = None,
) -> RunInfo:  # fmt: skip
    """Return the run in a folder, or a new one, which is written there.

    Args:
      collected: the samples of the data. spectrum: that of the data, if it is known.

    Raises:
      UserError: for a run of another configuration, of other data or under another noise.
    """
    content = fingerprint(collected, data.data_range)
    if is_run(folder):
        return _resumed(folder, config, content)
    shape = tuple(collected.samples.shape[1:])
    if spectrum is None:
        known = Dataset(data.name, collected.samples, data.data_range, dict(data.source))
        exact = math.prod(shape) <= _EXACT
        spectrum = known.spectrum(method="exact" if exact else "shift-invariant")
    run = RunInfo(
        config=config,
        content=content,
        shape=shape,
        class_names=(collected.classes or ()) if config.model.conditional else (),
        spectrum=spectrum,
        source={**(spectrum.source or {}), **data.source},
        sigma_data=root_mean_square(spectrum),
        versions=files.versions(),
        noise=_forward_noise(config, shape, spectrum),
    )
    _ = run.effective  # refuses noise that does not fit the spectrum
    if jax.process_index() == 0:
        write_run(folder, run)
    return run


def _resumed(folder: Path, config: TrainConfig, content: str) -> RunInfo:
    """The run in a folder, if it is the same but for the files written during training."""
    run = read_run(folder)
    other = differences(run.config, config)
    if other:
        raise UserError(
            f"{folder} holds a run of another configuration: {', '.join(other)}; give the same "
            "options to resume it, or another --out"
        )
    if content != run.content:
        raise UserError(
            f"{folder} holds a run on other data ({run.source.get('name')}): give the same data "
            "to resume it, or another --out"
        )
    given = _forward_noise(config, run.shape, run.spectrum)
    check_noise(run.noise, given, what=f"the run in {folder}", where="this training")
    return replace(run, config=config)


def fingerprint(data: Collected, data_range: Any) -> str:
    """Return a fingerprint of samples: shape, range, many of the rows, labels and their names."""
    samples = data.samples
    rows = np.unique(np.linspace(0, len(samples) - 1, _FINGERPRINTED).astype(int))
    digest = hashlib.sha256(f"{samples.shape} {samples.dtype} {data_range}".encode())
    digest.update(np.ascontiguousarray(samples[rows]).tobytes())
    if data.labels is not None:
        digest.update(repr(data.classes).encode() + np.asarray(data.labels, "<i4").tobytes())
    return digest.hexdigest()


def root_mean_square(spectrum: Spectrum) -> float:
    """Return the root mean square of the numbers of a sample, EDM's sigma_data.

    It is taken about 0, as the network sees the data.
    """
    total = np.sum(spectrum.weights * spectrum.eigenvalues) + np.sum(spectrum.mean_power)
    return float(np.sqrt(total / np.sum(spectrum.weights)))
