"""Ending a loop between two of its turns when a signal asks for it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import jax
import numpy as np


class Interrupt:
    """A flag that says whether a signal has asked for the end."""

    requested = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Note the first signal; the second one ends at once."""
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def anywhere(self, *, ask: bool) -> bool:
        """Return whether any process has been asked to end, so that all end together.

        Where there are several, they are asked only if ``ask``, which all must say at once.
        """
        if jax.process_count() == 1:
            return self.requested
        if not ask:
            return False
        from jax.experimental.multihost_utils import process_allgather

        return bool(process_allgather(np.array(self.requested)).any())


@contextlib.contextmanager
def deferred_signals() -> Iterator[Interrupt]:
    """Note Ctrl-C and SIGTERM (a cluster that wants the machine back) instead of ending at once.

    Outside the main thread, where Python has no signals, nothing is noted.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, interrupt.handle) for number in numbers]
    try:
        yield interrupt
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
