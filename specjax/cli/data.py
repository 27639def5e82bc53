"""DATA of a command: what is given, how it is read, how its spectrum is estimated."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from specjax import data as datasets
from specjax import files
from specjax._core import checks
from specjax._core.checks import UserError
from specjax.cli.console import progress, status
from specjax.files.forward_noise import ForwardNoise
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.noise.whitening import check_dense
from specjax.spectra.spectrum import Spectrum

if TYPE_CHECKING:
    from jax.sharding import Mesh

_NAMED = 2
"""Bad files that are named, of more than one above it."""


@dataclass(frozen=True, kw_only=True)
class Reading(datasets.Options):
    """How DATA are read (a spectrum file takes none of these)."""

    # The only option with another meaning here: a command has one seed.
    seed: int = 0
    """of all that is random: starts, bootstrap, where patches are cut"""


@dataclass(frozen=True, kw_only=True)
class Estimating:
    """How the spectrum is estimated (of a spectrum file: floor only)."""

    method: str | None = None
    """exact (the default: the covariance), shift-invariant (by FFT, any size) or low-rank (the
    largest eigenvalues and a power law beyond, any size)"""
    rank: int | None = None
    """low-rank: how many eigenvalues are found"""
    spatial: int | None = None
    """shift-invariant: number of shifted axes"""
    shrinkage: str | None = None
    """weight of the scaled identity in the covariance (0), or ledoit-wolf or oas"""
    floor: float | None = None
    """lift smaller eigenvalues to this variance (kl and relative need them above 0)"""
    on_devices: bool = False
    """exact: sum on all of JAX's devices, such as GPUs, instead of the processor"""

    def check(self) -> None:
        """Refuse what can be refused before the data are read."""
        if self.floor is not None:
            checks.positive("floor", self.floor)
        if self.on_devices and self.method not in (None, "exact"):
            raise UserError(f"on_devices applies to method = 'exact', not to {self.method!r}")

    def options(self) -> dict[str, Any]:
        """As arguments of :meth:`Dataset.spectrum`."""
        shrinkage: float | str = self.shrinkage or 0.0
        with contextlib.suppress(UserError):
            shrinkage = float(shrinkage)
        return {
            "method": self.method or "exact",
            "rank": self.rank,
            "spatial": self.spatial,
            "shrinkage": shrinkage,
            "mesh": _mesh() if self.on_devices else None,
        }


@dataclass(frozen=True, kw_only=True)
class Data:
    """What the spectrum is of."""

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
        """A spectrum file's spectrum, or data of which hardly anything is read yet.

        Raises:
          UserError: for what :func:`specjax.data.open` and :func:`io.load` refuse, and for
            options of reading beside a spectrum file.
        """
        self.estimating.check()
        if not files.is_spectrum(self.data):
            with status(f"opening {self.data}"):
                return datasets.open(self.data, self.reading)
        for option in self._given():
            raise UserError(
                f"{option} does not apply to {self.data}, a spectrum file: leave it out, or give "
                "the data"
            )
        found = files.load(self.data)
        assert isinstance(found, Spectrum)
        return found

    def noise(
        self, opened: Spectrum | datasets.Dataset, choice: ForwardNoise
    ) -> NoiseSpectrum | None:
        """The noise on what was opened, without the data's eigenbasis; None is isotropic.

        For checks: noise that the data's spectrum cannot take is refused before it is estimated.
        """
        if isinstance(opened, Spectrum):
            return choice.on(opened)
        shape, method = tuple(opened.source["shape"]), self.estimating.method or "exact"
        found = choice.spectrum(shape, spatial=self.estimating.spatial)
        if found is not None and method == "low-rank":
            raise UserError(
                f"noise = {choice.noise}: a low-rank spectrum has no basis; give --method exact or "
                "shift-invariant"
            )
        if found is not None and method == "exact" and found.basis != "data":
            check_dense(math.prod(shape))
        return found

    def _given(self) -> Iterator[str]:
        """Options that data need to be read for."""
        for group in (self.reading, self.estimating):
            for one in fields(group):
                if one.name not in ("seed", "floor") and getattr(group, one.name) != one.default:
                    yield "--" + one.name.replace("_", "-")

    def spectrum(self, opened: Spectrum | datasets.Dataset) -> Spectrum:
        """The spectrum of what was opened, with a progress bar; bad files are named."""
        if isinstance(opened, datasets.Dataset):
            opened = self._estimated(opened)
        floor = self.estimating.floor
        return opened if floor is None else opened.floor(floor)

    def _estimated(self, opened: datasets.Dataset) -> Spectrum:
        options = self.estimating.options()
        one_pass = options["method"] != "low-rank"
        with progress("spectrum", "samples", long=one_pass) as update:
            spectrum = opened.spectrum(
                **options, seed=self.seed, progress=lambda done, total: update(done, total)
            )
        if opened.skipped:
            print(f"specjax: {skipped(opened, self.reading.limit)}", file=sys.stderr)
        return spectrum


GivenData = Annotated[Data, tyro.conf.arg(name="")]
"""The field of a command; without a name in the titles of its help."""


def skipped(opened: datasets.Dataset, limit: int | None = None) -> str:
    """Which files of a folder were left out and why, in one line."""
    found = opened.skipped
    named = found if len(found) <= _NAMED + 1 else found[:_NAMED]
    words = [f"{name} ({reason})" for name, reason in named]
    if len(named) < len(found):
        words.append(f"and {len(found) - len(named):,} more")
    of = f"of {opened.source['files']:,} files"
    if limit is not None:  # not all files were looked at
        of = "file" if len(found) == 1 else "files"
    return f"skipped {len(found):,} {of}: {', '.join(words)}"


def _mesh() -> Mesh:
    import jax
    import numpy as np

    return jax.sharding.Mesh(np.array(jax.local_devices()), ("samples",))
