"""What every command shares: one-line errors, progress on standard error, kept compilations."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path


def fail(message: str) -> int:
    """Print a mistake as one line; the exit code of one."""
    print(f"specjax: {' '.join(message.split())}", file=sys.stderr)
    return 2


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """tyro's boxed errors as one line."""
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            yield
    except SystemExit as error:
        if error.code == 2:
            sys.exit(fail(_unboxed(box.getvalue())))
        raise


def _unboxed(text: str) -> str:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    lines = [line.strip("│╭╮╰╯ ") for line in plain.splitlines()]
    kept: list[str] = []
    for line in lines[1:]:
        if line.startswith(("Argument helptext", "For full helptext")):
            break
        if line.strip("─ "):
            kept.append(line)
    line = "; ".join([*kept, "see 'specjax --help'"]).replace(":;", ":")
    return re.sub(
        r"Error parsing --([\w-]+): invalid literal for int\(\) with base 10: ('.*?')",
        r"\1 = \2: give a whole number",
        line,
    )


def keep_compilations() -> None:
    """Keep compiled programs between runs, so that the second start is quick."""
    import jax

    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "specjax"
    with contextlib.suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
        if os.access(cache, os.W_OK):
            jax.config.update("jax_compilation_cache_dir", str(cache))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@contextlib.contextmanager
def progress(label: str, unit: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar on standard error that disappears when it is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit),
        TimeElapsedColumn(),
    )  # fmt: skip
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(label, total=None)

        def update(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total)

        yield update


@contextlib.contextmanager
def status(label: str) -> Iterator[None]:
    """A spinner on standard error."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status(label) if console.is_terminal else contextlib.nullcontext():
        yield
