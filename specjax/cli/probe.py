"""``specjax probe``: what a trained network does to each eigenvalue, beside the ideal denoiser."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro

from specjax import data as datasets
from specjax import files
from specjax._core import checks
from specjax._core.checks import UserError
from specjax.cli.console import print_json, progress, status
from specjax.cli.data import Reading, skipped
from specjax.cli.runs import data_of_run
from specjax.cli.sample import step_of

if TYPE_CHECKING:
    from specjax.gaussian.probe import Probe
    from specjax.nn.run import Run

_NAMED = 5
"""Classes that an error names."""


@dataclass(frozen=True, kw_only=True)
class ProbeCommand:
    """What a trained network does to each eigenvalue: a table, a file for 'fit --denoiser'."""

    run_folder: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN")]] = tyro.MISSING
    """a run folder by 'specjax train'"""
    against: str | None = None
    """the data to probe with, as DATA of 'fit' (best data that the network has not seen); by
    default the built-in set that it was trained on"""
    reading: Reading = field(default_factory=Reading)
    step: str = "best"
    """which checkpoint: best (the least validation loss), last, or the number of its step"""
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
    plot: bool = False
    """write a picture beside it, too (.png)"""
    json: bool = False
    """print JSON instead of tables"""

    def run(self) -> None:
        """The run, the data, the measurement; then the files; then the tables."""
        from specjax.report import probe as report_probe

        step = step_of(self.step)
        levels = self._levels()
        out, picture = self._targets()
        found = self._measured(step, levels)
        with status("writing"):
            files.save(out, found)
            if picture is not None:
                _draw(found, picture)
        written = [str(path) for path in (out, picture) if path is not None]
        if self.json:
            print_json({**report_probe.probe_json(found), "files": written})
        else:
            report_probe.print_probe(found, written)

    def _levels(self) -> np.ndarray:
        """The levels, once every number is known to be an allowed one."""
        checks.whole_number("seed", self.reading.seed, 0)
        checks.whole_number("n", self.n, 3)
        checks.whole_number("levels", self.levels, 2)
        if self.batch is not None:
            checks.whole_number("batch", self.batch)
        noisy, clean = self.logsnr_range
        if not -60 <= noisy < clean <= 60:
            raise UserError(
                f"logsnr_range = {self.logsnr_range}: give NOISY CLEAN, rising, within -60 and 60"
            )
        return np.linspace(noisy, clean, self.levels)

    def _targets(self) -> tuple[Path, Path | None]:
        """Where the probe goes, and its picture."""
        out = Path(self.out)
        if out.suffix.lower() != ".npz":
            raise UserError(f"out = {self.out!r}: give the probe file a name that ends in .npz")
        picture = out.with_suffix(".png") if self.plot else None
        for path in filter(None, (out, picture)):
            files.check_folder(path)
        return out, picture

    def _measured(self, step: str | int, levels: np.ndarray) -> Probe:
        from specjax.gaussian.probe import probe
        from specjax.nn.run import open_run

        with status(f"opening {self.run_folder}"):
            run = open_run(self.run_folder, step)
            opened = data_of_run(run, self.run_folder, self.against, self.reading)
        classes = self._classes(run, opened)
        found = self._drawn(opened)
        labels = None
        if classes is not None and found.labels is not None:
            labels = classes[found.labels]
        source = {"run": self.run_folder, "step": int(run.step), "data": opened.name,
                  "samples": found.total, "versions": files.versions()}  # fmt: skip
        if run.classes:
            source["classes"] = "untold" if labels is None else "told"
        with progress("probing", "answers", long=True) as update:
            return probe(
                run.denoiser(), found.samples, run.effective, levels=levels, n=self.n,
                batch=self.batch, seed=self.reading.seed, labels=labels, progress=update,
                source=source,
            )  # fmt: skip

    def _classes(self, run: Run, opened: datasets.Dataset) -> np.ndarray | None:
        """The network's number of each class of the data; None where it is not told any."""
        if not run.classes:
            return None
        if opened.classes is None:
            print(
                f"specjax: {opened.name} has no labels (see --label): the network is not told "
                "the classes",
                file=sys.stderr,
            )
            return None
        known = list(run.class_names)
        for name in opened.classes:
            if name not in known:
                raise UserError(
                    f"{opened.name} has a class {name!r}, {self.run_folder} learned "
                    f"{', '.join(known[:_NAMED])}{', ...' if len(known) > _NAMED else ''}: give "
                    "data of those, or --label none for a network that is not told the classes"
                )
        return np.array([known.index(name) for name in opened.classes], np.int32)

    def _drawn(self, opened: datasets.Dataset) -> datasets.Drawn:
        with progress("data", "samples", long=True) as update:
            found = datasets.drawn(opened, self.n, seed=self.reading.seed, progress=update)
        if opened.skipped:
            print(f"specjax: {skipped(opened, self.reading.limit)}", file=sys.stderr)
        return found


def _draw(found: Probe, path: Path) -> None:
    from specjax.report.figures import probe_figure, save_figure

    save_figure(probe_figure(found), path)
