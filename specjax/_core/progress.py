"""A line of progress on standard error, for long calls from Python.

:func:`shows_progress` gives a function's keyword ``progress`` its three meanings: a callable is
called; None shows a line once the call has taken two seconds, where standard error is a terminal or
a notebook; False shows nothing. Of functions that call each other the outermost shows the line.
"""

from __future__ import annotations

import collections
import contextlib
import contextvars
import datetime
import functools
import inspect
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

AFTER = 2.0
"""Seconds after which a call shows its progress."""

_EVERY = 0.2  # seconds between two lines
_WIDTH = 79
_SPEED_SECONDS = 30.0  # over which a rate is averaged

_taken: contextvars.ContextVar[bool] = contextvars.ContextVar("_taken", default=False)

P = ParamSpec("P")
R = TypeVar("R")


class Rate:
    """How much is done in a second, over the last seconds of one piece of work."""

    def __init__(self) -> None:
        self._seen: collections.deque[tuple[float, int]] = collections.deque()

    def at(self, done: int) -> float | None:
        """Return the rate as so much is done, or None; what is done falls as new work begins."""
        now = time.monotonic()
        if self._seen and done < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[0][0] > _SPEED_SECONDS:
            self._seen.popleft()
        (then, before) = self._seen[0]
        return (done - before) / (now - then) if now > then and done > before else None


def time_left(rate: float | None, done: int, total: int | None, unit: str) -> str:
    """Return the rate and the time left as text; nothing while they are unknown."""
    if rate is None or total is None:
        return ""
    shown_rate = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
    left = datetime.timedelta(seconds=round((total - done) / rate))
    return f", {shown_rate} {unit}/s, {left} left"


@contextlib.contextmanager
def taken() -> Iterator[None]:
    """Let no function show a line: whoever calls them shows their progress, or wants none."""
    token = _taken.set(True)
    try:
        yield
    finally:
        _taken.reset(token)


def shows_progress(label: str, unit: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function with the keyword ``progress`` show a line by default, see the module.

    Args:
      label: of the work, such as "learning". unit: what is counted, such as "calls".
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        parts = "teacher_progress" in inspect.signature(function).parameters

        @functools.wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
            options: dict[str, Any] = dict(kwargs)
            asked = options.get("progress")
            by_default = asked is None or asked is True
            shown = by_default and not _taken.get() and _is_seen(sys.stderr)
            with taken():
                if not shown:
                    options["progress"] = None if by_default else asked or None
                    return function(*args, **options)
                with _Line(label, unit) as line:
                    options["progress"] = line
                    if parts and options.get("teacher_progress") is None:
                        options["teacher_progress"] = line.part
                    return function(*args, **options)

        return wrapped

    return decorate


def _is_seen(stream: Any) -> bool:
    """Tell whether somebody looks at the stream: a terminal, or a notebook."""
    if stream is None:
        return False
    notebook = type(stream).__module__.startswith("ipykernel.")
    return notebook or bool(getattr(stream, "isatty", bool)())


class _Line:
    """One line, written over and over, that goes when the work is done."""

    def __init__(self, label: str, unit: str) -> None:
        self.label, self.unit, self.rate = label, unit, Rate()
        self.due, self.width = time.monotonic() + AFTER, 0

    def __enter__(self) -> _Line:
        return self

    def __exit__(self, *_: object) -> None:
        if self.width:
            self._write("")

    def __call__(self, done: int | str, total: int | None = None, *_: Any) -> None:
        """Take the work done and its total, or what is being done."""
        self._say(self.label, self.unit, done, total)

    def part(self, label: str) -> Callable[..., None]:
        """Return what takes the progress of a part of the work."""
        return lambda done, total=None, *_: self._say(label, "", done, total)

    def _say(self, label: str, unit: str, done: int | str, total: int | None) -> None:
        rate = None if isinstance(done, str) else self.rate.at(done)
        now = time.monotonic()
        if now < self.due:
            return
        self.due = now + _EVERY
        if isinstance(done, str):
            self._write(f"{label}: {done}")
            return
        of = f" of {total:,}" if total else ""
        words = f" {unit}" if unit else ""
        self._write(f"{label}: {done:,}{of}{words}{time_left(rate, done, total, unit)}")

    def _write(self, text: str) -> None:
        text = text[:_WIDTH]
        with contextlib.suppress(OSError, ValueError):  # a closed stream
            sys.stderr.write("\r" + text.ljust(self.width) + ("" if text else "\r"))
            sys.stderr.flush()
        self.width = len(text)
