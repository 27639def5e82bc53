"""SAMPLES of ``specjax evaluate``: a run that draws them along schedules, or samples in files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from specjax import data as datasets
from specjax import files
from specjax._core import checks, distributed
from specjax._core.checks import UserError
from specjax.cli.console import progress, status
from specjax.cli.guidance import remark_on_guidance
from specjax.cli.python_denoiser import PythonDenoiser
from specjax.cli.runs import RunSampling, plan_facts, run_facts
from specjax.cli.schedules import SPECTRAL, any_steps
from specjax.files.samples import SAMPLES_VERSION
from specjax.spectra.estimate import check_same_data

if TYPE_CHECKING:
    from specjax.evaluate import Evaluation, Reference
    from specjax.fitting.learned import LearnedResult
    from specjax.nn.run import Run


@dataclass(frozen=True, kw_only=True)
class Schedules(RunSampling):
    """How a run draws samples (samples in files take none of these)."""

    schedule: tuple[str, ...] = ()
    """one or several: schedule files, plan files, lists of sigmas, names of families, or spectral
    (the default); a row each"""
    steps: tuple[int, ...] = ()
    """one or several S, for families and spectral (by default 50)"""
    seeds: int = 3
    """sets of n samples for each schedule; the error bars are over them"""

    def results(self, run: Run | PythonDenoiser, name: str) -> list[tuple[str, LearnedResult]]:
        """Read or make every schedule with every number of steps that it can have, each once.

        Beside plans, the sampler and its options are for the other schedules.
        """
        texts = self.schedule or (SPECTRAL,)
        flexible = {text for text in texts if text in any_steps()}
        asked = dict.fromkeys(
            (text, steps)
            for text in texts
            for steps in (self.steps if text in flexible or not flexible else ()) or (None,)
        )
        results = [(text, self.schedule_on(run, name, text, steps)) for text, steps in asked]
        plans = {text for text, result in results if result.corrections is not None}
        process_only = RunSampling(process=self.process)
        mixed = plans < set(texts)
        return [
            (text, (process_only if mixed and text in plans else self).applied(result, text))
            for text, result in results
        ]


@dataclass(frozen=True, eq=False)
class RunSource:
    """A run and its schedules, in order, with what they were asked for by."""

    path: str
    run: Run | PythonDenoiser
    schedules: Schedules
    results: list[tuple[str, LearnedResult]]

    @classmethod
    def open(cls, path: str, schedules: Schedules) -> RunSource:
        """Open a run, and refuse schedules and numbers before the data are read."""
        from specjax.sampling.generate import batch_size

        checks.whole_number("seeds", schedules.seeds)
        run, mesh = schedules.open(path), distributed.local_mesh(schedules.devices)
        batch_size(1, run.shape, 1, schedules.batch, mesh.size, mesh.devices.flat[0])
        results = schedules.results(run, path)
        plans = [one for _, one in results]
        run = schedules.guided(run, plans)
        remark_on_guidance(plans, run, schedules.labels_for(run, max(run.classes, 1)))
        return cls(path, run, schedules, results)

    @property
    def spatial(self) -> int | None:
        """How many axes of a sample are sides, if the training says so."""
        return None if isinstance(self.run, PythonDenoiser) else self.run.config.model.spatial

    @property
    def facts(self) -> list[dict[str, Any]]:
        """The facts of how the samples of each row were made."""
        known = run_facts(self.run, self.path)
        return [{**known, **plan_facts(result, text)} for text, result in self.results]

    def drawn(self, rows: Sequence[Evaluation], n: int) -> dict[str, np.ndarray]:
        """Draw a few samples of some rows, all from the same noises."""
        from specjax.sampling.generate import generate

        plans = dict(zip((row.name for row in rows), self.results, strict=False))
        return {
            name: generate(
                result.plan, self.run.denoiser(), n, self.run.shape, noise=self.run.noise,
                labels=self.schedules.labels_for(self.run, n),
            )
            for name, (_, result) in plans.items()
        }  # fmt: skip

    def most(self, n: int | None) -> int | None:
        """Return how many samples can be compared: as many as are asked for."""
        return n

    def check(self, data: datasets.Dataset, name: str) -> None:
        """Refuse data of another shape or in other units."""
        check_same_data(self.run.source, self.run.shape, data.source, first=self.path, second=name)

    def rows(self, reference: Reference) -> list[Evaluation]:
        """Draw samples along every schedule and evaluate them, a row each."""
        from specjax.evaluate import evaluate_schedules

        plans = {f"{text} ({one.steps} steps)": one.plan for text, one in self.results}
        with progress("sampling and measuring", "samples", long=True, first="compiling") as update:
            return evaluate_schedules(
                plans, self.run.denoiser(), reference, seeds=self.schedules.seeds,
                labels=self.schedules.labels_for(self.run, reference.n),
                batch=self.schedules.batch, mesh=self.schedules.mesh(), noise=self.run.noise,
                progress=update,
            )  # fmt: skip


@dataclass(frozen=True, eq=False)
class SampleFile:
    """Samples in a file or folder, with what is known about them."""

    path: str
    samples: np.ndarray
    source: Mapping[str, Any]
    header: Mapping[str, Any] = field(default_factory=dict)
    spatial: int | None = None

    @classmethod
    def open(cls, path: str, n: int | None = None) -> SampleFile:
        """Read a file by 'specjax sample', or whatever data can be; a random part of very many.

        Raises:
          UserError: for what :func:`specjax.data.open` refuses, and NaN.
        """
        from specjax.evaluate.subsample import subsample_dataset

        header: dict[str, Any] = {}
        with status(f"opening {path}"):
            if files.kind_of(path) == "samples":
                document = files.read(path, {"samples": SAMPLES_VERSION})
                header, given = document.header, datasets.open(document.arrays["samples"])
                source = header.get("data", {})
            else:
                given = datasets.open(path)
                source = {} if given.data_range is None else dict(given.source)
            try:
                samples = subsample_dataset(given, n)
            except UserError as error:
                raise UserError(f"{path}: {error}") from error
        return cls(path, samples, source, header)

    @property
    def facts(self) -> list[dict[str, Any]]:
        """The facts of how the samples of the row were made."""
        return [{"file": self.path, "samples": len(self.samples), **self.header}]

    def drawn(self, rows: Sequence[Evaluation], n: int) -> dict[str, np.ndarray]:
        """Return a few of the samples."""
        return {row.name: self.samples[:n] for row in rows}

    def most(self, n: int | None) -> int | None:
        """Return how many samples can be compared."""
        from specjax.evaluate.reference import MAX_N

        return min(len(self.samples), MAX_N if n is None else n)

    def check(self, data: datasets.Dataset, name: str) -> None:
        """Refuse data of another shape or in other units."""
        shape = self.samples.shape[1:]
        check_same_data(self.source, shape, data.source, first=self.path, second=name)

    def rows(self, reference: Reference) -> list[Evaluation]:
        """Evaluate the samples, cut into sets if they are many: one row."""
        from specjax.evaluate.evaluation import evaluate_sets, split_into_sets

        sets = split_into_sets(self.samples, reference.n, reference.seed)
        with progress("measuring", "comparisons") as update:
            return [evaluate_sets(reference, self.path, sets.__getitem__, len(sets), update)]
