"""SAMPLES of ``specjax evaluate``: a run that draws them along schedules, or samples in files."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from specjax import data as datasets
from specjax._core import checks
from specjax._core.checks import UserError
from specjax.cli.console import progress, status
from specjax.cli.sample import Along, Drawing, noise_facts, step_of
from specjax.cli.schedules import SPECTRAL, Found, is_plan, levels_of
from specjax.schedules.families import SCHEDULES

if TYPE_CHECKING:
    from specjax.evaluate import Evaluation, Reference
    from specjax.nn.run import Run

MakeReference = Callable[[int | None], "Reference"]


@dataclass(frozen=True, kw_only=True)
class Schedules:
    """How a run draws samples (samples in files take none of these)."""

    schedule: tuple[str, ...] = ()
    """one or several: schedule files, plan files, lists of sigmas, names of families, or spectral
    (the default); a row each"""
    steps: tuple[int, ...] = ()
    """one or several S, for families and spectral (by default 50)"""
    sampler: str | None = None
    """ddim, ddpm, euler_ancestral, heun, dpmpp_2m, dpmpp_2m_sde or lms; by default that of a
    schedule file, else ddim; beside plans, of the other schedules"""
    sampler_options: tuple[str, ...] = ()
    """the sampler's own options, such as eta=0.5"""
    process: str | None = None
    """vp or ve; by default that of a schedule file, else vp"""
    seeds: int = 3
    """sets of n samples for each schedule, of which the error bars are"""
    labels: tuple[int, ...] = ()
    """classes, in turn, for a run that knows them; by default all"""
    batch: int | None = None
    """samples in one call of the network; by default what fits the memory"""
    devices: int | None = None
    """how many devices are used, by default all (a CPU is cut into that many)"""
    step: str = "best"
    """which checkpoint: best, last, or the number of its step"""

    def check(self, samples: str) -> None:
        """Refuse what can be refused before anything is read."""
        if not is_run(samples):
            for one in fields(self):
                if getattr(self, one.name) != one.default:
                    raise UserError(
                        f"--{one.name.replace('_', '-')} is for the folder of a run, which "
                        f"{samples} is not: leave it out"
                    )
            return
        checks.whole_number("seeds", self.seeds)
        step_of(self.step)
        self.drawing(1).check()
        for along in self.alongs:
            along.check()

    @property
    def alongs(self) -> list[Along]:
        """Every schedule with every number of steps that it can have, once."""
        texts = self.schedule or (SPECTRAL,)
        own: dict[str, Any] = {"sampler": self.sampler, "sampler_options": self.sampler_options}
        any_steps = {text for text in texts if text in (SPECTRAL, *SCHEDULES)}
        plans = {text for text in texts if is_plan(text)}
        found = (
            Along(
                schedule=text, steps=steps, process=self.process,
                **({} if text in plans and plans < set(texts) else own),
            )
            for text in texts
            for steps in (self.steps if text in any_steps or not any_steps else ()) or (None,)
        )  # fmt: skip
        return list(dict.fromkeys(found))  # rows are told apart by their names

    def drawing(self, n: int) -> Drawing:
        """How n samples are drawn."""
        return Drawing(n=n, labels=self.labels, batch=self.batch, devices=self.devices)


class Source(Protocol):
    """What is evaluated."""

    @property
    def spatial(self) -> int | None:
        """How many axes of a sample are sides, if that is known."""

    @property
    def facts(self) -> list[dict[str, Any]]:
        """What made the samples of each row."""

    def check(self, data: datasets.Dataset, name: str) -> None:
        """Refuse data of another shape or in other units."""

    def evaluated(self, reference_of: MakeReference, n: int | None) -> list[Evaluation]:
        """The rows."""


def is_run(path: str) -> bool:
    """Whether there is a run folder of that name."""
    return (Path(path) / "run.json").is_file()


def open_source(path: str, schedules: Schedules, n: int | None = None) -> Source:
    """The run, or the samples in a file or folder, of which n are compared."""
    if not is_run(path):
        return FileSource.open(path, n)
    if schedules.devices is not None:
        from specjax._core import distributed

        distributed.use_all_cores(schedules.devices)
    from specjax.nn.run import open_run

    with status(f"opening {path}"):
        run = open_run(path, step_of(schedules.step))
    schedules.drawing(1).of_run(run, path)
    found = [along.found(run, path) for along in schedules.alongs]
    return RunSource(path, run, schedules, found)


