"""DATA of a command: what is given, how it is read, and how its spectrum is estimated."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from specjax import data as datasets
from specjax import files
from specjax._core import distributed
from specjax._core.checks import UserError
from specjax.cli.console import progress, remark, status
from specjax.files.forward_noise import ForwardNoise

if TYPE_CHECKING:
    from specjax.noise.noise_spectrum import NoiseSpectrum
    from specjax.spectra.spectrum import Spectrum

_MOST_FILES = 2  # bad files that a remark names; the others are counted


@dataclass(frozen=True, kw_only=True)
class Reading(datasets.Options):
    """How DATA are read (a spectrum file takes none of these)."""

    # The only option with another meaning here: a command has one seed.
    seed: int = 0
    """seed of all that is random: starting points, bootstrap, where patches are cut"""

    def open(self, data: str) -> datasets.Dataset:
        """Open a dataset; hardly anything of it is read yet."""
        with status(f"opening {data}"):
            return datasets.open(data, self)


@dataclass(frozen=True, kw_only=True)
class Estimating:
    """How the spectrum is estimated (a spectrum file takes only the floor)."""

    method: str | None = None
    """exact (the default: the covariance), shift-invariant (by FFT, any size) or low-rank (the
    largest eigenvalues and a power law beyond, any size)"""
    rank: int | None = None
    """low-rank: how many eigenvalues are computed"""
    spatial: int | None = None
    """shift-invariant: number of shifted axes"""
    shrinkage: str | None = None
    """weight of the scaled identity in the covariance (0), or ledoit-wolf or oas"""
    floor: float | None = None
    """lift smaller eigenvalues to this variance (kl and relative need them above 0)"""
    on_devices: bool = False
    """exact: sum on all of JAX's devices, such as GPUs, instead of the processor"""

    def options(self) -> dict[str, Any]:
        """Return the arguments of :meth:`Dataset.spectrum`."""
        shrinkage: float | str = self.shrinkage or 0.0
        with contextlib.suppress(ValueError):
            shrinkage = float(shrinkage)
        return {
            "method": self.method or "exact",
            "rank": self.rank,
            "spatial": self.spatial,
            "shrinkage": shrinkage,
            "mesh": distributed.local_mesh() if self.on_devices else None,
        }


@dataclass(frozen=True, kw_only=True)
class Data:
    """Options of the data that a spectrum is estimated from."""

    data: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="DATA")]] = tyro.MISSING
    """built-in set (digits, patches), tfds:NAME[/CONFIG][:SPLIT], .npy/.npz file of samples
    [N, ...], folder of images or of sound, or a spectrum file by 'specjax spectrum'"""
    reading: Reading = field(default_factory=Reading)
    estimating: Estimating = field(default_factory=Estimating)

    @property
    def seed(self) -> int:
        """The seed of the command."""
        return self.reading.seed

    def open(self) -> Spectrum | datasets.Dataset:
        """Load a spectrum file, or open data of which hardly anything is read yet.

        Raises:
          UserError: for what :func:`specjax.data.open` and :func:`specjax.load` refuse, a floor
            that is not positive, and options of reading beside a spectrum file.
        """
        from specjax.spectra.spectrum import Spectrum

        if self.estimating.floor is not None:
            Spectrum(np.ones(1)).floor(self.estimating.floor)  # refused before the data are read
        if not files.is_spectrum(self.data):
            return self.reading.open(self.data)
        for option in changed(self.reading, "seed") + changed(self.estimating, "floor"):
            raise UserError(
                f"{option} does not apply to {self.data}, a spectrum file: leave it out, or give "
                "the data"
            )
        spectrum = files.load(self.data)
        assert isinstance(spectrum, Spectrum)
        return spectrum

    def noise(
        self, opened: Spectrum | datasets.Dataset, choice: ForwardNoise
    ) -> NoiseSpectrum | None:
        """Return the noise on what was opened, without the data's eigenbasis; None is isotropic.

        It serves checks: noise that the data's spectrum cannot take is refused before it is
        estimated.
        """
        from specjax.noise.whitening import check_dense, effective
        from specjax.spectra.spectrum import Spectrum

        if isinstance(opened, Spectrum):
            return choice.on(opened)
        shape, method = tuple(opened.source["shape"]), self.estimating.method or "exact"
        noise = choice.spectrum(shape, spatial=self.estimating.spatial)
        if noise is not None and method == "low-rank":
            effective(Spectrum(np.ones(math.prod(shape))), noise)  # as low-rank: without a basis
        if noise is not None and method == "exact" and noise.basis != "data":
            check_dense(math.prod(shape))
        return noise

    def spectrum(self, opened: Spectrum | datasets.Dataset) -> Spectrum:
        """Return the spectrum of what was opened; estimating it shows its progress."""
        if isinstance(opened, datasets.Dataset):
            opened = self._estimated(opened)
        floor = self.estimating.floor
        return opened if floor is None else opened.floor(floor)

    def _estimated(self, opened: datasets.Dataset) -> Spectrum:
        options = self.estimating.options()
        one_pass = options["method"] != "low-rank"
        with progress("spectrum", "samples", long=one_pass, last="eigenvectors") as update:
            spectrum = opened.spectrum(**options, seed=self.seed, progress=update)
        remark_on_skipped(opened, self.reading)
        return spectrum


GivenData = Annotated[Data, tyro.conf.arg(name="")]
"""The type of a command's field ``data``; its name is left out of the titles of the help."""


def under(noise: ForwardNoise, spectrum: Spectrum) -> Spectrum:
    """Return the spectrum of the data under the noise that is asked for."""
    from specjax.noise.whitening import effective

    if noise.white:
        return spectrum
    with status("solving for the spectrum under the noise"):
        return effective(spectrum, noise.on(spectrum))


def changed(options: Any, *but: str) -> list[str]:
    """List the options of a group that differ from their defaults, as they are typed."""
    names = [
        one.name
        for one in fields(options)
        if one.name not in but and getattr(options, one.name) != one.default
    ]
    return ["--" + name.replace("_", "-") for name in names]


def remark_on_skipped(opened: datasets.Dataset, reading: Reading) -> None:
    """Say which files of a folder were left out and why, in one line; nothing if none was."""
    skipped = opened.skipped
    if not skipped:
        return
    named = skipped if len(skipped) <= _MOST_FILES + 1 else skipped[:_MOST_FILES]
    words = [f"{name} ({reason})" for name, reason in named]
    if len(named) < len(skipped):
        words.append(f"and {len(skipped) - len(named):,} more")
    of = f"of {opened.source['files']:,} files"
    if reading.limit is not None:  # not all files were looked at
        of = "file" if len(skipped) == 1 else "files"
    remark(f"skipped {len(skipped):,} {of}: {', '.join(words)}")
