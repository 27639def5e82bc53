"""A line of the table of claims."""

from __future__ import annotations

from typing import NamedTuple

COMMAND = "`python -m experiments run synthetic_gaussian`"


class Claim(NamedTuple):
    """A line of the table."""

    words: str
    holds: bool
    text: str

    def __str__(self) -> str:
        verdict = "yes" if self.holds else "**no**"
        return f"| Gaussians: {self.words} | {verdict} | {self.text} | {COMMAND} |"
