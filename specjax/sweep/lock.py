"""One sweep a folder, and signs of life of its processes.

Process 0 of a sweep holds the folder by a file ``.process-0`` that it creates exclusively; the
others have ``.process-1`` and so on. Each touches its own file every few seconds. So a second sweep
is refused, what a killed one left is taken over, and nobody waits for a process that is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from specjax._core.checks import UserError
from specjax.files.atomic import writing

_PERIOD = 2.0  # seconds between two signs of life
_SILENCE = 60.0  # seconds without one after which a process counts as gone


class Watch:
    """Notices when a file is touched; ``touched`` once it was."""

    def __init__(self, path: Path) -> None:
        self.path, self.touched = path, False
        self._seen, self._since = self._stamp(), time.monotonic()

    def _stamp(self) -> int | None:
        with contextlib.suppress(OSError), open(self.path, "rb") as opened:
            return os.fstat(opened.fileno()).st_mtime_ns  # by opening: NFS keeps old answers
        return None

    def silence(self) -> float:
        """Return the seconds since the file was last seen to be touched, or since the beginning."""
        stamp = self._stamp()
        if stamp is not None and stamp != self._seen:
            self._seen, self._since, self.touched = stamp, time.monotonic(), True
        return time.monotonic() - self._since


@contextlib.contextmanager
def sign_of_life(path: Path, *, exclusive: bool = False) -> Iterator[None]:
    """Hold a file with host and process id, touch it regularly, and remove it in the end.

    Raises:
      UserError: if it is exclusive, and another process that lives has it.
    """
    holder = {"host": socket.gethostname(), "pid": os.getpid(), "key": secrets.token_hex(8)}
    while True:
        try:
            with writing(path), open(path, "x" if exclusive else "w") as new:
                try:
                    json.dump(holder, new)
                    new.flush()
                except OSError:  # a full disk: nothing of it stays
                    path.unlink(missing_ok=True)
                    raise
            break
        except UserError as error:
            if not isinstance(error.__cause__, FileExistsError):
                raise
            _remove_abandoned(path)
    ended = threading.Event()

    def touch() -> None:
        while not ended.wait(_PERIOD):
            with contextlib.suppress(OSError):
                os.utime(path)

    toucher = threading.Thread(target=touch, daemon=True)
    toucher.start()
    try:
        yield
    finally:
        ended.set()
        toucher.join()
        _remove(path, json.dumps(holder))


def _remove_abandoned(path: Path) -> None:
    """Remove the file of a process that is gone; refuse that of one that lives.

    That a process of this host is gone is known at once. All else shows in the file: another host's
    processes, and process ids that were given to another program since.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        return  # just released
    try:
        holder = json.loads(text)
        host, pid = str(holder["host"]), int(holder["pid"])
    except (ValueError, KeyError, TypeError):
        host, pid = "a machine", 0  # cut off, or being written
    watch = Watch(path)
    while not _is_gone(host, pid) and watch.silence() < _SILENCE and path.exists():
        if watch.touched:
            raise UserError(
                f"out = {str(path.parent)!r} is being written by process {pid} on {host}: wait "
                "until that sweep ends, or give another folder"
            )
        time.sleep(_PERIOD / 4)
    _remove(path, text)


def _is_gone(host: str, pid: int) -> bool:
    if host != socket.gethostname():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it lives, and is another user's
    return False


def _remove(path: Path, text: str) -> None:
    """Remove a file of this content: another process may have put its own in place of it."""
    with contextlib.suppress(FileNotFoundError):
        if path.read_text() == text:
            path.unlink()


def wait_for(condition: Callable[[], bool], watches: Sequence[Watch]) -> None:
    """Wait until a condition holds, as long as the processes of the watched files live.

    By looking at the shared folder, not by a collective, which would time out in a sweep of hours.

    Raises:
      UserError: for a process that is gone.
    """
    while not condition():
        for watch in watches:
            if watch.silence() > _SILENCE:
                raise UserError(
                    f"{watch.path} shows no sign of life for {_SILENCE:g} s, its process is gone: "
                    "start the sweep again, finished blocks are kept"
                )
        time.sleep(min(0.5, _PERIOD))
