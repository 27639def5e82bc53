"""``specjax evaluate``: how far the samples of a run, or of a file, are from data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from specjax import data as datasets
from specjax import files
from specjax._core.checks import UserError
from specjax.cli.console import print_json, progress, remark, status
from specjax.cli.data import Reading, changed, remark_on_skipped
from specjax.cli.evaluate_sources import RunSource, SampleFile, Schedules
from specjax.cli.outputs import Reporting
from specjax.cli.runs import is_run

if TYPE_CHECKING:
    from specjax.evaluate import Evaluation, Features, Reference

EVALUATION_VERSION = 1

_SHOWN = 16  # samples of each row in a report


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """Options of the measures and their accuracy."""

    measures: tuple[str, ...] = ()
    """frechet, spectrum, sliced, energy, mmd, precision_recall (these by default) and
    density_coverage"""
    n: int | None = None
    """samples on either side of a comparison, at most half of the data (the default, up to
    10,000)"""
    splits: int = 5
    """random splits of the data into reference and held-out; the floor's error bar is over them"""
    pca: int | None = None
    """compare vectors by so many principal components of the data; by default all numbers of
    samples of up to 2,048, and 512 components of larger ones"""
    features: str | None = None
    """a folder by 'specjax train-features': Frechet distance and more on those features, too"""
    spatial: int | None = None
    """axes of a sample that are sides, by default as the run was trained: 1 for sound of several
    channels"""
    inception_weights: str | None = None
    """Inception's weights file (pt_inception-2015-12-05-6726825d.pth), for the FID"""

    def load_features(self) -> list[Features]:
        """Load the features that are asked for."""
        loaded: list[Features] = []
        if self.features is not None:
            from specjax.evaluate.classifier_features import open_features

            loaded.append(open_features(self.features))
        if self.inception_weights is not None:
            from specjax.evaluate.inception import open_inception

            loaded.append(open_inception(self.inception_weights))
        return loaded


