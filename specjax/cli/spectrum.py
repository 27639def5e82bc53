"""``specjax spectrum``: the spectrum of data as a table, a file that ``fit`` takes, a picture."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from specjax import files
from specjax._core import checks
from specjax._core.checks import UserError
from specjax.cli.console import print_json, progress, status
from specjax.cli.data import Data, GivenData
from specjax.data import Dataset

if TYPE_CHECKING:
    from specjax.spectra.spectrum import Spectrum


@dataclass(frozen=True, kw_only=True)
class SpectrumCommand:
    """The spectrum of data: a table, and a file that the other commands take in place of data."""

    data: GivenData = field(default_factory=Data)
    out: Annotated[str | None, tyro.conf.arg(aliases=["-o"])] = None
    """the spectrum file to write (.npz); by default spectrum.npz, and none if DATA is one"""
    plot: bool = False
    """write a picture beside it, too (.png)"""
    bootstrap: int | None = None
    """give the eigenvalues 95 % intervals, by that many bootstrap samples (such as 200)"""
    json: bool = False
    """print JSON instead of tables"""

    def run(self) -> None:
        """Spectrum, intervals; then the files; then the tables."""
        from specjax.report import spectrum as report_spectrum

        checks.whole_number("seed", self.data.seed, 0)
        if self.bootstrap is not None:
            self._check_bootstrap()
        out, picture = self._targets()
        for path in filter(None, (out, picture)):
            files.check_folder(path)
        opened = self.data.open()
        spectrum = self.data.spectrum(opened)
        if self.bootstrap is not None and isinstance(opened, Dataset):
            spectrum = _with_intervals(opened, spectrum, self.bootstrap, self.data.seed)
        with status("writing"):
            if out is not None:
                files.save(out, spectrum)
            if picture is not None:
                _draw(spectrum, picture)
        written = [str(path) for path in (out, picture) if path is not None]
        if self.json:
            print_json({**report_spectrum.spectrum_json(spectrum), "files": written})
        else:
            report_spectrum.print_spectrum(spectrum, written)

    def _check_bootstrap(self) -> None:
        """Refuse before the data are read what has no intervals."""
        checks.whole_number("bootstrap", self.bootstrap, 2)
        if files.is_spectrum(self.data.data):
            raise UserError(
                f"--bootstrap needs the samples, which {self.data.data}, a spectrum file, does "
                "not have: give the data"
            )
        if self.data.estimating.method == "low-rank":
            raise UserError("--bootstrap does not apply to method = 'low-rank': leave it out")

    def _targets(self) -> tuple[Path | None, Path | None]:
        """Where the spectrum goes, and its picture; None for what is not written."""
        data, is_file = Path(self.data.data), files.is_spectrum(self.data.data)
        out = Path(self.out or "spectrum.npz")
        if out.suffix.lower() != ".npz":
            raise UserError(f"out = {self.out!r}: give the spectrum file a name that ends in .npz")
        if not is_file:
            files.check_apart(data=data, out=out)
        shown_only = is_file and self.out is None
        picture = (data if shown_only else out).with_suffix(".png")
        return None if shown_only else out, picture if self.plot else None


def _with_intervals(opened: Dataset, spectrum: Spectrum, replicates: int, seed: int) -> Spectrum:
    from specjax.spectra.bootstrap import bootstrap

    with progress("bootstrap", "samples", long=True) as update:
        intervals = bootstrap(
            opened.samples, spectrum, replicates=replicates, seed=seed,
            data_range=opened.data_range, progress=lambda done, total: update(done, total),
        )  # fmt: skip
    return replace(spectrum, intervals=intervals)


def _draw(spectrum: Spectrum, path: Path) -> None:
    from specjax.report.figures import save_figure, spectrum_figure

    save_figure(spectrum_figure(spectrum), path)
