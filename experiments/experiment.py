"""What experiments there are: each says so in its own ``about.py``."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
NOT_YET = "not yet run"


@dataclass(frozen=True)
class Part:
    """A piece of an experiment that can be run alone.

    Attributes:
      title: what it is, in a few words.
      results: files below the experiment's results that are there once it has been run.
      minutes: that it takes on 2 CPU cores (with ``gpu`` on one GPU); None where nobody knows yet.
      args: of the experiment's ``run``. gpu: whether it needs one.
    """

    title: str
    results: tuple[str, ...]
    minutes: float | None
    args: tuple[str, ...] = ()
    gpu: bool = False

    @property
    def needs(self) -> str:
        """Machine and time, in words."""
        time = "? min" if self.minutes is None else f"{self.minutes:g} min"
        return f"{'GPU' if self.gpu else 'CPU'}, {time}"

    def state(self, results: Path) -> str:
        """Whether its results are there."""
        there = sum(_whole(results / name) for name in self.results)
        if there == len(self.results):
            return "results are there"
        return f"{there} of {len(self.results)} results" if there else NOT_YET


def _whole(path: Path) -> bool:
    """Whether a result is there, and nothing of it is missing."""
    return path.exists() and json.loads(path.read_text()).get("complete", True)


@dataclass(frozen=True)
class About:
    """The facts of an experiment: the claim or question in a line, and its parts."""

    question: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Experiment:
    """A folder of ``experiments`` and what its ``about.py`` says."""

    name: str
    about: About

    @property
    def results(self) -> Path:
        """Where its committed results are."""
        return HERE / self.name / "results"

    def module(self, name: str) -> str:
        """The name of one of its modules, for ``python -m``."""
        return f"experiments.{self.name}.{name}"

    def command(self, part: Part) -> str:
        """What runs a part."""
        return " ".join(["python -m experiments run", self.name, *part.args])


def experiments() -> dict[str, Experiment]:
    """All of them by name."""
    names = sorted(path.parent.name for path in HERE.glob("*/about.py"))
    return {
        name: Experiment(name, importlib.import_module(f"experiments.{name}.about").ABOUT)
        for name in names
    }


def experiment(name: str) -> Experiment:
    """One of them.

    Raises:
      ValueError: for a name that is none of them.
    """
    found = experiments()
    if name not in found:
        raise ValueError(f"{name!r} is no experiment: there are {', '.join(found)}")
    return found[name]


def fitting(minutes: float, gpu: bool, root: Path | None = None) -> list[tuple[Experiment, Part]]:
    """Parts that have not been run and fit the time together, the shortest first.

    Args:
      minutes: for all of them. gpu: whether there is one; without it only what needs none.
      root: where results are looked for, in a folder for each experiment; the committed ones.
    """
    waiting = [
        (one, part)
        for one in experiments().values()
        for part in one.about.parts
        if part.minutes is not None
        and (gpu or not part.gpu)
        and part.state(results_of(one, root)) != "results are there"
    ]
    chosen, left = [], minutes
    for one, part in sorted(waiting, key=lambda pair: pair[1].minutes or 0.0):
        if (part.minutes or 0.0) <= left:
            chosen.append((one, part))
            left -= part.minutes or 0.0
    return chosen


def results_of(one: Experiment, root: Path | None) -> Path:
    """Its results below a folder of all experiments; the committed ones without it."""
    return one.results if root is None else root / one.name / "results"
