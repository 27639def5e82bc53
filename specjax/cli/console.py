"""What every command shares: progress on standard error, and compilations that are kept."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_LINE_SECONDS = 20.0  # between two lines of progress in a log


def print_json(document: dict[str, Any]) -> None:
    """Print a result for machines, on standard output."""
    print(json.dumps(document, indent=1, allow_nan=False))


def keep_compilations() -> None:
    """Keep compiled programs between runs, so that the second start is quick."""
    import jax

    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    cache = cache_folder()
    if cache is not None:
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def cache_folder(name: str = "") -> Path | None:
    """Return the folder that is kept between runs, if it can be written to."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "specjax" / name
    with contextlib.suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
        return cache if os.access(cache, os.W_OK) else None
    return None


@contextlib.contextmanager
def progress(label: str, unit: str, *, long: bool = False) -> Iterator[Callable[..., None]]:
    """Show a progress bar on standard error that disappears when it is done.

    What it yields is called with the work done, all of it, and a note if there is one.

    Long work also shows its rate and the time left; where standard error is no terminal (the log
    of a cluster), as a line now and then.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit),
        TimeElapsedColumn(), TextColumn("{task.fields[ahead]}"),
    )  # fmt: skip
    console = Console(stderr=True)
    pace = _Pace(unit)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(label, total=None, ahead="")

        def update(done: int, total: int | None, note: str = "") -> None:
            ahead = pace.ahead(done, total) if long else ""
            ahead += f", {note}" if note else ""
            bar.update(task, completed=done, total=total, ahead=ahead)
            if long and not console.is_terminal and pace.is_time():
                of = f" of {total:,}" if total else ""
                print(f"specjax: {label}: {done:,}{of} {unit}{ahead}", file=sys.stderr, flush=True)

        yield update


class _Pace:
    """Measures the rate of some work from the first report on."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.first: tuple[int, float] | None = None
        self.said = time.monotonic()

    def ahead(self, done: int, total: int | None) -> str:
        """Return the rate and the time left as text; nothing while they are unknown."""
        now = time.monotonic()
        if self.first is None:
            self.first = done, now
        rate = (done - self.first[0]) / max(now - self.first[1], 1e-9)
        if done == self.first[0] or total is None:
            return ""
        left = datetime.timedelta(seconds=round((total - done) / rate))
        pace = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
        return f", {pace} {self.unit}/s, {left} left"

    def is_time(self) -> bool:
        """Tell whether the last line was printed long ago."""
        if time.monotonic() - self.said < _LINE_SECONDS:
            return False
        self.said = time.monotonic()
        return True


@contextlib.contextmanager
def status(label: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner on standard error; yields what changes its text."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: None
        return
    with console.status(label) as spinner:
        yield lambda text: spinner.update(text)