@dataclass(frozen=True, kw_only=True)
class EvaluateCommand(Reporting):
    """How far samples are from data: distances with error bars, beside real against real."""

    samples: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="SAMPLES")]] = tyro.MISSING
    """a run folder by 'specjax train', a denoiser in Python (FILE.py:NAME or MODULE:NAME), or
    samples: .npz by 'specjax sample', .npy, a folder"""
    against: str = tyro.MISSING
    """the data: built-in set (digits, patches), tfds:NAME[/CONFIG][:SPLIT], .npy/.npz file of
    samples [N, ...], or folder of images or of sound"""
    schedules: Schedules = field(default_factory=Schedules)
    measuring: Measuring = field(default_factory=Measuring)
    reading: Reading = field(default_factory=Reading)
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "evaluation.json"
    """the file of all numbers to write"""
    plot: str | None = None
    """a picture of the power per band to write (.png, .pdf, .svg)"""
    json: bool = False
    """print JSON instead of a table"""

    def run(self) -> None:
        """Open samples and data; measure the floor and the rows; write the files; print."""
        measures = self._check()
        source = self._source()
        opened = self.reading.open(self.against)
        with status("opening the features"):
            features = self.measuring.load_features()
        source.check(opened, self.against)
        reference, real = self._reference(opened, measures, features, source)
        rows = source.rows(reference)
        self._remark(rows)
        document = {
            "samples": self.samples,
            "against": self.against,
            "data": dict(opened.source),
            "features": [
                {"name": one.name, "source": getattr(one, "source", {})} for one in features
            ],
            "measures": list(measures),
            "rows": [
                {**row.as_json(), "made_by": facts}
                for row, facts in zip(rows, source.facts, strict=True)
            ],
        }
        written = self._write(rows, document)
        if self.html is not None:
            with status("drawing"):
                written += self._report(rows, source, real)
        if self.json:
            print_json({**files.plain(document), "files": written})
        else:
            from specjax.report.evaluate import print_evaluations

            print_evaluations(rows, self.against, written)

    def _check(self) -> tuple[str, ...]:
        """Return the measures, once the outputs are known to be writable."""
        from specjax.evaluate.measures import DEFAULT, check_measures

        measures = check_measures(self.measuring.measures or DEFAULT)
        files.check_output(self.out, ".json")
        if self.plot is not None:
            from specjax.report.figures.save import check_path

            check_path(self.plot)
            if "spectrum" not in measures:
                raise UserError("plot draws the spectrum: name it among the measures")
        self.check_outputs({"out": self.out, "plot": self.plot, "html": self.html})
        return measures

    def _source(self) -> RunSource | SampleFile:
        if is_run(self.samples):
            return RunSource.open(self.samples, self.schedules)
        for option in changed(self.schedules):
            raise UserError(
                f"{option} is for the folder of a run, which {self.samples} is not: leave it out"
            )
        return SampleFile.open(self.samples, self.measuring.n)

    def _reference(
        self,
        opened: datasets.Dataset,
        measures: Sequence[str],
        features: Sequence[Features],
        source: RunSource | SampleFile,
    ) -> tuple[Reference, np.ndarray]:
        """Read the data, or a random part of very many; return their floor, and a few of them."""
        from specjax.evaluate import Reference
        from specjax.evaluate.reference import check_options
        from specjax.evaluate.subsample import subsample_dataset

        asked = self.measuring
        options: dict[str, Any] = {
            "n": source.most(asked.n), "measures": measures, "features": features,
            "pca": asked.pca, "splits": asked.splits, "seed": self.reading.seed,
            "spatial": asked.spatial or source.spatial,
        }  # fmt: skip
        check_options(tuple(opened.source["shape"]), **options)
        with progress(f"reading {self.against}", "samples", long=True) as update:
            real = subsample_dataset(opened, asked.n, seed=self.reading.seed, progress=update)
        remark_on_skipped(opened, self.reading)
        with progress("real against real", "steps", long=True) as update:
            return Reference.of(real, **options, progress=update), real[:_SHOWN]

    def _remark(self, rows: Sequence[Evaluation]) -> None:
        asked, n = self.measuring.n, rows[0].n
        if asked is not None and n < asked:
            remark(
                f"n = {n:,} instead of {asked:,}: the data are split in two, and a set of samples "
                "has no more"
            )
        for row in rows:
            if not all(np.isfinite(one.value) for one in row.values.values()):
                remark(f"{row.name} gives samples that are not finite")

    def _write(self, rows: Sequence[Evaluation], document: dict[str, Any]) -> list[str]:
        written = [self.out]
        with status("writing"):
            drawable = any(row.bands and np.isfinite(row.bands.decibel).all() for row in rows)
            if self.plot is not None and drawable:
                from specjax.report.figures import bands_figure, save_figure

                save_figure(bands_figure(rows, data=self.against), self.plot)
                written.append(self.plot)
            files.write(self.out, "evaluation", EVALUATION_VERSION, document, {}, container="json")
        return written

    def _report(
        self, rows: Sequence[Evaluation], source: RunSource | SampleFile, real: np.ndarray
    ) -> list[str]:
        """Write the report, with samples of the first rows beside data."""
        from specjax.report.evaluate import evaluation_blocks
        from specjax.report.figures import bands_figure, samples_figure
        from specjax.report.figures.samples import MOST_SETS, as_pictures
        from specjax.report.use import code_of_evaluation

        samples = {f"real: {self.against}": real, **source.drawn(rows[: MOST_SETS - 1], _SHOWN)}
        pictures = {name: as_pictures(x) for name, x in samples.items()}
        known = {name: x for name, x in pictures.items() if x is not None and np.isfinite(x).all()}
        figures = [samples_figure(known)] if known else []
        if any(row.bands and np.isfinite(row.bands.decibel).all() for row in rows):
            figures.append(bands_figure(rows, data=self.against))
        return self.write_html(
            f"{self.samples} against {self.against}", evaluation_blocks(rows, self.against),
            figures, code_of_evaluation(self.out, list(rows[0].values)),
        )  # fmt: skip
