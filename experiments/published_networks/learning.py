"""Learn one plan in a process of its own, by the specjax of a folder.

    python -m experiments.published_networks.learning NETWORK STEPS BOX OPTIONS FILE

BOX is 0 or 1; OPTIONS of ``sx.learn`` are JSON. The plan is written to FILE. Nothing is shared with
another plan: no solutions of the teacher, no program that was compiled, no state to go on from.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import specjax as sx
from experiments.experiment import HERE
from experiments.published_networks.networks import ENDS, boxed, published

ROOT = HERE.parent


class Lesson(NamedTuple):
    """A plan to learn: through which network, in how many calls, with what options."""

    network: str
    steps: int
    options: dict[str, Any]
    box: bool = False


def learn_apart(lesson: Lesson, path: Path, folder: Path = ROOT) -> sx.PlanResult:
    """Learn in a process by the specjax of a folder, and keep the plan at a path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    network, steps, options, box = lesson
    arguments = [network, str(steps), str(int(box)), json.dumps(options), str(path.resolve())]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # which is after the current folder
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    command = [sys.executable, "-m", "experiments.published_networks.learning", *arguments]
    subprocess.run(command, cwd=folder, env=environment, check=True)
    return sx.load(path)


def unpack_commit(commit: str, folder: Path) -> None:
    """Put the package as it was at a commit of this checkout into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["git", "archive", commit, "specjax"]
    packed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed.stdout, check=True)


def main(network: str, steps: str, box: str, options: str, path: str) -> None:
    """Learn and keep."""
    assert Path(sx.__file__).is_relative_to(Path.cwd()), sx.__file__
    through = boxed(network) if int(box) else published(network)
    result = sx.learn(through, int(steps), alpha_bar_range=ENDS, **json.loads(options))
    sx.save(path, result)


if __name__ == "__main__":
    main(*sys.argv[1:])
