"""``specjax explore``: a local page on which schedules are redrawn as settings are moved."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Annotated

import tyro

from specjax.cli.console import say, status


@dataclass(frozen=True, kw_only=True)
class Explore:
    """A local page to play on: levels, spectra and losses, redrawn as settings are moved."""

    subject: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="SUBJECT")]] = ""
    """data as 'specjax fit' takes them, a spectrum file, a schedule or plan file, or the folder of
    a run; by default a power law"""
    port: int = 0
    """of 127.0.0.1; by default one that is free"""
    browser: bool = True
    """open the page in a browser"""
    stay: bool = False
    """go on when the last tab is closed"""

    def run(self) -> None:
        """Open what is explored, and serve the page until the last tab is closed."""
        from specjax.explore.page import app_of
        from specjax.explore.server import serve
        from specjax.explore.subject import Subject

        with status(f"opening {self.subject or 'the page'}"):
            subject = Subject.open(self.subject)
            app = app_of(subject)

        def ready(address: str) -> None:
            say(f"{address}  (ends with its last tab, or by Ctrl-C)")
            threading.Thread(target=subject.fit, args=(subject.start(),)).start()  # compiles
            if self.browser:
                import webbrowser

                webbrowser.open(address)

        serve(app, self.port, ready, self.stay)
