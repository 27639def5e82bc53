"""``specjax probe``: what a trained network does to each eigenvalue, beside the ideal denoiser."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro

from specjax import data as datasets
from specjax import files
from specjax._core import checks
from specjax._core.checks import UserError
from specjax.cli.console import print_json, progress, remark, status
from specjax.cli.data import Reading, remark_on_skipped
from specjax.cli.outputs import Writing
from specjax.cli.python_denoiser import PythonDenoiser, with_spectrum_of
from specjax.cli.runs import data_of_run, open_run

if TYPE_CHECKING:
    from specjax.gaussian.probe import Probe
    from specjax.nn.run import Run

_MOST_CLASSES = 5  # classes that an error names


@dataclass(frozen=True, kw_only=True)
class ProbeCommand(Writing):
    """Measure a trained network on each eigenvalue: a table, a file for 'fit --denoiser'."""

    run_folder: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN")]] = tyro.MISSING
    """a run folder by 'specjax train', or a denoiser in Python: FILE.py:NAME or MODULE:NAME"""
    data: str | None = None
    """the data to probe with, as DATA of 'fit' (best data that the network has not seen); by
    default the built-in set that it was trained on"""
    reading: Reading = field(default_factory=Reading)
    checkpoint: str = "best"
    """which checkpoint: best (the least validation loss), last, or its number"""
    shape: tuple[int, ...] = ()
    """of one sample of a denoiser in Python that does not say it; its spectrum is that of the
    data"""
    n: int = 512
    """samples drawn from the data, each used twice at each level"""
    levels: int = 33
    """how many noise levels, evenly in logsnr"""
    logsnr_range: tuple[float, float] = (-12.0, 12.0)
    """the noisy and the clean end of the levels"""
    batch: int | None = None
    """samples in one call of the network; by default what fits the memory"""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "probe.npz"
    """the file to write (.npz)"""
    plot: str | None = None
    """the picture to write (.png, .pdf, .svg); by default none"""
    json: bool = False
    """print JSON instead of tables"""

    def run(self) -> None:
        """Probe the network of a run on data; write the file and the picture; print the tables."""
        from specjax.gaussian.probe import check_options
        from specjax.report import probe as report
        from specjax.report.figures import probe_figure, save_figure
        from specjax.report.figures.save import check_path

        levels = np.linspace(*self.logsnr_range, checks.whole_number("levels", self.levels))
        check_options(levels, self.n, self.reading.seed, self.batch)
        files.check_output(self.out, ".npz")
        self.check_outputs({"out": self.out, "plot": self.plot})
        if self.plot is not None:
            check_path(self.plot)
        run = open_run(self.run_folder, self.checkpoint, self.shape)
        opened = data_of_run(run, self.run_folder, self.data, self.reading)
        run = with_spectrum_of(run, opened)
        probe = self._probe(run, opened, levels)
        with status("writing"):
            files.save(self.out, probe)
            if self.plot is not None:
                save_figure(probe_figure(probe), self.plot)
        names = [path for path in (self.out, self.plot) if path is not None]
        if self.json:
            print_json({**report.probe_json(probe), "files": names})
        else:
            report.print_probe(probe, names)

    def _probe(
        self, run: Run | PythonDenoiser, opened: datasets.Dataset, levels: np.ndarray
    ) -> Probe:
        """Draw samples and measure the network on them, with progress."""
        from specjax.gaussian.probe import probe

        classes, labels = self._classes(run, opened), None
        with progress("data", "samples", long=True) as update:
            drawn = datasets.drawn(opened, self.n, seed=self.reading.seed, progress=update)
        remark_on_skipped(opened, self.reading)
        if classes is not None and drawn.labels is not None:
            labels = classes[drawn.labels]
        step = None if run.step is None else int(run.step)
        source = {"run": self.run_folder, "step": step, "data": opened.name,
                  "samples": drawn.total, "versions": files.versions()}  # fmt: skip
        if run.classes:
            source["classes"] = "untold" if labels is None else "told"
        with progress("probing", "answers", long=True, first="compiling") as update:
            return probe(
                run.denoiser(), drawn.samples, run.effective, levels=levels, n=self.n,
                batch=self.batch, seed=self.reading.seed, labels=labels, progress=update,
                source=source,
            )  # fmt: skip

    def _classes(self, run: Run | PythonDenoiser, opened: datasets.Dataset) -> np.ndarray | None:
        """Return the network's number of each class of the data; None without classes."""
        if not run.classes:
            return None
        if opened.classes is None:
            remark(
                f"{opened.name} has no labels (see --label): the network is not told the classes"
            )
            return None
        known = list(run.class_names)
        for name in opened.classes:
            if name not in known:
                raise UserError(
                    f"{opened.name} has a class {name!r}, {self.run_folder} learned "
                    f"{', '.join(known[:_MOST_CLASSES])}{', ...' * (len(known) > _MOST_CLASSES)}: "
                    "give data of those, or --label none for a network that is not told the classes"
                )
        return np.array([known.index(name) for name in opened.classes], np.int32)
