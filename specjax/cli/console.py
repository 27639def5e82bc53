"""What every command prints while it works."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from specjax._core.checks import UserError
from specjax._core.progress import Rate, taken, time_left
from specjax.report.words import shown

_LINE_SECONDS = 20.0  # between two lines of progress in a log


def print_json(document: dict[str, Any]) -> None:
    """Print a result for machines, on standard output."""
    print(json.dumps(document, indent=1, allow_nan=False))


def say(text: str) -> None:
    """Print a line on standard error."""
    print(shown(text), file=sys.stderr, flush=True)


def remark(text: str) -> None:
    """Print a remark on standard error."""
    say(f"specjax: {text}")


def open_streams() -> None:
    """Make the standard streams take any text; what their encoding lacks is escaped.

    Raises:
      UserError: if standard output is closed; standard error may be.
    """
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (to the end of the process)
    if sys.stdout is None:
        raise UserError("standard output is closed: leave it open, or give >/dev/null")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def drop_output() -> None:
    """Send what is left of standard output nowhere: whoever read it is gone, or the disk full."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def progress(
    label: str, unit: str, *, long: bool = False, first: str = "", last: str = ""
) -> Iterator[Callable[..., None]]:
    """Show a progress bar on standard error that disappears when the work is done.

    Yields a function of the work done so far, its total (None if unknown) and an optional note.
    Long work also shows its rate and the time left; where standard error is not a terminal (in the
    log of a cluster) it prints a line every 20 seconds.

    Args:
      label, unit: of the work and of what is counted.
      long: whether rate and time left are shown.
      first, last: what is done before anything is counted, such as "compiling", and after all is.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
        TextColumn(unit), TimeElapsedColumn(), TextColumn("{task.fields[left]}"),
    )  # fmt: skip
    console = Console(stderr=True)
    printed, rate = time.monotonic(), Rate()
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(shown(label), total=None, left=first)

        def update(done: int, total: int | None, note: str = "") -> None:
            nonlocal printed
            left = time_left(rate.at(done), done, total, unit) if long else ""
            now = first if done == 0 else last if done == total else ""
            left = ", ".join(words for words in (left.removeprefix(", "), note, now) if words)
            bar.update(task, completed=done, total=total, left=left)
            due = time.monotonic() - printed > _LINE_SECONDS
            if long and due and not console.is_terminal:
                printed = time.monotonic()
                of = f" of {total:,}" if total else ""
                remark(f"{label}: {done:,}{of} {unit}{f', {left}' if left else ''}")

        yield update


@contextlib.contextmanager
def status(label: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner on standard error, and yield a function that changes its text."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: None
        return
    with taken(), console.status(Text(shown(label))) as spinner:
        yield lambda text: spinner.update(Text(shown(text)))
