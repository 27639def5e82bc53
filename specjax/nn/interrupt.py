"""Ending a loop between two turns, when a signal asks for it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import jax
import numpy as np


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep a second training out of a folder as long as this one lives, however it ends.

    Where the system has no such locks (Windows) nothing is kept out.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(folder / ".lock", "w") as file:
        if jax.process_index() == 0:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(
                    f"{folder} is being trained by another process: wait for it, or give another "
                    "--out"
                ) from None
        yield


def anywhere(flag: bool, *, ask: bool) -> bool:
    """Whether a flag is set in any process, so that all end together.

    Where there are several, they are asked only if ``ask``, which all must say at once.
    """
    if jax.process_count() == 1:
        return flag
    if not ask:
        return False
    from jax.experimental.multihost_utils import process_allgather

    return bool(process_allgather(np.array(flag)).any())


class Stop:
    """Ctrl-C and SIGTERM (a cluster that wants the machine back) as a flag.

    A second Ctrl-C ends at once. Outside the main thread, where Python has no signals, it is
    never set.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._hear)
        return self

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        for number, handler in self._before.items():
            signal.signal(number, handler)
