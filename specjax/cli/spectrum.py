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
from specjax.cli.outputs import Writing

if TYPE_CHECKING:
    from specjax.data import Dataset
    from specjax.spectra.spectrum import Spectrum


@dataclass(frozen=True, kw_only=True)
class SpectrumCommand(Writing):
    """The spectrum of data: a table, and a file that the other commands take in place of data."""

    data: GivenData = field(default_factory=Data)
    out: Annotated[str | None, tyro.conf.arg(aliases=["-o"])] = None
    """the spectrum file to write (.npz); by default spectrum.npz, and none if DATA is one"""
    plot: str | None = None
    """the picture to write (.png, .pdf, .svg); by default none"""
    bootstrap: int | None = None
    """give the eigenvalues 95 % intervals, by that many bootstrap samples (such as 200)"""
    json: bool = False
    """print JSON instead of tables"""

    def run(self) -> None:
        """Estimate the spectrum and its intervals; write the files; print the tables."""
        from specjax.data import Dataset
        from specjax.report import spectrum as report
        from specjax.report.figures import save_figure, spectrum_figure

        checks.seed(self.data.seed)
        out, picture = self._output(), self.plot
        opened = self.data.open()
        if self.bootstrap is not None:
            self._check_bootstrap(opened)
        spectrum = self.data.spectrum(opened)
        if self.bootstrap is not None and isinstance(opened, Dataset):
            spectrum = _with_intervals(opened, spectrum, self.bootstrap, self.data.seed)
        with status("writing"):
            if out is not None:
                files.save(out, spectrum)
            if picture is not None:
                save_figure(spectrum_figure(spectrum), picture)
        written = [str(path) for path in (out, picture) if path is not None]
        if self.json:
            print_json({**report.spectrum_json(spectrum), "files": written})
        else:
            report.print_spectrum(spectrum, written)

    def _check_bootstrap(self, opened: Spectrum | Dataset) -> None:
        """Refuse what has no intervals before all data are read."""
        from specjax.spectra.spectrum import Spectrum

        checks.whole_number("bootstrap", self.bootstrap, 2)
        if isinstance(opened, Spectrum) or self.data.estimating.method == "low-rank":
            raise UserError(
                f"bootstrap = {self.bootstrap} needs samples and their eigenbasis: give the data, "
                "and --method exact or shift-invariant"
            )

    def _output(self) -> Path | None:
        """Return where the spectrum goes, None for nowhere; refuse what cannot be written."""
        from specjax.report.figures.save import check_path

        out = self.out
        if out is None and not files.is_spectrum(self.data.data):  # which is only shown
            out = "spectrum.npz"
        written = None if out is None else files.check_output(out, ".npz")
        self.check_outputs({"out": written, "plot": self.plot})
        if self.plot is not None:
            check_path(self.plot)
        return written


def _with_intervals(opened: Dataset, spectrum: Spectrum, replicates: int, seed: int) -> Spectrum:
    from specjax.spectra.bootstrap import bootstrap

    with progress("bootstrap", "samples", long=True) as update:
        intervals = bootstrap(
            opened.samples, spectrum, replicates=replicates, seed=seed,
            data_range=opened.data_range, progress=update,
        )  # fmt: skip
    return replace(spectrum, intervals=intervals)
