"""Tables, lines of claims and pictures, made again from the JSON."""

from __future__ import annotations

import importlib
import inspect
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from experiments.registry import Experiment

WRITERS = ("tables", "claims")
"""Modules of every experiment whose ``main`` writes between marks of Markdown files."""


def remake(one: Experiment) -> None:
    """Tables, claims, and the pictures where there are results to draw."""
    for name in (*WRITERS, *(["plot"] if any(one.results.glob("*.json")) else [])):
        importlib.import_module(one.module(name)).main()


def stale(one: Experiment) -> list[str]:
    """Markdown files that are not what the JSON says, as "file (module)"."""
    return [x for name in WRITERS for x in stale_by(one.module(name))]


def stale_by(module: str) -> list[str]:
    """Of the files that a module's ``main`` writes."""
    main = importlib.import_module(module).main
    return [
        f"{file.parent.name}/{file.name} ({module})"
        for file, text in _written(main)
        if text != file.read_text()
    ]


def _written(main: Callable[..., Any]) -> Iterator[tuple[Path, str]]:
    """What a writer makes of each of the files that it writes, in copies of them."""
    defaults = {x.name: x.default for x in inspect.signature(main).parameters.values()}
    files = {k: v for k, v in defaults.items() if isinstance(v, Path) and v.suffix == ".md"}
    with tempfile.TemporaryDirectory() as folder:
        copies = {name: Path(folder) / f"{name}.md" for name in files}
        for name, file in files.items():
            copies[name].write_text(file.read_text())
        main(**copies)
        for name, file in files.items():
            yield file, copies[name].read_text()