@dataclass(frozen=True, eq=False)
class RunSource:
    """A run and its schedules."""

    path: str
    run: Run
    schedules: Schedules
    found: list[Found]

    @property
    def spatial(self) -> int | None:
        """How many axes of a sample are sides, if the training was told."""
        return self.run.config.model.spatial

    @property
    def facts(self) -> list[dict[str, Any]]:
        """What made the samples of each row."""
        known = {
            "run": self.path, "step": int(self.run.step), "data": dict(self.run.source),
            "noise": noise_facts(self.run.noise),
        }  # fmt: skip
        pairs = zip(self.schedules.alongs, self.found, strict=True)
        return [{**known, **along.facts(found)} for along, found in pairs]

    def check(self, data: datasets.Dataset, name: str) -> None:
        """Refuse data of another shape or in other units."""
        _check_same(self.path, tuple(self.run.shape), self.run.source, data, name)

    def evaluated(self, reference_of: MakeReference, n: int | None) -> list[Evaluation]:
        """A row for each schedule."""
        from specjax.evaluate import evaluate_schedules

        mesh = self.schedules.drawing(1).mesh()
        self.schedules.drawing(1).check_batch(mesh.size if mesh else 1)
        reference = reference_of(n)
        plans = {
            f"{along.schedule} ({levels_of(found).steps} steps)": along.planned(found)
            for along, found in zip(self.schedules.alongs, self.found, strict=True)
        }
        with progress("sampling and measuring", "samples", long=True) as update:
            return evaluate_schedules(
                plans, self.run.denoiser(), reference, seeds=self.schedules.seeds,
                labels=self.schedules.drawing(reference.n).of_run(self.run, self.path),
                batch=self.schedules.batch, mesh=mesh, noise=self.run.noise, progress=update,
            )  # fmt: skip


@dataclass(frozen=True, eq=False)
class FileSource:
    """Samples that are there, with what is known about them."""

    path: str
    samples: np.ndarray
    source: Mapping[str, Any]
    header: Mapping[str, Any] = field(default_factory=dict)
    spatial: int | None = None

    @classmethod
    def open(cls, path: str, n: int | None = None) -> FileSource:
        """A file by 'specjax sample', or whatever data can be; a random part of very many.

        Raises:
          UserError: for what :func:`specjax.data.open` refuses, and NaN.
        """
        from specjax.evaluate.subsample import subsample_dataset

        header = _header(path)
        with status(f"opening {path}"):
            opened = datasets.open(path, key="samples") if header else datasets.open(path)
            try:
                samples = subsample_dataset(opened, n)
            except UserError as error:
                raise UserError(f"{path}: {error}") from error
        known = header.get("data", {}) if header else {}
        if not header and opened.data_range is not None:
            known = dict(opened.source)
        return cls(path, samples, known, header or {})

    @property
    def facts(self) -> list[dict[str, Any]]:
        """What made the samples of each row."""
        return [{"file": self.path, "samples": len(self.samples), **self.header}]

    def check(self, data: datasets.Dataset, name: str) -> None:
        """Refuse data of another shape or in other units."""
        _check_same(self.path, self.samples.shape[1:], self.source, data, name)

    def evaluated(self, reference_of: MakeReference, n: int | None) -> list[Evaluation]:
        """One row."""
        from specjax.evaluate.evaluation import evaluate_sets, split_into_sets
        from specjax.evaluate.reference import MAX_N

        reference = reference_of(min(len(self.samples), n or MAX_N))
        sets = split_into_sets(self.samples, reference.n, reference.seed)
        with progress("measuring", "comparisons") as update:
            return [evaluate_sets(reference, self.path, sets.__getitem__, len(sets), update)]


def _header(path: str) -> dict[str, Any] | None:
    """What made the samples of a file by 'specjax sample'; None for other files."""
    try:
        with zipfile.ZipFile(path) as archive:
            if {"samples.npy", "header.npy"} > set(archive.namelist()):
                return None
            text = np.load(io.BytesIO(archive.read("header.npy")), allow_pickle=False).tobytes()
        found = json.loads(text)
        return found if found.get("format") == "specjax.samples" else None
    except (OSError, ValueError, KeyError, AttributeError, zipfile.BadZipFile):
        return None


def _check_same(
    path: str, shape: tuple[int, ...], source: Mapping[str, Any], data: datasets.Dataset, name: str
) -> None:
    other = tuple(data.source["shape"])
    if shape != other:
        raise UserError(
            f"{path} has samples of shape {shape}, {name} of shape {other}: give data of the same "
            "shape (--against), or read them so (--size, --colour, --window)"
        )
    if "data_range" not in source:
        return
    _check_range(path, source, data, name)
    mapped, own = source["data_range"] is not None, data.data_range is not None
    if mapped != own:
        words = {True: "in [-1, 1]", False: "in the units of their own"}
        remedy = "read them with --data-range" if mapped else "read them without --data-range"
        raise UserError(f"{path} has samples {words[mapped]}, {name} {words[own]}: {remedy}")


def _check_range(path: str, source: Mapping[str, Any], data: datasets.Dataset, name: str) -> None:
    """Refuse one set in two ranges; files of one name and two dtypes are two sets."""
    one = all(source.get(key) in (None, data.source.get(key)) for key in ("name", "dtype"))
    first, second = source["data_range"], data.data_range
    if not one or "name" not in source or first is None or second is None:
        return
    if tuple(first) != tuple(second):
        low, high = first
        raise UserError(
            f"{path} is of {source['name']} with data_range = ({low:g}, {high:g}), {name} is read "
            f"with ({second[0]:g}, {second[1]:g}): give --data-range {low:g} {high:g}"
        )
