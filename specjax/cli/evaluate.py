"""``specjax evaluate``: how far the samples of a run, or of a file, are from data."""

from __future__ import annotations

import datetime
import json as json_module
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from specjax import data as datasets
from specjax import files
from specjax._core import checks
from specjax._core.checks import UserError
from specjax.cli.console import print_json, progress, status
from specjax.cli.data import Reading, skipped
from specjax.cli.evaluate_sources import Schedules, Source, open_source
from specjax.spectra.stationary import spatial_axes

if TYPE_CHECKING:
    from specjax.evaluate import Evaluation, Features, Reference


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """What is measured, and how surely."""

    measures: tuple[str, ...] = ()
    """frechet, spectrum, sliced, energy, mmd, precision_recall (these by default) and
    density_coverage"""
    n: int | None = None
    """samples on either side of a comparison, at most half of the data (the default, up to
    10,000)"""
    splits: int = 5
    """random splits of the data into reference and held-out, of which the floor's error is"""
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

    def check(self) -> None:
        """Refuse what can be refused before anything is read."""
        from specjax.evaluate.measures import check_measures

        check_measures(self.names)
        checks.whole_number("splits", self.splits, 2)
        for name in ("n", "pca", "spatial"):
            if getattr(self, name) is not None:
                checks.whole_number(name, getattr(self, name))

    def check_shape(self, shape: tuple[int, ...], features: Sequence[Features]) -> None:
        """Refuse samples of a shape that the features do not take, or that has too few numbers."""
        for one in features:
            if hasattr(one, "check_shape"):
                one.check_shape(shape)
        if self.spatial is not None:
            spatial_axes(shape, self.spatial)
        d = math.prod(shape)
        if self.pca is not None and self.pca > d:
            raise UserError(
                f"pca = {self.pca} components of samples of {d:,} numbers: give at most {d:,}"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The measures that are asked for."""
        from specjax.evaluate.measures import DEFAULT

        return self.measures or DEFAULT

    def opened(self) -> list[Features]:
        """The features that are asked for."""
        found: list[Features] = []
        if self.features is not None:
            from specjax.evaluate.classifier_features import open_features

            found.append(open_features(self.features))
        if self.inception_weights is not None:
            from specjax.evaluate.inception import open_inception

            found.append(open_inception(self.inception_weights))
        return found

    def reference(
        self,
        real: np.ndarray,
        features: Sequence[Features],
        n: int | None,
        *,
        seed: int,
        spatial: int | None,
    ) -> Reference:
        """The data, with their floor."""
        from specjax.evaluate import Reference

        with progress("real against real", "steps", long=True) as update:
            return Reference.of(
                real, n=n, measures=self.names, features=features, pca=self.pca,
                splits=self.splits, seed=seed, spatial=spatial, progress=update,
            )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EvaluateCommand:
    """How far samples are from data: distances with error bars, beside real against real."""

    samples: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="SAMPLES")]] = tyro.MISSING
    """a run folder by 'specjax train', or samples: .npz by 'specjax sample', .npy, a folder"""
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
        """Samples and data, the floor, the rows; then the files; then the table."""
        self._check()
        source = open_source(self.samples, self.schedules, self.measuring.n)
        with status(f"opening {self.against}"):
            opened = datasets.open(self.against, self.reading)
            features = self.measuring.opened()
        source.check(opened, self.against)
        spatial = self.measuring.spatial or source.spatial
        self.measuring.check_shape(tuple(opened.source["shape"]), features)
        real = self._real(opened)
        rows = source.evaluated(
            lambda n: self.measuring.reference(
                real, features, n, seed=self.reading.seed, spatial=spatial
            ),
            self.measuring.n,
        )
        self._remark(rows)
        about = {
            "data": files.plain(dict(opened.source)),
            "features": [
                {"name": one.name, "source": files.plain(getattr(one, "source", {}))}
                for one in features
            ],
        }
        document = self._document(rows, source, about)
        written = self._write(rows, document)
        if self.json:
            print_json({**document, "files": written})
        else:
            from specjax.report.evaluate import print_evaluations

            print_evaluations(rows, self.against, written)

    def _check(self) -> None:
        """Refuse before the long work what can be refused."""
        checks.whole_number("seed", self.reading.seed, 0)
        self.measuring.check()
        self.schedules.check(self.samples)
        if Path(self.out).suffix.lower() != ".json":
            raise UserError(f"out = {self.out!r}: give the file of numbers a name ending in .json")
        files.check_folder(self.out)
        if files.is_spectrum(self.against):
            raise UserError(f"{self.against} is a spectrum file: give the data (--against)")
        if self.plot is not None:
            from specjax.report.figures.save import check_path

            check_path(self.plot)
            if "spectrum" not in self.measuring.names:
                raise UserError("plot draws the spectrum: name it among the measures")

    def _real(self, opened: datasets.Dataset) -> np.ndarray:
        """The data in memory, or a random part of very many."""
        from specjax.evaluate.subsample import subsample_dataset

        with progress(f"reading {self.against}", "samples", long=True) as update:
            real = subsample_dataset(
                opened, self.measuring.n, seed=self.reading.seed, progress=update
            )
        if opened.skipped:
            print(f"specjax: {skipped(opened, self.reading.limit)}", file=sys.stderr)
        return real

    def _remark(self, rows: Sequence[Evaluation]) -> None:
        asked, found = self.measuring.n, rows[0].n
        if asked is not None and found < asked:
            print(
                f"specjax: n = {found:,} instead of {asked:,}: the data are split in two, and a "
                "set of samples has no more",
                file=sys.stderr,
            )
        for row in rows:
            if not all(np.isfinite(one.value) for one in row.values.values()):
                print(f"specjax: {row.name} gives samples that are not finite", file=sys.stderr)

    def _write(self, rows: Sequence[Evaluation], document: dict[str, Any]) -> list[str]:
        written = []
        with status("writing"):
            if self.plot is not None and self._can_draw(rows):
                from specjax.report.figures import bands_figure, save_figure

                save_figure(bands_figure(rows, data=self.against), self.plot)
                written.append(self.plot)
            text = json_module.dumps(document, indent=1, allow_nan=False) + "\n"
            files.write_atomically(self.out, text.encode())
        return [self.out, *written]

    def _can_draw(self, rows: Sequence[Evaluation]) -> bool:
        return any(row.bands and np.isfinite(row.bands.decibel).all() for row in rows)

    def _document(
        self, rows: Sequence[Evaluation], source: Source, about: dict[str, Any]
    ) -> dict[str, Any]:
        """All numbers, and what they are of."""
        made = zip(rows, source.facts, strict=True)
        return {
            "format": "specjax.evaluation",
            "format_version": 1,
            "samples": self.samples,
            "against": self.against,
            **about,
            "measures": list(self.measuring.names),
            "rows": [{**row.as_json(), "made_by": files.plain(facts)} for row, facts in made],
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "versions": files.versions(),
        }
