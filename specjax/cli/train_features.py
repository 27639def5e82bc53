"""``specjax train-features``: a classifier of a labelled set, on whose features samples compare."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import tyro

from specjax import data as datasets
from specjax._core import checks
from specjax.cli.console import print_json, progress, status
from specjax.cli.data import Reading, skipped
from specjax.evaluate.classifier_training import TrainOptions

if TYPE_CHECKING:
    from specjax.evaluate.classifier_features import ClassifierFeatures


@dataclass(frozen=True, kw_only=True)
class TrainFeatures:
    """Train a classifier of a labelled set, for Fréchet distances on its features."""

    data: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="DATA")]] = tyro.MISSING
    """digits, tfds:NAME[/CONFIG][:SPLIT], .npz file with labels, or folder of images or of sound
    with a subfolder for each class"""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "features.npz"
    """the file to write (.npz), or a folder for it"""
    reading: Reading = field(default_factory=Reading)
    training: TrainOptions = field(default_factory=TrainOptions)
    cache: str | None = None
    """a .npy file for samples that exceed the memory"""
    json: bool = False
    """print JSON instead of a line"""

    def run(self) -> None:
        """Data; training; then the file."""
        from specjax.evaluate import classifier_features, classifier_training

        seed = checks.whole_number("seed", self.reading.seed, 0)
        classifier_features.features_path(self.out)
        with status(f"opening {self.data}"):
            opened = datasets.open(self.data, self.reading)
        classifier_training.check_labelled(opened)
        self.training.check(tuple(opened.source["shape"]))
        with progress("reading", "samples", long=True) as update:
            collected = datasets.collect(opened, cache=self.cache, progress=update)
        if opened.skipped:
            print(f"specjax: {skipped(opened, self.reading.limit)}", file=sys.stderr)
        with progress("training", "steps", long=True) as update:
            trained = classifier_training.train_features(
                opened, collected, self.training, seed=seed, progress=update
            )
        self._print(trained, str(classifier_features.save_features(self.out, trained)))

    def _print(self, trained: ClassifierFeatures, written: str) -> None:
        source = trained.source
        if self.json:
            print_json({"features": written, "distance": trained.distance_name, **source})
            return
        print(
            f"{source['accuracy']:.2%} of {source['held_out']:,} held-out samples are classified "
            f"rightly ({len(trained.classes)} classes, learned from {source['learned_from']:,})"
        )
        print(f"{written}: gives the {trained.distance_name}")
