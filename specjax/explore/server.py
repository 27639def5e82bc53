"""The server of the explorer: on this machine alone, until its last tab is closed."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable
from typing import Any

from specjax._core import checks
from specjax._core.checks import UserError

HOST = "127.0.0.1"
CLOSED_SECONDS = 5.0
"""How long the server outlives its last tab, which may be loading again."""
_SILENT_SECONDS = 180.0  # after which a tab is gone; those in the background speak once a minute


class Tabs:
    """The tabs that show the page."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}
        self._last: float | None = None  # when a tab was last there
        self._lock = threading.Lock()

    def tell(self, what: str, tab: str) -> None:
        """Take what a tab says of itself, "open" or "close"."""
        with self._lock:
            if what == "open":
                self._seen[tab] = time.monotonic()
            else:
                self._seen.pop(tab, None)
            self._last = time.monotonic()

    def are_gone(self) -> bool:
        """Tell whether there were tabs, and have been none for some seconds."""
        now = time.monotonic()
        with self._lock:
            if any(now - then < _SILENT_SECONDS for then in self._seen.values()):
                return False
            return self._last is not None and now - self._last > CLOSED_SECONDS


def serve(app: Any, port: int, ready: Callable[[str], None], stay: bool = False) -> None:
    """Serve the page until its last tab is closed, or Ctrl-C.

    Args:
      app: of :func:`specjax.explore.page.app_of`.
      port: 0 for a free one.
      ready: called with the address.
      stay: whether to go on without tabs.

    Raises:
      UserError: for a port that is taken or cannot be.
    """
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, *_: Any, **__: Any) -> None:
            """Say nothing of requests."""

    tabs = Tabs()
    _guard(app.server, tabs)
    if not 0 <= checks.whole_number("port", port, 0) < 2**16:
        raise UserError(f"port = {port}: give one up to 65535, or 0 for a free one")
    _check_free(port)
    server = make_server(HOST, port, app.server, threaded=True, request_handler=Quiet)
    server.daemon_threads = False  # what computes is waited for: JAX must not end in its midst

    def watch() -> None:
        while not (tabs.are_gone() and not stay):
            time.sleep(0.5)
        server.shutdown()

    threading.Thread(target=watch, daemon=True).start()
    ready(f"http://{HOST}:{server.server_port}/")
    try:
        server.serve_forever()
    finally:
        server.server_close()


def _check_free(port: int) -> None:
    """Refuse a port that is taken; werkzeug would end the process."""
    import socket

    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = "is taken" if taken else f"cannot be used ({error.strerror})"
            raise UserError(f"port = {port} {why}: give another, or none") from error


def _guard(server: Any, tabs: Tabs) -> None:
    """Answer requests to this machine by name alone, and hear the tabs."""
    from flask import abort, request

    @server.before_request
    def only_here() -> None:
        name = request.host.rpartition(":")[0] or request.host
        if name not in (HOST, "localhost"):  # a page elsewhere whose name leads here
            abort(403)

    @server.post("/tab/<what>/<tab>")
    def heard(what: str, tab: str) -> tuple[str, int]:
        tabs.tell(what, tab)
        return "", 204
