"""What an experiment is, and which ones there are.

A folder of ``experiments`` is an experiment if it has these three modules:

- ``run``: ``EXPERIMENT`` (an :class:`Experiment`) and ``run(session)``, which makes the JSON;
- ``summary``: ``tables(results)`` and ``claims(results)``, Markdown from the JSON;
- ``figure``: ``figures(results)``, the names and the pictures drawn from the JSON.
"""

from __future__ import annotations

import importlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from specjax._core.checks import UserError

HERE = Path(__file__).parent
NOT_YET = "not yet run"


@dataclass(frozen=True)
class Part:
    """A piece of an experiment that can be run alone.

    Attributes:
      title: what it is, in a few words.
      files: names of the results that exist once it has been run.
      minutes: on 2 CPU cores, or on one GPU if it needs one; None where nobody has measured it.
      cases: values of ``--cases`` that run it; empty for an experiment with a single part.
      gpu: whether it needs a GPU. quiet: whether it measures times, on a machine without other
        work. Such parts are run only if their cases are named.
    """

    title: str
    files: tuple[str, ...]
    minutes: float | None
    cases: tuple[str, ...] = ()
    gpu: bool = False
    quiet: bool = False

    @classmethod
    def of_seeds(
        cls, title: str, stems: Sequence[str], seeds: int, minutes: float | None, **more: Any
    ) -> Part:
        """Make a part whose files are named by a stem, which is a case by default, and a seed."""
        files = tuple(f"{stem}-{seed}.json" for stem in stems for seed in range(seeds))
        return cls(title, files, minutes, **{"cases": tuple(stems), **more})

    @property
    def needs(self) -> str:
        """The machine and the time that it takes."""
        time = "? min" if self.minutes is None else f"{self.minutes:g} min"
        return f"{'GPU' if self.gpu else 'CPU'}, {time}"

    def finished(self, results: Path) -> int:
        """Count the results that exist and are complete."""
        there = [results / name for name in self.files if (results / name).exists()]
        return sum(json.loads(path.read_text()).get("complete", True) for path in there)

    def state(self, results: Path) -> str:
        """Say how many of the results exist."""
        count = self.finished(results)
        if count == len(self.files):
            return "results are there"
        return f"{count} of {len(self.files)} results" if count else NOT_YET


@dataclass(frozen=True)
class Experiment:
    """The facts of an experiment.

    Attributes:
      name: of its folder.
      question: the claim under test, or the question, in a line.
      parts: what can be run alone.
      config: all its numbers, a frozen dataclass. smallest: the same, for a run of seconds.
      smallest_cases: what the smallest run is of, by default all cases.
      selection: fields of the config that choose what is run and change no result.
      options: those of them that are options of the command line, beside ``--seeds``.
      work: the folder in ``build`` for networks and plans, by default the experiment's own.
    """

    name: str
    question: str
    parts: tuple[Part, ...]
    config: Any
    smallest: Any
    smallest_cases: tuple[str, ...] = ()
    selection: tuple[str, ...] = ("seeds",)
    options: tuple[str, ...] = ()
    work: str = ""

    @property
    def results(self) -> Path:
        """The folder of the committed results."""
        return HERE / self.name / "results"

    @property
    def cases(self) -> tuple[str, ...]:
        """The cases of all parts."""
        return tuple(dict.fromkeys(case for part in self.parts for case in part.cases))

    @property
    def default_cases(self) -> tuple[str, ...]:
        """The cases that are run where none are named."""
        parts = [part for part in self.parts if not (part.gpu or part.quiet)]
        return tuple(dict.fromkeys(case for part in parts for case in part.cases))

    def arguments(self, cases: Sequence[str]) -> list[str]:
        """Give the arguments of the driver that run some cases."""
        return ["run", self.name, *(["--cases", *cases] if cases else [])]

    def command(self, *cases: str) -> str:
        """Give the command that runs some cases, or all of the experiment without any."""
        return shlex.join(["python", "-m", "experiments", *self.arguments(cases)])

    def module(self, name: str) -> ModuleType:
        """Import one of its modules."""
        return importlib.import_module(f"experiments.{self.name}.{name}")


def names() -> list[str]:
    """List the experiments."""
    return sorted(path.parent.name for path in HERE.glob("*/run.py"))


def load(name: str) -> Experiment:
    """Import an experiment.

    Raises:
      UserError: if there is none with that name.
    """
    if name not in names():
        raise UserError(f"{name!r} is no experiment: there are {', '.join(names())}")
    return importlib.import_module(f"experiments.{name}.run").EXPERIMENT


def waiting(minutes: float, gpu: bool, root: Path | None = None) -> list[tuple[Experiment, Part]]:
    """Choose parts that have not been run and fit a time together, the shortest first.

    Args:
      minutes: the time for all of them. gpu: whether there is a GPU; otherwise parts that need
        one are left out.
      root: a folder with results of all experiments in place of the committed ones.
    """
    chosen, left = [], minutes
    parts = [(one, part) for one in map(load, names()) for part in one.parts]
    for one, part in sorted(parts, key=lambda pair: pair[1].minutes or 0.0):
        results = one.results if root is None else root / one.name / "results"
        ready = part.minutes is not None and part.finished(results) < len(part.files)
        if ready and (gpu or not part.gpu) and part.minutes <= left:
            chosen.append((one, part))
            left -= part.minutes
    return chosen
